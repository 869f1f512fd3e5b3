"""The pool of the type mpath: every device of the host that is reached over several paths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Invalid, NotFound, Problem, Run, Unsupported, heeded, meaningless, unheeded

from anyvirt_host.storage.backend import About, Backend, Found, Room, Sight
from anyvirt_host.storage.kinds.bare import Bare
from anyvirt_host.storage.kinds.nodes import NONE, nodes
from anyvirt_host.storage.site import Live

if TYPE_CHECKING:
    from anyvirt.api import Pool

ABOUT: Final = About(tools=("dmsetup", "lsblk", "stat"), root=True)
FOLDER: Final = "/dev/mapper"
_LIST: Final = ("dmsetup", "info", "--columns", "--noheadings", "--separator", "/", "-o", "name,uuid,open,blkdevname")
_OURS: Final = "mpath-"  # how multipath begins the UUID of a map
_NO_MAPPER: Final = ("/dev/mapper/control", "Failure to communicate with kernel device-mapper")


class Map(NamedTuple):
    """A device over several paths."""

    name: str
    uuid: str
    opened: int
    node: str

    @property
    def inode(self) -> int:
        """What tells it from another one of its name."""
        return int.from_bytes(sha256(self.uuid.encode()).digest()[:7], "big")


class MpathPool(Bare):
    """What multipath set up is the pool; nothing of it is changed here."""

    kind = "mpath"

    def live(self, pool: Pool) -> Live:
        """There is nothing to choose."""
        asked = heeded(pool)
        problems: list[Problem] = []
        meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
        if asked.permissions:
            meaningless(asked.permissions)
        if asked.target and asked.target.rstrip("/") != FOLDER:
            text = f"such devices are in {FOLDER}, not in {asked.target!r}"
            problems.append(Problem("config.invalid", "/target/path", None, text, "leave it out"))
        counts = "capacity" if asked.refresh_allocation == "capacity" else ""
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return Live("mpath", FOLDER, counts=counts)

    def start(self, live: Live) -> Live:
        """See that the kernel has a device mapper.

        :raises Unsupported: it has none.
        """
        self._maps()
        return live

    def room(self, live: Live) -> Room:  # noqa: ARG002
        """What the devices have together; all of it is taken."""
        return Room(sum(self._sizes(self._maps()).values()), 0)

    def names(self, live: Live) -> Iterator[Found]:  # noqa: ARG002
        """Every device, by the name that multipath gave it."""
        for one in self._maps():
            yield Found(one.name)

    def look(self, live: Live, name: str) -> Sight | None:  # noqa: ARG002
        """One of them."""
        one = self._map(name)
        if one is None:
            return None
        path = f"{FOLDER}/{name}"
        size = self._sizes([one]).get(one.node, 0)
        return Sight("block", one.inode, size, size, *nodes(self.run, [path]).get(path, NONE))

    def head(self, live: Live, name: str, count: int) -> bytes:  # noqa: ARG002
        """The first bytes of one."""
        if self._map(name) is None:
            raise NotFound(name, "volume")
        return self.tool("head", "--bytes", str(count), f"{FOLDER}/{name}").out

    def in_use(self, live: Live, name: str) -> bool:  # noqa: ARG002
        """Whether somebody has it open."""
        one = self._map(name)
        return bool(one and one.opened)

    def _map(self, name: str) -> Map | None:
        return next((one for one in self._maps() if one.name == name), None)

    def _maps(self) -> list[Map]:
        out = self.tool(*_LIST, content=(0, 1), about=FOLDER)
        said = out.err.decode("utf-8", "replace")
        if out.code and any(word in said for word in _NO_MAPPER):
            raise Unsupported("this host", "device mapper", hint="modprobe dm-multipath, as root")
        if out.code:
            out.ok()
        rows = [row.strip().split("/") for row in out.text.splitlines()]
        found = [Map(row[0], row[1], int(row[2]), row[3]) for row in rows if len(row) == 4]
        return sorted(one for one in found if one.uuid.startswith(_OURS))

    def _sizes(self, maps: list[Map]) -> dict[str, int]:
        """Bytes of each, by what the kernel calls it."""
        if not maps:
            return {}
        paths = [f"/dev/{one.node}" for one in maps]
        out = self.tool("lsblk", "--json", "--bytes", "--nodeps", "--output", "KNAME,SIZE", *paths, content=(0, 32))
        return {str(row["kname"]): int(row["size"] or 0) for row in json.loads(out.text)["blockdevices"]}


def backend(run: Run) -> Backend:
    """The back-end."""
    return MpathPool(run)
