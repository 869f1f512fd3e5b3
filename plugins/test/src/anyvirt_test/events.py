"""What happened on the host, from its store's log."""

from __future__ import annotations

import time
from collections.abc import Iterator

from anyvirt.api import Begun, Event, Gap, PoolChange, PoolLifecycle, Ref, impl, so_now, stamped

from anyvirt_test.world import World


class Events:
    """Each change writes its events in the same step, so following them is reading the log."""

    world: World

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        place = self.world.store.token() if after is None else after  # now, not when it is first read
        return Begun(self._told(place), place)

    def _told(self, place: str) -> Iterator[Event]:
        while True:
            for entry in self.world.store.follow(place):
                event = entry.event()
                if not isinstance(event, Gap):
                    yield event
                    continue
                unknown = event.reason == "unknown token"
                place = self.world.store.token() if unknown else event.token
                yield from self._anew(event, place)
                if unknown:
                    break  # what is in the log is older than what was just told

    def _anew(self, gap: Gap, place: str) -> Iterator[Event]:
        """A gap, and then what is so now; only the last has the token: half is worth nothing."""
        states = [(guest.ref, guest.run) for guest in self.world.guests()]
        now = (so_now(ref, run.status, run=str(run.id or ""), at=time.time()) for ref, run in states)
        events: list[Event] = [gap, *(event for event in now if event is not None)]
        for row in self.world.store.rows("pool"):
            ref = Ref(row.kind, row.uuid, name=row.name, uuid=row.uuid)
            change = PoolChange.STARTED if row.run else PoolChange.STOPPED
            events.append(PoolLifecycle(ref=ref, change=change, at=time.time()))
        yield from (stamped(event, token="") for event in events[:-1])
        yield stamped(events[-1], token=place)
