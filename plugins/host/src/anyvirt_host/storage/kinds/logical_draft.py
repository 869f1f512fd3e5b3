"""A logical volume that is being made: thick, thin, or a snapshot; hidden until it gets its own name."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyvirt.api import Exists, Invalid, NotFound, Problem, Progress, Unsupported

from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.images.errand import errand
from anyvirt_host.storage.images.sealing import objects
from anyvirt_host.storage.kinds.lvm import Lv

if TYPE_CHECKING:
    from anyvirt_host.storage.images.origin import Origin
    from anyvirt_host.storage.kinds.logical import LogicalPool
    from anyvirt_host.storage.site import Live
    from anyvirt_host.storage.wish import Wish

PLACE: Final = "/allocation"


class LogicalDraft:
    """It exists from ``fill`` on, under a name that no listing shows, and is renamed in one step."""

    def __init__(self, pool: LogicalPool, live: Live, name: str, hidden: str) -> None:
        from anyvirt_host.storage.kinds.logical import group_of, sectors

        self._pool, self._live, self._name, self._hidden = pool, live, name, hidden
        self._group, self._sectors = group_of(live), sectors
        self.inode = self.generation = 0
        self._wish: Wish | None = None

    def fill(self, wish: Wish) -> Generator[Progress, None, None]:
        """Make it, empty or with its origin's content."""
        self._wish = wish
        yield Progress(0, wish.capacity, "B", "making")
        if wish.backing:
            self._snapshot(wish)
        else:
            self._empty(wish)
        found = self._pool.find(self._live, self._hidden)
        if found is None:
            raise NotFound(self._hidden, "volume", hint="somebody removed it while it was being made")
        self.inode = found.inode
        yield Progress(wish.capacity or 0, wish.capacity, "B", "making")

    def copy(self, wish: Wish, origin: Origin, *, reflink: bool = False) -> Generator[Progress, None, None]:
        """Make it with another volume's content; one that shares its blocks is a thin snapshot.

        :raises Unsupported: blocks are shared by thin volumes of one group only.
        """
        if reflink:
            name = self._pool.called(self._live, origin.path)
            found = self._pool.find(self._live, name) if name and origin.format == "raw" else None
            if found is None or found.kind != "thin":
                what = f"sharing blocks with {origin.path!r}: thin volumes of one group do"
                raise Unsupported("LVM", what, hint="leave reflink out")
            yield from self.fill(replace(wish, backing=origin.path, backing_format="raw"))
            return
        yield from self.fill(wish)
        found = self._pool.find(self._live, self._hidden)
        target = origin.sealed("raw", {"driver": "host_device", "filename": f"{self._live.path}/{self._hidden}"})
        zero = ("--target-is-zero",) if found and found.kind == "thin" else ()
        key = [origin.key] if origin.key else []
        words = ("convert", "-p", "-n", *zero, *objects(["from"] if key else []), "-O", "raw", origin.spec, target)
        with needing("qemu-img"):
            out = yield from errand(
                self._pool.run, "qemu-img", *words, keys=key, total=origin.capacity, about="copying"
            )
        done(out, f"{self._live.path}/{self._name}")

    def publish(self) -> None:
        """Give it its name, and its node mode and owner."""
        assert self._wish is not None
        if self._pool.find(self._live, self._name) is not None:
            hint = "choose another name, or delete it"
            raise Exists("volume", self._name, holder=f"a logical volume of {self._group}", hint=hint)
        self._do("lvrename", self._group, self._hidden, self._name)
        path = f"{self._live.path}/{self._name}"
        owner, group = self._wish.owner
        if (owner, group) != (-1, -1):
            user = "" if owner == -1 else str(owner)
            done(self._pool.run("chown", user if group == -1 else f"{user}:{group}", path), path)
        if self._wish.mode != -1:
            done(self._pool.run("chmod", f"{self._wish.mode:o}", path), path)

    def drop(self) -> None:
        """Remove it, also where it has its name already."""
        for name in (self._hidden, self._name):
            found = self._pool.find(self._live, name)
            if found and (name == self._hidden or found.inode == self.inode):
                self._do("lvremove", "--yes", f"{self._group}/{name}")

    def close(self) -> None:
        """Nothing is kept open."""

    def _empty(self, wish: Wish) -> None:
        size = self._sectors(wish.capacity or 0)
        if 0 <= wish.allocation < (wish.capacity or 0):
            pool = self._thin_pool().name
            words = ("--type", "thin", "--thinpool", pool, "--virtualsize", f"{size}b")
        else:
            words = ("--type", "linear", "--wipesignatures", "y", "--size", f"{size}b")
        self._do("lvcreate", "--yes", *words, "--name", self._hidden, self._group)

    def _snapshot(self, wish: Wish) -> None:
        origin = self._pool.find(self._live, self._pool.called(self._live, wish.backing))
        if origin is None:
            raise NotFound(wish.backing, "volume")
        size, wanted = origin.size, self._sectors(wish.capacity or 0)
        words = ["--snapshot", "--setactivationskip", "n", "--name", self._hidden]
        if origin.kind != "thin":
            if wanted > size:
                text = f"a snapshot of a thick volume has the size of its origin, {size} bytes"
                raise Invalid([Problem("config.range", "/capacity", None, text, "leave it out")])
            if not wish.allocation:
                text = "a snapshot of a thick volume needs space for what changes"
                hint = "leave it out: it gets all that it can need"
                raise Invalid([Problem("config.range", PLACE, None, text, hint)])
            # beyond what it can need LVM cuts it off by itself
            words += ["--size", f"{self._sectors(min(wish.allocation, size) + (size >> 6) + (4 << 20))}b"]
        self._do("lvcreate", "--yes", *words, f"{self._group}/{origin.name}")
        if wanted > size:
            self._do("lvextend", "--size", f"{wanted}b", f"{self._group}/{self._hidden}")

    def _thin_pool(self) -> Lv:
        """The pool of thin volumes that has the most space left."""
        pools = [one for one in self._pool.lvm.volumes(self._group) if one.kind == "pool"]
        if not pools:
            text = f"the group {self._group!r} has no pool of thin volumes, and all space of others is set aside"
            command = f"lvcreate --type thin-pool --size SIZE --name thin {self._group}"
            hint = f"leave the allocation out; or make one: {command}"
            raise Invalid([Problem("unsupported.config", PLACE, None, text, hint)])
        return max(pools, key=lambda one: one.size)

    def _do(self, *argv: str) -> None:
        self._pool.lvm.do(*argv, about=f"{self._group}/{self._name}")
