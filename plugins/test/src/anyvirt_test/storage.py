"""Pools and volumes; making one is long work."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

from anyvirt.api import (
    Answer,
    Document,
    Exists,
    Invalid,
    JobRecord,
    NotFound,
    PoolInfo,
    Progress,
    Ref,
    Row,
    Undo,
    VolumeInfo,
    WrongState,
    current,
    impl,
    phase,
)

from anyvirt_test.world import World

if TYPE_CHECKING:
    from anyvirt.api import Pool, Volume

ROOM: Final = 100 << 30  # bytes in every pool
STEPS: Final = 8
MAKING: Final = "making"


class Storage:
    """Each pool has a hundred gibibytes, and a volume takes what it says that it takes."""

    world: World

    @impl
    def pool_list(self) -> Iterator[Ref]:
        return (_ref(row) for row in self.world.store.rows("pool"))

    @impl
    def pool_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[PoolInfo]]]:
        for ref in refs:
            row = next(iter(self.world.store.get_many("pool", [ref.key])), None)
            yield ref, Answer(self._info(row)) if row else Answer(error=NotFound(ref))

    @impl
    def pool_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Pool]]]]:
        for ref in refs:
            row = next(iter(self.world.store.get_many("pool", [ref.key])), None)
            yield ref, Answer(_kept(row)) if row else Answer(error=NotFound(ref))

    @impl
    def pool_define(self, config: Document[Pool]) -> Ref:
        model = config.model
        if model.uuid is None:
            model = model.replace(uuid=str(uuid4()))
            config = Document(model=model)
        uuid = model.uuid or ""
        if not model.target:
            raise Invalid("a pool needs a place on the host", hint="such as <target><path>/srv/images</path></target>")
        with self.world.locks.hold(uuid, "define"):
            self.world.store.define("pool", uuid, model.name, config.text)
            self.world.store.set_blob("pool", uuid, "facts", json.dumps({"path": model.target}).encode())
        return Ref("pool", uuid, name=model.name, uuid=uuid)

    @impl
    def pool_undefine(self, ref: Ref) -> None:
        with self.world.locks.hold(ref.key, "undefine"):
            self._pool(ref, active=False, operation="undefine")
            for row in self.world.store.rows(_kind(ref.key)):  # what is in it is none of this host's any more
                self.world.store.undefine(row.kind, row.uuid)
            self.world.store.undefine("pool", ref.key)

    @impl
    def pool_start(self, ref: Ref) -> None:
        with self.world.locks.hold(ref.key, "start"):
            self._pool(ref, active=False, operation="start")
            self.world.store.set_run("pool", ref.key, "active")

    @impl
    def pool_stop(self, ref: Ref) -> None:
        with self.world.locks.hold(ref.key, "stop"):
            self._pool(ref, active=True, operation="stop")
            self.world.store.set_run("pool", ref.key, "")

    @impl
    def pool_volumes(self, ref: Ref) -> Iterator[Ref]:
        pool = self._pool(ref, active=True, operation="listing its volumes")
        return (_volume_ref(pool, row) for row in self.world.store.rows(_kind(ref.key)) if not row.run)

    @impl
    def volume_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Volume]]]]:
        for ref, row in self._volumes(refs):
            yield ref, Answer(_kept(row)) if row else Answer(error=NotFound(ref))

    @impl
    def volume_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[VolumeInfo]]]:
        for ref, row in self._volumes(refs):
            facts = row and volume_facts(self.world, row)
            answer = VolumeInfo("file", facts["capacity"], facts["allocation"], facts["capacity"]) if facts else None
            yield ref, Answer(answer) if answer else Answer(error=NotFound(ref))

    @impl
    def volume_path(self, ref: Ref) -> str:
        return str(volume_facts(self.world, self._volume(ref))["path"])

    @impl
    def volume_create(self, pool: Ref, config: Document[Volume]) -> Generator[Progress, None, Ref]:
        model = config.model
        home = self._pool(pool, active=True, operation="making a volume")
        size = model.capacity or 0
        with Undo() as undo:
            with self.world.locks.hold(pool.key, "volume"):
                if any(row.name == model.name for row in self.world.store.rows(_kind(pool.key))):
                    raise Exists("volume", model.name, holder=f"pool {home}", hint="choose another name, or delete it")
                ref = _volume_ref(home, _named(pool.key, model.name))
                phase("make", pool=pool.key, volume=ref.key)
                facts = {"capacity": size, "allocation": size if model.allocation is None else model.allocation}
                keep_volume(self.world, pool.key, model.name, config.text, facts, run=MAKING)
            undo.callback(self._drop, pool.key, ref.key)
            for step in range(STEPS):
                current().check("volume_create")
                yield Progress(size * step // STEPS, size, "B", "allocating")
            self.world.store.set_run(_kind(pool.key), ref.key, "")
            undo.keep()
        yield Progress(size, size, "B", "allocating")
        return ref

    @impl
    def volume_delete(self, ref: Ref) -> None:
        row = self._volume(ref)
        self.world.store.undefine(row.kind, row.uuid)

    def drop_unfinished(self, record: JobRecord) -> str | None:
        """What became of a volume whose maker was killed: it is gone."""
        if record.hook != "volume_create":
            return None
        pool, volume = str(record.undo["pool"]), str(record.undo["volume"])
        rows = self.world.store.get_many(_kind(pool), [volume])
        if not rows or rows[0].run != MAKING:
            return "a volume: it had been made, or never begun"
        self._drop(pool, volume)
        return f"volume {rows[0].name}: removed, it was not finished"

    def _info(self, row: Row) -> PoolInfo:
        if not row.run:
            return PoolInfo(active=False, autostart=row.autostart)
        used = sum(volume_facts(self.world, volume)["allocation"] for volume in self.world.store.rows(_kind(row.uuid)))
        return PoolInfo(True, ROOM, used, ROOM - used, autostart=row.autostart)

    def _pool(self, ref: Ref, *, active: bool, operation: str) -> Ref:
        """The pool, which has to be active or has not to be.

        :raises WrongState: it is the other way round.
        """
        rows = self.world.store.get_many("pool", [ref.key])
        if not rows:
            raise NotFound(ref)
        if bool(rows[0].run) is not active:
            now, needed = ("active", "inactive") if rows[0].run else ("inactive", "active")
            raise WrongState(now, [needed], operation, what=_ref(rows[0]))
        return _ref(rows[0])

    def _volume(self, ref: Ref) -> Row:
        ((_, row),) = self._volumes([ref])
        if row is None:
            raise NotFound(ref)
        return row

    def _volumes(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Row | None]]:
        for ref in refs:
            rows = self.world.store.get_many(_kind(ref.parent.key), [ref.key]) if ref.parent else []
            yield ref, rows[0] if rows and not rows[0].run else None

    def _drop(self, pool: str, volume: str) -> None:
        self.world.store.undefine(_kind(pool), volume)


def keep_volume(world: World, pool: str, name: str, xml: str, facts: Mapping[str, Any], *, run: str = "") -> None:
    """Put a volume into a pool; what ``facts`` leave out is as libvirt would have it."""
    row = _named(pool, name)
    folder = json.loads(world.store.blob("pool", pool, "facts") or b"{}").get("path", "")
    capacity = facts.get("capacity", 0)
    known = {"path": f"{folder}/{name}", "capacity": capacity, "allocation": capacity, **facts}
    world.store.set_blob(row.kind, row.uuid, "facts", json.dumps(known).encode())
    world.store.define(row.kind, row.uuid, name, xml, run=run)


def volume_facts(world: World, row: Row) -> dict[str, Any]:
    """Path and sizes of a volume."""
    facts: dict[str, Any] = json.loads(world.store.blob(row.kind, row.uuid, "facts") or b"{}")
    return facts


def sizes_by_path(world: World) -> dict[str, tuple[int, int]]:
    """Capacity and allocation of every volume of every pool, by path."""
    found = {}
    for pool in world.store.rows("pool"):
        for row in world.store.rows(_kind(pool.uuid)):
            facts = volume_facts(world, row)
            found[str(facts["path"])] = (int(facts["capacity"]), int(facts["allocation"]))
    return found


def _kept(row: Row) -> Document[Any]:
    return Document(row.xml or "")


def _kind(pool: str) -> str:
    return f"volume:{pool}"  # names are unique within a pool


def _named(pool: str, name: str) -> Row:
    """The row that a volume of that name has, or would have."""
    return Row(_kind(pool), str(uuid5(NAMESPACE_URL, f"{pool}/{name}")), name, None, False, False, "", "", 0.0)


def _ref(row: Row) -> Ref:
    return Ref(row.kind, row.uuid, name=row.name, uuid=row.uuid)


def _volume_ref(pool: Ref, row: Row) -> Ref:
    return Ref("volume", row.uuid, pool, name=row.name)
