"""What a service of this host tells of: the log of its store, and after a gap what is so now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from anyvirt.api import Begun, Event, Gap, stamped

if TYPE_CHECKING:
    from anyvirt.api import Store


def following(store: Store, after: str | None, so_now: Callable[[], Iterable[Event]]) -> Iterator[Event]:
    """What ``events_follow`` gives, from the log of one store.

    :param so_now: what is so now, told as events; asked after a gap.
    """
    place = store.token() if after is None else after  # now, not when it is first read
    return Begun(_told(store, place, so_now), place)


def _told(store: Store, place: str, so_now: Callable[[], Iterable[Event]]) -> Iterator[Event]:
    while True:
        for entry in store.follow(place):
            event = entry.event()
            if not isinstance(event, Gap):
                yield event
                continue
            unknown = event.reason == "unknown token"
            place = store.token() if unknown else event.token
            events = [event, *so_now()]
            yield from (stamped(one, token="") for one in events[:-1])
            yield stamped(events[-1], token=place)  # only the last has it: half is worth nothing
            if unknown:
                break  # what is in the log is older than what was just told
