"""A partition that is being made: a place on the disk that is emptied, or filled, and then written into the table."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Busy, Invalid, Problem, Progress, Unsupported

from anyvirt_host.storage.faults import named
from anyvirt_host.storage.images.pouring import poured
from anyvirt_host.storage.kinds.table import Span, fitting

if TYPE_CHECKING:
    from anyvirt_host.storage.images.origin import Origin
    from anyvirt_host.storage.kinds.disk import DiskPool
    from anyvirt_host.storage.site import Live
    from anyvirt_host.storage.wish import Wish

_PART: Final = 256 << 20  # bytes that are emptied in one step


class Partition:
    """Nothing tells of it until it is in the table, which is written in one go.

    The disk is held by whoever makes one: the place that it is to have is free for everybody else.
    """

    def __init__(self, pool: DiskPool, live: Live, name: str) -> None:
        self._pool, self._live, self._name = pool, live, name
        self.inode = self.generation = 0
        self._wish: Wish | None = None
        self._made = 0
        self._held = -1

    def fill(self, wish: Wish) -> Generator[Progress, None, None]:
        """Choose its place, and leave nothing there of what was on the disk before."""
        self._wish = wish
        yield Progress(0, wish.capacity, "B", "making")
        self.inode = self._place().start
        if getattr(self._pool.run, "far", False):
            return  # nobody can hold the disk from here: it is emptied while the pool's lock is held
        self._held = _hold(self._live.source)
        span = self._place()
        self.inode = span.start
        for at in range(span.start, span.end, _PART):
            yield Progress(at - span.start, span.end - span.start, "B", "emptying")
            self._empty(Span(at, min(span.end, at + _PART)))

    def copy(self, wish: Wish, origin: Origin, *, reflink: bool = False) -> Generator[Progress, None, None]:
        """Put the content of another volume into its place.

        :raises Unsupported: partitions share no blocks; over ssh nobody can hold the disk meanwhile.
        """
        if reflink:
            raise Unsupported("reflink", "partitions share no blocks", hint="leave reflink out")
        if getattr(self._pool.run, "far", False):
            raise Unsupported("storage", "copying into a partition over ssh", hint="make it, and upload to it")
        yield from self.fill(wish)
        span = self._place()
        disk = {"driver": "host_device", "filename": self._live.source}
        place: dict[str, Any] = {"driver": "raw", "offset": span.start, "size": span.end - span.start, "file": disk}
        yield from poured(self._pool.run, origin, place, self._name)

    def publish(self) -> None:
        """Write it into the table.

        :raises Busy: somebody took its place.
        """
        assert self._wish is not None
        span = self._place()
        if span.start != self.inode:
            raise Busy(self._live.source, holder="another volume", purpose="that place", hint="try again")
        if self._held < 0:
            self._empty(span)
        self._made = self._pool.add(self._live, span, self._wish.format)

    def drop(self) -> None:
        """Remove it, where it was written."""
        name = self._pool.expected(self._live, self._made) if self._made else ""
        part = self._pool.look(self._live, name) if name else None
        if part and part.inode == self.inode:
            self._pool.remove(self._live, name)

    def close(self) -> None:
        """Let go of the disk."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def _empty(self, span: Span) -> None:
        words = ["--zeroout", "--force", "--offset", str(span.start), "--length", str(span.end - span.start)]
        self._pool.tool("blkdiscard", *words, self._live.source)

    def _place(self) -> Span:
        assert self._wish is not None
        table = self._pool.table(self._live)
        number, span = fitting(table, self._wish.capacity or 0, self._wish.format)
        expected = self._pool.expected(self._live, number)
        if self._name != expected:
            text = f"the name of the next partition is {expected!r}, not {self._name!r}"
            raise Invalid([Problem("config.invalid", "/name", None, text, f"call it {expected}")])
        return span


def held(device: str) -> bool:
    """Whether somebody makes a partition of a disk."""
    try:
        fd = _hold(device)
    except Busy:
        return True
    os.close(fd)
    return False


def _hold(device: str) -> int:
    """Hold a disk, as those do who write its table.

    :raises Busy: somebody does.
    """
    with named(device):
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Busy(device, holder="whoever makes a partition of it", hint="wait for that") from None
    return fd
