"""Waiting for what comes next in a log, without a thread."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from anyvirt.deadline import Deadline, current
from anyvirt.store.bell import Bell
from anyvirt.store.rows import Entry, LogGap

# A writer that was killed before it could ring is noticed after this long.
LOOK: Final = 0.04
_MODIFY, _ATTRIB, _MOVED_TO, _CREATE = 0x2, 0x4, 0x80, 0x100
_CLOEXEC_NONBLOCK: Final = os.O_CLOEXEC | os.O_NONBLOCK


class Log(Protocol):
    """What can be followed."""

    def token(self) -> str:
        """The token of now."""
        ...

    def events(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        """What was logged after a token."""
        ...


def follow(log: Log, bell: Bell, after: str | None) -> Iterator[Entry | LogGap]:
    """What was logged after the token (without one: from now on), then what comes, until the deadline.

    :raises Interrupted: the deadline of the call passed, or somebody cancelled it.
    """
    place = log.token() if after is None else after
    bell.ring()  # makes the file where there is none yet
    watch = Watch(bell.path)
    try:
        while True:
            for item in log.events(place):
                place = item.token
                yield item
            watch.wait(current())
    finally:
        watch.close()


class Watch:
    """Wakes when a file changes (inotify), at the latest after ``LOOK`` seconds."""

    def __init__(self, path: Path) -> None:
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._notify = _watching(path)
        self._poll = select.poll()
        for fd in (self._waker, self._notify):
            if fd >= 0:
                self._poll.register(fd, select.POLLIN)

    def wait(self, deadline: Deadline) -> None:
        """Return when something may have changed.

        :raises Interrupted: the deadline passed, or somebody cancelled.
        """
        with deadline.breaks(os.eventfd_write, self._waker, 1, what="following events"):
            ready = {fd for fd, _ in self._poll.poll(LOOK * 1000)}
        deadline.check("following events")
        if self._notify in ready:
            os.read(self._notify, 1 << 16)

    def close(self) -> None:
        """Let go of what it watches."""
        os.close(self._waker)
        if self._notify >= 0:
            os.close(self._notify)
        self._waker = self._notify = -1


def _watching(path: Path) -> int:
    """An inotify descriptor on ``path``, or -1 where the system gives none."""
    import ctypes

    libc: Any = ctypes.CDLL(None, use_errno=True)
    try:
        fd = int(libc.inotify_init1(_CLOEXEC_NONBLOCK))
    except AttributeError:
        return -1
    if fd >= 0 and libc.inotify_add_watch(fd, os.fsencode(path), _MODIFY | _ATTRIB | _MOVED_TO | _CREATE) < 0:
        os.close(fd)
        return -1
    return fd
