"""Which process: pid, start time, boot and pid namespace, so that a reused number is never taken for it."""

from __future__ import annotations

import os
import select
import signal as signals
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from anyvirt.deadline import current
from anyvirt.errors import NotFound, Unsupported

_DEAD: Final = frozenset("ZXx")
_PROC: Final = Path("/proc")


@cache
def boot_id() -> str:
    """The kernel's id of this boot; empty where it tells none."""
    return _text("/proc/sys/kernel/random/boot_id")


def pid_namespace() -> int:
    """Number of the pid namespace that this process counts in; 0 where that cannot be told."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return 0  # /proc is another namespace's
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time in clock ticks since boot, or None where there is no such process."""
    try:
        with open(f"{_PROC}/{pid}/stat", "rb", buffering=0) as file:  # read for every guest in every list
            line = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # the name before may hold blanks and brackets
    return fields[0].decode("ascii"), int(fields[19])


class ProcessId(NamedTuple):
    """One process for good.

    :param start: when it began, in clock ticks since boot (field 22 of ``/proc/PID/stat``).
    :param boot: the kernel's boot id; another one means that the process is dead.
    :param pidns: the pid namespace that ``pid`` counts in; another one means that nothing is known.
    """

    pid: int
    start: int
    boot: str
    pidns: int

    @classmethod
    def of(cls, pid: int | None = None) -> ProcessId:
        """The process that has ``pid`` now; this one without.

        :raises NotFound: there is none.
        """
        pid = os.getpid() if pid is None else pid
        found = _stat(pid)
        if found is None:
            raise NotFound(str(pid), "process")
        return cls(pid, found[1], boot_id(), pid_namespace())

    @classmethod
    def own(cls) -> ProcessId:
        """This process; told from memory after the first time."""
        return _own(os.getpid())

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProcessId:
        """What ``to_json`` gave; unknown keys are left out of account."""
        return cls(int(data["pid"]), int(data["start"]), str(data["boot"]), int(data["pidns"]))

    def to_json(self) -> dict[str, int | str]:
        """Plain data: ``{"pid": 7, "start": 1234, "boot": "...", "pidns": 4026531836}``."""
        return {"pid": self.pid, "start": self.start, "boot": self.boot, "pidns": self.pidns}

    def alive(self) -> bool | None:
        """True or False; None where it cannot be told, as for another pid namespace: then change nothing."""
        if self.boot != boot_id():
            return False
        if not self.pidns or self.pidns != pid_namespace():
            return None
        try:
            found = _stat(self.pid)
        except PermissionError:
            return None
        if found is None:
            return None if _hidden(self.pid) else False
        state, start = found
        return start == self.start and state not in _DEAD

    def signal(self, number: int) -> bool:
        """Send a signal to this very process; False when it has ended already.

        :raises Unsupported: it counts in another pid namespace, so nothing is sent.
        """
        with self._held() as pidfd:
            if pidfd is None:
                return False
            try:
                signals.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                return False
            return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; False when ``timeout`` seconds passed first.

        :raises Interrupted: the deadline of the current call passed, or it was cancelled.
        :raises Unsupported: it counts in another pid namespace.
        """
        deadline, until = current(), None if timeout is None else time.monotonic() + timeout
        with self._held() as pidfd:
            if pidfd is None:
                return True
            waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            try:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                poll.register(waker, select.POLLIN)
                with deadline.breaks(os.eventfd_write, waker, 1, what=f"waiting for process {self.pid}"):
                    left = None if until is None else max(0.0, until - time.monotonic()) * 1000
                    ready = {fd for fd, _ in poll.poll(left)}
                if pidfd in ready:
                    return True
                deadline.check(f"waiting for process {self.pid}")
                return False
            finally:
                os.close(waker)

    @contextmanager
    def _held(self) -> Iterator[int | None]:
        """A pidfd that is certainly of this process, or None when it has ended."""
        alive = self.alive()
        if alive is None:
            where = f"process {self.pid} of another pid namespace"
            raise Unsupported("this process", where, hint="work from the container or host that started it")
        try:
            pidfd = os.pidfd_open(self.pid) if alive else None
        except ProcessLookupError:
            pidfd = None
        try:
            # The number may have been given away between the look and the open.
            yield pidfd if pidfd is not None and self.alive() is not False else None
        finally:
            if pidfd is not None:
                os.close(pidfd)


@lru_cache(maxsize=1)  # asked by number, since a fork changes it
def _own(pid: int) -> ProcessId:
    return ProcessId.of(pid)


def _hidden(pid: int) -> bool:
    """Whether there is such a process although ``/proc`` (``hidepid=``) does not show it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return _stat(pid) is not None


def command_of(pid: int) -> str:
    """The short name of a running process, for people; empty where it cannot be read."""
    return _text(f"/proc/{pid}/comm")
