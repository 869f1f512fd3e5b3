"""Streams of this host's images: a process of its own for each, so that storage that hangs keeps nobody else."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import anyvirt.api as core
from anyvirt.api import Busy, Failed, Interrupted, Invalid, Stream, Unreachable, VirtError, current, left

from anyvirt_host.local.spawn import spawn
from anyvirt_host.storage.carrying.content import PART, Kept, Span, part_name
from anyvirt_host.storage.faults import coded, named
from anyvirt_host.storage.wish import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyvirt_host.storage.backend import Sight

PUMP: Final = str(Path(__file__).with_name("pump.py"))
CORE: Final = str(Path(core.__file__).parents[1])
_ROOM: Final = 1 << 20  # bytes that a pipe may hold
_SMALL: Final = 4096
_GRACE: Final = 1.0
_LOOK: Final = 100.0  # ms after which a deadline that was cancelled is seen
_RESIZE: Final = "resize the volume first, or send less"
_STUCK: Final = 4  # processes that may hang on the storage of one folder
_left: Final[dict[str, list[tuple[int, int]]]] = {}  # those that did not end, by folder; the kernel has them
_lock: Final = Lock()
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Pump:
    """The process; its answers come within the deadline of whoever waits for them.

    :param data: the end of the pipe that it has.
    :raises VirtError: it could not begin.
    """

    def __init__(self, spec: dict[str, Any], data: int, place: str) -> None:
        self.place = place
        _room_for(place)
        self._heard = b""
        self._failure: VirtError | None = None
        control, self._control = os.pipe()
        self._answers, report = os.pipe()
        try:
            argv = [sys.executable, "-I", "-S", PUMP]
            self.pid = spawn(argv, {"LC_ALL": "C.UTF-8"}, {0: control, 1: report}, keep={3: data})
        except OSError as error:
            self._drop()
            raise coded(error, sys.executable) from error
        finally:
            os.close(control)
            os.close(report)
        self._pidfd = os.pidfd_open(self.pid)
        self.tell(json.dumps({**spec, "core": CORE}))
        try:
            self.ready = self.answer()
        except BaseException:
            self.end(kill=True)
            raise

    def tell(self, order: str) -> None:
        """Give an order."""
        with suppress(BrokenPipeError):  # its answer tells why it has ended
            os.write(self._control, order.encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        """Its next answer.

        :raises Interrupted: (``deadline``) none came; it may be asked for again. (``lost``) it was killed.
        :raises VirtError: what it says is wrong, each time.
        """
        if self._failure:
            raise self._failure
        while b"\n" not in self._heard:
            self._wait()
            data = os.read(self._answers, _SMALL)
            if not data:
                self._failure = Interrupted("lost", f"whoever carried the bytes of {self.place} was killed")
                raise self._failure
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        if "error" in said or "refused" in said:
            self._failure = _told(said, self.place)
            raise self._failure
        return said

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        ready: list[tuple[int, int]] = []
        while not ready:
            current().check(f"the storage of {self.place}")
            seconds = left()
            ready = poll.poll(_LOOK if seconds is None else max(1.0, min(_LOOK, seconds * 1000)))

    def end(self, *, kill: bool = False) -> None:
        """Let go of it; it ends by itself, or is killed where it does not. Any number of times."""
        if self._control < 0:
            return
        self._drop()
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if kill or not poll.poll(_GRACE * 1000):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            if not poll.poll(_GRACE * 1000):
                with _lock:
                    _left.setdefault(_folder(self.place), []).append((self.pid, self._pidfd))
                return
        _reap(self.pid, self._pidfd)

    def _drop(self) -> None:
        os.close(self._control)
        os.close(self._answers)
        self._control = -1


class LocalCarrier:
    """``Carrier`` of this host."""

    def download(self, place: str, sight: Sight, span: Span, *, ended: Callable[[], object] | None = None) -> Stream:
        """The bytes of a range.

        :param ended: called when nobody reads them any more.
        """
        reader, theirs = _pipe()
        try:
            pump = Pump(_spec("download", place, sight, span), theirs, place)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(theirs)
        down = _Download(pump, ended)
        return Stream(reader, what=f"the bytes of {place}", finish=down.finish, abandon=down.abandon)

    def upload(self, place: str, sight: Sight, span: Span, *, grows: bool, kept: Kept | None = None) -> LocalUpload:
        """Take bytes for a range."""
        more = {"grows": grows, "resume": kept is not None, "done": kept.done if kept else 0, "boot": _boot()}
        theirs, writer = _pipe()
        try:
            return LocalUpload(Pump({**_spec("upload", place, sight, span), **more}, theirs, place), writer)
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(theirs)

    def kept(self, place: str) -> Kept | None:
        """What is there of an upload."""
        folder, _, name = place.rpartition("/")
        try:
            fd = os.open(f"{folder}/{part_name(name)}", _FOLDER)
        except OSError:
            return None
        try:
            about = json.loads(_small(fd, "about"))
            done, synced = (int(word) for word in _small(fd, "done").split())
            if about["name"] != name:
                return None
            count = done if about["boot"] == _boot() else synced
            return Kept(int(about["inode"]), int(about["offset"]), count, float(about["since"]), held=_held(fd))
        except (OSError, ValueError, KeyError, TypeError):  # cut short while it was begun
            return None
        finally:
            os.close(fd)

    def sweep(self, folder: str, inode: Callable[[str], int]) -> list[str]:
        """Remove what came for volumes that are gone."""
        said = []
        for hidden in sorted(Path(folder).glob(f"{HIDDEN}*{PART}")):
            try:
                fd = os.open(hidden, _FOLDER)
            except OSError:
                continue
            try:
                name, number = _meant(fd)
                if not _held(fd) and (not name or hidden.name != part_name(name) or inode(name) != number):
                    _clear(fd, str(hidden))
                    said.append(f"{hidden}: removed, it came of an upload to a volume that is gone")
            finally:
                os.close(fd)
        return said

    def drop(self, place: str) -> None:
        """Remove that."""
        folder, _, name = place.rpartition("/")
        hidden = f"{folder}/{part_name(name)}"
        try:
            fd = os.open(hidden, _FOLDER)
        except OSError:
            return
        try:
            if _held(fd):
                raise Busy(place, holder="an upload", purpose="its bytes", hint="wait for it, or end it")
            _clear(fd, hidden)
        finally:
            os.close(fd)


class _Download:
    def __init__(self, pump: Pump, ended: Callable[[], object] | None) -> None:
        self._pump, self._ended = pump, ended or (lambda: None)

    def finish(self) -> None:
        """See that all was sent; whoever reads no more needs no more."""
        try:
            self._pump.answer()
        except Failed as error:
            if error.details.get("errno") != "EPIPE":
                raise
        finally:
            self._pump.end()
            self._ended()

    def abandon(self) -> None:
        self._pump.end(kill=True)
        self._ended()


class LocalUpload:
    """``Upload`` of this host."""

    def __init__(self, pump: Pump, writer: int) -> None:
        self._pump, self.writer, self.process = pump, writer, pump.pid
        self.inode, self.generation = pump.ready["inode"], pump.ready["generation"]
        self._asked: list[str] = []

    def prepare(self) -> None:
        """Have everything ready."""
        self._done("prepare")

    def publish(self) -> None:
        """Let it count."""
        self._done("publish")
        self._pump.end()

    def abandon(self) -> None:
        """Leave what came."""
        self._pump.end()

    def wrong(self) -> None:
        """Say why nobody takes the bytes."""
        self._pump.answer()

    def _done(self, order: str) -> None:
        if f"{order}d" in self._asked:
            return
        if order not in self._asked:
            self._asked.append(order)
            self._pump.tell(order)
        try:
            self._pump.answer()
        except VirtError as error:
            if not (isinstance(error, Interrupted) and error.reason == "deadline"):
                self._pump.end()
            raise
        self._asked.append(f"{order}d")


def _room_for(place: str) -> None:
    """See that not too many processes hang there already.

    :raises Unreachable: they do.
    """
    with _lock:
        stuck = []
        for pid, pidfd in _left.pop(_folder(place), []):
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if poll.poll(0):
                _reap(pid, pidfd)
            else:
                stuck.append((pid, pidfd))
        if stuck:
            _left[_folder(place)] = stuck
    if len(stuck) >= _STUCK:
        hint = "wait until its server answers, or unmount it"
        raise Unreachable(place, "stuck", hint=hint)


def _folder(place: str) -> str:
    return place.rpartition("/")[0]


def _reap(pid: int, pidfd: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    os.close(pidfd)


def _spec(do: str, place: str, sight: Sight, span: Span) -> dict[str, Any]:
    folder, _, name = place.rpartition("/")
    words = {"do": do, "path": place, "folder": folder, "name": name, "part": part_name(name)}
    there = {"block": sight.type in ("block", "served"), "served": sight.type == "served"}
    return {**words, **there, "inode": sight.inode, **span._asdict()}


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    with suppress(OSError):  # the user's limit of large pipes
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _ROOM)
    return reader, writer


def _told(said: dict[str, Any], place: str) -> VirtError:
    """What the process says is wrong, as a coded error."""
    text = str(said["text"])
    if "refused" in said:
        if said["refused"] == "shrunk":
            return Interrupted("lost", f"{place}: {text}")
        hints = {"too-much": _RESIZE, "past": "choose an offset inside", "records": "leave sparse out, or send records"}
        return Invalid(f"{place}: {text}", hint=hints.get(str(said["refused"]), ""))
    number = int(said["error"])
    if number == errno.EAGAIN:
        return Busy(place, holder="another upload", purpose="its bytes", hint="wait for it, or end it")
    if number == errno.ESTALE:
        return Busy(place, holder="whoever replaced the file", purpose=text, hint="look at the volume again")
    error = coded(OSError(number, text), place)
    if error.code == "file.no-space":
        error.hint = "free space there and resume the upload: what came is kept"
    return error


def _small(folder: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(fd, _SMALL)
    finally:
        os.close(fd)


def _meant(fd: int) -> tuple[str, int]:
    """The name of the volume that bytes came for, and the inode that it had; empty where that was never written."""
    try:
        about = json.loads(_small(fd, "about"))
        return str(about["name"]), int(about["inode"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0


def _clear(fd: int, hidden: str) -> None:
    """Remove a hidden folder with its files."""
    with named(hidden):
        for one in os.listdir(fd):
            try:
                os.unlink(one, dir_fd=fd)
            except IsADirectoryError:  # nobody here made that
                from shutil import rmtree

                rmtree(one, dir_fd=fd)
        os.rmdir(hidden)


def _held(fd: int) -> bool:
    """Whether somebody else holds the folder; the try lasts no longer than this."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
