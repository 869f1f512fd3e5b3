"""The service: hooks of pools and volumes, and what is done about killed processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from anyvirt.api import JobRecord, NotFound, Ref, VirtError, impl

from anyvirt_host.storage.site import Live
from anyvirt_host.storage.volumes import Volumes


class Service(Volumes):
    """Storage beside a hypervisor's driver."""

    @impl
    def connect_recover(self) -> Sequence[str]:
        said: list[str] = []
        for row in self.site.store.rows("pool"):
            live = Live.of(row.run, self.site.boot)
            if live is None:
                continue
            with self.site.locks.hold(row.uuid, "recover"), suppress(VirtError):
                # A pool that is out of reach keeps nobody from recovering the others.
                said += self.backend(live).sweep(live)
                said += self._forgotten(live)
        return said

    @impl
    def job_recover(self, record: JobRecord) -> str | None:
        if record.hook != "volume_create":
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

    def _forgotten(self, live: Live) -> Iterator[str]:
        """Forget what was said of volumes that are gone, as long as it is their folder that is seen there now."""
        backend = self.backend(live)
        home = backend.home(live)
        for kept in self.site.all_declared():
            folder, _, name = kept.path.rpartition("/")
            if folder == live.path and kept.home == home and backend.look(live, name) is None:
                self.site.forget(kept.path)
                yield f"volume {name}: what was said of it is forgotten, it is gone"


class Alone(Service):
    """The same as a driver: ``storage:///session``."""

    @impl
    def connect_alive(self) -> bool:
        self.site.store.rows("pool")
        return True
