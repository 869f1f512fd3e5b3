from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anyvirt.api import Begun, Busy, Change, Event, Gap, Lifecycle, Ref, current
from anyvirt.errors import BadDriver, Interrupted
from anyvirt.feed import ROOM, Feed
from anyvirt.store.rows import Entry

ONE = Ref("domain", "1", name="one")


class Source:
    """A plug-in's stream that tells what the test puts into it."""

    def __init__(self) -> None:
        self.after: list[str | None] = []
        self.waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.ended = threading.Event()

    def __call__(self, after: str | None) -> Iterator[Event]:
        self.after.append(after)
        return self._stream()

    def _stream(self) -> Iterator[Event]:
        try:
            with current().breaks(self.waiting.put, None):
                while True:
                    event = self.waiting.get()
                    if event is None:
                        current().check("following")
                        return
                    if isinstance(event, Exception):
                        raise event
                    yield event
        finally:
            self.ended.set()

    def tell(self, *tokens: str) -> None:
        for token in tokens:
            self.waiting.put(Lifecycle(ref=ONE, change=Change.STARTED, token=token, at=float(len(token))))


@pytest.fixture
def source() -> Source:
    return Source()


def test_events_come_in_order_with_tokens_of_the_connection(source: Source) -> None:
    with Feed("key", {"driver": source}) as feed:
        source.tell("a", "b", "c")
        events = [feed.get(5) for _ in range(3)]
    assert source.after == [None]
    assert [event.at for event in events] == [1.0, 1.0, 1.0]
    assert len({event.token for event in events}) == 3


def test_a_token_goes_back_to_each_plug_in_as_its_own() -> None:
    first, second = Source(), Source()
    with Feed("key", {"a": first, "b": second}) as feed:
        first.tell("a-1")
        feed.get(5)
        second.tell("b-7")
        last = feed.get(5)
    again = Source(), Source()
    with Feed("key", dict(zip("ab", again, strict=True)), last.token):
        assert [one.after for one in again] == [["a-1"], ["b-7"]]


def test_a_plug_in_that_the_token_does_not_know_is_told_so(source: Source) -> None:
    for token in ("rubbish", "e30=", "WzFd", "\N{SNOWMAN}"):
        with Feed("key", {"driver": source}, token):
            assert source.after.pop() == "?"


def test_a_plug_in_that_told_nothing_yet_has_its_place_in_the_token_too() -> None:
    loud, quiet = Source(), Source()
    streams: dict[str, Callable[[str | None], Iterator[Event]]] = {
        "loud": loud,
        "quiet": lambda after: Begun(quiet(after), "quiet-0"),
    }
    with Feed("key", streams) as feed:
        before = feed.token
        loud.tell("loud-1")
        token = feed.get(5).token
    again = Source(), Source()
    with Feed("key", dict(zip(streams, again, strict=True)), token):
        assert [one.after for one in again] == [["loud-1"], ["quiet-0"]]
    with Feed("key", {"quiet": again[1]}, before):
        assert again[1].after == ["quiet-0", "quiet-0"]


def test_the_place_of_a_stream_that_goes_on_is_not_taken_before_its_gap_was_told(source: Source) -> None:
    with Feed("key", {"driver": lambda after: Begun(source(after), "now")}, "rubbish") as feed:
        unknown = feed.token
        source.tell("a")
        assert feed.get(5).token != unknown
    with Feed("key", {"driver": source}, unknown):
        assert source.after == ["?", "?"]


def test_a_feed_has_begun_when_it_is_there(source: Source) -> None:
    for _ in range(20):
        with Feed("key", {"driver": source}):
            assert source.after
        source.after.clear()


def test_waiting_ends_at_its_time_or_when_the_feed_is_closed(source: Source) -> None:
    feed = Feed("key", {"driver": source})
    with pytest.raises(Interrupted) as late:
        feed.get(0.02)
    assert late.value.reason == "deadline"
    threading.Timer(0.05, feed.close).start()
    with pytest.raises(Interrupted) as lost:
        feed.get(10)
    assert lost.value.reason == "lost"
    assert source.ended.wait(5)


def test_what_had_come_before_the_end_can_still_be_read(source: Source) -> None:
    feed = Feed("key", {"driver": source})
    source.tell("a")
    end = time.monotonic() + 5
    while (event := feed.poll()) is None and time.monotonic() < end:
        time.sleep(0.001)
    assert event is not None
    source.tell("b")
    time.sleep(0.05)
    feed.close()
    assert feed.get(1).token
    with pytest.raises(Interrupted):
        feed.poll()


def test_a_coded_failure_reaches_whoever_reads(source: Source) -> None:
    feed = Feed("key", {"driver": source})
    source.waiting.put(Busy("the log"))
    with pytest.raises(Busy):
        feed.get(5)


def test_a_slip_of_a_plug_in_reaches_whoever_reads(source: Source) -> None:
    feed = Feed("key", {"driver": source})
    source.waiting.put(KeyError("native"))
    with pytest.raises(BadDriver, match="driver: events_follow raised KeyError"):
        feed.get(5)


def test_a_full_queue_keeps_the_newest_and_says_that_some_are_gone(source: Source) -> None:
    with Feed("key", {"driver": source}) as feed:
        for number in range(ROOM + 50):
            source.tell(f"t{number}")
        end = time.monotonic() + 20
        while not source.waiting.empty() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.05)
        first = feed.get(5)
        rest = []
        while (event := feed.poll()) is not None:
            rest.append(event)
    assert isinstance(first, Gap)
    assert first.reason == "queue full"
    assert len(rest) == ROOM - 1
    assert not any(isinstance(event, Gap) for event in rest)


def test_several_watchers_are_told_of_each_event(source: Source) -> None:
    told: list[str] = []
    with Feed("key", {"driver": source}) as feed:
        feed.watch(lambda: told.append("a"))
        feed.watch(lambda: told.append("b"))
        source.tell("x")
        feed.get(5)
    assert {"a", "b"} <= set(told)


def test_iteration_ends_with_the_feed(source: Source) -> None:
    feed = Feed("key", {"driver": source})
    source.tell("a", "b")
    seen = []
    for event in feed:
        seen.append(event)
        if len(seen) == 2:
            feed.close()
    assert len(seen) == 2


def test_events_can_be_awaited_without_holding_the_loop(source: Source) -> None:
    async def read() -> tuple[list[Event], int]:
        feed, seen, beats = Feed("key", {"driver": source}), [], 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.005)

        heart = asyncio.create_task(beat())
        asyncio.get_running_loop().call_later(0.1, source.tell, "a", "b")
        async for event in feed:
            seen.append(event)
            if len(seen) == 2:
                feed.close()
        heart.cancel()
        return seen, beats

    seen, beats = asyncio.run(asyncio.wait_for(read(), 10))
    assert len(seen) == 2
    assert beats > 3


def test_two_streams_are_one_and_one_that_ends_does_not_end_the_other() -> None:
    first, second = Source(), Source()
    with Feed("key", {"a": first, "b": second}) as feed:
        first.waiting.put(None)
        assert first.ended.wait(5)
        second.tell("still")
        assert feed.get(5).ref == ONE
        second.waiting.put(None)
        with pytest.raises(Interrupted):
            feed.get(5)


@pytest.mark.parametrize("count", [1, 4])
def test_readers_in_several_threads_share_what_comes(source: Source, count: int) -> None:
    seen: list[Event] = []
    with Feed("key", {"driver": source}) as feed:

        def read() -> None:
            try:
                while True:
                    seen.append(feed.get(5))
            except Interrupted:
                return

        readers: list[Any] = [_thread(read) for _ in range(count)]
        source.tell(*(f"t{number}" for number in range(40)))
        end = time.monotonic() + 5
        while len(seen) < 40 and time.monotonic() < end:
            time.sleep(0.005)
        feed.close()
        for reader in readers:
            reader.join(5)
    assert len({event.token for event in seen}) == 40


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_watcher_that_fails_ends_nothing(source: Source) -> None:
    def fail() -> None:
        raise RuntimeError("Event loop is closed")

    with Feed("key", {"driver": source}) as feed:
        feed.watch(fail)
        source.tell("a", "b")
        assert [feed.get(5).at, feed.get(5).at] == [1.0, 1.0]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_cannot_read_its_parents_feed(source: Source) -> None:
    with Feed("key", {"driver": source}) as feed:
        child = os.fork()
        if not child:
            try:
                feed.get(5)
            except Interrupted as error:
                os._exit(7 if error.reason == "forked" else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("detail", [{"change": "teleported"}, {}])
def test_a_change_that_this_version_does_not_know_is_a_plain_event(detail: dict[str, Any]) -> None:
    event = Entry("lifecycle", ONE, detail, "run", 1.0, token="token").event()
    assert event == Event(ref=ONE, at=1.0, run="run", token="token")


def test_a_plug_in_that_begins_late_says_that_something_may_be_missing(source: Source) -> None:
    ready, asked = threading.Event(), time.time()

    def slowly(after: str | None) -> Iterator[Event]:
        ready.wait(5)
        return source(after)

    with Feed("key", {"driver": slowly}, begin=0.05) as feed:
        ready.set()
        source.tell("a")
        gap, event = feed.get(5), feed.get(5)
    assert isinstance(gap, Gap)
    assert gap.reason == "begun late"
    assert gap.since is not None
    assert asked <= gap.since <= gap.at
    assert isinstance(event, Lifecycle)
