"""Jobs and streams for asyncio: waiting for one never holds the event loop, and being cancelled loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from anyvirt.client.link import settled
from anyvirt.deadline import Deadline, current
from anyvirt.errors import Interrupted, VirtError
from anyvirt.jobs import Job, JobState
from anyvirt.lanes import Call, lanes
from anyvirt.progress import Progress
from anyvirt.transport.stream import CHUNK

if TYPE_CHECKING:
    from types import TracebackType

    from anyvirt.ref import Ref
    from anyvirt.transport.stream import Stream

T = TypeVar("T")
_numbers: Final = count(1)


class AsyncJob(Generic[T]):
    """A running piece of long work, for asyncio; see ``Job``.

    It goes on whether somebody waits or not: cancelling ``wait`` ends the wait, ``cancel`` ends the job.
    """

    def __init__(self, job: Job[T]) -> None:
        self._job = job

    @property
    def id(self) -> str:
        """What its record is called."""
        return self._job.id

    @property
    def hook(self) -> str:
        """What it does."""
        return self._job.hook

    @property
    def ref(self) -> Ref | None:
        """The object that it is about."""
        return self._job.ref

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._job.progress

    @property
    def state(self) -> JobState:
        """How it stands."""
        return self._job.state

    async def wait(self, timeout: float | None = None) -> T:
        """The job's value when it is done; its error raised when it failed or was cancelled.

        :raises Interrupted: as ``Job.wait``.
        """
        end = Deadline(timeout)
        async with self._news() as news:
            while self.state is JobState.RUNNING:
                await _told(news, self._job.patience(end))
        return self._job.wait(0)

    def cancel(self) -> None:
        """Ask it to stop and undo; ``wait`` tells when it has. Nothing happens to one that has ended."""
        self._job.cancel()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        """Progress as it changes, until the job has ended; ``wait`` gives its outcome."""
        last: Progress | None = None
        async with self._news() as news:
            while True:
                ended = self.state is not JobState.RUNNING  # asked first: the last progress comes before the end
                if self.progress is not last:
                    last = self.progress
                    yield last
                elif ended:
                    return
                else:
                    await _told(news, self._job.patience(Deadline(None)))

    @asynccontextmanager
    async def _news(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever something has changed."""
        news = asyncio.Event()
        wake = _waker(news)
        self._job.watch(wake)
        try:
            yield news
        finally:
            self._job.unwatch(wake)


class AsyncStream:
    """Bytes of a console on their way, for asyncio; see ``Stream``.

    Reading and writing may be awaited in two tasks at once. Cancelling either loses nothing: what comes for a
    cancelled ``read`` is what the next one gives, and what was given to a cancelled ``write`` still goes, before
    what is written next. ``async with`` closes it in order, or aborts it on an exception.

    :param key: the connection's, for its lanes.
    :param timeout: seconds that ``close`` may take; None for no limit.
    """

    def __init__(self, stream: Stream, key: str, timeout: float | None) -> None:
        self._stream, self._timeout = stream, timeout
        self._key = f"{key}:stream:{next(_numbers)}"
        self._reading, self._writing = asyncio.Lock(), asyncio.Lock()
        self._incoming: Call[bytes] | None = None
        self._outgoing: Call[None] | None = None
        self._kept = b""
        self._open = True

    async def read(self, size: int = CHUNK, *, timeout: float | None = None) -> bytes:
        """What is there, at least one byte and at most ``size``; ``b""`` at the end.

        :param timeout: seconds to wait for it; None for as long as it takes.
        :raises Interrupted: (``deadline``) nothing came in time, the stream goes on; (``lost``) it was ended meanwhile.
        """
        limit = _limit(timeout)
        async with self._reading:
            if not self._kept:
                if self._incoming is None:
                    self._incoming = self._begin(self._stream.read, size)
                await _ended(self._incoming, limit)
                call, self._incoming = self._incoming, None
                self._kept = call.result()
            data, self._kept = self._kept[:size], self._kept[size:]
            return data

    async def write(self, data: bytes, *, timeout: float | None = None) -> None:
        """Write all of it.

        :param timeout: seconds that it may take; None for as long as it takes.
        :raises Interrupted: (``deadline``) a part may have gone, no more will; (``lost``) nobody reads any more.
        """
        limit = _limit(timeout)
        async with self._writing:
            await self._flushed(limit)
            call = self._outgoing = self._begin(self._stream.write, bytes(data), deadline=limit)
            await self._flushed(limit)
            call.result()

    async def end(self) -> None:
        """Tell the other side that nothing more will be written; reading goes on."""
        async with self._writing:
            await self._flushed(_limit(self._timeout))
            self._stream.end()

    async def close(self) -> None:
        """End the stream in order, after what was written has gone; any number of times.

        :raises VirtError: the other side says that the data did not arrive or was not all.
        """
        limit = _limit(self._timeout)
        self._open = False
        async with self._writing:
            with suppress(Interrupted):
                await self._flushed(limit)
        await settled(self._begin(self._stream.close, deadline=limit))

    async def abort(self) -> None:
        """End the stream at once, its data incomplete; whoever waits for it is interrupted."""
        self._open = False
        await settled(self._begin(self._stream.abort, deadline=_limit(self._timeout)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        else:
            await self.abort()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            with suppress(VirtError):  # on a lane: it may have to wait for the other side
                self._begin(self._stream.abort)

    async def _flushed(self, limit: Deadline) -> None:
        """Wait until nothing is being written; how a write has ended concerns the one who asked for it."""
        if self._outgoing is not None:
            await _ended(self._outgoing, limit)
            self._outgoing = None

    def _begin(self, work: Callable[..., T], *given: Any, deadline: Deadline | None = None) -> Call[T]:
        return lanes.start(self._key, partial(work, *given), deadline or Deadline(None))


def _limit(timeout: float | None) -> Deadline:
    """A deadline of ``timeout`` seconds, and never past that of the call around it."""
    limits = [one for one in (timeout, current().left()) if one is not None]
    return Deadline(min(limits) if limits else None)


async def _ended(call: Call[Any], limit: Deadline) -> None:
    """Wait until ``call`` has ended; it goes on where this gives up.

    :raises Interrupted: (``deadline``) at ``limit``.
    """
    news = asyncio.Event()
    wake = _waker(news)
    call.watch(wake)
    try:
        while not call.done():
            limit.check(call.what)
            await _told(news, limit.left())
    finally:
        call.unwatch(wake)


async def _told(news: asyncio.Event, seconds: float | None) -> None:
    """Wait for news, and at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()
    news.clear()


def _waker(news: asyncio.Event) -> Callable[[], None]:
    """What sets ``news`` from any thread."""
    loop = asyncio.get_running_loop()

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(news.set)

    return wake
