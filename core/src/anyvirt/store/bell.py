"""A small file beside a log: touched after each commit, and the place to note that entries were lost."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from anyvirt.deadline import Deadline

_WIDTH: Final = 20
# A writer that was killed before it could ring is noticed after this long.
LOOK: Final = 0.04
_MODIFY, _ATTRIB, _MOVED_TO, _CREATE = 0x2, 0x4, 0x80, 0x100
_CLOEXEC_NONBLOCK: Final = os.O_CLOEXEC | os.O_NONBLOCK


class Bell:
    """The bell of one log.

    Watchers see it touched when a change can be read, which the log's own files do not
    show. Its bytes exist before they are needed: on a full disk a number can still be
    written over another of the same width, so that a lost entry does not go unnoticed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def ring(self) -> None:
        """Wake whoever watches; never fails, since watchers also look by themselves."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            with suppress(OSError):
                os.close(self._open())
        except OSError:
            return

    def lose(self, count: int) -> None:
        """Note that ``count`` entries could not be written."""
        with suppress(OSError):
            fd = self._open()
            try:
                os.pwrite(fd, b"%0*d\n" % (_WIDTH, self.lost() + count), 0)
                os.fsync(fd)
            finally:
                os.close(fd)

    def lost(self) -> int:
        """How many entries were ever lost."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return 0
        try:
            text = os.pread(fd, _WIDTH, 0)
        finally:
            os.close(fd)
        return int(text) if text.isdigit() else 0

    def watch(self, look: float = LOOK) -> Watch:
        """What waits for the next ring, or for ``look`` seconds."""
        return Watch(self.path, look)

    def _open(self) -> int:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if not os.fstat(fd).st_size:
            os.fchmod(fd, 0o600)
            os.pwrite(fd, b"%0*d\n" % (_WIDTH, 0), 0)
        return fd


class Watch:
    """Wakes when a file changes (inotify), at the latest after ``look`` seconds."""

    def __init__(self, path: Path, look: float = LOOK) -> None:
        self._look = look
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
            ready = {fd for fd, _ in self._poll.poll(self._look * 1000)}
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
