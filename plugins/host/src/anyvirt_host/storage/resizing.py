"""Hook that makes volumes larger or smaller."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Busy,
    Failed,
    Invalid,
    JobRecord,
    NotFound,
    Problem,
    Progress,
    Ref,
    Unsupported,
    VolumeChange,
    VolumeLifecycle,
    current,
    impl,
    phase,
)

from anyvirt_host.storage.backend import Resizes, Sight
from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.images.errand import errand
from anyvirt_host.storage.images.header import looks_like
from anyvirt_host.storage.losing import Losing
from anyvirt_host.storage.making import Making, protocol
from anyvirt_host.storage.users import refuse_running
from anyvirt_host.storage.volumes import RAW

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Backend
    from anyvirt_host.storage.images.header import Header
    from anyvirt_host.storage.site import Declared, Live

FORMATS: Final = ("raw", "qcow2", "luks", "qed")
_SECTOR: Final = 512
_MAGIC: Final = 16  # bytes that tell


class Resizing(Making, Losing):
    """A volume has its old size or its new one, whenever it is looked at."""

    @impl
    def volume_resize(
        self, ref: Ref, capacity: int, allocate: bool, delta: bool, shrink: bool
    ) -> Generator[Progress, None, None]:
        live = self._home(ref)
        assert ref.parent is not None
        with self.site.content(ref, "resize"):
            with self.site.locks.hold(ref.parent.key, "resize"):
                sight, backend = self._seen(ref, live), self.backend(live)
                refuse_running(self.site.run, backend, live, ref)
                said = self._said(ref.key, live, sight)
                if said is None and sight.type == "file":
                    _sure(ref, backend.head(live, backend.called(live, ref.key), _MAGIC))
                header = self._header(ref.key, live, said, sight) if said and said.format != RAW else None
                have = sight.physical if header is None else header.size
                size = _wanted(ref, sight, said, header, have + capacity if delta else capacity)
                self._may(ref, live, have, size, header, shrink=shrink)
                self._begin("resize", ref, live, sight, old=have, size=size)
            if size != have:
                if said is None or header is None:
                    steps = _raw(backend, live, ref, size, allocate=allocate)
                else:
                    steps = self._image(ref, live, sight, said, header, size, allocate=allocate)
                for progress in steps:
                    current().check("resizing a volume")
                    yield progress
                self.site.tell(VolumeLifecycle(ref=ref, change=VolumeChange.RESIZED))
        yield Progress(size, size, "B", "resizing")

    def settled_size(self, record: JobRecord) -> str:
        """What became of a resize that was killed."""
        path, old, size = str(record.undo["path"]), int(record.undo["old"]), int(record.undo["size"])
        ref = Ref("volume", path, Ref("pool", str(record.undo["pool"])))
        try:
            live = self._home(ref)
            sight, backend = self._seen(ref, live), self.backend(live)
        except NotFound:
            return f"volume {path}: it is gone"
        if self._another(record, ref, live, sight):
            return f"volume {path}: it is another one now, whose size stays"
        have, _ = self._capacity(self._known(ref, live, sight))
        said = self._said(path, live, sight)
        if have != size and (said is None or said.format == RAW) and isinstance(backend, Resizes):
            backend.settle(live, backend.called(live, path), old)
            have = old
        return f"volume {path}: " + ("it had been resized" if have == size else "it was not resized")

    def _begin(self, what: str, ref: Ref, live: Live, sight: Sight, **undo: Any) -> None:
        """Write down what is done to which file."""
        assert ref.parent is not None
        phase(what, pool=ref.parent.key, path=ref.key, identity=self._identity(ref, live, sight), **undo)

    def _another(self, record: JobRecord, ref: Ref, live: Live, sight: Sight) -> bool:
        """Whether somebody has put another file there since."""
        now = self._identity(ref, live, sight)
        return bool(record.undo.get("identity", now) != now)

    def _identity(self, ref: Ref, live: Live, sight: Sight) -> list[int]:
        """What tells a file from a later one; nothing does devices, whose nodes come and go."""
        if sight.type != "file":
            return []
        backend = self.backend(live)
        return [sight.inode, backend.generation(live, backend.called(live, ref.key))]

    def _may(self, ref: Ref, live: Live, have: int, size: int, header: Header | None, *, shrink: bool) -> None:
        """Refuse what would lose content that nobody gave up, or what others read."""
        if size < have and not shrink:
            text = f"{ref.key!r} has {have} bytes, and {size} are fewer: what is beyond them would be lost"
            raise Invalid([Problem("config.range", "/capacity", None, text, "say that it may shrink")])
        above = sorted({one.user for one in self._all_above(ref, live)}) if size < have else []
        if above:
            raise Busy(ref, holder=", ".join(above), purpose="they stand on it", hint="delete them first")
        if header and header.snapshots and size != have and (size < have or header.version < 3):
            text = f"{ref.key!r} has {header.snapshots} snapshot(s) inside, of its present size"
            raise Invalid(text, hint="delete them, or copy the volume and resize the copy")

    def _image(
        self, ref: Ref, live: Live, sight: Sight, said: Declared, header: Header, size: int, *, allocate: bool
    ) -> Generator[Progress, None, None]:
        """An image that has a format, resized by ``qemu-img``."""
        from anyvirt_host.storage.below import standing
        from anyvirt_host.storage.images.origin import Origin
        from anyvirt_host.storage.images.sealing import objects

        reach = protocol(self.backend(live), live, ref.key, sight)
        below = standing(self.site, ref.key, header, said)
        origin = Origin(ref.key, said.format, reach, header.size, below, self._opens(said))
        keys = [origin.key] if origin.key else []
        shrink = ["--shrink"] if size < header.size else []
        aside = ["--preallocation=falloc"] if allocate and size > header.size else []
        words = ["resize", "-q", *shrink, *aside, *objects([origin.key_id] if keys else [])]
        with needing("qemu-img"):
            out = yield from errand(
                self.site.run, "qemu-img", *words, origin.spec, str(size), keys=keys, about="resizing"
            )
        try:
            done(out, ref.key)
        except Failed:
            if said.format == "qcow2" and not keys:  # what it had taken for the new size
                self.site.run("qemu-img", "check", "-q", "-r", "leaks", origin.spec)
            raise


def _sure(ref: Ref, head: bytes) -> None:
    """Refuse what nobody declared and seems to be an image: its bytes would be cut, not what a guest sees."""
    seeming = looks_like(head)
    if seeming:
        text = f"{ref.key!r} looks like {seeming}, and nobody declared what it is"
        raise Invalid(text, hint=f"declare it as {seeming}, or as raw where a guest wrote that")


def _wanted(ref: Ref, sight: Sight, said: Declared | None, header: Header | None, size: int) -> int:
    """The size that it is to have, in what its format can have."""
    if sight.type == "dir":
        raise Invalid(f"{ref.key!r} is a folder, which has no size", hint="name a volume")
    kind = said.format if said else RAW
    if kind not in FORMATS:
        hint = f"copy it into a volume of another format: {', '.join(FORMATS)}"
        raise Unsupported("qemu-img", f"resizing volumes of the format {kind!r}", hint=hint)
    if not 0 <= size < 1 << 63 or (size == 0 and header):
        text = f"{size} bytes are no size of a volume"
        raise Invalid([Problem("config.range", "/capacity", None, text, "choose another")])
    return size if header is None else -(-size // _SECTOR) * _SECTOR


def _raw(backend: Backend, live: Live, ref: Ref, size: int, *, allocate: bool) -> Generator[Progress, None, None]:
    if not isinstance(backend, Resizes):
        hint = "resize it with what made it, then refresh the pool"
        raise Unsupported(f"pools of the type {live.type}", "resizing a volume", hint=hint)
    yield from backend.resize(live, backend.called(live, ref.key), size, allocate=allocate)
