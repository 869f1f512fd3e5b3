"""Events of real guests, in order, once each, however they ended and whoever looked."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, Deadline, Event, Gap, Interrupted, State, open, within  # noqa: A004
from anyvirt_qemu import watch
from anyvirt_qemu.site import Site
from anyvirt_qemu.watch import Place, of_run
from sector_stage import UP, quiet, read_until, until_state, word, words

LIFE = [
    "defined.added", "started.booted", "suspended.paused", "resumed.unpaused", "stopped.destroyed",
    "started.booted", "suspended.paused", "resumed.unpaused", "shutdown.guest", "stopped.shutdown", "undefined.removed",
]  # fmt: skip


def live(connection: Connection, xml: Callable[..., str]) -> None:
    """Define, start, suspend, resume, destroy, start paused, resume, let it end by itself, undefine."""
    one = connection.domain_define(xml())
    one.start()
    one.suspend()
    one.resume()
    one.destroy()
    one.start(paused=True)
    one.resume()
    power_off(one)
    one.undefine()


def power_off(domain: Any) -> None:
    """The guest switches itself off; comes back when it is off."""
    with domain.console(replay=True) as stream:
        read_until(stream, UP)
        stream.write(b"q")
        while stream.read():
            pass
    until_state(domain, State.SHUTOFF)


def running(connection: Connection, xml: Callable[..., str], name: str = "one") -> Any:
    domain = connection.domain_define(xml(name))
    domain.start()
    return domain


def qemu(site: Site, domain: Any) -> int:
    with site.run(domain.ref.key) as run:
        assert run is not None
        assert run.process is not None
        return run.process.pid


def followed(connection: Connection, after: str, last: str) -> list[str]:
    with connection.events(after) as feed:
        return words(feed, last)


def test_a_whole_life_is_told_in_order(connection: Connection, xml: Callable[..., str]) -> None:
    with connection.events() as feed:
        live(connection, xml)
        assert words(feed, LIFE[-1]) == LIFE


def test_every_token_gives_exactly_what_comes_after_it(connection: Connection, xml: Callable[..., str]) -> None:
    with connection.events() as feed:
        live(connection, xml)
        told = [feed.get(10) for _ in LIFE]
    assert [word(event) for event in told] == LIFE
    for place, event in enumerate(told[:-1]):
        assert followed(connection, event.token, LIFE[-1]) == LIFE[place + 1 :]


def test_a_guest_that_switches_itself_off_is_told_at_once_and_once(
    connection: Connection, xml: Callable[..., str], site: Site
) -> None:
    one = running(connection, xml)
    with connection.events() as feed, connection.events() as other:
        power_off(one)
        assert words(feed, "stopped.shutdown") == ["shutdown.guest", "stopped.shutdown"]
        assert site.store.rows("domain")[0].run  # nobody has settled it yet
        one.start()  # does: its end is written into the log now
        assert words(feed, "started.booted") == ["started.booted"]
        assert words(other, "started.booted") == ["shutdown.guest", "stopped.shutdown", "started.booted"]
        assert quiet(feed) == []


def test_a_guest_that_ended_while_nobody_watched_is_told_afterwards(
    connection: Connection, xml: Callable[..., str]
) -> None:
    with connection.events() as feed:
        one = running(connection, xml)
        words(feed, "defined.added")
        started = feed.get(10)
    power_off(one)
    assert followed(connection, started.token, "stopped.shutdown") == ["shutdown.guest", "stopped.shutdown"]
    one.start()
    one.destroy()
    rest = ["shutdown.guest", "stopped.shutdown", "started.booted", "stopped.destroyed"]
    assert followed(connection, started.token, "stopped.destroyed") == rest


def test_a_watcher_that_comes_later_hears_nothing_of_what_was(connection: Connection, xml: Callable[..., str]) -> None:
    one = running(connection, xml)
    one.suspend()
    with connection.events() as feed:
        assert quiet(feed, 0.2) == []
        one.resume()
        assert words(feed, "resumed.unpaused") == ["resumed.unpaused"]
        power_off(one)
    with connection.events() as feed:
        assert quiet(feed, 1.5) == []
        one.start()
        assert words(feed, "started.booted") == ["started.booted"]


def test_a_qemu_that_was_killed_has_crashed(connection: Connection, xml: Callable[..., str], site: Site) -> None:
    one = running(connection, xml)
    with connection.events() as feed:
        os.kill(qemu(site, one), signal.SIGKILL)
        assert words(feed, "stopped.crashed") == ["stopped.crashed"]
        one.undefine()  # settles it
        assert words(feed, "undefined.removed") == ["undefined.removed"]


def test_a_destroy_is_told_by_who_did_it(connection: Connection, xml: Callable[..., str], tmp_path: Path) -> None:
    with open("qemu:///session", state_dir=tmp_path / "state") as elsewhere, elsewhere.events() as feed:
        live(connection, xml)
        assert words(feed, LIFE[-1]) == LIFE


def test_a_transient_guest_ends_with_its_stop(connection: Connection, xml: Callable[..., str]) -> None:
    with connection.events() as feed:
        one = connection.domain_create(xml())
        one.destroy()
        assert words(feed, "stopped.destroyed")[-3:] == ["started.booted", "stopped.destroyed"]
        assert quiet(feed) == []


def test_a_stop_is_seen_within_moments(connection: Connection, xml: Callable[..., str]) -> None:
    one = running(connection, xml)
    with connection.events() as feed:
        one.suspend()
        event = feed.get(5)
        assert time.time() - event.at < 1.0
        assert word(event) == "suspended.paused"


@pytest.mark.parametrize("token", ["", "garbage", "1/nothing.0.0/", "2/x.1.0/", "1/x.1.0/run=a"])
def test_an_unknown_token_is_a_gap_and_then_what_is_so_now(
    connection: Connection, xml: Callable[..., str], site: Site, token: str
) -> None:
    running(connection, xml, "up")
    running(connection, xml, "halted").suspend()
    connection.domain_define(xml("off"))
    stream = watch.Following(site)
    with stream:
        events: list[Event] = []
        for event in filter(None, stream.events(token)):
            events.append(event)
            if event.token:
                break
    assert isinstance(events[0], Gap)
    assert events[0].reason == "unknown token"
    now = {event.ref.name: word(event) for event in events[1:] if event.ref is not None}
    assert now == {"up": "started.booted", "halted": "suspended.paused", "off": "stopped."}
    with suppress(Interrupted), connection.events() as feed:
        assert quiet(feed, 0.2) == []


@pytest.mark.parametrize(("damage", "reason"), [(b"{not json\n", "torn line"), (None, "truncated")])
def test_a_damaged_journal_is_a_gap_and_then_what_is_so_now(
    connection: Connection, xml: Callable[..., str], site: Site, damage: bytes | None, reason: str
) -> None:
    one = running(connection, xml)
    one.suspend()
    with connection.events() as feed, site.run(one.ref.key) as run:
        assert quiet(feed, 0.2) == []
        assert run is not None
        journal = os.open("ev.out", os.O_WRONLY | (os.O_APPEND if damage else os.O_TRUNC), dir_fd=run.place.q)
        if damage:
            os.write(journal, damage)
        os.close(journal)
        gap = feed.get(5)
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.ref) == (reason, one.ref)
        assert word(feed.get(5)).startswith("suspended." if damage else "")


def test_of_a_run_that_told_too_much_the_last_is_kept_after_a_gap(
    connection: Connection, xml: Callable[..., str], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "KEPT", 3)
    one = running(connection, xml)
    for _ in range(3):
        one.suspend()
        one.resume()
    row = site.row(one.ref)
    with site.run(row.uuid) as run:
        assert run is not None
        assert run.record is not None
        kept = list(of_run(row, run.record, run))
    assert [entry.kind for entry in kept] == ["gap", "lifecycle", "lifecycle", "lifecycle"]
    assert [entry.detail.get("change") for entry in kept[1:]] == ["resumed", "suspended", "resumed"]
    assert all(entry.run == run.record.run for entry in kept)
    offsets = [entry.detail["journal"] for entry in kept]
    assert offsets == sorted(set(offsets))


def test_the_events_of_many_guests_are_told_by_one_watcher(connection: Connection, xml: Callable[..., str]) -> None:
    names = [f"g{number}" for number in range(5)]
    with connection.events() as feed:
        for name in names:
            running(connection, xml, name).destroy()
        told: dict[str, list[str]] = {name: [] for name in names}
        while any(not happened or happened[-1] != "stopped.destroyed" for happened in told.values()):
            event = feed.get(10)
            assert event.ref is not None
            told[event.ref.name or ""].append(word(event))
    expected = ["defined.added", "started.booted", "stopped.destroyed"]
    assert all(happened == expected for happened in told.values()), told


def test_an_end_that_is_written_down_while_the_watcher_looks_is_told_with_its_reason(
    connection: Connection, xml: Callable[..., str], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, killed, go = running(connection, xml), threading.Event(), threading.Event()
    looked = os.statvfs

    pid = qemu(site, one)

    def step(name: str) -> None:
        if name == "kill":
            os.kill(pid, signal.SIGKILL)  # it says nothing of its end
        if name == "tell":
            killed.set()
            go.wait(20)

    def between(path: Any) -> Any:  # asked after the log was read, and before it is asked why a guest has ended
        if killed.is_set() and time.monotonic() - began > 0.9 * watch.PATIENCE and not go.is_set():
            go.set()
            destroyed.join()
        return looked(path)

    with watch.Following(site) as following, within(Deadline(20)):
        stream = following.events(None)
        next(stream)
        site.step = step
        destroyed = threading.Thread(target=one.destroy)
        destroyed.start()
        assert killed.wait(10)
        began = time.monotonic()
        monkeypatch.setattr(os, "statvfs", between)
        event = next(stream)
        assert event is not None
        assert word(event) == "stopped.destroyed"


def test_a_watcher_ends_as_soon_as_it_is_told_to(connection: Connection, xml: Callable[..., str]) -> None:
    running(connection, xml)
    with connection.events() as feed:
        assert quiet(feed, 0.2) == []
    before = len(os.listdir("/proc/self/fd"))
    again = 6
    for _ in range(again):
        with connection.events() as feed:
            assert quiet(feed, 0.05) == []
    until = time.monotonic() + 5
    while len(os.listdir("/proc/self/fd")) >= before + again:  # the store may keep a connection or two for the next
        assert time.monotonic() < until, "the watcher keeps descriptors"
        time.sleep(0.01)


def test_a_token_is_read_as_it_was_written() -> None:
    place = Place("s.5.0", {"a1": 7, "b2": 0}, {"b2"})
    assert Place.of(str(place)) == place
    assert Place.of(str(Place("s.5.0"))) == Place("s.5.0")
