"""Deleted volumes that are kept for a while."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from anyvirt.api import Row, Trashed

from anyvirt_test.content import Image
from anyvirt_test.place import folder, image, kind_of, part, place_of, volume_facts
from anyvirt_test.world import World


class Trash:
    """A list for each place; the oldest first. What is past its time is gone when somebody looks."""

    def __init__(self, world: World) -> None:
        self.world = world

    def put(self, pool: str, row: Row, seconds: int) -> None:
        """Keep a volume with what it holds; the caller takes it off the shelf."""
        facts, now, name = volume_facts(self.world, row), time.time(), uuid4().hex
        kept = Trashed(row.name, f"{place_of(self.world, pool)}/.trash/{name}", facts["allocation"], now, now + seconds)
        xml = self.world.store.get(row.kind, row.uuid).xml
        entry = {"id": name, "xml": xml, "facts": facts, "kept": list(_fields(kept))}
        self._write(pool, [*self._entries(pool), entry])
        image(self.world, row).move(self._file(name).path)

    def all(self, pool: str) -> tuple[Trashed, ...]:
        """What is kept; what is past its time is removed first."""
        self.empty(pool, time.time())
        return tuple(Trashed(*entry["kept"]) for entry in self._entries(pool))

    def take(self, pool: str, name: str) -> dict[str, Any] | None:
        """The last that was deleted under that name, with ``xml``, ``facts`` and ``id``; None where there is none."""
        self.empty(pool, time.time())
        found = [entry for entry in self._entries(pool) if entry["kept"][0] == name]
        return found[-1] if found else None

    def bring_back(self, pool: str, entry: dict[str, Any], row: Row) -> None:
        """Give a volume that is on its shelf again what it held."""
        self._file(entry["id"]).move(image(self.world, row).path)
        self._write(pool, [one for one in self._entries(pool) if one["id"] != entry["id"]])

    def empty(self, pool: str, now: float) -> None:
        """Remove for good what was kept long enough."""
        entries = self._entries(pool)
        late = [entry for entry in entries if Trashed(*entry["kept"]).until <= now]
        for entry in late:
            self._file(entry["id"]).drop()
        if late:
            self._write(pool, [entry for entry in entries if entry not in late])

    def clear(self, place: str) -> None:
        """Remove every volume of a place, and what is kept of it."""
        kind = f"volume:{uuid5(NAMESPACE_URL, place)}"
        for row in self.world.store.rows(kind):
            image(self.world, row).drop()
            part(self.world, row).drop()
            self.world.store.undefine(row.kind, row.uuid)
        self.world.store.set_blob("trash", kind, "entries", None)

    def _entries(self, pool: str) -> list[dict[str, Any]]:
        found = self.world.store.blob("trash", kind_of(self.world, pool), "entries")
        entries: list[dict[str, Any]] = json.loads(found) if found else []
        return entries

    def _write(self, pool: str, entries: list[dict[str, Any]]) -> None:
        self.world.store.set_blob("trash", kind_of(self.world, pool), "entries", json.dumps(entries).encode())

    def _file(self, name: str) -> Image:
        return Image(folder(self.world) / f"{name}.kept")


def _fields(kept: Trashed) -> Iterator[Any]:
    return (kept.name, kept.path, kept.size, kept.deleted_at, kept.until).__iter__()
