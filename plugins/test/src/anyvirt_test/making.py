"""Long work on volumes: make, clone, resize, wipe."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Document,
    Exists,
    Invalid,
    JobRecord,
    NotFound,
    Progress,
    Ref,
    Row,
    Undo,
    VolumeChange,
    VolumeLifecycle,
    current,
    impl,
    phase,
)

from anyvirt_test.place import (
    MAKING,
    STEPS,
    everywhere,
    image,
    keep_volume,
    kind_of,
    part,
    set_facts,
    volume_facts,
    volume_ref,
    volume_row,
)
from anyvirt_test.volumes import Volumes

if TYPE_CHECKING:
    from anyvirt.api import Volume

# algorithm -> passes, and whether the last one writes noise; libvirt's, as the scrub program has them
WIPES: Final = {
    "zero": (1, False), "nnsa": (4, False), "dod": (4, False), "bsi": (9, False), "gutmann": (35, True),
    "schneier": (7, True), "pfitzner7": (7, True), "pfitzner33": (33, True), "random": (1, True), "trim": (1, False),
}  # fmt: skip
LARGEST: Final = (1 << 63) - 512


class Making(Volumes):
    """A volume takes what it says that it takes."""

    @impl
    def volume_create(self, pool: Ref, config: Document[Volume], preallocate: bool) -> Generator[Progress, None, Ref]:
        facts = self._wanted(config.model, preallocate=preallocate)
        return (yield from self._make(pool, config, facts, None))

    @impl
    def volume_create_from(
        self,
        pool: Ref,
        config: Document[Volume],
        source: Ref,
        preallocate: bool,
        reflink: bool,  # noqa: ARG002 - here every copy shares what it can
    ) -> Generator[Progress, None, Ref]:
        row = self._volume(source, "copying it")
        has = volume_facts(self.world, row)
        model = config.model
        if not model.capacity or model.capacity < has["capacity"]:
            model = model.replace(capacity=has["capacity"])
        facts = self._wanted(model, preallocate=preallocate)
        return (yield from self._make(pool, config, facts, row))

    @impl
    def volume_resize(
        self, ref: Ref, capacity: int, allocate: bool, delta: bool, shrink: bool
    ) -> Generator[Progress, None, None]:
        row = self._volume(ref, "resizing a volume")
        has = volume_facts(self.world, row)["capacity"]
        size = has + capacity if delta else capacity
        if not 0 <= size <= LARGEST:
            raise Invalid(f"{size} bytes are no size of a volume", hint=f"it has {has} now")
        if size < has and not shrink:
            text = f"{ref} has {has} bytes, and would have {size}: what is behind that would be lost"
            raise Invalid(text, hint="shrink allows that")
        self._not_in_use(ref, row)
        phase("resize", volume=ref.key, kind=row.kind, was=has, size=size)
        for step in range(STEPS):
            current().check("volume_resize")
            yield Progress(step, STEPS, "steps", "resizing")
        with self.world.locks.hold(row.kind, "resize"):
            row = self._volume(ref, "resizing a volume")
            self._not_in_use(ref, row)
            image(self.world, row).cut(size)
            facts = volume_facts(self.world, row)
            allocation = facts["allocation"] + (size - has if allocate and size > has else 0)
            set_facts(self.world, row, capacity=size, length=size, allocation=min(allocation, size))
            self.world.store.append(VolumeLifecycle(ref=ref, change=VolumeChange.RESIZED))
        yield Progress(STEPS, STEPS, "steps", "resizing")

    @impl
    def volume_wipe(self, ref: Ref, algorithm: str) -> Generator[Progress, None, None]:
        row = self._volume(ref, "wiping a volume")
        if algorithm not in WIPES:
            raise Invalid(f"there is no algorithm {algorithm!r}", hint=f"there are {', '.join(WIPES)}")
        passes, noise = WIPES[algorithm]
        self._not_in_use(ref, row)
        phase("wipe", volume=ref.key, kind=row.kind)
        for step in range(passes):
            current().check("volume_wipe")
            yield Progress(step, passes, "passes", "overwriting")
        with self.world.locks.hold(row.kind, "wipe"):
            row = self._volume(ref, "wiping a volume")
            image(self.world, row).wipe(noise=noise)
            if algorithm == "trim":
                set_facts(self.world, row, allocation=0)
        yield Progress(passes, passes, "passes", "overwriting")

    def settle(self, record: JobRecord) -> str | None:
        """What became of work on storage whose process was killed: half a volume is removed."""
        if record.hook == "pool_build":
            return self.was_building(str(record.undo["pool"]))
        if record.hook not in ("volume_create", "volume_create_from", "volume_resize", "volume_wipe"):
            return None
        kind, volume = str(record.undo["kind"]), str(record.undo["volume"])
        rows = self.world.store.get_many(kind, [volume])
        if not rows:
            return "a volume: it is gone, or was never begun"
        row = rows[0]
        if record.hook == "volume_resize":
            whole = volume_facts(self.world, row)["capacity"] == record.undo["size"]
            return f"volume {row.name}: it has its " + ("new size" if whole else "old size")
        if record.hook == "volume_wipe":
            return f"volume {row.name}: wipe it again, it may have its content still"
        if row.run != MAKING:
            return f"volume {row.name}: it had been made"
        self._drop(row)
        return f"volume {row.name}: removed, it was not finished"

    def _make(
        self, pool: Ref, config: Document[Volume], facts: dict[str, Any], source: Row | None
    ) -> Generator[Progress, None, Ref]:
        model = config.model
        home = self._pool(pool, active=True, operation="making a volume")
        size = facts["capacity"]
        with Undo() as undo:
            with self.world.locks.hold(kind_of(self.world, pool.key), "volume"):
                row = volume_row(self.world, pool.key, model.name)
                if any(other.name == model.name for other in self.world.store.rows(row.kind)):
                    raise Exists("volume", model.name, holder=f"pool {home}", hint="choose another name, or delete it")
                ref = volume_ref(home, row)
                phase("make", kind=row.kind, volume=ref.key)
                keep_volume(self.world, pool.key, model.name, config.text, facts, run=MAKING)
            undo.callback(self._drop, row)
            for step in range(STEPS):
                current().check("volume_create")
                yield Progress(size * step // STEPS, size, "B", "allocating")
            if source is not None:
                self._copy(source, row)
            self._pool(pool, active=True, operation="making a volume")
            told = VolumeLifecycle(ref=ref, change=VolumeChange.CREATED)
            self.world.store.set_run(row.kind, ref.key, "", event=told)
            undo.keep()
        yield Progress(size, size, "B", "allocating")
        return ref

    def _wanted(self, model: Volume, *, preallocate: bool) -> dict[str, Any]:
        """Sizes, format and backing file of a new volume.

        :raises Invalid: the backing file is no volume, or it is not said what format it has.
        """
        target, below = model.target, model.backing_store
        kind = str(target.format) if target and target.format else "raw"
        size, facts = model.capacity or 0, {"format": kind}
        if below and below.path:
            if not below.format:
                raise Invalid("the format of a backing file is never guessed", hint="say which it has")
            found = next((has for _, _, has in everywhere(self.world) if has["path"] == below.path), None)
            if found is None:
                raise NotFound(below.path, "file", hint="on the test host only volumes can be backing files")
            if kind == "raw":
                raise Invalid("a raw volume has no backing file", hint="make it qcow2")
            size = size or found["capacity"]
            facts |= {"backing": below.path, "backing_format": str(below.format)}
        tables = size // 8192 if preallocate else 0
        full = size if kind == "raw" else tables
        allocation = full if model.allocation is None else min(model.allocation, size)
        return {**facts, "capacity": size, "allocation": allocation}

    def _copy(self, source: Row, row: Row) -> None:
        """Give a volume what another one holds, with what is below that."""
        by_path = {facts["path"]: (found, facts) for _, found, facts in everywhere(self.world)}
        layers, facts = [source], volume_facts(self.world, source)
        while facts.get("backing") in by_path and len(layers) <= len(by_path):
            found, facts = by_path[facts["backing"]]
            layers.append(found)
        for layer in reversed(layers):
            image(self.world, row).copy(image(self.world, layer))

    def _drop(self, row: Row) -> None:
        image(self.world, row).drop()
        part(self.world, row).drop()
        self.world.store.undefine(row.kind, row.uuid)
