"""Events of a whole connection as one stream, for any number of threads or for asyncio."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from anyvirt.deadline import Deadline
from anyvirt.errors import BadDriver, Cancelled, Interrupted, VirtError
from anyvirt.events import Event, Gap, stamped
from anyvirt.lanes import lanes

ROOM: Final = 10_000
BEGIN: Final = 10.0  # seconds that plug-ins have to find their places


class Feed:
    """What every plug-in of a connection tells, in the order it comes in.

    An event's ``token`` stands for the whole connection. When nobody reads for so long that
    the queue is full, the oldest make way for one ``Gap``.

    It begins before this returns: what is done afterwards is told, or a ``Gap`` says that it may not be.

    :param streams: for each plug-in, how to begin its stream after a token of its own.
    :param after: a token of an earlier event, to go on from there.
    :param begin: seconds that the plug-ins have to find their places; ``BEGIN`` unless given.
    """

    def __init__(
        self,
        key: str,
        streams: Mapping[str, Callable[[str | None], Iterator[Event]]],
        after: str | None = None,
        *,
        begin: float | None = None,
    ) -> None:
        self._tokens = _unpack(after) if after else {}
        self._queue: deque[Event] = deque()
        self._ready = threading.Condition()
        self._watchers: list[Callable[[], None]] = []
        self._error: VirtError | None = None
        self._open = len(streams)
        self._closed = False
        self._pid = os.getpid()
        self._deadlines = []
        self._asked = time.time()
        self._late = False
        begins = []
        for name, stream in streams.items():
            deadline = Deadline(None)
            self._deadlines.append(deadline)
            start = self._tokens.get(name, "?") if after else None
            begun = threading.Event()
            lanes.start(f"{key}:feed:{name}", partial(self._follow, name, stream, start, begun), deadline)
            begins.append(begun)
        limit = Deadline(BEGIN if begin is None else begin)
        for begun in begins:
            begun.wait(limit.left())
        self._late = True

    def get(self, timeout: float | None = None) -> Event:
        """The next event.

        :raises Interrupted: (``deadline``) when none comes in time; (``lost``) when the feed has ended;
            (``forked``) in a child of the process that opened it.
        """
        self._same_process()
        end = Deadline(timeout)
        with self._ready:
            while not self._queue:
                self._ended()
                end.check("events")
                self._ready.wait(end.left())
            return self._queue.popleft()

    def poll(self) -> Event | None:
        """The next event if there is one now.

        :raises Interrupted: (``lost``) when the feed has ended and nothing is left.
        """
        self._same_process()
        with self._ready:
            if self._queue:
                return self._queue.popleft()
            self._ended()
            return None

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have ``watcher`` called, on some thread, whenever there is something new."""
        self._watchers.append(watcher)

    @property
    def token(self) -> str:
        """Where to go on from, as far as has come in; also before the first event."""
        with self._ready:
            return _pack(self._tokens)

    def close(self) -> None:
        """End it; whoever waits gets ``Interrupted("lost")``."""
        self._closed = True
        for deadline in self._deadlines:
            deadline.cancel()
        self._wake()

    def __iter__(self) -> Iterator[Event]:
        """Events for ever, until the feed is closed or a plug-in's stream fails."""
        while True:
            try:
                event = self.get()
            except Interrupted:
                if self._closed:
                    return
                raise
            yield event

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Event:
        import asyncio

        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)

        self._watchers.append(wake)
        try:
            while True:
                news.clear()
                if (event := self.poll()) is not None:
                    return event
                await news.wait()
        except Interrupted as error:
            if self._closed:
                raise StopAsyncIteration from error
            raise
        finally:
            self._watchers.remove(wake)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _same_process(self) -> None:
        if os.getpid() != self._pid:
            raise Interrupted("forked", "events", hint="open a connection in the child")

    def _ended(self) -> None:
        if self._error is not None:
            raise self._error
        if self._closed or not self._open:
            raise Interrupted("lost", "events: the feed has ended")

    def _follow(
        self, name: str, begin: Callable[[str | None], Iterator[Event]], after: str | None, begun: threading.Event
    ) -> None:
        try:
            stream = begin(after)
            place = getattr(stream, "token", "")
            if after is None and place:
                with self._ready:
                    self._tokens.setdefault(name, place)
            if self._late and after is None:
                self._put(name, Gap(since=self._asked, reason="begun late", at=time.time()))
            begun.set()
            for event in stream:
                self._put(name, event)
                if self._closed:
                    return
        except Cancelled:
            return
        except VirtError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - a plug-in's slip must reach whoever reads
            self._error = BadDriver(name, f"events_follow raised {type(error).__name__}: {error}")
            self._error.__cause__ = error
        finally:
            begun.set()
            with self._ready:
                self._open -= 1
            self._wake()

    def _put(self, name: str, event: Event) -> None:
        with self._ready:
            if event.token:
                self._tokens[name] = event.token
            event = stamped(event, token=_pack(self._tokens))
            if len(self._queue) >= ROOM:
                first = self._queue.popleft()
                gap = first if isinstance(first, Gap) else _gap(first)
                self._queue.popleft()
                self._queue.appendleft(gap)
            self._queue.append(event)
        self._wake()

    def _wake(self) -> None:
        with self._ready:
            self._ready.notify_all()
        for watcher in list(self._watchers):
            with suppress(Exception):  # an event loop that was closed meanwhile, say: others are told all the same
                watcher()


def _gap(first: Event) -> Gap:
    """What stands for ``first`` and others after it; whoever goes on from its token gets those others."""
    return Gap(since=first.at, reason="queue full", token=first.token, at=time.time())


def _pack(tokens: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(tokens, sort_keys=True).encode()).decode()


def _unpack(token: str) -> dict[str, str]:
    try:
        tokens = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError:
        return {}
    known = isinstance(tokens, dict) and all(isinstance(value, str) for value in tokens.values())
    return tokens if known else {}
