"""The service: hooks of pools and volumes, and what is done about killed processes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from anyvirt.api import (
    Deadline,
    Event,
    JobRecord,
    NotFound,
    PoolChange,
    PoolLifecycle,
    Ref,
    fan_out,
    impl,
    left,
    within,
)

from anyvirt_host.following import following
from anyvirt_host.storage.deleting import Deleting
from anyvirt_host.storage.pool_kinds import PoolKinds
from anyvirt_host.storage.pool_states import REBUILD, PoolStates
from anyvirt_host.storage.site import Live, pool_ref
from anyvirt_host.storage.tracing import Tracing
from anyvirt_host.storage.wiping import Wiping

PATIENCE: Final = 10.0  # seconds that a pool has to answer


class Service(Wiping, Deleting, Tracing, PoolStates, PoolKinds):
    """Storage beside a hypervisor's driver."""

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        return following(self.site.store, after, self._so_now)

    @impl
    def connect_recover(self) -> Sequence[str]:
        said = [*self.unstopped(), *self.unstarted(), *self.unbuilt()]
        pools = [row for row in self.site.store.rows("pool") if Live.of(row.run, self.site.boot)]
        with within(Deadline(min(PATIENCE, left(PATIENCE) or 0))):  # one that hangs keeps nobody from the others
            for _, answer in fan_out([pool_ref(row) for row in pools], self._recovered):
                said += answer.value or []
        return said

    @impl
    def job_recover(self, record: JobRecord) -> str | None:
        if record.hook == "pool_build":
            return self._broken_build(record)
        if record.hook == "volume_resize":
            return self.settled_size(record)
        if record.hook == "volume_wipe":
            return self.settled_wipe(record)
        if record.hook not in ("volume_create", "volume_create_from"):
            return None
        pool = Ref("pool", str(record.undo["pool"]))
        name = str(record.undo["volume"])
        try:
            with self.site.locks.hold(pool.key, "recover"):
                live = self.site.live(pool, "recovering")
                backend = self.backend(live)
                removed = backend.sweep(live, str(record.undo["mark"]))
                whole = backend.look(live, name) is not None
        except NotFound:
            return f"volume {name}: its pool is gone"
        if whole:
            return f"volume {name}: it had been made"
        return f"volume {name}: " + ("removed, it was not finished" if removed else "nothing of it was there")

    def _recovered(self, ref: Ref) -> list[str]:
        with self.site.locks.hold(ref.key, "recover"):
            live = Live.of(self.site.row(ref).run, self.site.boot)
            return [] if live is None else self.swept(live)

    def _so_now(self) -> Iterator[Event]:
        """How each pool is, told as the event that would have brought it there."""
        for row in self.site.store.rows("pool"):
            active = Live.of(row.run, self.site.boot) is not None
            change = PoolChange.STARTED if active else PoolChange.STOPPED
            yield PoolLifecycle(ref=pool_ref(row), change=change, at=time.time())

    def _broken_build(self, record: JobRecord) -> str:
        name, place = record.undo["label"], self.site.half(Ref("pool", str(record.undo["pool"])))
        if not place:
            return f"pool {name}: it had been built"
        return f"pool {name}: its building was cut short, {place} may be half made; {REBUILD}"


class Alone(Service):
    """The same as a driver: ``storage:///session``."""

    services = ("secret",)

    @impl
    def connect_alive(self) -> bool:
        self.site.store.rows("pool")
        return True
