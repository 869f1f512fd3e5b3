"""What is told of pools and volumes."""

from __future__ import annotations

from collections.abc import Callable

from anyvirt.client._generated_sync import Connection, Pool
from anyvirt.events import (
    Autostart,
    Event,
    Gap,
    PoolChange,
    PoolLifecycle,
    PoolRefresh,
    VolumeChange,
    VolumeLifecycle,
)
from anyvirt.ref import Ref
from anyvirt.testing.guests import PREFIX, Watch
from anyvirt.testing.marks import needs, proves

Xml = Callable[..., str]
Watches = Callable[..., Watch]


@proves("events_follow", "pool_define", "pool_start", "pool_stop", "pool_undefine")
def test_the_life_of_a_pool_is_told_in_order(connection: Connection, pool_xml: Xml, watch: Watches) -> None:
    told = watch()
    pool = connection.pool_define(pool_xml(PREFIX + "told"))
    pool.start()
    pool.stop()
    pool.undefine()
    told.until(lambda event: isinstance(event, PoolLifecycle) and event.change is PoolChange.UNDEFINED)
    assert [event.change for event in _of(told, pool.ref) if isinstance(event, PoolLifecycle)] == [
        PoolChange.DEFINED,
        PoolChange.STARTED,
        PoolChange.STOPPED,
        PoolChange.UNDEFINED,
    ]
    assert all(event.ref and event.ref.name == PREFIX + "told" for event in _of(told, pool.ref))


@proves("events_follow.after")
@needs("pool_define", "pool_start", "pool_undefine")
def test_after_a_gap_comes_how_each_pool_is(connection: Connection, pool: Pool, pool_xml: Xml, watch: Watches) -> None:
    inactive = connection.pool_define(pool_xml(PREFIX + "off"))
    told = watch("?")
    now: dict[Ref | None, PoolChange] = {}

    def both(event: Event) -> bool:
        if isinstance(event, PoolLifecycle):
            assert any(isinstance(one, Gap) for one in told.seen)
            now.setdefault(event.ref, event.change)
        return {pool.ref, inactive.ref} <= now.keys()

    told.until(both)
    assert (now[pool.ref], now[inactive.ref]) == (PoolChange.STARTED, PoolChange.STOPPED)
    inactive.undefine()


@proves("events_follow", "pool_build", "pool_delete")
@needs("pool_define", "pool_start", "pool_stop")
def test_building_and_deleting_a_pool_is_told(inactive: Pool, watch: Watches, patience: float) -> None:
    told = watch()
    inactive.delete()
    inactive.build().wait(patience)
    told.until(lambda event: isinstance(event, PoolLifecycle) and event.change is PoolChange.CREATED)
    changes = [event.change for event in _of(told, inactive.ref) if isinstance(event, PoolLifecycle)]
    assert changes == [PoolChange.DELETED, PoolChange.CREATED]


@proves("events_follow", "pool_refresh", "pool_set_autostart")
@needs("pool_define", "pool_start")
def test_a_refresh_and_the_mark_for_the_hosts_start_are_told(pool: Pool, watch: Watches) -> None:
    told = watch()
    pool.refresh()
    assert told.until(lambda event: isinstance(event, PoolRefresh)).ref == pool.ref
    pool.set_autostart(enabled=True)
    event = told.until(lambda event: isinstance(event, Autostart))
    assert isinstance(event, Autostart)
    assert (event.ref, event.on) == (pool.ref, True)


@proves("events_follow", "volume_create", "volume_resize", "volume_delete")
@needs("pool_define", "pool_start", "volume_info")
def test_the_life_of_a_volume_is_told_in_order(
    connection: Connection,
    pool: Pool,
    volume_xml: Xml,
    volume_name: Callable[[int], str],
    watch: Watches,
    patience: float,
) -> None:
    told = watch()
    volume = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    volume.resize(16 << 20).wait(patience)
    volume.delete()
    told.until(lambda event: isinstance(event, VolumeLifecycle) and event.change is VolumeChange.DELETED)
    events = [event for event in _of(told, volume.ref) if isinstance(event, VolumeLifecycle)]
    assert [event.change for event in events] == [VolumeChange.CREATED, VolumeChange.RESIZED, VolumeChange.DELETED]
    assert {event.ref.parent for event in events if event.ref} == {pool.ref}


def _of(told: Watch, ref: Ref) -> list[Event]:
    return [event for event in told.seen if event.ref == ref]
