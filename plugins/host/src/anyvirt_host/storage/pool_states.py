"""Hooks that bring pools to life and end them: start, create, stop, build, delete, refresh, autostart."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import (
    Autostart,
    Busy,
    Document,
    Exists,
    Failed,
    Interrupted,
    Invalid,
    NotFound,
    PoolChange,
    PoolLifecycle,
    PoolRefresh,
    Progress,
    Ref,
    Row,
    VirtError,
    WrongState,
    impl,
    phase,
)

from anyvirt_host.storage.backend import SHARED, Backend
from anyvirt_host.storage.images.lengthy import lengthy
from anyvirt_host.storage.pools import Pools, told_apart
from anyvirt_host.storage.site import HALF, STARTING, STOPPING, Live, digest, pool_ref

if TYPE_CHECKING:
    from anyvirt.api import Pool

REBUILD: Final = "build it again, overwriting what is there; or define it again, if you have seen to that yourself"
GRACE: Final = 2.0  # seconds that mount and its like take at most
_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """What is known of a pool that is about to be started or built."""

    backend: Backend
    model: Pool
    live: Live


class PoolStates(Pools):
    """Whoever starts or builds a pool holds its place, so that no other pool gets it meanwhile."""

    @impl
    def pool_start(self, ref: Ref, build: bool, overwrite: bool) -> None:
        _together(build, overwrite)
        with self._claimed(ref, "start") as (row, kept):
            if build:
                _all(self._make(pool_ref(row), kept, overwrite=overwrite))
            elif self.site.half(ref):
                raise WrongState("half built", ["built"], "start", what=pool_ref(row), hint=REBUILD)
            with self._begun(row.uuid, kept) as live:
                self.site.store.set_run("pool", ref.key, live.text, event=_told(row, PoolChange.STARTED))

    @impl
    def pool_create(self, config: Document[Pool], build: bool, overwrite: bool) -> Ref:
        _together(build, overwrite)
        config, kept = self._read(config)
        uuid, name = kept.model.uuid or "", kept.model.name
        ref = Ref("pool", uuid, name=name, uuid=uuid)
        with self._placed(kept.live, "create"), self.site.locks.hold(uuid, "create"):
            for row in self.site.store.rows("pool"):
                if row.uuid == uuid or row.name == name:
                    hint = "start that pool, or choose another name and UUID"
                    raise Exists("pool", name, holder=f"pool {row.name!r}, {row.uuid}", hint=hint)
            self._alone(uuid, kept.live)
            if build:
                _all(self._make(ref, kept, overwrite=overwrite))
            with self._begun(uuid, kept) as live:
                event = PoolLifecycle(ref=ref, change=PoolChange.STARTED)
                self.site.store.define("pool", uuid, name, config.text, transient=True, run=live.text, event=event)
        return ref

    @impl
    def pool_stop(self, ref: Ref) -> None:
        with self.site.locks.hold(ref.key, "stop"):
            row, live = self.site.row(ref), self.site.live(ref, "stop")
            backend = self.backend(live)
            try:
                making = backend.making(live)
            except (NotFound, WrongState):  # the place itself is gone
                making = 0
            if making:
                raise Busy(
                    ref, holder=f"{making} volume(s)", purpose="being made", hint="wait for them, or cancel them"
                )
            self._end(row, live)

    @impl
    def pool_build(self, ref: Ref, overwrite: bool) -> Generator[Progress, None, None]:
        with self._claimed(ref, "build") as (row, kept):
            yield from self._make(pool_ref(row), kept, overwrite=overwrite)

    @impl
    def pool_delete(self, ref: Ref, zeroed: bool) -> None:
        with self._claimed(ref, "delete") as (row, kept):
            kept.backend.delete(kept.live, zeroed=zeroed)
            self.site.store.set_blob("pool", ref.key, HALF, None)
            self.site.tell(_told(row, PoolChange.DELETED))

    @impl
    def pool_refresh(self, ref: Ref) -> None:
        with self.site.locks.hold(ref.key, "refresh"):
            live = self.site.live(ref, "refresh")
            backend = self.backend(live)
            backend.refresh(live)
            for said in self.swept(live):
                _log.info("pool %s: %s", ref, said)
            self.site.tell(PoolRefresh(ref=pool_ref(self.site.row(ref))))

    @impl
    def pool_set_autostart(self, ref: Ref, enabled: bool) -> None:
        with self.site.locks.hold(ref.key, "autostart"):
            row = self.site.row(ref)
            event = Autostart(ref=pool_ref(row), on=enabled)
            self.site.store.set_autostart("pool", ref.key, enabled, event=event)

    def swept(self, live: Live) -> list[str]:
        """Remove what killed processes left in an active pool; a sentence each."""
        backend = self.backend(live)
        said = backend.sweep(live)
        home = backend.home(live)
        for kept in self.site.all_declared():
            name = backend.called(live, kept.path)
            if name and kept.home == home and backend.look(live, name) is None:
                self.site.forget(kept.path)
                said.append(f"volume {name}: what was said of it is forgotten, it is gone")
        return said

    def unstopped(self) -> Iterator[str]:
        """End what a killed process began to let go of; a sentence each."""
        for uuid, at in self.site.store.blobs("pool", STOPPING).items():
            with suppress(Busy), self.site.locks.hold(uuid, "recover", wait=0):  # somebody is still at it
                _outlived(at.decode())
                for row in self.site.store.get_many("pool", [uuid]):
                    live = Live.of(row.run, self.site.boot)
                    with suppress(VirtError):  # in use again: then it stays active
                        if live is not None:
                            self._end(row, live)
                            yield f"pool {row.name}: its stop was cut short, it was let go of"
                self.site.store.set_blob("pool", uuid, STOPPING, None)

    def unstarted(self) -> Iterator[str]:
        """Let go of pools whose starters were killed before that was written down; a sentence each."""
        for uuid, kept in self.site.store.blobs("pool", STARTING).items():
            at, _, text = kept.decode().partition(" ")
            live = Live.of(text, self.site.boot)
            with suppress(Busy), self.site.locks.hold(uuid, "recover", wait=0):  # somebody is still at it
                _outlived(at)
                rows = self.site.store.get_many("pool", [uuid])
                if live is not None and not any(Live.of(row.run, self.site.boot) for row in rows):
                    name = rows[0].name if rows else "that was not to be kept"
                    # starters take the place first: whoever waits for it with the pool's lock, waits for one that waits
                    with self._placed(live, "recover", wait=0), suppress(Busy):
                        self._alone(uuid, live)
                        self.backend(live).stop(live)
                        yield f"pool {name}: its start was cut short, it was let go of"
                self.site.store.set_blob("pool", uuid, STARTING, None)

    def unbuilt(self) -> Iterator[str]:
        """Forget of builds that were cut short where the pool itself is gone; a sentence each."""
        there = {row.uuid for row in self.site.store.rows("pool")}
        for uuid, place in self.site.store.blobs("pool", HALF).items():
            if uuid not in there:
                with suppress(Busy), self.site.locks.hold(uuid, "recover", wait=0):  # somebody is still at it
                    self.site.store.set_blob("pool", uuid, HALF, None)
                    yield f"a pool that is gone: its building was cut short, {place.decode()} may be half made"

    def _make(self, ref: Ref, kept: Kept, *, overwrite: bool) -> Generator[Progress, None, None]:
        """Build a pool; what breaks off half-way is remembered until it was built whole, deleted, or defined anew."""
        place, store = kept.live.source or kept.live.path, self.site.store
        before = store.blob("pool", ref.key, HALF)
        phase("build", pool=ref.key, label=ref.name, place=place)
        store.set_blob("pool", ref.key, HALF, place.encode())
        work = partial(kept.backend.build, kept.live, kept.model, overwrite=overwrite)
        try:
            yield from lengthy(work, f"storage:build:{ref.key}", "building")
        except (Failed, Interrupted):
            raise
        except VirtError:
            store.set_blob("pool", ref.key, HALF, before)
            raise
        store.set_blob("pool", ref.key, HALF, None)
        self.site.tell(PoolLifecycle(ref=ref, change=PoolChange.CREATED))

    @contextmanager
    def _begun(self, uuid: str, kept: Kept) -> Iterator[Live]:
        """Start it for the block, which writes that down; what goes wrong there stops it again."""
        self.site.store.set_blob("pool", uuid, STARTING, f"{time.time()} {kept.live.text}".encode())
        live = kept.backend.start(kept.live)
        try:
            live = live._replace(home=kept.backend.home(live))
            self._alone(uuid, live)
            yield live
        except VirtError:
            with suppress(VirtError):
                kept.backend.stop(live)
                self.site.store.set_blob("pool", uuid, STARTING, None)
            raise
        self.site.store.set_blob("pool", uuid, STARTING, None)

    def _end(self, row: Row, live: Live) -> None:
        """Let go of an active pool, under its lock."""
        event = _told(row, PoolChange.STOPPED)
        self.site.store.set_blob("pool", row.uuid, STOPPING, str(time.time()).encode())
        try:
            self.backend(live).stop(live)
        except VirtError:
            self.site.store.set_blob("pool", row.uuid, STOPPING, None)
            raise
        if row.transient:
            self.site.store.undefine("pool", row.uuid, event=event)
        else:
            self.site.store.set_run("pool", row.uuid, "", event=event)
            self.site.store.set_blob("pool", row.uuid, STOPPING, None)

    @contextmanager
    def _claimed(self, ref: Ref, operation: str) -> Iterator[tuple[Row, Kept]]:
        """An inactive pool, with its place, for as long as the block lasts."""
        _, first = self._read(Document(self._inactive(ref, operation).xml or ""))
        with self._placed(first.live, operation), self.site.locks.hold(ref.key, operation):
            row = self._inactive(ref, operation)
            _, kept = self._read(Document(row.xml or ""))
            if kept.live != first.live:
                raise Busy(ref, purpose="another place than before", hint="try again")
            self._alone(row.uuid, kept.live)
            yield row, kept

    @contextmanager
    def _placed(self, live: Live, operation: str, wait: float | None = None) -> Iterator[None]:
        places = {live.source} if live.type in SHARED else {live.path, live.source}
        with ExitStack() as held:
            for place in sorted(places - {""}):  # always in this order: two that want both never wait for each other
                held.enter_context(self.site.locks.hold(f"storage-{digest(place)}", operation, wait=wait))
            yield

    def _read(self, config: Document[Pool]) -> tuple[Document[Pool], Kept]:
        config = told_apart(config)
        backend = self._backend(str(config.model.type or ""))
        live = backend.live(config.model)._replace(boot=self.site.boot)
        return config, Kept(backend, config.model, live)

    def _alone(self, uuid: str, live: Live) -> None:
        """Refuse a second active pool over the same place: each would change what the other relies on."""
        for other in self.site.store.rows("pool"):
            its = Live.of(other.run, self.site.boot)
            if other.uuid == uuid or its is None:
                continue
            place = its.path and its.path == live.path and not {its.type, live.type} & set(SHARED)
            if place or (its.source and its.source == live.source) or (its.home and its.home == live.home):
                shared = live.path or live.source
                raise Busy(
                    shared, holder=f"pool {other.name!r}", purpose="its own volumes", hint="stop that pool first"
                )


def _told(row: Row, change: PoolChange) -> PoolLifecycle:
    return PoolLifecycle(ref=pool_ref(row), change=change)


def _outlived(at: str) -> None:
    """Wait until a tool that was run at that time has ended, should it have outlived its killed starter."""
    time.sleep(min(GRACE, max(0.0, float(at) + GRACE - time.time())))


def _together(build: bool, overwrite: bool) -> None:
    """Refuse a word about how to build where nothing is built.

    :raises Invalid: it is there.
    """
    if overwrite and not build:
        raise Invalid("overwrite says how to build, and nothing is built", hint="give build as well")


def _all(steps: Generator[Progress, None, None]) -> None:
    """Take every step of what is a job elsewhere."""
    for _ in steps:
        pass
