"""Pools of the type disk: the partitions of a device."""

from __future__ import annotations

import json
import os.path
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from anyvirt.api import (
    Busy,
    Exists,
    Extent,
    Failed,
    FreeExtent,
    Invalid,
    NotFound,
    Problem,
    Progress,
    Run,
    VolumeFormat,
    VolumeSourceDevice,
    VolumeTarget,
    heeded,
    meaningless,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend, Found, Room, Sight
from anyvirt_host.storage.faults import done, full
from anyvirt_host.storage.ground.ground import ground_of
from anyvirt_host.storage.kinds.bare import Bare
from anyvirt_host.storage.kinds.table import KINDS, LABELS, Part, Span, Table, free, number_of, read, room_behind
from anyvirt_host.storage.site import Live

if TYPE_CHECKING:
    from anyvirt.api import Pool, Volume

    from anyvirt_host.storage.backend import Draft
    from anyvirt_host.storage.wish import Wish

ABOUT: Final = About(
    formats=("dos", "gpt"),
    volumes=("none", "linux", "fat16", "fat32", "linux-swap", "linux-lvm", "linux-raid", "extended"),
    tools=("sfdisk", "lsblk", "addpart", "delpart", "resizepart", "blkdiscard"),
    root=True,
)
NODES: Final = "/dev"
# The kernel knows of one and the same change at a time: we tell it each, and never have it read the table again.
_QUIETLY: Final = ("--no-reread", "--no-tell-kernel", "-q")
_EXTENDED: Final = 1024  # bytes that the kernel shows of an extended partition
_UNIT: Final = 512  # bytes of what the kernel counts in, whatever the disk's sectors are
_NOTHING: Final = 2  # blkid's status where it knows nothing of what is there
_REFUSED: Final = {
    "lvm2": "a volume group is no partition table: make a pool of the type logical",
    "bsd": "only BSD partitions a disk so",
    "mac": "neither sfdisk nor the tools that go with it write such tables",
    "pc98": "neither sfdisk nor the tools that go with it write such tables",
    "dvh": "no machine that boots from such disks is left",
    "sun": "no machine that boots from such disks is left",
}


class Disk(NamedTuple):
    """A disk as its table and the kernel tell.

    :param nodes: what the kernel has of each number: first byte and length.
    """

    size: int
    table: Table
    nodes: dict[int, tuple[int, int]]


class DiskPool(Bare):
    """The table is the truth; the kernel's nodes follow it, told of each change by number."""

    kind = "disk"

    def live(self, pool: Pool) -> Live:
        """Device and kind of table of the definition."""
        asked, problems = heeded(pool), []
        meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
        if asked.permissions:
            meaningless(asked.permissions, "mode", "owner", "group")
        devices = asked.source.devices if asked.source else ()
        path = devices[0].path or "" if len(devices) == 1 else ""
        if not path.startswith("/"):
            text = "a pool of the type disk needs one device by its absolute path"
            hint = "such as <source><device path='/dev/sdb'/></source>"
            problems.append(Problem("config.missing", "/source/device", None, text, hint))
        for extent in (extent for device in devices for extent in device.free_extents):
            meaningless(extent, "start", "end")
        label = str(asked.source.format or "") if asked.source else ""
        if reason := _REFUSED.get(label):
            hint = f"use {' or '.join(LABELS)}: {reason}"
            text = f"tables of the kind {label!r} are not made here"
            problems.append(Problem("unsupported.config", "/source/format/@type", None, text, hint))
        target = (asked.target or NODES).rstrip("/")
        if target != NODES and not target.startswith(f"{NODES}/"):
            text = f"partitions are in {NODES}, not in {target!r}"
            problems.append(
                Problem("config.invalid", "/target/path", None, text, f"use {NODES}, or {NODES}/disk/by-id")
            )
        apart = {True: "p", False: ""}.get(devices[0].part_separator) if len(devices) == 1 else None  # type: ignore[arg-type]
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return Live("disk", target, path, format=label if label in LABELS else "", more={"apart": apart})

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:  # noqa: ARG002
        """Write an empty partition table.

        :raises Exists: something is on the device, and it is not to be overwritten.
        :raises Busy: a partition of it is in use.
        """
        found = self.tool("blkid", "-p", "-o", "export", live.source, content=(0, _NOTHING))
        if found.code == 0 and not overwrite:
            kinds = [
                line.partition("=")[2] for line in found.text.splitlines() if line.startswith(("TYPE=", "PTTYPE="))
            ]
            raise Exists(
                "content", live.source, holder=", ".join(kinds) or "something", hint="overwrite it if it may go"
            )
        row, nodes, _ = self._kernel(live.source)
        if row["mountpoint"]:
            raise Busy(live.source, holder=str(row["mountpoint"]), purpose="a file system", hint="unmount it")
        self._let_go(live, nodes, nodes)
        self._write(live, f"label: {live.format or ABOUT.formats[0]}\n", "--wipe", "always")

    def delete(self, live: Live, *, zeroed: bool = False) -> None:
        """Remove the partition table, which has to be empty.

        :raises Invalid: there are partitions in it.
        """
        if self._disk(live).table.parts:
            raise Invalid(f"{live.source!r} has partitions", hint="delete its volumes first")
        if zeroed:
            self.tool("blkdiscard", "--zeroout", live.source)
        self.tool("wipefs", "--all", "--quiet", live.source)

    def start(self, live: Live) -> Live:
        """See that there is such a table, and have the kernel know its partitions."""
        disk = self._disk(live)
        if live.format and disk.table.label != live.format:
            text = f"{live.source!r} has a table of the kind {disk.table.label!r}, not {live.format!r}"
            raise Invalid(text, hint="correct the pool's source format, or build the pool over it")
        self._follow(live, disk)
        return live

    def refresh(self, live: Live) -> None:
        """Have the kernel know what the table says."""
        self._follow(live, self._disk(live))

    def room(self, live: Live) -> Room:
        """The disk's length, and what is free in its table."""
        disk = self._disk(live)
        return Room(disk.size, sum(span.end - span.start for span in free(disk.table)))

    def pool_told(self, live: Live, model: Pool) -> Pool:
        """With what is free."""
        if not model.source or not model.source.devices:
            return model
        table = self._disk(live).table
        spans = tuple(FreeExtent(start=span.start, end=span.end) for span in free(table))
        device = model.source.devices[0].replace(free_extents=spans)
        return model.replace(source=model.source.replace(devices=(device,)))

    def names(self, live: Live) -> Iterator[Found]:
        """Every partition of the table, by the name of its node."""
        return (Found(self._name(live, part.number)) for part in self._table(live).parts)

    def place(self, live: Live, name: str) -> str:
        """Its node; in a target path such as /dev/disk/by-id, the link there that leads to it."""
        node = f"{NODES}/{name}"
        if live.path == NODES:
            return node
        found = self.run("find", live.path, "-maxdepth", "1", "-lname", f"*/{name}").text.splitlines()
        return min(found, default=node)

    def called(self, live: Live, place: str) -> str:
        """The name of the node that it is, or leads to."""
        above, _, name = place.rpartition("/")
        if above not in (NODES, live.path):
            return ""
        if above != NODES:
            name = os.path.basename(self.run("readlink", "-e", place).text.strip())
        return name if self._number(live, name) else ""

    def look(self, live: Live, name: str) -> Sight | None:
        """One of them."""
        return self.looks(live, [name]).get(name)

    def looks(self, live: Live, names: Sequence[str]) -> Mapping[str, Sight]:
        """Several: what their nodes have, and their lengths as the table has them."""
        table = self._table(live)
        parts = {name: table.find(self._number(live, name)) for name in names}
        there = {name: part for name, part in parts.items() if part}
        nodes = ground_of(self.run).sights(NODES, list(there)) if there else {}
        return {name: self._sight(part, nodes.get(name)) for name, part in there.items()}

    def _sight(self, part: Part, node: Sight | None) -> Sight:
        rest = (
            (node.mode, node.owner, node.group, node.times) if node and node.type == "block" else (0, 0, 0, (0, 0, 0))
        )
        return Sight("block", part.start, part.size, part.size, *rest)

    def volume_told(self, live: Live, name: str, model: Volume) -> Volume:
        """With what it is for, and the part of the disk that it is."""
        part = self._table(live).find(self._number(live, name))
        if part is None:
            return model
        extents = (Extent(start=part.start, end=part.end),)
        target = (model.target or VolumeTarget()).replace(format=VolumeFormat(part.kind))
        device = VolumeSourceDevice(path=live.source, extents=extents)
        return model.replace(target=target, source_devices=(device,))

    def wish(self, model: Volume) -> Wish:
        """Size and kind of a partition."""
        return wanted(model)

    def draft(self, live: Live, name: str, mark: str) -> Draft:  # noqa: ARG002 - nothing is there until it is whole
        """Begin one, which has to have the name that the kernel will give it."""
        from anyvirt_host.storage.kinds.partition import Partition

        return Partition(self, live, name)

    def making(self, live: Live) -> int:
        """Whether somebody is at one."""
        from anyvirt_host.storage.kinds.partition import held

        return int(not getattr(self.run, "far", False) and held(live.source))

    def sweep(self, live: Live, mark: str = "") -> list[str]:  # noqa: ARG002 - no partition has a mark
        """Have the kernel know what a killed maker had written into the table."""
        return self._follow(live, self._disk(live))

    def in_use(self, live: Live, name: str) -> bool:  # noqa: ARG002 - the node says it all
        """Whether it is mounted, swapped to, or has something on it."""
        row, _, above = self._kernel(f"{NODES}/{name}")
        return bool(row["mountpoint"] or above)

    def resize(self, live: Live, name: str, size: int, *, allocate: bool) -> Generator[Progress, None, None]:  # noqa: ARG002
        """Make one longer where what is behind it is free, or shorter.

        :raises Failed: (``file.no-space``) there is not so much free behind it.
        """
        yield Progress(0, size, "B", "resizing")
        disk = self._disk(live)
        part = self._part(live, disk.table, name)
        length, longest = -(-size // disk.table.sector), room_behind(disk.table, part)
        if length * disk.table.sector > longest:
            text = f"{name} can be {longest} bytes long at most: what is behind it is taken"
            raise full(text, "delete what is behind it, or make a new volume")
        self._write(live, f",{length}\n", "-N", str(part.number))
        self.refresh(live)

    def settle(self, live: Live, name: str, size: int) -> None:  # noqa: ARG002
        """Have the kernel know the length that the table has."""
        self.refresh(live)

    def remove(self, live: Live, name: str) -> None:
        """Remove one; logical ones behind it move up by a number, as the format has it.

        :raises Busy: it, or one that would move, is in use.
        :raises Invalid: an extended one with others in it.
        """
        disk = self._disk(live)
        part = self._part(live, disk.table, name)
        moving = [one for one in disk.table.parts if disk.table.logical(one) and one.number >= part.number]
        if part.kind == "extended" and any(map(disk.table.logical, disk.table.parts)):
            raise Invalid(f"{name} has logical partitions in it", hint="delete those first")
        gone = {one.number for one in moving} if disk.table.logical(part) else {part.number}
        self._let_go(live, disk.nodes, gone & set(disk.nodes))
        try:
            self._tool_at(live, "--delete", live.source, str(part.number))
        finally:
            self._follow(live, self._disk(live))

    def add(self, live: Live, span: Span, kind: str) -> int:
        """Write a partition into the table and have the kernel know it; its number."""
        table = self._table(live)
        code = KINDS[table.label][kind][0]
        words = f"start={span.start // table.sector},size={(span.end - span.start) // table.sector},type={code}\n"
        # what is left of an older file system there would be taken for the volume's own
        self._write(live, words, "--append", "--wipe-partitions", "always")
        disk = self._disk(live)
        made = next((part for part in disk.table.parts if part.start == span.start), None)
        if made is None:
            raise Failed(f"sfdisk made no partition at byte {span.start} of {live.source!r}")
        self._follow(live, disk)
        return made.number

    def table(self, live: Live) -> Table:
        """The table as it is now."""
        return self._table(live)

    def expected(self, live: Live, number: int) -> str:
        """The name that a partition of a number has."""
        return self._name(live, number)

    def _part(self, live: Live, table: Table, name: str) -> Part:
        part = table.find(self._number(live, name))
        if part is None:
            raise NotFound(name, "volume")
        return part

    def _name(self, live: Live, number: int) -> str:
        device = self._device(live)
        apart = (live.more or {}).get("apart")
        if apart is None:
            apart = "p" if device[-1].isdigit() else ""
        return f"{device}{apart}{number}"

    def _number(self, live: Live, name: str) -> int:
        return number_of(name, self._device(live)) if "/" not in name else 0

    def _device(self, live: Live) -> str:
        """The name of the disk itself, whatever link led to it."""
        if live.source.startswith(f"{NODES}/mapper/") or os.path.dirname(live.source) == NODES:
            return os.path.basename(live.source)
        found = self.run("readlink", "-e", live.source).text.strip()
        if not found:
            raise NotFound(live.source, "file", hint="correct the pool's source device")
        return os.path.basename(found)

    def _table(self, live: Live) -> Table:
        return self._disk(live).table

    def _disk(self, live: Live) -> Disk:
        row, nodes, _ = self._kernel(live.source)
        out = self.tool("sfdisk", "--json", live.source, content=(0, 1))
        if out.code:
            said = out.err.decode("utf-8", "replace")
            if "does not contain a recognized partition table" in said:
                raise Invalid(f"{live.source!r} has no partition table", hint="build the pool")
            done(out, live.source)
        size = int(row["size"])
        table = read(out.text, size)
        if table.label not in LABELS:
            reason = _REFUSED.get(table.label, "no other tables are known here")
            raise Invalid(f"{live.source!r} has a table of the kind {table.label!r}: {reason}", hint="use another disk")
        return Disk(size, table, nodes)

    def _kernel(self, path: str) -> tuple[dict[str, Any], dict[int, tuple[int, int]], int]:
        """What the kernel has of a device, of its partitions by number, and how many devices stand on it."""
        columns = "KNAME,SIZE,START,TYPE,MOUNTPOINT"
        out = self.tool("lsblk", "--json", "--list", "--bytes", "--output", columns, path, content=(0, 32))
        if out.code:
            raise NotFound(path, "file", hint="correct the pool's source device")
        row, *above = json.loads(out.text)["blockdevices"]
        nodes = {}
        for one in above:
            number = number_of(str(one["kname"]), str(row["kname"]))
            if one["type"] == "part" and number:
                nodes[number] = (int(one["start"] or 0) * _UNIT, int(one["size"]))
        return row, nodes, len(above)

    def _follow(self, live: Live, disk: Disk) -> list[str]:
        """Tell the kernel of each partition that it has otherwise than the table; a sentence for what it lacked."""
        if live.source.startswith(f"{NODES}/mapper/"):
            apart = (live.more or {}).get("apart")
            self.tool("kpartx", "-u", "-s", *(() if apart is None else ("-p", apart)), live.source)
            return []
        said, wanted = [], {part.number: _shown(part) for part in disk.table.parts}
        stale = [number for number, node in disk.nodes.items() if wanted.get(number, (-1, 0))[0] != node[0]]
        self._let_go(live, disk.nodes, stale)
        for number, (start, size) in wanted.items():
            node = None if number in stale else disk.nodes.get(number)
            if node is None:
                self.tool("addpart", live.source, str(number), str(start // _UNIT), str(size // _UNIT))
                said.append(f"{self._name(live, number)}: the kernel knew nothing of that partition, and knows it now")
            elif node[1] != size:
                self.tool("resizepart", live.source, str(number), str(size // _UNIT))
        return said

    def _let_go(self, live: Live, nodes: dict[int, tuple[int, int]], numbers: Any) -> None:
        """Have the kernel forget partitions: all of them, or none where one is in use."""
        gone: list[int] = []
        for number in sorted(numbers):
            try:
                self.tool("delpart", live.source, str(number))
            except Failed as failed:
                if "busy" not in str(failed.details.get("stderr", "")):
                    raise
                for again in gone:
                    start, size = nodes[again]
                    self.tool("addpart", live.source, str(again), str(start // _UNIT), str(size // _UNIT))
                name = self._name(live, number)
                raise Busy(name, holder="whoever has it open", hint=f"fuser -v {NODES}/{name} tells") from failed
            gone.append(number)

    def _write(self, live: Live, words: str, *options: str) -> None:
        self._tool_at(live, *options, live.source, given=words)

    def _tool_at(self, live: Live, *words: str, given: str = "") -> None:
        self.tool("sfdisk", *_QUIETLY, *words, about=live.source, given=given)


def wanted(model: Volume) -> Wish:
    """What a description asks of a partition.

    :raises Invalid: with everything in it that cannot be had.
    """
    from anyvirt_host.storage.wish import Wish

    asked, problems = heeded(model), []
    meaningless(asked, "type", "name", "key", "physical", "allocation", "source_devices")
    kind = "none"
    if asked.target:
        meaningless(asked.target, "path", "timestamps", "permissions")
        kind = str(asked.target.format or kind)
    if kind not in ABOUT.volumes:
        text = f"there are no partitions of the format {kind!r}"
        hint = f"use {', '.join(ABOUT.volumes)}"
        problems.append(Problem("unsupported.config", "/target/format/@type", None, text, hint))
    if not asked.capacity:
        problems.append(Problem("config.missing", "/capacity", None, "a partition needs a size", "say how many bytes"))
    problems += unheeded(asked, "storage")
    if problems:
        raise Invalid(problems)
    return Wish(asked.name, kind, asked.capacity, asked.capacity or 0)


def _shown(part: Part) -> tuple[int, int]:
    """First byte and length that the kernel has of a partition."""
    return (part.start, _EXTENDED if part.kind == "extended" else part.size)


def backend(run: Run) -> Backend:
    """The back-end."""
    return DiskPool(run)
