"""Pools: define, build, start, stop, delete; what they could be made of."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from anyvirt.api import (
    Answer,
    Autostart,
    Busy,
    Document,
    Exists,
    Invalid,
    NotFound,
    PoolChange,
    PoolInfo,
    PoolLifecycle,
    PoolRefresh,
    PoolType,
    Progress,
    Ref,
    Row,
    Unsupported,
    current,
    impl,
    phase,
)

from anyvirt_test.place import ROOM, STEPS, Shelf, place_of, pool_ref, volume_facts, volume_ref, volumes_of
from anyvirt_test.trash import Trash

if TYPE_CHECKING:
    from anyvirt.api import Pool, PoolSource, PoolSources, StoragePoolCapabilities

PLACED: Final = ("dir", "fs", "netfs", "logical", "disk", "iscsi", "scsi", "mpath", "zfs", "vstorage")
GROUPS: Final = ("testvg1", "testvg2")
CAPABILITIES: Final = """\
<storagepoolCapabilities>
{pools}
</storagepoolCapabilities>
"""


class Pools(Shelf):
    """Each pool has a hundred gibibytes. A place on the host is there until it is deleted, and again when built."""

    trash: Trash

    @impl
    def pool_list(self) -> Iterator[Ref]:
        return (pool_ref(row) for row in self.world.store.rows("pool"))

    @impl
    def pool_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[PoolInfo]]]:
        for ref in refs:
            row = next(iter(self.world.store.get_many("pool", [ref.key])), None)
            yield ref, Answer(self._info(row)) if row else Answer(error=NotFound(ref))

    @impl
    def pool_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Pool]]]]:
        for ref in refs:
            row = next(iter(self.world.store.get_many("pool", [ref.key])), None)
            yield ref, Answer(Document(row.xml or "")) if row else Answer(error=NotFound(ref))

    @impl
    def pool_find(self, path: str) -> Ref:
        for row in self.world.store.rows("pool"):
            if place_of(self.world, row.uuid) == path.rstrip("/"):
                return pool_ref(row)
        raise NotFound(path, "pool")

    @impl
    def pool_sources(self, type: str, source: Document[PoolSource] | None) -> Document[PoolSources]:  # noqa: A002
        if type == PoolType.LOGICAL:
            found = (f"<source><name>{name}</name><format type='lvm2'/></source>" for name in GROUPS)
        elif type == PoolType.NETFS:
            hosts = [host.name for host in source.model.hosts] if source else []
            if not hosts or not hosts[0]:
                raise Invalid("a pool of type netfs is on a server", hint="give a <source> with its <host name=''/>")
            share = "<dir path='/testshare'/><format type='nfs'/>"
            found = (f"<source><host name='{host}'/>{share}</source>" for host in hosts)
        elif type in list(PoolType):
            raise Unsupported("test", f"finding sources of pools of type {type}", hint="write the source yourself")
        else:
            raise Invalid(f"there is no pool of type {type!r}", hint=f"there are {', '.join(PoolType)}")
        return Document(f"<sources>{''.join(found)}</sources>")

    @impl
    def pool_capabilities(self) -> Document[StoragePoolCapabilities]:
        rows = (f"  <pool type='{kind}' supported='{'yes' if kind in PLACED else 'no'}'/>" for kind in PoolType)
        return Document(CAPABILITIES.format(pools="\n".join(rows)))

    @impl
    def pool_define(self, config: Document[Pool]) -> Ref:
        return self._keep(config, "define")

    @impl
    def pool_create(self, config: Document[Pool], build: bool, overwrite: bool) -> Ref:
        _together(build, overwrite)
        given = config.model
        for row in self.world.store.rows("pool"):
            if given.name == row.name or given.uuid == row.uuid:
                raise Exists("pool", row.name, holder=f"UUID {row.uuid}", hint="start that one, or choose another name")
        with self.world.locks.hold("pools", "create"):
            if build:
                self._build(given, overwrite=overwrite)
            self._there(given.target or "")
            self._alone("", given.target or "")
            return self._keep(config, "create", transient=True)

    @impl
    def pool_undefine(self, ref: Ref) -> None:
        with self.world.locks.hold(ref.key, "undefine"):
            self._pool(ref, active=False, operation="undefine")
            self.world.store.undefine("pool", ref.key, event=_told(ref, PoolChange.UNDEFINED))

    @impl
    def pool_set_autostart(self, ref: Ref, enabled: bool) -> None:
        with self.world.locks.hold(ref.key, "autostart"):
            row = self._pool_row(ref)
            told = [Autostart(ref=pool_ref(row), on=enabled)] if row.autostart is not enabled else []
            self.world.store.set_autostart("pool", ref.key, enabled, event=told)

    @impl
    def pool_start(self, ref: Ref, build: bool, overwrite: bool) -> None:
        _together(build, overwrite)
        with self.world.locks.hold("pools", "start"), self.world.locks.hold(ref.key, "start"):
            pool = self._pool(ref, active=False, operation="start")
            if build:
                self._build(self._model(ref), overwrite=overwrite)
            place = place_of(self.world, ref.key)
            self._there(place)
            self._alone(ref.key, place)
            self.world.store.set_run("pool", ref.key, "active", event=_told(pool, PoolChange.STARTED))

    @impl
    def pool_stop(self, ref: Ref) -> None:
        with self.world.locks.hold(ref.key, "stop"):
            pool = self._pool(ref, active=True, operation="stop")
            told = _told(pool, PoolChange.STOPPED)
            if self._pool_row(ref).transient:
                self.world.store.undefine("pool", ref.key, event=told)
            else:
                self.world.store.set_run("pool", ref.key, "", event=told)

    @impl
    def pool_build(self, ref: Ref, overwrite: bool) -> Generator[Progress, None, None]:
        with self.world.locks.hold(ref.key, "build"):
            pool = self._pool(ref, active=False, operation="build")
            self._buildable(self._model(ref), overwrite=overwrite)
        phase("build", pool=ref.key)
        for step in range(STEPS):
            current().check("pool_build")
            yield Progress(step, STEPS, "steps", "building")
        with self.world.locks.hold(ref.key, "build"):
            self._pool(ref, active=False, operation="build")
            self._build(self._model(ref), overwrite=overwrite)
            self.world.store.append(_told(pool, PoolChange.CREATED))
        yield Progress(STEPS, STEPS, "steps", "building")

    @impl
    def pool_delete(self, ref: Ref, zeroed: bool) -> None:  # noqa: ARG002 - nothing is left of it either way
        with self.world.locks.hold(ref.key, "delete"):
            pool = self._pool(ref, active=False, operation="delete")
            place = place_of(self.world, ref.key)
            self._there(place)
            inside = volumes_of(self.world, ref.key)
            if inside:
                names = ", ".join(row.name for row in inside)
                raise Busy(ref, holder=f"volumes in it: {names}", hint="delete them first")
            self.world.store.set_blob("place", place, "gone", b"gone")
            self.world.store.append(_told(pool, PoolChange.DELETED))

    @impl
    def pool_refresh(self, ref: Ref) -> None:
        pool = self._pool(ref, active=True, operation="refresh")
        self.trash.empty(ref.key, time.time())
        self.world.store.append(PoolRefresh(ref=pool))

    @impl
    def pool_volumes(self, ref: Ref) -> Iterator[Ref]:
        pool = self._pool(ref, active=True, operation="listing its volumes")
        return (volume_ref(pool, row) for row in volumes_of(self.world, ref.key))

    def was_building(self, pool: str) -> str:
        """What became of a pool whose builder was killed."""
        rows = self.world.store.get_many("pool", [pool])
        if not rows:
            return "a pool: it is gone"
        there = self.world.store.blob("place", place_of(self.world, pool), "gone") is None
        return f"pool {rows[0].name}: " + ("it is built" if there else "it was not built")

    def _keep(self, config: Document[Pool], purpose: str, *, transient: bool = False) -> Ref:
        model = config.model
        if not model.target or model.type not in PLACED:
            raise Invalid(
                "a pool of the test host needs a place on it",
                hint=f"such as <target><path>/srv/images</path></target>; types: {', '.join(PLACED)}",
            )
        if model.uuid is None:
            model = model.replace(uuid=str(uuid4()))
            config = Document(model=model)
        uuid = model.uuid or ""
        ref = Ref("pool", uuid, name=model.name, uuid=uuid)
        with self.world.locks.hold(uuid, purpose):
            told: Any = _told(ref, PoolChange.STARTED if transient else PoolChange.DEFINED)
            run = "active" if transient else None
            self.world.store.define("pool", uuid, model.name, config.text, event=told, transient=transient, run=run)
            path = str(model.target).rstrip("/")
            self.world.store.set_blob("pool", uuid, "facts", json.dumps({"path": path}).encode())
        return ref

    def _model(self, ref: Ref) -> Pool:
        kept: Document[Pool] = Document(self._pool_row(ref).xml or "")
        return kept.model

    def _there(self, place: str) -> None:
        """Refuse a place that was deleted.

        :raises NotFound: it was.
        """
        if self.world.store.blob("place", place.rstrip("/"), "gone") is not None:
            raise NotFound(place, "file", hint="build the pool first")

    def _buildable(self, model: Pool, *, overwrite: bool) -> None:
        """Refuse to build over what is there, except for a folder, which nothing has to be done about.

        :raises Exists: there is something.
        """
        place = str(model.target).rstrip("/")
        there = self.world.store.blob("place", place, "gone") is None
        if there and not overwrite and model.type != PoolType.DIR:
            raise Exists("content", place, hint="overwrite it, if nobody needs what is there")

    def _build(self, model: Pool, *, overwrite: bool) -> None:
        self._buildable(model, overwrite=overwrite)
        place = str(model.target).rstrip("/")
        if overwrite and model.type != PoolType.DIR:
            self.trash.clear(place)
        self.world.store.set_blob("place", place, "gone", None)

    def _alone(self, pool: str, place: str) -> None:
        """Refuse a second active pool in the same place: each would change what the other relies on."""
        for other in self.world.store.rows("pool"):
            if other.uuid != pool and other.run and place_of(self.world, other.uuid) == place.rstrip("/"):
                raise Busy(place, holder=f"pool {other.name!r}", purpose="its own volumes", hint="stop that pool first")

    def _info(self, row: Row) -> PoolInfo:
        if not row.run:
            return PoolInfo(active=False, persistent=not row.transient, autostart=row.autostart)
        used = sum(volume_facts(self.world, volume)["allocation"] for volume in volumes_of(self.world, row.uuid))
        used += sum(kept.size for kept in self.trash.all(row.uuid))
        return PoolInfo(True, ROOM, used, ROOM - used, not row.transient, row.autostart)


def _together(build: bool, overwrite: bool) -> None:
    if overwrite and not build:
        raise Invalid("overwrite says how to build, and nothing is built", hint="give build as well")


def _told(ref: Ref, change: PoolChange) -> PoolLifecycle:
    return PoolLifecycle(ref=ref, change=change)
