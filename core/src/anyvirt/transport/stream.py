"""``Stream``: bytes of a console or a volume on their way, whatever carries them."""

from __future__ import annotations

import errno
import os
import select
import socket
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final, Self

from anyvirt import deadline
from anyvirt.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

CHUNK: Final = 1 << 18


class Stream:
    """A two-way or one-way stream of bytes over descriptors that it owns.

    Reading and writing may happen in two threads at once, and ``abort`` in a third.
    A deadline that passes ends the call, not the stream: it can be read on afterwards.
    Unfinished data is told apart by how it ends: ``close`` says that all is well
    and raises what the other side has to say; ``abort`` does not.

    :param reader: descriptor to read from, or None; a pipe, terminal, socket or file.
    :param writer: descriptor to write to, which may be the same, or None.
    :param finish: run by ``close`` when the descriptors are closed; it raises what went wrong at the far end.
        Where the deadline ends its wait, ``close`` may be called again, to wait on.
    :param abandon: run by ``abort`` instead.
    :param reason: run where a write finds that nobody reads any more; it raises why, where that is known.
    """

    def __init__(
        self,
        reader: int | None = None,
        writer: int | None = None,
        *,
        what: str = "stream",
        finish: Callable[[], object] | None = None,
        abandon: Callable[[], object] | None = None,
        reason: Callable[[], object] | None = None,
    ) -> None:
        self._reader, self._writer, self._what = reader, writer, what
        self._finish, self._abandon, self._reason = finish, abandon, reason
        self._lock = Lock()
        self._users = 0
        self._open = True
        self._rings: set[int] = set()
        for fd in _each(reader, writer):
            os.set_blocking(fd, False)

    @classmethod
    def over(cls, sock: socket.socket, *, what: str = "stream") -> Stream:
        """A stream over a connected socket, which it takes from its owner."""
        fd = sock.detach()
        return cls(fd, fd, what=what)

    def read(self, size: int = CHUNK) -> bytes:
        """What is there, at least one byte and at most ``size``; ``b""`` at the end.

        :raises Interrupted: the deadline passed (the stream goes on), or it was aborted meanwhile.
        """
        with self._used(self._reader) as fd:
            while True:
                self._wait(fd, select.POLLIN)
                try:
                    return os.read(fd, size)
                except BlockingIOError:
                    continue
                except OSError as error:
                    if _is_hang_up(error):
                        return b""
                    raise Interrupted("lost", self._what) from error

    def write(self, data: bytes) -> None:
        """Write all of it.

        :raises Interrupted: ``deadline`` (a part may have gone), or ``lost`` when nobody reads any more.
        :raises VirtError: why nobody does, where the other side has said it.
        """
        left = memoryview(data)
        with self._used(self._writer) as fd:
            while left:
                self._wait(fd, select.POLLOUT)
                try:
                    left = left[os.write(fd, left) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    if self._reason:
                        self._reason()
                    raise Interrupted("lost", self._what) from error

    def end(self) -> None:
        """Tell the other side that nothing more will be written; reading goes on."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is None:
            return
        if writer == self._reader:
            with socket.socket(fileno=os.dup(writer)) as sock:
                sock.shutdown(socket.SHUT_WR)
        else:
            os.close(writer)

    def close(self) -> None:
        """End the stream in order; any number of times.

        :raises VirtError: the other side says that the data did not arrive or was not all.
        :raises Interrupted: (``deadline``) it has not said anything yet; close again to wait on, or abort.
        """
        finish, abandon = self._shut()
        try:
            if finish:
                finish()
        except Interrupted as error:
            if error.reason == "deadline":
                self._finish, self._abandon = finish, abandon
            raise

    def abort(self) -> None:
        """End the stream at once, its data incomplete; a call that waits in another thread is interrupted."""
        _, abandon = self._shut()
        if abandon:
            abandon()

    def fileno(self) -> int:
        """The descriptor to wait for before reading, for a selector; -1 once closed."""
        return -1 if self._reader is None or not self._open else self._reader

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.abort()

    @contextmanager
    def _used(self, fd: int | None) -> Iterator[int]:
        """Keep the descriptor's number ours while a call uses it."""
        with self._lock:
            if not self._open or fd is None:
                raise Interrupted("lost", f"{self._what}: {'not open in this direction' if self._open else 'closed'}")
            self._users += 1
        try:
            yield fd
        finally:
            with self._lock:
                self._users -= 1
                if not self._open:
                    self._drop()

    def _wait(self, fd: int, event: int) -> None:
        poll = select.poll()
        poll.register(fd, event)
        deadline.current().check(self._what)
        if self._open and poll.poll(0):
            return
        bell, ring = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with self._lock:
            self._rings.add(ring)
        try:
            poll.register(bell, select.POLLIN)
            with deadline.breaks(self._wake, ring, what=self._what):
                ready = {found for found, _ in poll.poll()} if self._open else set()
        finally:
            with self._lock:
                self._rings.discard(ring)
                os.close(ring)
            os.close(bell)
        if not self._open:
            raise Interrupted("lost", f"{self._what}: closed meanwhile")
        if fd not in ready:
            deadline.current().check(self._what)

    def _wake(self, ring: int) -> None:
        with self._lock:
            if ring in self._rings:
                os.write(ring, b"!")

    def _shut(self) -> tuple[Callable[[], object] | None, Callable[[], object] | None]:
        """Let go of the descriptors; what is left to be run by whoever ends it."""
        with self._lock:
            first, self._open = self._open, False
            left, self._finish, self._abandon = (self._finish, self._abandon), None, None
            for ring in self._rings:
                os.write(ring, b"!")
            if first and not self._users:
                self._drop()
        return left

    def _drop(self) -> None:
        if self._users:
            return
        for fd in _each(self._reader, self._writer):
            os.close(fd)
        self._reader = self._writer = None


def _each(*fds: int | None) -> set[int]:
    return {fd for fd in fds if fd is not None}


def _is_hang_up(error: OSError) -> bool:
    """Whether a read says that the other side has gone: a terminal's way, or a socket's."""
    return error.errno in {errno.EIO, errno.ECONNRESET}
