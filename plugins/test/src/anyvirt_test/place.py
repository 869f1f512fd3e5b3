"""Pools and volumes as the store has them; what is in a pool belongs to its place on the host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from anyvirt.api import Busy, NotFound, Ref, Row, WrongState

from anyvirt_test.content import Image, Part
from anyvirt_test.world import World

ROOM: Final = 100 << 30  # bytes in every pool
STEPS: Final = 8
MAKING: Final = "making"


class Shelf:
    """What the parts of storage have in common: finding a pool or a volume, and who uses it."""

    world: World

    def _pool(self, ref: Ref, *, active: bool, operation: str) -> Ref:
        """The pool, which has to be active or has not to be.

        :raises WrongState: it is the other way round.
        """
        row = self._pool_row(ref)
        if bool(row.run) is not active:
            now, needed = ("active", "inactive") if row.run else ("inactive", "active")
            hint = "stop it first" if row.run else "start it first"
            raise WrongState(now, [needed], operation, what=pool_ref(row), hint=hint)
        return pool_ref(row)

    def _pool_row(self, ref: Ref) -> Row:
        rows = self.world.store.get_many("pool", [ref.key])
        if not rows:
            raise NotFound(ref)
        return rows[0]

    def _volume(self, ref: Ref, operation: str) -> Row:
        """The volume, whose pool has to be active."""
        ((_, row),) = self._volumes([ref])
        if row is None or ref.parent is None:
            raise NotFound(ref)
        self._pool(ref.parent, active=True, operation=operation)
        return row

    def _volumes(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Row | None]]:
        for ref in refs:
            rows = self.world.store.get_many(kind_of(self.world, ref.parent.key), [ref.key]) if ref.parent else []
            yield ref, rows[0] if rows and not rows[0].run else None

    def _not_in_use(self, ref: Ref, row: Row) -> None:
        """Refuse a volume that a running guest has open.

        :raises Busy: it names the guest.
        """
        path = str(volume_facts(self.world, row)["path"])
        for name, disk, running in guests_with(self.world, path):
            if running:
                raise Busy(ref, holder=f"domain {name}", purpose=f"its disk {disk}", hint="stop the guest first")


def pool_ref(row: Row) -> Ref:
    """A pool's handle is its UUID."""
    return Ref("pool", row.uuid, name=row.name, uuid=row.uuid)


def volume_ref(pool: Ref, row: Row) -> Ref:
    """A volume's handle is made of its path."""
    return Ref("volume", row.uuid, pool, name=row.name)


def place_of(world: World, pool: str) -> str:
    """Where on the host the pool is."""
    return str(json.loads(world.store.blob("pool", pool, "facts") or b"{}").get("path", ""))


def kind_of(world: World, pool: str) -> str:
    """What the store calls volumes of the pool; names are unique within it."""
    return f"volume:{uuid5(NAMESPACE_URL, place_of(world, pool))}"


def volume_row(world: World, pool: str, name: str) -> Row:
    """The row that a volume of that name has, or would have."""
    kind = kind_of(world, pool)
    return Row(kind, str(uuid5(NAMESPACE_URL, f"{kind}/{name}")), name, None, False, False, "", "", 0.0)


def keep_volume(
    world: World, pool: str, name: str, xml: str, facts: Mapping[str, Any], *, run: str = ""
) -> dict[str, Any]:
    """Put a volume into a pool; what ``facts`` leave out is as libvirt would have it."""
    row = volume_row(world, pool, name)
    capacity = facts.get("capacity", 0)
    known = {"path": f"{place_of(world, pool)}/{name}", "capacity": capacity, "allocation": capacity, **facts}
    world.store.set_blob(row.kind, row.uuid, "facts", json.dumps(known).encode())
    world.store.define(row.kind, row.uuid, name, xml, run=run)
    return known


def volume_facts(world: World, row: Row) -> dict[str, Any]:
    """Path, sizes, format and backing file of a volume."""
    facts: dict[str, Any] = json.loads(world.store.blob(row.kind, row.uuid, "facts") or b"{}")
    content = image(world, row).size()
    facts["allocation"] = max(facts.get("allocation", 0), min(content, facts.get("capacity", 0)))
    return facts


def image_length(facts: Mapping[str, Any]) -> int:
    """Bytes of a volume's image; what a guest sees, unless the image was declared to be of another size."""
    return int(facts.get("length", facts["capacity"]))


def set_facts(world: World, row: Row, **changes: Any) -> None:
    """Note something else of a volume."""
    facts: dict[str, Any] = json.loads(world.store.blob(row.kind, row.uuid, "facts") or b"{}")
    world.store.set_blob(row.kind, row.uuid, "facts", json.dumps({**facts, **changes}).encode())


def folder(world: World) -> Path:
    """What volumes hold is in files here."""
    found = world.folder() / "volumes"
    found.mkdir(mode=0o700, exist_ok=True)
    return found


def image(world: World, row: Row) -> Image:
    """What a volume holds."""
    return Image(folder(world) / f"{row.uuid}.img")


def part(world: World, row: Row) -> Part:
    """What has come of an upload to a volume."""
    return Part(folder(world) / f"{row.uuid}.part")


def volumes_of(world: World, pool: str) -> list[Row]:
    """Every volume of a pool that has been made, by name."""
    return [row for row in world.store.rows(kind_of(world, pool)) if not row.run]


def everywhere(world: World) -> Iterator[tuple[Ref, Row, dict[str, Any]]]:
    """Every volume of every pool, with its facts."""
    for pool in world.store.rows("pool"):
        for row in volumes_of(world, pool.uuid):
            yield pool_ref(pool), row, volume_facts(world, row)


def sizes_by_path(world: World) -> dict[str, tuple[int, int]]:
    """Capacity and allocation of every volume of every pool, by path."""
    return {str(facts["path"]): (int(facts["capacity"]), int(facts["allocation"])) for _, _, facts in everywhere(world)}


def below(world: World, path: str) -> list[str]:
    """The paths of a backing chain, from the top; a loop is followed once."""
    backing = {facts["path"]: facts.get("backing", "") for _, _, facts in everywhere(world)}
    found: list[str] = []
    while path and path not in found:
        found.append(path)
        path = backing.get(path, "")
    return found


def guests_with(world: World, path: str) -> Iterator[tuple[str, str, bool]]:
    """Guests that have a volume as a disk, or below one: name, disk, and whether they run."""
    for guest in world.guests():
        for target, source in world.shape(guest).disks:
            if source and path in below(world, source):
                yield guest.row.name, target, guest.run.active
