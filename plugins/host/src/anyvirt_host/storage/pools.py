"""Hooks of pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from anyvirt.api import (
    Answer,
    Document,
    NotFound,
    PoolChange,
    PoolInfo,
    PoolLifecycle,
    Ref,
    Row,
    WrongState,
    fan_out,
    impl,
)

from anyvirt_host.storage.backend import Backend, backend_of
from anyvirt_host.storage.site import HALF, Live, Site, pool_ref

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
        config = told_apart(config)
        model, uuid = config.model, config.model.uuid or ""
        self._backend(str(model.type or "")).live(model)
        ref = Ref("pool", uuid, name=model.name, uuid=uuid)
        with self.site.locks.hold(uuid, "define"):
            event = PoolLifecycle(ref=ref, change=PoolChange.DEFINED)
            self.site.store.define("pool", uuid, model.name, config.text, event=event)
            self.site.store.set_blob("pool", uuid, HALF, None)
        return ref

    @impl
    def pool_undefine(self, ref: Ref) -> None:
        with self.site.locks.hold(ref.key, "undefine"):
            row = self._inactive(ref, "undefine")
            event = PoolLifecycle(ref=pool_ref(row), change=PoolChange.UNDEFINED)
            self.site.store.undefine("pool", ref.key, event=event)

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
            return PoolInfo(active=False, persistent=not row.transient, autostart=row.autostart)
        room = self.backend(live).room(live)
        used = room.capacity - room.available
        return PoolInfo(True, room.capacity, used, room.available, not row.transient, row.autostart)

    def _config(self, row: Row) -> Document[Pool]:
        """The definition; of an active pool with its sizes, and with notes of what in it is no volume."""
        kept: Document[Pool] = Document(row.xml or "")
        live = Live.of(row.run, self.site.boot)
        if live is None:
            half = self.site.half(pool_ref(row))
            return Document(kept.text, notes=[f"its building was cut short: {half} may be half made"]) if half else kept
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


def told_apart(config: Document[Pool]) -> Document[Pool]:
    """The description, with a UUID where it has none, and where it has no name with that of its source."""
    model = config.model
    if model.uuid is not None and model.name:
        return config
    from uuid import uuid4

    name = model.name or (model.source and model.source.name) or ""
    return Document(model=model.replace(name=name, uuid=model.uuid or str(uuid4())))
