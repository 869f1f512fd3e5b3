"""What happens to pools and volumes is told, in order, and after a gap what is so now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anyvirt.api import (
    Autostart,
    Connection,
    Document,
    Event,
    Feed,
    Gap,
    PoolChange,
    PoolLifecycle,
    PoolRefresh,
    Ref,
    Volume,
    VolumeChange,
    VolumeLifecycle,
)
from anyvirt.client._generated_sync import Pool

Xml = Callable[[str, Path], str]


def told(feed: Feed, count: int) -> list[Event]:
    return [feed.get(20) for _ in range(count)]


def test_the_life_of_a_pool_is_told(storage: Connection, tmp_path: Path, pool_xml: Xml) -> None:
    with storage.events() as feed:
        pool = storage.pool_define(pool_xml("p", tmp_path / "p"))
        pool.build().wait(20)
        pool.set_autostart(True)
        pool.start()
        pool.refresh()
        pool.stop()
        pool.delete()
        pool.undefine()
        events = told(feed, 8)
    changes = [event.change for event in events if isinstance(event, PoolLifecycle)]
    assert changes == [
        PoolChange.DEFINED,
        PoolChange.CREATED,
        PoolChange.STARTED,
        PoolChange.STOPPED,
        PoolChange.DELETED,
        PoolChange.UNDEFINED,
    ]
    assert [type(event) for event in events if not isinstance(event, PoolLifecycle)] == [Autostart, PoolRefresh]
    assert {event.ref for event in events} == {pool.ref}
    assert {event.ref and event.ref.name for event in events} == {"p"}


def test_volumes_that_come_and_go_are_told(
    storage: Connection, pool: Pool, described: Callable[..., Document[Volume]]
) -> None:
    with storage.events() as feed:
        ref = storage.volume_create(pool, described("disk")).wait(20)
        storage.volume_delete(ref)
        events = told(feed, 2)
    assert [(event.ref, getattr(event, "change", None)) for event in events] == [
        (ref, VolumeChange.CREATED),
        (ref, VolumeChange.DELETED),
    ]
    assert all(isinstance(event, VolumeLifecycle) and event.ref and event.ref.parent == pool.ref for event in events)


def test_after_a_token_comes_what_followed_and_after_an_unknown_one_what_is_so_now(
    storage: Connection, pool: Pool, place: Path, pool_xml: Xml
) -> None:
    other = storage.pool_define(pool_xml("other", place / "other"))
    with storage.events() as feed:
        pool.stop()
        token = told(feed, 1)[0].token
    pool.start()
    with storage.events(token) as feed:
        event = told(feed, 1)[0]
        assert isinstance(event, PoolLifecycle)
        assert event.change is PoolChange.STARTED
    with storage.events("e30=") as feed:
        events: list[Event] = []
        now: dict[Ref | None, PoolChange] = {}
        while len(now) < 2:
            events += told(feed, 1)
            now |= {event.ref: event.change for event in events if isinstance(event, PoolLifecycle)}
    assert isinstance(events[0], Gap)
    assert now == {pool.ref: PoolChange.STARTED, other.ref: PoolChange.STOPPED}
