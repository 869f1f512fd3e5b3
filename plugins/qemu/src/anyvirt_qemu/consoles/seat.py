"""Who writes on a console: one at a time, named, and able to be asked to leave."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from anyvirt.api import Busy, ProcessId, VirtError, current

from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import CONTROL

if TYPE_CHECKING:
    from anyvirt_qemu.guest import Run

FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
PATIENCE: Final = 1.0  # for the one who is asked to leave
NAP: Final = 0.005
NOTE: Final = 4096


class Seat:
    """The writer's place at one device of one run: a lock with its holder's name in it.

    :param folder: descriptor of the manager's part of the run directory.
    """

    def __init__(self, folder: int, alias: str, guest: str) -> None:
        self._folder = os.dup(folder)
        self._name, self._guest = f"console-{alias}", guest
        self._lock = -1
        flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC  # closing it must tell nobody anything
        self.asked = os.open(f"{self._name}.ask", flags, 0o600, dir_fd=self._folder)
        self._heard = 0

    def take(self, run: Run, *, force: bool) -> None:
        """Sit down, with ``force`` also where somebody sits; whoever does is asked to leave first.

        :raises Busy: somebody else writes; he is named.
        """
        if self._try():
            self._sit()
            return
        if not force:
            hint = "take it over with force, or only read"
            raise Busy(self._guest, holder=self.holder(), purpose="its console", hint=hint)
        ask = os.open(f"{self._name}.ask", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            _write(ask, _note())
        finally:
            os.close(ask)
        until = time.monotonic() + PATIENCE
        while not self._try():
            current().check(f"the console of {self._guest}")
            if time.monotonic() >= until:
                self._replace(run)
                break
            time.sleep(NAP)
        self._sit()

    def _sit(self) -> None:
        """Whoever has asked before now has asked another one."""
        self._heard = os.fstat(self.asked).st_mtime_ns

    def leave(self) -> None:
        """Let go of it."""
        for fd in (self._lock, self.asked, self._folder):
            if fd >= 0:
                os.close(fd)
        self._lock = self.asked = self._folder = -1

    def holder(self) -> str:
        """Who writes, in words; empty where nobody has said."""
        try:
            fd = os.open(f"{self._name}.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return ""
        try:
            return _words(fd)
        finally:
            os.close(fd)

    def lost(self, *, asked: bool) -> str:
        """Who has taken it over, or wants to; empty where nobody has."""
        if asked:
            return _words(self.asked) if os.fstat(self.asked).st_mtime_ns != self._heard else ""
        return "" if self._mine(self._lock) else self.holder() or "somebody else"

    def _try(self) -> bool:
        fd = os.open(f"{self._name}.lock", FLAGS, 0o600, dir_fd=self._folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        if not self._mine(fd):  # taken over between the open and the lock
            os.close(fd)
            return False
        _write(fd, _note())
        self._lock = fd
        return True

    def _mine(self, fd: int) -> bool:
        try:
            found = os.stat(f"{self._name}.lock", dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return True  # the run is over, and its directory gone
        ours = os.fstat(fd)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def _replace(self, run: Run) -> None:
        """The one who sits there does not hear: put another lock in its place, and cut his line at QEMU's end."""
        new = f".{self._name}.{os.getpid()}.new"
        fd = os.open(new, FLAGS | os.O_EXCL, 0o600, dir_fd=self._folder)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write(fd, _note())
        os.replace(new, f"{self._name}.lock", src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._lock = fd
        chardev = f"char{self._name.removeprefix('console-')}"
        with suppress(VirtError), Monitor(run.place.place(CONTROL), self._guest) as monitor:  # a pty has no line to cut
            monitor.execute("yank", instances=[{"type": "chardev", "id": chardev}])


def _note() -> bytes:
    user = str(os.geteuid())
    with suppress(KeyError):
        user = pwd.getpwuid(os.geteuid()).pw_name
    return json.dumps({**ProcessId.own().to_json(), "user": user, "since": time.time()}).encode()


def _write(fd: int, data: bytes) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)


def _words(fd: int) -> str:
    try:
        found = json.loads(os.pread(fd, NOTE, 0))
        return f"{found['user']} (process {int(found['pid'])})"
    except (ValueError, KeyError, TypeError):
        return ""
