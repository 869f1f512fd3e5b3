"""Pools of the type zfs: the volumes of a ZFS pool, or of a dataset in it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Busy,
    Exists,
    Invalid,
    NotFound,
    Problem,
    Progress,
    Run,
    Unsupported,
    VolumeTarget,
    heeded,
    meaningless,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend, Found, Room, Sight
from anyvirt_host.storage.faults import done
from anyvirt_host.storage.ground.ground import ground_of
from anyvirt_host.storage.images.pouring import poured
from anyvirt_host.storage.kinds.bare import Bare
from anyvirt_host.storage.site import Live
from anyvirt_host.storage.wish import HIDDEN, bad_name

if TYPE_CHECKING:
    from anyvirt.api import Pool, Volume

    from anyvirt_host.storage.images.origin import Origin
    from anyvirt_host.storage.wish import Wish

ABOUT: Final = About(volumes=("raw",), tools=("zfs", "zpool"), root=True)
NODES: Final = "/dev/zvol"
END: Final = ".new"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*(/[A-Za-z0-9_][A-Za-z0-9_.:-]*)*", re.ASCII)
_VOLUME: Final = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)
_BLOCK: Final = 8192  # bytes that the size of a volume is a multiple of
_COLUMNS: Final = "name,guid,volsize,used,creation"


class ZfsPool(Bare):
    """Each volume is a block device below /dev/zvol."""

    kind = "zfs"

    def live(self, pool: Pool) -> Live:
        """Name and devices of the definition."""
        asked = heeded(pool)
        problems: list[Problem] = []
        meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
        name = asked.source.name or "" if asked.source else ""
        if not _NAME.fullmatch(name):
            hint = "such as <source><name>tank</name></source>, or tank/guests"
            text = "a pool of the type zfs needs the name of a ZFS pool or dataset"
            problems.append(Problem("config.missing", "/source/name", None, text, hint))
        devices = [device.path or "" for device in asked.source.devices] if asked.source else []
        for device in devices:
            if not device.startswith("/"):
                text = f"{device!r} is no absolute path"
                problems.append(Problem("config.invalid", "/source/device/@path", None, text, "write it in full"))
        target = (asked.target or f"{NODES}/{name}").rstrip("/")
        if target != f"{NODES}/{name}":
            text = f"the volumes of {name!r} are in {NODES}/{name}"
            problems.append(Problem("config.invalid", "/target/path", None, text, "write that, or leave it out"))
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return Live("zfs", target, name, more={"devices": devices})

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:  # noqa: ARG002
        """Make the ZFS pool of the devices, or the dataset.

        :raises Exists: there is one of that name.
        """
        out = self.tool("zfs", "list", "-Hp", "-o", "name", live.source, content=(0, 1))
        if not out.code:
            raise Exists("content", live.source, holder="ZFS", hint="start the pool, or delete it first")
        devices = list((live.more or {}).get("devices", ()))
        if "/" in live.source:
            self.tool("zfs", "create", live.source)
            return
        if not devices:
            hint = "such as <source><device path='/dev/sdb'/></source>"
            text = "a ZFS pool is built of devices"
            raise Invalid([Problem("config.missing", "/source/device", None, text, hint)])
        self.tool("zpool", "create", *(("-f",) if overwrite else ()), live.source, *devices, about=live.source)

    def delete(self, live: Live, *, zeroed: bool = False) -> None:
        """Destroy the ZFS pool, or the dataset, which has to be empty.

        :raises Unsupported: its content is to be zeroed.
        """
        if zeroed:
            raise Unsupported("storage", "zeroing the devices of a ZFS pool", hint="wipe its volumes, or the devices")
        if list(self.names(live)):
            raise Invalid(f"{live.source!r} has volumes", hint="delete those first")
        self.tool(*(("zfs", "destroy") if "/" in live.source else ("zpool", "destroy")), live.source)

    def start(self, live: Live) -> Live:
        """See that it is there."""
        out = self.tool("zfs", "list", "-Hp", "-o", "name", live.source, content=(0, 1))
        if out.code:
            if b"does not exist" in out.err:
                raise NotFound(live.source, "dataset", hint="zpool import it, or build the pool")
            done(out, live.source)
        return live

    def room(self, live: Live) -> Room:
        """What it has used and what is left to it."""
        text = self.tool("zfs", "list", "-Hp", "-o", "used,available", live.source).text
        used, available = (int(word) for word in text.split("\t"))
        return Room(used + available, available)

    def names(self, live: Live) -> Iterator[Found]:
        """Every volume in it, none in a dataset below."""
        return (Found(name, _odd(name)) for name in self.rows(live))

    def looks(self, live: Live, names: Sequence[str]) -> Mapping[str, Sight]:
        """Several, in one question."""
        rows = self.rows(live)
        there = [name for name in names if name in rows and not _odd(name)]
        nodes = ground_of(self.run).sights(live.path, there) if there else {}
        return {name: _sight(rows[name], nodes.get(name)) for name in there}

    def look(self, live: Live, name: str) -> Sight | None:
        """One of them."""
        return self.looks(live, [name]).get(name)

    def volume_told(self, live: Live, name: str, model: Volume) -> Volume:  # noqa: ARG002
        """Without the times of a node, which are those of the last start."""
        return model.replace(target=(model.target or VolumeTarget()).replace(timestamps=None))

    def wish(self, model: Volume) -> Wish:
        """Name, size and whether its space is taken at once."""
        return _wanted(model)

    def draft(self, live: Live, name: str, mark: str) -> ZfsDraft:
        """Begin one under a hidden name."""
        return ZfsDraft(self, live, name, mark)

    def sweep(self, live: Live, mark: str = "") -> list[str]:
        """Remove the one with that mark; whether somebody is at one without a mark cannot be told."""
        if not mark:
            return []
        name = f"{HIDDEN}{mark}{END}"
        if name not in self.rows(live):
            return []
        self.destroy(live, name)
        return [f"{live.source}/{name}: removed, a killed process was making a volume"]

    def resize(self, live: Live, name: str, size: int, *, allocate: bool) -> Generator[Progress, None, None]:
        """Make one larger or smaller; one whose space is taken has that of its new size taken.

        :raises Unsupported: the space of a sparse one is to be taken.
        """
        yield Progress(0, size, "B", "resizing")
        place = f"{live.source}/{name}"
        kept = self.tool("zfs", "get", "-Hp", "-o", "value", "refreservation", place).text.strip()
        if allocate and kept in ("0", "none"):
            raise Unsupported("storage", f"taking the space of {name!r}, which is sparse", hint="leave allocate out")
        self.tool("zfs", "set", f"volsize={_rounded(size)}", place)

    def settle(self, live: Live, name: str, size: int) -> None:
        """Nothing: a size is changed at one moment."""

    def remove(self, live: Live, name: str) -> None:
        """Remove one.

        :raises Busy: it has snapshots, or clones stand on it, or it is open.
        """
        if name not in self.rows(live):
            raise NotFound(name, "volume")
        self.destroy(live, name)

    def destroy(self, live: Live, name: str) -> None:
        """Remove a volume of any name, with the snapshots that copies of it were made of."""
        place = f"{live.source}/{name}"
        snapshots = self.tool("zfs", "list", "-Hp", "-t", "snapshot", "-d", "1", "-o", "name,clones", place).text
        for line in snapshots.splitlines():
            snapshot, _, clones = line.partition("\t")
            if clones not in ("", "-"):
                raise Busy(name, holder=clones, purpose="their own content", hint=f"delete {clones} first")
            if not snapshot.partition("@")[2].startswith("anyvirt-"):
                raise Busy(name, holder=f"the snapshot {snapshot!r}", hint=f"zfs destroy {snapshot}")
            self.tool("zfs", "destroy", snapshot)
        out = self.tool("zfs", "destroy", place, content=(0, 1))
        if out.code and b"busy" in out.err:
            raise Busy(name, holder="whoever has it open", hint=f"fuser -v {live.path}/{name} tells")
        if out.code:
            done(out, place)

    def rows(self, live: Live) -> dict[str, list[str]]:
        """What ZFS tells of each volume, by its name."""
        words = ("list", "-Hp", "-t", "volume", "-d", "1", "-o", _COLUMNS, live.source)
        return listed(self.tool("zfs", *words, about=live.source).text, live.source)


class ZfsDraft:
    """A volume under a hidden name, which is renamed when it is whole."""

    def __init__(self, pool: ZfsPool, live: Live, name: str, mark: str) -> None:
        self._pool, self._live, self._name = pool, live, name
        self._hidden = f"{HIDDEN}{mark}{END}"
        self._place = f"{live.source}/{self._hidden}"
        self.inode = self.generation = 0

    def fill(self, wish: Wish) -> Generator[Progress, None, None]:
        """Make it, empty."""
        yield Progress(0, wish.capacity, "B", "making")
        sparse = () if wish.allocation else ("-s",)
        size = str(_rounded(wish.capacity or 0))
        self._pool.tool("zfs", "create", *sparse, "-V", size, self._place, about=self._name)
        self._known()

    def copy(self, wish: Wish, origin: Origin, *, reflink: bool = False) -> Generator[Progress, None, None]:
        """Make it with the content of another volume."""
        near = origin.type == "block" and origin.path.startswith(f"{self._live.path}/")
        if reflink and not near:
            raise Unsupported("reflink", "only volumes of one pool share their blocks", hint="leave reflink out")
        if reflink:
            yield Progress(0, wish.capacity, "B", "copying")
            snapshot = f"{self._live.source}/{origin.path.rpartition('/')[2]}@anyvirt-{self._hidden[len(HIDDEN) : -4]}"
            self._pool.tool("zfs", "snapshot", snapshot)
            self._pool.tool("zfs", "clone", snapshot, self._place)
            self._pool.tool("zfs", "set", f"volsize={_rounded(wish.capacity or 0)}", self._place)
            self._known()
            return
        yield from self.fill(wish)
        node = f"{self._live.path}/{self._hidden}"
        self._pool.tool("udevadm", "settle", f"--exit-if-exists={node}")
        yield from poured(self._pool.run, origin, {"driver": "host_device", "filename": node}, self._name)

    def publish(self) -> None:
        """Give it its name."""
        out = self._pool.tool("zfs", "rename", self._place, f"{self._live.source}/{self._name}", content=(0, 1))
        if out.code and b"exists" in out.err:
            raise Exists("volume", self._name, holder=f"something in {self._live.source}", hint="choose another name")
        if out.code:
            done(out, self._name)

    def drop(self) -> None:
        """Remove it, under either name."""
        there = self._pool.rows(self._live)
        for name in (self._hidden, self._name):
            if name in there and int(there[name][1]) == self.inode:
                self._pool.destroy(self._live, name)

    def close(self) -> None:
        """Nothing is kept open."""

    def _known(self) -> None:
        self.inode = int(self._pool.rows(self._live)[self._hidden][1])


def listed(text: str, above: str) -> dict[str, list[str]]:
    """The lines of ``zfs list`` by the volumes' names in the dataset ``above``."""
    found = {}
    for line in text.splitlines():
        words = line.split("\t")
        place, _, name = words[0].rpartition("/")
        if place == above and len(words) == len(_COLUMNS.split(",")):
            found[name] = words
    return found


def _sight(row: list[str], node: Sight | None) -> Sight:
    guid, size, used, made = (int(word) for word in row[1:])
    rest = (node.mode, node.owner, node.group) if node else (0, 0, 0)
    return Sight("block", guid, used, size, *rest, (made * 10**9,) * 3)


def _wanted(model: Volume) -> Wish:
    """What a description asks of a volume.

    :raises Invalid: with everything in it that cannot be had.
    """
    from anyvirt_host.storage.wish import Wish

    asked = heeded(model)
    meaningless(asked, "type", "name", "key", "physical")
    found = [Problem("config.invalid", "/name", None, text, "choose another") for text in bad_name(asked.name)]
    if not found and not _VOLUME.fullmatch(asked.name):
        text = f"ZFS has no volume of the name {asked.name!r}"
        found.append(Problem("config.invalid", "/name", None, text, "use letters, digits and _ . : -"))
    if asked.target:
        meaningless(asked.target, "path", "timestamps", "permissions")
        if str(asked.target.format or "raw") != "raw":
            text = "volumes of ZFS are raw"
            found.append(Problem("unsupported.config", "/target/format/@type", None, text, "use raw"))
    if not asked.capacity:
        found.append(Problem("config.missing", "/capacity", None, "a volume needs a size", "say how many bytes"))
    whole = _rounded(asked.capacity or 0)
    aside = whole if asked.allocation is None else asked.allocation
    if aside not in (0, whole) and aside < (asked.capacity or 0):
        text = "the space of a volume of ZFS is taken as a whole or not at all"
        found.append(Problem("config.invalid", "/allocation", None, text, "write 0, or leave it out"))
    found += unheeded(asked, "storage")
    if found:
        raise Invalid(found)
    return Wish(asked.name, "raw", whole, aside)


def _rounded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _odd(name: str) -> str:
    if name.startswith(HIDDEN):
        return "a volume that is being made, or what a killed process left of one"
    return ""


def backend(run: Run) -> Backend:
    """The back-end."""
    return ZfsPool(run)
