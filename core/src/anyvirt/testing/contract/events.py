"""Events: in order, with the right details, and none lost without a word."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from anyvirt.client._generated_sync import Connection
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Interrupted
from anyvirt.events import Autostart, Change, Event, Gap, Lifecycle, Reboot
from anyvirt.ref import Ref
from anyvirt.testing.guests import Guests, Watch
from anyvirt.testing.marks import needs, proves

Watches = Callable[..., Watch]


@proves("events_follow", "domain_define", "domain_undefine")
def test_definitions_are_told_of(connection: Connection, guests: Guests, watch: Watches) -> None:
    told = watch()
    name, uuid = guests.name(), str(uuid4())
    domain = guests.define(name, uuid=uuid)
    guests.define(name, uuid=uuid, title="again")
    connection.domain_undefine(domain)
    assert told.lives(domain.ref, Change.UNDEFINED) == [
        (Change.DEFINED, "added"),
        (Change.DEFINED, "updated"),
        (Change.UNDEFINED, "removed"),
    ]


@proves("events_follow", "domain_start", "domain_destroy")
@needs("domain_define")
def test_a_life_is_told_in_order(connection: Connection, guests: Guests, watch: Watches) -> None:
    domain = guests.define()
    told = watch()
    connection.domain_start(domain)
    connection.domain_destroy(domain)
    assert told.lives(domain.ref, Change.STOPPED) == [(Change.STARTED, "booted"), (Change.STOPPED, "destroyed")]


@proves("events_follow", "domain_suspend", "domain_resume")
@needs("domain_define", "domain_start")
def test_pauses_are_told_and_one_that_changes_nothing_is_not(
    connection: Connection, guests: Guests, watch: Watches
) -> None:
    domain = guests.running()
    told = watch()
    connection.domain_suspend(domain)
    connection.domain_suspend(domain)
    connection.domain_resume(domain)
    assert told.lives(domain.ref, Change.RESUMED) == [(Change.SUSPENDED, "paused"), (Change.RESUMED, "unpaused")]


@proves("events_follow", "domain_start.paused")
@needs("domain_define", "domain_start")
def test_a_paused_start_is_a_start_and_a_pause(connection: Connection, guests: Guests, watch: Watches) -> None:
    domain = guests.define()
    told = watch()
    connection.domain_start(domain, paused=True)
    assert told.lives(domain.ref, Change.SUSPENDED) == [(Change.STARTED, "booted"), (Change.SUSPENDED, "paused")]


@proves("events_follow", "domain_create")
@needs("domain_destroy")
def test_a_transient_life_ends_without_an_undefinition(connection: Connection, guests: Guests, watch: Watches) -> None:
    told = watch()
    domain = guests.create()
    connection.domain_destroy(domain)
    assert told.lives(domain.ref, Change.STOPPED) == [(Change.STARTED, "booted"), (Change.STOPPED, "destroyed")]


@proves("events_follow", "domain_rename")
@needs("domain_define")
def test_a_rename_is_told_with_both_names(connection: Connection, guests: Guests, watch: Watches) -> None:
    domain = guests.define()
    told = watch()
    new = guests.name()
    connection.domain_rename(domain, new)
    assert told.lives(domain.ref, Change.DEFINED) == [(Change.UNDEFINED, "renamed"), (Change.DEFINED, "renamed")]
    names = [event.ref.name for event in told.seen if event.ref == domain.ref and event.ref is not None]
    assert names == [domain.name, new]


@proves("events_follow", "domain_reset")
@needs("domain_define", "domain_start")
def test_a_reset_is_told(connection: Connection, guests: Guests, watch: Watches) -> None:
    domain = guests.running()
    told = watch()
    connection.domain_reset(domain)
    assert told.until(lambda event: isinstance(event, Reboot)).ref == domain.ref


@proves("events_follow", "domain_set_autostart")
@needs("domain_define")
def test_the_autostart_flag_is_told(connection: Connection, guests: Guests, watch: Watches) -> None:
    domain = guests.define()
    told = watch()
    connection.domain_set_autostart(domain, on=True)
    event = told.until(lambda event: isinstance(event, Autostart))
    assert isinstance(event, Autostart)
    assert (event.ref, event.on) == (domain.ref, True)


@proves("events_follow")
@needs("domain_define", "domain_undefine")
def test_every_watcher_is_told_everything(connection: Connection, guests: Guests, watch: Watches) -> None:
    watchers = [watch() for _ in range(3)]
    domain = guests.define()
    connection.domain_undefine(domain)
    lives = [told.lives(domain.ref, Change.UNDEFINED) for told in watchers]
    assert lives == [[(Change.DEFINED, "added"), (Change.UNDEFINED, "removed")]] * 3


@proves("events_follow.after")
@needs("domain_define", "domain_undefine")
def test_a_token_goes_on_where_it_was_taken(connection: Connection, guests: Guests, watch: Watches) -> None:
    first = watch()
    domain = guests.define()
    event = first.until(lambda event: event.ref == domain.ref)
    assert event.token
    first.feed.close()
    connection.domain_undefine(domain)
    later = guests.define(domain.name)
    again = watch(event.token)
    told = again.lives(later.ref, Change.DEFINED)
    assert not [event for event in again.seen if isinstance(event, Gap)]
    assert told[-1] == (Change.DEFINED, "added")
    assert any(
        isinstance(event, Lifecycle) and event.ref == domain.ref and event.change is Change.UNDEFINED
        for event in again.seen
    )
    assert not any(event.token == first.seen[-1].token for event in again.seen)


@proves("events_follow.after")
@needs("domain_define")
@pytest.mark.parametrize("token", ["rubbish", "", "bm90IGEgdG9rZW4="])
def test_an_unknown_token_is_a_gap_and_then_goes_on(guests: Guests, watch: Watches, token: str) -> None:
    told = watch(token or "?")
    gap = told.until(lambda event: isinstance(event, Gap))
    assert isinstance(gap, Gap)
    assert gap.reason
    domain = guests.define()
    assert told.lives(domain.ref, Change.DEFINED)[-1] == (Change.DEFINED, "added")


@proves("events_follow.after")
@needs("domain_define", "domain_start")
def test_after_a_gap_comes_what_is_so_now(guests: Guests, watch: Watches) -> None:
    off, on = guests.define().ref, guests.running().ref
    told = watch("?")
    now: dict[Ref | None, Change] = {}

    def both(event: Event) -> bool:
        if isinstance(event, Lifecycle) and isinstance(told.seen[0], Gap):
            now.setdefault(event.ref, event.change)
        return {off, on} <= now.keys()

    told.until(both)
    assert (now[off], now[on]) == (Change.STOPPED, Change.STARTED)


@proves("events_follow.after")
@needs("domain_define")
def test_a_place_is_known_before_anything_was_told(guests: Guests, watch: Watches) -> None:
    place = watch().feed.token
    domain = guests.define()
    told = watch(place)
    assert told.lives(domain.ref, Change.DEFINED) == [(Change.DEFINED, "added")]
    assert not [event for event in told.seen if isinstance(event, Gap)]


@proves("events_follow")
@needs("domain_define")
def test_a_feed_has_its_place_before_it_is_read(connection: Connection, guests: Guests, patience: float) -> None:
    begin = connection.session.feeds("events_follow", {})[connection.session.driver.name]
    stream = begin(None)
    domain = guests.define()
    with within(Deadline(patience)):
        assert next(event.ref for event in stream) == domain.ref


@proves("events_follow")
def test_a_closed_feed_ends(watch: Watches) -> None:
    told = watch()
    with pytest.raises(Interrupted) as quiet:
        told.feed.get(0.05)
    assert quiet.value.reason == "deadline"
    told.feed.close()
    with pytest.raises(Interrupted) as ended:
        told.feed.get(5)
    assert ended.value.reason == "lost"


@proves("events_follow")
@needs("domain_define")
def test_events_have_a_time_and_a_token_each(guests: Guests, watch: Watches) -> None:
    told = watch()
    domains = [guests.define() for _ in range(3)]
    told.lives(domains[-1].ref, Change.DEFINED)
    mine = [event for event in told.seen if event.ref in {domain.ref for domain in domains}]
    assert [event.ref for event in mine] == [domain.ref for domain in domains]
    assert len({event.token for event in mine}) == 3
    assert all(abs(event.at - time.time()) < 60 for event in mine)
