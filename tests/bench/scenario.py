"""What is measured, the same for both sides: a process runs one scenario and prints its times as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.bench.peer import Peer, qemus, rss, uuid_of, xml_of
from tests.bench.storing import stopped, stored

MANY: Final = 1000
SOME: Final = 20
MORE: Final = 50
REPEATS: Final = 3
STOPPED: Final = 10
PATIENCE: Final = 20.0

T = TypeVar("T")
Times = dict[str, list[float]]


def timed(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def defined(peer: Peer, images: Path, count: int) -> Times:
    """Define guests and look at them while they are off."""
    documents = [xml_of(number, images) for number in range(count)]
    times: Times = {"define": [timed(lambda: each(peer.define, documents))]}
    assert len(peer.names_and_states()) == count
    assert all(text.lstrip().startswith("<domain") for text in peer.dump())
    assert peer.stats(running=False) == count
    times["list"] = [timed(peer.names_and_states) for _ in range(REPEATS)]
    times["dump"] = [timed(peer.dump) for _ in range(REPEATS)]
    times["stats_inactive"] = [timed(lambda: peer.stats(running=False)) for _ in range(REPEATS)]
    return times


def running(peer: Peer, images: Path) -> Times:
    """Start guests, look at them while they run, and end them in each way."""
    first, others = range(SOME), range(SOME, MORE)
    for number in first:
        peer.define(xml_of(number, images))
    times: Times = {"start_serial": [timed(lambda: each(peer.start, first))]}
    assert peer.stats(running=True) == SOME
    times["stats_running_20"] = [timed(lambda: peer.stats(running=True)) for _ in range(REPEATS)]
    times["destroy"] = [timed(lambda: each(peer.destroy, first))]
    times["start_parallel"] = [timed(lambda: at_once(peer.start, first))]
    assert peer.stats(running=True) == SOME
    before = rss(peer.process())
    for number in others:
        peer.define(xml_of(number, images))
    at_once(peer.start, others)
    assert peer.stats(running=True) == MORE
    times["stats_running_50"] = [timed(lambda: peer.stats(running=True)) for _ in range(REPEATS)]
    times["event_latency"] = latencies(peer, range(STOPPED))
    now = rss(peer.process())
    times["rss_per_guest"] = [(now - before) / len(others)]
    times["rss_whole"] = [now]
    at_once(peer.destroy, range(STOPPED, MORE))
    return times


def each(work: Callable[[T], None], things: Iterable[T]) -> None:
    """One after another."""
    for thing in things:
        work(thing)


def at_once(work: Callable[[int], None], numbers: Iterable[int]) -> None:
    """One thread for each guest."""
    numbers = list(numbers)
    with ThreadPoolExecutor(len(numbers)) as pool:
        for done in [pool.submit(work, number) for number in numbers]:
            done.result()


def latencies(peer: Peer, numbers: Iterable[int]) -> list[float]:
    """End guests from outside, one after another: seconds from the signal to the event."""
    found = []
    pids = qemus()
    with peer.stops() as stops:
        for number in numbers:
            begun = time.monotonic()
            os.kill(pids[uuid_of(number)], signal.SIGTERM)
            for uuid, at in stops:
                if uuid == uuid_of(number):
                    found.append(at - begun)
                    break
            time.sleep(0.1)  # both sides have more to do after the event
    return found


def warm(peer: Peer, images: Path) -> Times:
    """A guest's life, so that caches are filled."""
    peer.define(xml_of(0, images))
    peer.start(0)
    peer.stats(running=True)
    peer.destroy(0)
    return {}


def run(peer: Peer, words: list[str]) -> None:
    """Run the scenario that ``words`` name after the folder for images, such as ``running`` or ``defined COUNT``."""
    images, scenario = Path(words[0]), words[1]
    if scenario == "defined":
        times = defined(peer, images, int(words[2]))
    elif scenario in ("stored", "stopped"):
        times = {"stored": stored, "stopped": stopped}[scenario](peer.store, images)
    else:
        times = {"warm": warm, "running": running}[scenario](peer, images)
    json.dump(times, sys.stdout)
    sys.stdout.flush()
