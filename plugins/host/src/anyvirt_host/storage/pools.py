"""Hooks of pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from anyvirt.api import Answer, Busy, Document, NotFound, PoolInfo, Ref, Row, VirtError, WrongState, fan_out, impl

from anyvirt_host.storage.backend import SHARED, Backend, backend_of
from anyvirt_host.storage.site import Live, Site, pool_ref

if TYPE_CHECKING:
    from anyvirt.api import Pool, Run

T = TypeVar("T")


class Pools:
    """A pool is a definition in the store and, while it is active, what it was started as."""

    def __init__(self, opened: Callable[[], Site], find: Callable[[str, Run], Backend] | None = None) -> None:
        self._opened, self._find = opened, find
        self._backends: dict[str, Backend] = {}

    @cached_property
    def site(self) -> Site:
        """Opened when it is first needed: most calls of a hypervisor's driver need no storage."""
        return self._opened()

    def backend(self, live: Live) -> Backend:
        """What knows how to deal with such a pool."""
        return self._backend(live.type)

    def _backend(self, kind: str) -> Backend:
        if kind not in self._backends:
            site, find = self.site, self._find
            self._backends[kind] = find(kind, site.run) if find else backend_of(kind, site.run, site.secret)
        return self._backends[kind]

    @impl
    def pool_list(self) -> Iterator[Ref]:
        return (pool_ref(row) for row in self.site.store.rows("pool"))

    @impl
    def pool_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[PoolInfo]]]:
        return self._answers(refs, self._info)

    @impl
    def pool_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Pool]]]]:
        return self._answers(refs, self._config)

    @impl
    def pool_define(self, config: Document[Pool]) -> Ref:
        model = config.model
        kind = str(model.type or "")
        self._backend(kind).live(model)
        if model.uuid is None:
            from uuid import uuid4

            model = model.replace(uuid=str(uuid4()))
            config = Document(model=model)
        uuid = model.uuid or ""
        with self.site.locks.hold(uuid, "define"):
            self.site.store.define("pool", uuid, model.name, config.text)
        return Ref("pool", uuid, name=model.name, uuid=uuid)

    @impl
    def pool_undefine(self, ref: Ref) -> None:
        with self.site.locks.hold(ref.key, "undefine"):
            self._inactive(ref, "undefine")
            self.site.store.undefine("pool", ref.key)

    @impl
    def pool_start(self, ref: Ref) -> None:
        with self.site.locks.hold("storage-pools", "start"), self.site.locks.hold(ref.key, "start"):
            row = self._inactive(ref, "start")
            found: Document[Pool] = Document(row.xml or "")
            model = found.model
            backend = self._backend(str(model.type or ""))
            live = backend.live(model)._replace(boot=self.site.boot)
            self._alone(row, live)
            live = backend.start(live)
            try:
                self.site.store.set_run("pool", ref.key, live.text)
            except VirtError:
                with suppress(VirtError):
                    backend.stop(live)
                raise

    @impl
    def pool_stop(self, ref: Ref) -> None:
        with self.site.locks.hold(ref.key, "stop"):
            live = self.site.live(ref, "stop")
            backend = self.backend(live)
            try:
                making = backend.making(live)
            except (NotFound, WrongState):  # the place itself is gone
                making = 0
            if making:
                raise Busy(
                    ref, holder=f"{making} volume(s)", purpose="being made", hint="wait for them, or cancel them"
                )
            backend.stop(live)
            self.site.store.set_run("pool", ref.key, "")

    def _answers(self, refs: Sequence[Ref], ask: Callable[[Row], T]) -> Iterator[tuple[Ref, Answer[T]]]:
        """What ``ask`` says of each pool; an error of one is that one's answer, and one that hangs keeps no other."""
        rows = {row.uuid: row for row in self.site.store.get_many("pool", [ref.key for ref in refs])}

        def answer(ref: Ref) -> T:
            if ref.key not in rows:
                raise NotFound(ref)
            return ask(rows[ref.key])

        return fan_out(refs, answer)

    def _info(self, row: Row) -> PoolInfo:
        live = Live.of(row.run, self.site.boot)
        if live is None:
            return PoolInfo(active=False, autostart=row.autostart)
        room = self.backend(live).room(live)
        used = room.capacity - room.available
        return PoolInfo(True, room.capacity, used, room.available, autostart=row.autostart)

    def _config(self, row: Row) -> Document[Pool]:
        """The definition; of an active pool with its sizes, and with notes of what in it is no volume."""
        kept: Document[Pool] = Document(row.xml or "")
        live = Live.of(row.run, self.site.boot)
        if live is None:
            return kept
        backend = self.backend(live)
        room = backend.room(live)
        model = kept.model.replace(
            capacity=room.capacity, allocation=room.capacity - room.available, available=room.available
        )
        model = backend.pool_told(live, model)
        odd = sorted(found for found in backend.names(live) if found.odd)
        notes = [f"{live.path}/{ascii(found.name)[1:-1]} is no volume: {found.odd}" for found in odd]
        return Document(model=model, notes=notes)

    def _inactive(self, ref: Ref, operation: str) -> Row:
        row = self.site.row(ref)
        if Live.of(row.run, self.site.boot) is not None:
            raise WrongState("active", ["inactive"], operation, what=pool_ref(row), hint="stop it first")
        return row

    def _alone(self, row: Row, live: Live) -> None:
        """Refuse a second active pool over the same place: each would change what the other relies on."""
        for other in self.site.store.rows("pool"):
            its = Live.of(other.run, self.site.boot)
            if other.uuid == row.uuid or its is None:
                continue
            place = its.path == live.path and not {its.type, live.type} & set(SHARED)
            if place or (its.source and its.source == live.source):
                raise Busy(
                    live.path, holder=f"pool {other.name!r}", purpose="its own volumes", hint="stop that pool first"
                )
