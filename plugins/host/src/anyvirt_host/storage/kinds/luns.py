"""The units behind a SCSI adapter of a host: their names, sizes and stable paths, and looking for new ones."""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from anyvirt.api import NotFound, Run, Unsupported

from anyvirt_host.storage.backend import Found, Room, Sight
from anyvirt_host.storage.kinds.bare import Bare
from anyvirt_host.storage.kinds.nodes import NONE, nodes

if TYPE_CHECKING:
    from anyvirt_host.storage.site import Live

BY_PATH: Final = "/dev/disk/by-path"
NODES: Final = "/dev"
KINDS: Final = ("disk", "rom")
_MOMENT: Final = 0.5
_COLUMNS: Final = "PATH,HCTL,SIZE,TYPE,SERIAL,WWN,MOUNTPOINT"
_WHERE: Final = re.compile(r"(\d+):(\d+):(\d+):(\d+)")
_SCAN: Final = 'exec printf "%s\\n" "- - -" >"/sys/class/scsi_host/host$1/scan"'


class Lun(NamedTuple):
    """A unit.

    :param name: in libvirt's words, ``unit:BUS:TARGET:LUN``.
    :param node: what the kernel calls it, such as ``/dev/sdb``: not the same after the next boot.
    :param used: it, or what stands on it, is mounted, or something else than partitions stands on it.
    """

    name: str
    node: str
    size: int
    identity: str
    used: bool

    @property
    def inode(self) -> int:
        """What tells it from another one that gets its place."""
        return int.from_bytes(sha256(self.identity.encode()).digest()[:7], "big")


class Luns(Bare, ABC):
    """Pools whose volumes are units of one adapter; making and removing those is the array's."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._kept: dict[tuple[str, str], tuple[float, dict[str, str]]] = {}

    @abstractmethod
    def adapter(self, live: Live) -> int:
        """The number of the adapter.

        :raises NotFound: it is gone.
        """

    def refresh(self, live: Live) -> None:
        """Have the kernel look for units on the adapter, and wait for their nodes."""
        self._kept.clear()
        number = self.adapter(live)
        self.tool("sh", "-c", _SCAN, "sh", str(number), about=f"host{number}")
        self.settled()

    def settled(self) -> None:
        """Wait until udev has made the nodes of what the kernel found; a host without udev has no such wait."""
        try:
            self.tool("udevadm", "settle", "--timeout=30", content=(0, 1))
        except Unsupported:
            return

    def room(self, live: Live) -> Room:
        """What its units have together; all of it is taken."""
        return Room(sum(one.size for one in self.luns(live)), 0)

    def names(self, live: Live) -> Iterator[Found]:
        """Every unit that is a disk, or has one in it."""
        for one in self.luns(live):
            yield Found(one.name)

    def place(self, live: Live, name: str) -> str:
        """Its path below the pool's, where it has a stable one; else its node."""
        found = self._places(live)
        return next((path for path, its in found.items() if its == name), f"{live.path}/{name}")

    def called(self, live: Live, place: str) -> str:
        """The unit of that path."""
        if place.startswith(f"{live.path}/") and place.rpartition("/")[2].startswith("unit:"):
            return place.rpartition("/")[2]
        found = self._places(live)
        return found.get(place) or next((one.name for one in self.luns(live) if one.node == place), "")

    def look(self, live: Live, name: str) -> Sight | None:
        """One of them."""
        one = self._lun(live, name)
        if one is None:
            return None
        node = nodes(self.run, [one.node]).get(one.node, NONE)
        return Sight("block", one.inode, one.size, one.size, *node)

    def head(self, live: Live, name: str, count: int) -> bytes:
        """The first bytes of one."""
        one = self._lun(live, name)
        if one is None:
            raise NotFound(name, "volume")
        return self.tool("head", "--bytes", str(count), one.node).out

    def in_use(self, live: Live, name: str) -> bool:
        """Whether it is mounted, or something stands on it; who else has it open nobody tells."""
        one = self._lun(live, name)
        return bool(one and one.used)

    def luns(self, live: Live) -> list[Lun]:
        """Every unit of the adapter that the kernel knows."""
        number = self.adapter(live)
        out = self.tool("lsblk", "--json", "--bytes", "--output", _COLUMNS, content=(0, 1, 32))
        found = []
        for row in json.loads(out.text or "{}").get("blockdevices", []):
            where = _WHERE.fullmatch(str(row["hctl"] or ""))
            if where and int(where[1]) == number and row["type"] in KINDS:
                name = f"unit:{where[2]}:{where[3]}:{where[4]}"
                identity = str(row["wwn"] or row["serial"] or f"{number}:{name}")
                found.append(Lun(name, str(row["path"]), int(row["size"] or 0), identity, _used(row)))
        return sorted(found, key=lambda one: [int(word) for word in one.name.split(":")[1:]])

    def _places(self, live: Live) -> dict[str, str]:
        """The units by their paths; asked again after a moment only, as a listing needs that of each."""
        key = (live.path, live.source)
        at, found = self._kept.get(key, (0.0, {}))
        if time.monotonic() - at > _MOMENT:
            links = self._links(live)
            found = {links.get(one.node, one.node): one.name for one in self.luns(live)}
            self._kept[key] = (time.monotonic(), found)
        return found

    def _lun(self, live: Live, name: str) -> Lun | None:
        if not name.startswith("unit:"):
            return None
        return next((one for one in self.luns(live) if one.name == name), None)

    def _links(self, live: Live) -> dict[str, str]:
        """The links of the pool's folder, by the node that each leads to; of several the shortest."""
        if live.path == NODES:
            return {}
        out = self.tool("find", live.path, "-type", "l", "-printf", r"%p\t%l\n", content=(0, 1))
        found: dict[str, str] = {}
        for row in sorted(out.text.splitlines(), key=lambda row: (len(row.partition("\t")[0]), row), reverse=True):
            path, _, to = row.partition("\t")
            found[f"{NODES}/{to.rpartition('/')[2]}"] = path
        return found


def no_adapter(words: str, known: list[str]) -> NotFound:
    """The error for an adapter that is not there."""
    return NotFound(words, "file", hint=f"this host has {', '.join(known) or 'none'}")


def _used(row: dict[str, Any]) -> bool:
    # a map over several paths is there as long as they are, whether somebody uses it or not
    above = row.get("children") or []
    return bool(row["mountpoint"]) or any(one["type"] not in ("part", "mpath") or _used(one) for one in above)
