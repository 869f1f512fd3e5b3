"""QEMU's own event journal: a monitor on a pair of plain files, so that events outlive everybody who could listen.

QEMU reads the one negotiation line from ``NAME.in`` and appends each event to
``NAME.out`` from then on. The files lie where the guest's user can write: what
is read here is hostile until proved to be an event.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from anyvirt.api import Denied, Failed, NotFound

from anyvirt_qemu.qmp.wire import Event, event, parse

NAME: Final = "ev"
NEGOTIATION: Final = b'{"execute":"qmp_capabilities"}\n'
LINE_MAX: Final = 1 << 20
SIZE_MAX: Final = 256 << 20
BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Tear:
    """Events may be missing here: ``reason`` is ``torn line``, ``truncated`` or ``no room``."""

    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing read from a journal.

    :param after: offset to go on from, once this entry is dealt with.
    """

    what: Event | Tear
    after: int


def prepare(dirfd: int, *, uid: int | None = None, gid: int | None = None, name: str = NAME) -> None:
    """Put the pair of files into an open directory, 0600 and of QEMU's user.

    :raises Failed: one of them is there already, or the disk is full.
    """
    for suffix, content in ((".in", NEGOTIATION), (".out", b"")):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name + suffix, flags, 0o600, dir_fd=dirfd)
            try:
                os.fchmod(fd, 0o600)
                if uid is not None:
                    os.fchown(fd, uid, -1 if gid is None else gid)
                os.write(fd, content)
            finally:
                os.close(fd)
        except OSError as error:
            words = {"errno": error.errno, "text": error.strerror}
            raise Failed(f"cannot make the event journal {name + suffix}: {error.strerror}", native=words) from error


def options(directory: str, name: str = NAME, *, ident: str = "ev") -> list[str]:
    """QEMU's options for a journal in ``directory``.

    :raises Failed: the path cannot be given to QEMU.
    """
    path = f"{directory}/{name}"
    if not path.isprintable():
        raise Failed(
            f"the path {path!r} cannot be given to QEMU", hint="keep state under a path of printable characters"
        )
    doubled = path.replace(",", ",,")
    return ["-chardev", f"pipe,id={ident},path={doubled}", "-mon", f"chardev={ident},mode=control"]


def open_out(dirfd: int, *, uid: int | None = None, name: str = NAME) -> int:
    """Open the journal for reading and give the descriptor, which the caller closes.

    :param uid: the user that it must belong to; None stands for ours.
    :raises NotFound: there is none (kind ``journal``).
    :raises Denied: it is no regular file of that user, or has a second name: the guest's user tampered with it.
    """
    file = name + ".out"
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=dirfd)
    except FileNotFoundError as error:
        raise NotFound(file, "journal") from error
    except OSError as error:
        raise _tampered(file, error.strerror or "not a plain file") from error
    found = os.fstat(fd)
    wanted = os.geteuid() if uid is None else uid
    wrong = ""
    if not stat.S_ISREG(found.st_mode):
        wrong = "it is no regular file"
    elif found.st_uid != wanted:
        wrong = f"it belongs to user {found.st_uid} instead of {wanted}"
    elif found.st_nlink > 1:
        wrong = "it has a second name"
    if wrong:
        os.close(fd)
        raise _tampered(file, wrong)
    return fd


class Reader:
    """Takes the journal's bytes apart, from an offset on; no input or output."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[Entry]:
        """Give what is complete now; ``b""`` says that the file became shorter."""
        if not data:
            self.offset += len(self._rest)
            self._rest, self._skipping = b"", False
            yield Entry(Tear("truncated"), self.offset)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.offset += len(line) + 1
            yield from self._entry(line)
        if len(self._rest) > LINE_MAX:  # no event of QEMU's: drop it as it comes, keep no memory for it
            self.offset += len(self._rest)
            self._rest = b""
            if not self._skipping:
                self._skipping = True
                yield Entry(Tear("torn line"), self.offset)

    def finish(self) -> Iterator[Entry]:
        """QEMU has ended: half a line will not be completed any more."""
        if self._rest.strip(b"\0\r"):
            self.offset += len(self._rest)
            self._rest = b""
            yield Entry(Tear("torn line"), self.offset)

    def _entry(self, line: bytes) -> Iterator[Entry]:
        if self._skipping:  # the end of a line that was too long
            self._skipping = False
            return
        stripped = line.strip(b"\0\r ")
        if line.startswith(b"\0"):  # somebody cut the file; QEMU wrote on where it was
            yield Entry(Tear("truncated"), self.offset)
        if not stripped:
            return
        try:
            found = parse(stripped)
            happened = event(found) if "event" in found else None
        except ValueError:
            yield Entry(Tear("torn line"), self.offset)
            return
        if happened is not None:
            yield Entry(happened, self.offset)
        elif "QMP" not in found and "return" not in found:
            yield Entry(Tear("torn line"), self.offset)


def read(fd: int, offset: int = 0, *, ended: bool = False) -> Iterator[Entry]:
    """Give what the open journal holds from ``offset`` on.

    :param ended: QEMU is gone, so that half a line is a tear.
    """
    size = os.fstat(fd).st_size
    if size < offset:
        yield Entry(Tear("truncated"), size)
        offset = size
    if size - offset > SIZE_MAX:
        offset = size - SIZE_MAX
        yield Entry(Tear("truncated"), offset)
        offset = _next_line(fd, offset)
    reader = Reader(offset)
    place = offset
    while place < size and (block := os.pread(fd, min(BLOCK, size - place), place)):
        place += len(block)
        yield from reader.feed(block)
    if ended:
        yield from reader.finish()
    if not _room(fd):
        yield Entry(Tear("no room"), reader.offset)


def follow(fd: int, offset: int = 0, *, until: int | None = None) -> Iterator[Entry]:
    """Give what the open journal holds from ``offset`` on and then each event as QEMU writes it.

    :param until: pidfd of QEMU; when it ends, the rest is given and the generator ends.
    :raises Interrupted: the deadline of the call that asks for the next entry passed.
    """
    size = os.fstat(fd).st_size
    if size < offset or size - offset > SIZE_MAX:
        for entry in read(fd, offset):
            offset = entry.after
            yield entry
    reader = Reader(offset)
    full = False
    from anyvirt_host.local.follow import follow as follow_file

    for block in follow_file(fd, offset, until=until):
        yield from reader.feed(block)
        full, was = not _room(fd), full
        if full and not was:
            yield Entry(Tear("no room"), reader.offset)
    if until is not None:
        yield from reader.finish()


def last_shutdown(fd: int) -> Event | None:
    """The ``SHUTDOWN`` that a QEMU which is gone has left as its last word, or None: it crashed or was killed.

    Only the end of the journal is looked at.
    """
    size = os.fstat(fd).st_size
    start = max(0, size - BLOCK)
    reader = Reader(_next_line(fd, start) if start else 0)
    found = None
    for entry in reader.feed(os.pread(fd, BLOCK, reader.offset) or b"\n"):
        if isinstance(entry.what, Event) and entry.what.name == "SHUTDOWN":
            found = entry.what
    return found


def _next_line(fd: int, offset: int) -> int:
    block = os.pread(fd, BLOCK, offset)
    return offset + block.find(b"\n") + 1


def _room(fd: int) -> bool:
    """Whether the file system could take one more line; QEMU drops events in silence when it cannot."""
    found = os.fstatvfs(fd)
    return found.f_bavail > 0 or found.f_blocks == 0


def _tampered(file: str, wrong: str) -> Denied:
    return Denied(
        f"the event journal {file} is not what it was made as: {wrong}",
        hint="the guest's QEMU user may have changed it: destroy the guest and look at its image and devices",
    )
