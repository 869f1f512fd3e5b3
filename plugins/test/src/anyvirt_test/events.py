"""What happened on the host, from its store's log."""

from __future__ import annotations

from collections.abc import Iterator

from anyvirt.api import Event, impl

from anyvirt_test.world import World


class Events:
    """Each change writes its events in the same step, so following them is reading the log."""

    world: World

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        place = self.world.store.token() if after is None else after  # now, not when it is first read
        return (entry.event() for entry in self.world.store.follow(place))
