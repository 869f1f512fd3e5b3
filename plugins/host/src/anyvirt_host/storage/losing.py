"""What would be lost with a volume, and who uses it: guests, snapshots, images above it, pools, uploads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Busy, Deadline, Loss, NotFound, Ref, VirtError, fan_out, left, within

from anyvirt_host.storage.guests import defined_with
from anyvirt_host.storage.images.header import HEAD, backing_path, looks_like
from anyvirt_host.storage.images.headers import header_of
from anyvirt_host.storage.images.origin import node
from anyvirt_host.storage.site import Declared, Live, pool_ref
from anyvirt_host.storage.transfers import Transfers
from anyvirt_host.storage.trash import Keeping
from anyvirt_host.storage.users import busy_with
from anyvirt_host.storage.volumes import RAW

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Backend, Sight

OTHERS: Final = 3.0  # seconds that other pools have to say whether something of theirs stands on a volume
BELOW: Final = "it is the backing file"


class Above(NamedTuple):
    """An image that stands on another."""

    place: str
    size: int | None
    user: str


class Losing(Transfers):
    """Everything that is known of a volume's users, and on the safe side what is not."""

    def _losses(self, ref: Ref, live: Live, sight: Sight) -> Iterator[Loss]:
        yield Loss(ref.key, sight.allocation, "the volume itself")
        kept = self.uploading(ref, live, sight)
        if kept is not None:
            user = f"an upload to {ref.name or ref.key} that is under way" if kept.held else ""
            yield Loss(ref.key, kept.done, "what came of an upload that was not finished", user)
        if sight.type == "dir":
            return
        for who in busy_with(self.site.run, self.backend(live), live, ref.key):
            yield Loss(ref.key, None, "it is open now", who)
        pool, name = self._names(ref, live)
        for who in defined_with(self.site.stores(), self._aliases(ref, live), pool, name):
            yield Loss(ref.key, None, "its definition names it", who)
        if sight.type == "file":
            for snapshot in self._snapshots(ref, live, sight):
                yield Loss(ref.key, None, "it is inside", f"snapshot {snapshot}")
        yield from (Loss(one.place, one.size, BELOW, one.user) for one in self._all_above(ref, live))
        for row in self.site.store.rows("pool"):
            other = Live.of(row.run, self.site.boot)
            if other is not None and other.source == ref.key:
                yield Loss(ref.key, None, "it is what the pool is on", f"pool {row.name}")

    def _names(self, ref: Ref, live: Live) -> tuple[str, str]:
        """Pool and volume, as definitions of guests call them."""
        assert ref.parent is not None
        return self.site.row(ref.parent).name, self.backend(live).called(live, ref.key)

    def _snapshots(self, ref: Ref, live: Live, sight: Sight) -> list[str]:
        """Names of the snapshots inside an image; numbers where they cannot be read."""
        said = self._said(ref.key, live, sight)
        if said is None or said.format != "qcow2":
            return []
        try:
            header = self._header(ref.key, live, said, sight)
        except VirtError:  # something else was written over it
            return []
        if not header.snapshots:
            return []
        numbers = [f"{number}" for number in range(1, header.snapshots + 1)]
        if header.data_file:  # qemu-img would open that, by the image's own word
            return numbers[:8]
        # nothing below is opened
        image = json.dumps(node("qcow2", {"driver": "file", "filename": ref.key}))
        try:
            told = json.loads(self.site.run("qemu-img", "info", "-U", "--output=json", f"json:{image}").ok().text)
            return [ascii(str(one["name"]))[1:-1] for one in told["snapshots"]]
        except (VirtError, ValueError, KeyError, TypeError):
            return numbers[:8]

    def _all_above(self, ref: Ref, live: Live) -> Iterator[Above]:
        """Every image of every pool that stands on a volume; a pool that does not say so in time is one, too."""
        rows = {pool_ref(row): Live.of(row.run, self.site.boot) for row in self.site.store.rows("pool")}
        pools = {pool: other for pool, other in rows.items() if other is not None}
        places = self._aliases(ref, live)
        declared = {said.path: said for said in self.site.all_declared()}
        seconds = left()
        asked = set(pools)
        with within(Deadline(OTHERS if seconds is None else min(OTHERS, seconds))):
            ask = lambda pool: self._images_above(pool, pools[pool], places, declared)  # noqa: E731
            for pool, answer in fan_out(list(pools), ask):
                asked.discard(pool)
                if answer.error is not None and not isinstance(answer.error, NotFound):  # a folder that is gone
                    yield _unknown(pool, answer.error.message)
                yield from answer.value or ()
        yield from (_unknown(pool, "it does not answer") for pool in sorted(asked, key=lambda pool: pool.name or ""))
        folders = {other.path for other in pools.values()}
        for said in declared.values():
            if said.backing in places and said.path.rpartition("/")[0] not in folders:
                yield Above(said.path, None, f"the image {said.path}, whose pool is not active")

    def _aliases(self, ref: Ref, live: Live) -> set[str]:
        """The paths that lead to a volume: its folder may be reached by links."""
        places = {ref.key}
        if ref.key.startswith("/"):
            out = self.site.run("readlink", "-f", "--", live.path)
            name = self.backend(live).called(live, ref.key)
            if not out.code:
                places.add(f"{out.text.rstrip(chr(10))}/{name}")
        return places

    def _images_above(self, pool: Ref, live: Live, places: set[str], declared: Mapping[str, Declared]) -> list[Above]:
        """The images of a pool that stand on one of these places.

        Headers of what nobody declared count here, too: to keep an image that may be needed is the safe side.
        """
        backend = self.backend(live)
        names = [one.name for one in backend.names(live) if not one.odd]
        sights = backend.looks(live, names)
        found, asked = [], []
        for name, sight in sights.items():
            place = backend.place(live, name)
            said = declared.get(place)
            if said is not None and sight.inode not in (said.inode, said.heir):
                said = None
            if said is not None and said.backing in places:
                found.append(Above(place, sight.allocation, f"volume {name} of pool {pool.name}"))
            elif sight.type == "file" and place not in places and (said is None or said.format != RAW):
                asked.append((name, said.format if said else ""))  # what a guest wrote into a raw one has no say
        heads = backend.heads(live, [name for name, _ in asked], HEAD)
        for name, kind in asked:
            below = _claimed(kind, heads.get(name, b""), backend.place(live, name))
            if below in places:
                place = backend.place(live, name)
                found.append(Above(place, sights[name].allocation, f"volume {name} of pool {pool.name}"))
        return found + list(_kept_above(backend, pool, live, places))

    def _drop_upload(self, ref: Ref, live: Live, sight: Sight) -> None:
        """Remove what is kept of an upload to a volume that goes.

        :raises Busy: somebody is at it.
        """
        kept = self.uploading(ref, live, sight)
        if kept is None:
            return
        if kept.held:
            raise Busy(ref, holder="an upload", purpose="its bytes", hint="wait for it, or end it")
        self._carrier(ref, live, sight).drop(ref.key)


def _unknown(pool: Ref, why: str) -> Above:
    return Above("", None, f"pool {pool.name}, of which it is not known: {why}")


def _claimed(kind: str, head: bytes, place: str) -> str:
    """The path of what an image says that it stands on; empty where it says nothing of the kind.

    :param kind: as it was declared; empty where its first bytes are to tell.
    """
    kind = kind or looks_like(head)
    try:
        header = header_of(kind, head, 1 << 62) if kind else None
    except (VirtError, KeyError):
        return ""
    return backing_path(header.backing, place.rpartition("/")[0]) if header and header.backing else ""


def _kept_above(backend: Backend, pool: Ref, live: Live, places: set[str]) -> Iterator[Above]:
    """Deleted volumes that can be brought back, and would miss what they stand on."""
    if not isinstance(backend, Keeping):
        return
    for one in backend.trash(live).entries():
        if one.sight is not None and one.said and one.said.get("backing") in places:
            yield Above(one.hidden, one.sight.allocation, f"volume {one.name} in the trash of pool {pool.name}")
