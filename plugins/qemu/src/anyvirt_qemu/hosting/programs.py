"""Programs that run beside QEMU: started before it, their last words kept, ended after it.

Each has two files in the manager's part of the run directory: ``TITLE.log`` with all that it says, and ``TITLE.json``
which says who it is, written before it is one. Whoever settles the run ends the process that is named there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Busy, Denied, Failed, Interrupted, ProcessId, Unreachable, VirtError, current, left, unix
from anyvirt_host.local.launch import Spec, launch

from anyvirt_qemu.hosting import states
from anyvirt_qemu.qmp import failure

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.beside import EndUse, ProgramUse
    from anyvirt_qemu.planning.plan import Plan
    from anyvirt_qemu.run_dir import RunDir

KIND: Final = "program"
NAP: Final = 0.005
GRACE: Final = 2.0  # seconds that a program has to end by itself
GONE: Final = 10.0
# words of QEMU's that tell of trouble with what a program does
TROUBLE: Final = {
    "swtpm": re.compile("tpm"),
    "virtiofsd": re.compile("vhost|-vu-"),
    "passt": re.compile("netdev"),
    "qemu-pr-helper": re.compile("pr-(manager|helper)"),
    "vhost-user-gpu": re.compile("vhost|-vu-"),
    "dbus-daemon": re.compile("dbus", re.IGNORECASE),
}


def start(ready: Preparation, plan: Plan, ours: ExitStack, joins: tuple[str, ...] = ()) -> dict[str, int]:
    """Start what runs beside QEMU, and wait for those that make a socket of their own.

    :param ours: closes what has been inherited.
    :param joins: control groups of the guest, whose limits hold for these, too.
    :return: QEMU's ends of connections, by title.
    :raises VirtError: one does not start, ends, or is not ready by the deadline; its last words say why.
    """
    ends: dict[str, int] = {}
    for use in plan.programs:
        ready.leave(KIND, title=use.title, name=use.name)
        with ExitStack() as inherited:
            secret = _secret(use, inherited)
            if use.state is not None:
                states.make(ready, use, secret)
            fds = {end.number: _end(end, use, plan, ready.place, secret, inherited, ours, ends) for end in use.fds}
            process = _launched(use, plan, ready, fds, joins)
        if use.binds:
            _await(use, process, plan, ready)
    return ends


def _launched(
    use: ProgramUse, plan: Plan, ready: Preparation, fds: Mapping[int, int], joins: tuple[str, ...]
) -> ProcessId:
    ready.site.step("launch-program")
    who = plan.account if use.unprivileged else None
    spec = Spec(
        argv=use.argv,
        uid=None if who is None else who.uid,
        gid=None if who is None else who.gid,
        groups=() if who is None else who.groups,
        env={"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": plan.cwd},
        fds=fds,
        cgroups=joins,
        cwd=use.cwd or plan.cwd,
        log=(ready.place.fd, f"{use.title}.log"),
        record=(ready.place.fd, f"{use.title}.json"),
    )
    ready.place.hold()
    process = launch(spec, name=f"{use.name} for {ready.record.name}")
    ready.place.release()
    return process


def _secret(use: ProgramUse, inherited: ExitStack) -> int:
    """A file without a name that only the program reads; -1 where it has no secret."""
    return _nameless(use.title, use.secret, inherited) if use.secret else -1


def _nameless(title: str, data: bytes, inherited: ExitStack) -> int:
    fd = os.memfd_create(title, os.MFD_CLOEXEC)
    inherited.callback(os.close, fd)
    os.write(fd, data)
    return reopened(fd, inherited)


def _end(
    end: EndUse,
    use: ProgramUse,
    plan: Plan,
    place: RunDir,
    secret: int,
    inherited: ExitStack,
    ours: ExitStack,
    ends: dict[str, int],
) -> int:
    if end.kind == "secret":
        return reopened(secret, inherited)
    if end.kind == "folder":
        return place.q
    if end.kind == "text":
        return _nameless(use.title, use.text.encode(), inherited)
    if end.kind == "pair":
        mine, theirs = unix.pair()
        ours.callback(mine.close)
        inherited.callback(theirs.close)
        ends[use.title] = mine.fileno()
        return theirs.fileno()
    listening = unix.listen(place.q, use.socket)
    inherited.callback(listening.close)
    _open_to_qemu(use, plan, place)
    return listening.fileno()


def _open_to_qemu(use: ProgramUse, plan: Plan, place: RunDir) -> None:
    if plan.account is not None:
        os.chown(use.socket, plan.account.uid, plan.account.gid, dir_fd=place.q, follow_symlinks=False)


def reopened(fd: int, inherited: ExitStack) -> int:
    """The same file, read from its beginning by whoever inherits this."""
    own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    inherited.callback(os.close, own)
    return own


def _await(use: ProgramUse, process: ProcessId, plan: Plan, ready: Preparation) -> None:
    """Until somebody can connect to it.

    :raises Failed: it ended instead.
    :raises Interrupted: the deadline passed.
    """
    what = f"starting {use.name} for {ready.record.name}"
    while True:
        with suppress(Unreachable):
            unix.connect((ready.place.q, use.socket)).close()
            _open_to_qemu(use, plan, ready.place)
            return
        if process.alive() is False:
            raise _ended(use.name, ready.record.name, _words(ready.place, use.title))
        try:
            current().check(what)
        except Interrupted as error:
            words = _words(ready.place, use.title)
            error.details["log"] = words
            raise
        time.sleep(NAP)


@contextmanager
def speaking(place: RunDir, uses: Sequence[ProgramUse], guest: str) -> Iterator[None]:
    """What QEMU fails with inside the block is explained by the programs beside it, where they have words for it."""
    try:
        yield
    except (Failed, Denied, Unreachable) as error:
        found = explained(place, uses, error, guest)
        if found is error:
            raise
        raise found from error


def explained(place: RunDir, uses: Sequence[ProgramUse], error: VirtError, guest: str) -> VirtError:
    """Why QEMU failed, where a program that its words are about has words for that; the same error where none has."""
    if "program" in error.details:
        return error
    said = str(error)
    about = [use for use in uses if TROUBLE[use.name].search(said)]
    # first the device itself, where it is named
    for use in sorted(about, key=lambda use: re.search(rf"\b{re.escape(use.alias)}\b", said) is None):
        words = _words(place, use.title)
        if words:
            found = _ended(use.name, guest, words)
            found.details["qemu"] = error.message
            return found
    return error


def _ended(name: str, guest: str, words: str) -> VirtError:
    text = f"{guest}: {name} ended: {words}" if words else f"{guest}: {name} ended without a word"
    return Failed(text, native={"program": name, "log": words}, hint="its words say why the guest could not start")


def _words(place: RunDir, title: str) -> str:
    try:
        fd = os.open(f"{title}.log", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
    except OSError:
        return ""
    try:
        size = os.fstat(fd).st_size
        return failure.log_tail(
            os.pread(fd, failure.LOG_LETTERS, max(0, size - failure.LOG_LETTERS)).decode(errors="replace")
        )
    finally:
        os.close(fd)


def take_back(place: RunDir, entry: Mapping[str, Any]) -> None:
    """End the program, politely first; one that never was, or has ended, is no error.

    :raises Busy: it does not end.
    """
    try:
        process = ProcessId.from_json(json.loads(place.read(f"{entry['title']}.json") or b""))
    except (ValueError, KeyError):
        return
    if not process.alive() or not process.signal(signal.SIGTERM):
        return
    process.signal(signal.SIGCONT)
    remaining = left()
    if process.wait(GRACE if remaining is None else min(GRACE, remaining / 2)):
        return
    process.signal(signal.SIGKILL)
    if not process.wait(GONE):
        raise Busy(str(entry["name"]), holder=f"the kernel (pid {process.pid})", purpose="ending it")
