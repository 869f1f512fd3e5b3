"""Wait for files to grow, names to appear and processes to end, in one place and without polling."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable, Generator, Hashable
from types import TracebackType
from typing import Any, Self

from anyvirt.api import Failed, breaks, current, left

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
NAMES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO
HEADER = struct.Struct("iIII")
BLOCK = 65536


def _call(name: str, *args: int | bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(getattr(libc, name)(*args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Watch:
    """Tells which of many files grew, directories changed or processes ended.

    Keys are the caller's. A change before the watch was set is not told: read
    once after setting it.

    :raises Failed: the kernel gives this user no more watches.
    """

    def __init__(self) -> None:
        try:
            self._inotify = _call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            words = {"errno": error.errno, "text": error.strerror}
            hint = "raise fs.inotify.max_user_instances, or close other watchers"
            raise Failed(f"cannot watch files: {error.strerror}", native=words, hint=hint) from error
        self._broken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closing = threading.Lock()
        self._poll = select.poll()
        self._keys: dict[int, set[Hashable]] = {}
        self._others: dict[int, Hashable] = {}
        for fd in (self._inotify, self._broken):
            self._poll.register(fd, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything; what was given to watch stays the caller's."""
        with self._closing:
            for fd in (self._inotify, self._broken):
                os.close(fd)
            self._inotify = self._broken = -1

    def file(self, key: Hashable, fd: int) -> None:
        """Tell ``key`` when the open file ``fd`` is written to or touched, under whatever name."""
        self._add(key, fd, IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE)

    def directory(self, key: Hashable, fd: int) -> None:
        """Tell ``key`` when a name appears in or leaves the open directory ``fd``."""
        self._add(key, fd, NAMES)

    def process(self, key: Hashable, fd: int) -> None:
        """Tell ``key`` when ``fd`` becomes readable: a pidfd does when the process ends, a pipe when written to."""
        self._others[fd] = key
        self._poll.register(fd, select.POLLIN)

    def room(self, key: Hashable, fd: int) -> None:
        """Tell ``key`` when ``fd``, a pipe or a socket, can be written to, or nobody reads it any more."""
        self._others[fd] = key
        self._poll.register(fd, select.POLLOUT)

    def forget(self, key: Hashable) -> None:
        """Stop telling ``key``."""
        for watch, keys in list(self._keys.items()):
            keys.discard(key)
            if not keys:
                del self._keys[watch]
                try:
                    _call("inotify_rm_watch", self._inotify, watch)
                except OSError:  # the kernel dropped it with the file
                    continue
        for fd in [fd for fd, other in self._others.items() if other == key]:
            del self._others[fd]
            self._poll.unregister(fd)

    def wait(self, seconds: float | None = None) -> set[Hashable]:
        """Give the keys with news; empty when ``seconds`` ran out. A process that ended is told each time.

        :raises Interrupted: the deadline of the call passed.
        """
        remaining = left()
        limit = min((value for value in (seconds, remaining) if value is not None), default=None)
        with breaks(self.wake, what="waiting for news"):
            ready = self._poll.poll(None if limit is None else limit * 1000 + 1)
            current().check("waiting for news")
        news: set[Hashable] = set()
        for fd, _ in ready:
            if fd == self._inotify:
                news |= self._read()
            elif fd in self._others:
                news.add(self._others[fd])
            else:
                os.eventfd_read(self._broken)
        return news

    def wake(self) -> None:
        """Make a ``wait`` in another thread return; without effect on a closed watch."""
        with self._closing:  # or the number is another file's by the time it is written to
            if self._broken >= 0:
                os.eventfd_write(self._broken, 1)

    def _add(self, key: Hashable, fd: int, mask: int) -> None:
        watch = _call("inotify_add_watch", self._inotify, f"/proc/self/fd/{fd}".encode(), mask)
        self._keys.setdefault(watch, set()).add(key)

    def _read(self) -> set[Hashable]:
        data = os.read(self._inotify, BLOCK)
        news: set[Hashable] = set()
        place = 0
        while place < len(data):
            watch, mask, _, length = HEADER.unpack_from(data, place)
            place += HEADER.size + length
            if mask & IN_Q_OVERFLOW:
                news.update(*self._keys.values())
            elif mask & IN_IGNORED:
                news |= self._keys.pop(watch, set())
            else:
                news |= self._keys.get(watch, set())
        return news


def follow(
    fd: int, offset: int, *, until: int | None = None, ended: Callable[[], Any] | None = None
) -> Generator[bytes, None, None]:
    """Yield what the open file holds from ``offset`` on, and what is appended to it, for ever.

    A file that became shorter than what was read yields ``b""`` once and goes on from its new end.

    :param until: a pidfd: when that process ends, what is left is yielded and the generator ends.
    :param ended: asked after each silence whether to end; a true answer does.
    :raises Interrupted: the deadline of the call that asks for the next piece passed.
    """
    with Watch() as watch:
        watch.file("file", fd)
        if until is not None:
            watch.process("end", until)
        last = False
        while True:
            while block := os.pread(fd, BLOCK, offset):
                offset += len(block)
                yield block
            size = os.fstat(fd).st_size
            if size < offset:
                offset = size
                yield b""
            if last or (ended is not None and ended()):
                return
            last = "end" in watch.wait(None if ended is None else 1.0)
