"""One lock per guest, for every thread and process: flock(2) on a file that is never removed."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from anyvirt.deadline import Deadline, current
from anyvirt.errors import Busy
from anyvirt.identity import ProcessId, command_of
from anyvirt.store.faults import coded
from anyvirt.store.names import file_name

_FIRST_NAP: Final = 0.0002
_LONGEST_NAP: Final = 0.003
RELEASE: Final = "release it first; it is not re-entrant"
_LOOK: Final = 0.02  # how often a waiting thread looks whether its call was cancelled
_RECORD: Final = 4096
# Busy has to reach the caller before its own wait ends, or it would only hear of the deadline.
_SLACK: Final = 0.05


class Patience:
    """How long to try for something that another may hold: until just before the deadline, or ``wait`` seconds."""

    def __init__(self, wait: float | None = None, deadline: Deadline | None = None) -> None:
        self._deadline = deadline or current()
        left = self._deadline.left()
        limits = [wait] if wait is not None else []
        if left is not None:
            limits.append(left - min(_SLACK, left / 10))
        self._until = time.monotonic() + min(limits) if limits else None
        self._pause = _FIRST_NAP

    def left(self) -> float | None:
        """Seconds left, never below 0; None without a limit."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def over(self) -> bool:
        """Whether it is time to give up.

        :raises Cancelled: somebody cancelled the call.
        """
        if self._deadline.cancelled:
            self._deadline.check("waiting for a lock")
        return self._until is not None and time.monotonic() >= self._until

    def nap(self) -> bool:
        """Sleep a little before the next try; False when there is no time for one.

        :raises Cancelled: somebody cancelled the call.
        """
        if self.over():
            return False
        left = self.left()
        time.sleep(self._pause if left is None else min(self._pause, left))
        self._pause = min(self._pause * 1.5, _LONGEST_NAP)
        return True


class Lock:
    """The lock of one object, shared by all threads of this process; taken with ``hold``.

    It is not re-entrant: a thread that holds it and asks again gets ``Busy`` at once.
    """

    def __init__(self, path: Path, label: str) -> None:
        self.path, self.label = path, label
        self._threads = threading.Lock()
        self._owner = 0
        self._purpose = ""
        self._fd = -1

    def acquire(self, purpose: str, *, wait: float | None = None) -> None:
        """Take the lock, waiting until the current deadline or ``wait`` seconds, whichever ends first.

        :param purpose: what for, in a word or two; others read it in their ``Busy``.
        :raises Busy: somebody kept it all that time; holder and purpose are named.
        """
        patience = Patience(wait)
        self._acquire_thread(patience)
        fd = -1
        try:
            fd = _open(self.path)
            self._acquire_file(fd, patience)
            self._fd, self._owner, self._purpose = fd, threading.get_ident(), purpose
        except BaseException:
            if fd >= 0:
                os.close(fd)
            self._threads.release()
            raise
        _note(fd, purpose)

    def release(self) -> None:
        """Give the lock back; does nothing in a child that was forked while it was held."""
        fd, self._fd, self._owner, self._purpose = self._fd, -1, 0, ""
        if fd < 0:
            return
        try:
            with suppress(OSError):
                os.ftruncate(fd, 0)
        finally:
            # Said aloud: a child between fork and exec has the descriptor as well, and closing would leave it locked.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)
            self._threads.release()

    def holder(self) -> dict[str, Any]:
        """What the holder wrote about itself (pid, start, purpose, since); empty where it did not, or there is none.

        It is a note for people: a holder that was killed leaves it behind.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return {}
        try:
            return _read(fd)
        finally:
            os.close(fd)

    def forget(self) -> None:
        """After a fork, in the child: the parent's lock is none of ours."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._owner, self._purpose = -1, 0, ""
        self._threads = threading.Lock()

    def _acquire_thread(self, patience: Patience) -> None:
        if self._threads.acquire(blocking=False):
            return
        if self._owner == threading.get_ident():
            raise Busy(self.label, holder="this very thread", purpose=self._purpose, hint=RELEASE)
        while not self._threads.acquire(timeout=min(_LOOK, patience.left() or _LOOK)):
            if patience.over():
                raise Busy(self.label, holder=f"another thread of process {os.getpid()}", purpose=self._purpose)

    def _acquire_file(self, fd: int, patience: Patience) -> None:
        if _try(fd):
            return
        if _mine(_read(fd)):  # through another connection to the same scope
            raise Busy(self.label, holder="this very thread", hint=RELEASE)
        while not _try(fd):
            if not patience.nap():
                raise self._busy(fd)

    def _busy(self, fd: int) -> Busy:
        record = _read(fd)
        pid = int(record.get("pid", 0))
        name = command_of(pid) if pid else ""
        holder = f"process {pid} ({name})" if name else f"process {pid}" if pid else "a process that did not say"
        error = Busy(
            self.label, holder=holder, purpose=record.get("purpose", ""), hint="wait for it, or end that process"
        )
        error.details.update({key: record[key] for key in ("pid", "start", "since") if key in record})
        return error


class Locks:
    """The locks of one scope, a file each in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks: dict[str, Lock] = {}
        self._guard = threading.Lock()
        _every.add(self)

    def lock(self, key: str) -> Lock:
        """The lock of ``key``, a guest's UUID as a rule."""
        with self._guard:
            lock = self._locks.get(key)
            if lock is None:
                lock = self._locks[key] = Lock(self.folder / file_name(key), key)
            return lock

    @contextmanager
    def hold(self, key: str, purpose: str, *, wait: float | None = None) -> Iterator[Lock]:
        """Hold the lock of ``key`` inside the block: ``with scope.locks.hold(uuid, purpose="start"):``.

        :raises Busy: somebody kept it until the deadline, or for ``wait`` seconds.
        """
        lock = self.lock(key)
        lock.acquire(purpose, wait=wait)
        try:
            yield lock
        finally:
            lock.release()

    def forget(self) -> None:
        """After a fork, in the child."""
        self._guard = threading.Lock()
        for lock in self._locks.values():
            lock.forget()


# Locks that a forked child must let go of; it would keep them locked after its parent's end.
_every: Final[weakref.WeakSet[Locks]] = weakref.WeakSet()


def _after_fork() -> None:
    for locks in list(_every):
        locks.forget()


os.register_at_fork(after_in_child=_after_fork)


def _open(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if stat.S_IMODE(os.fstat(fd).st_mode) != 0o600:  # whatever the umask took away
            os.fchmod(fd, 0o600)
    except OSError as error:
        raise coded(error, path) from error
    return fd


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note(fd: int, purpose: str) -> None:
    record = {**ProcessId.own().to_json(), "thread": threading.get_native_id(), "since": time.time()}
    record["purpose"] = " ".join(purpose.split())
    text = "".join(f"{key} {value}\n" for key, value in record.items())
    with suppress(OSError):  # a full disk: the lock holds without a note
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode("utf-8", "replace")[:_RECORD], 0)


def _read(fd: int) -> dict[str, Any]:
    lines = os.pread(fd, _RECORD, 0).decode("utf-8", "replace").splitlines()
    record: dict[str, Any] = dict(line.split(" ", 1) for line in lines if " " in line)
    try:
        numbers: dict[str, Any] = {key: int(record[key]) for key in ("pid", "start", "thread") if key in record}
        numbers.update((key, float(record[key])) for key in ("since",) if key in record)
    except ValueError:
        return {}  # caught in the middle of being written
    return {**record, **numbers}


def _mine(record: dict[str, Any]) -> bool:
    if record.get("pid") != os.getpid() or record.get("thread") != threading.get_native_id():
        return False
    return bool(record.get("start") == ProcessId.own().start)
