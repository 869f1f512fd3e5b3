"""Pools of the type logical: a volume group of LVM, and the logical volumes in it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Busy,
    Exists,
    Extent,
    Invalid,
    NotFound,
    PoolDevice,
    PoolFormat,
    PoolSource,
    PoolSources,
    Problem,
    Progress,
    Run,
    Unsupported,
    VirtError,
    VolumeBackingStore,
    VolumeFormat,
    VolumeSourceDevice,
    heeded,
    meaningless,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend, Found, Room, Sight
from anyvirt_host.storage.kinds.bare import Bare
from anyvirt_host.storage.kinds.lvm import PATIENCE, Lv, Lvm
from anyvirt_host.storage.kinds.maker import alive, maker
from anyvirt_host.storage.kinds.nodes import NONE, nodes
from anyvirt_host.storage.site import Live
from anyvirt_host.storage.wish import HIDDEN, Wish

if TYPE_CHECKING:
    from anyvirt.api import Pool, Volume

    from anyvirt_host.storage.kinds.logical_draft import LogicalDraft

ABOUT: Final = About(("lvm2",), tools=("vgs", "lvs", "pvs", "vgchange", "lvcreate", "lvremove", "lvrename"), root=True)
END: Final = ".new"
VOLUMES: Final = ("thick", "thin", "snapshot")
_FORMATS: Final = ("", "auto", "unknown", "lvm2")
_GROUP: Final = re.compile(r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*", re.ASCII)
_KEPT: Final = ("_cdata", "_cmeta", "_corig", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta")
_LONGEST: Final = 127 - len("-") - 64  # LVM has 127 for group and volume together, with dashes doubled
_NOTHING: Final = 2  # blkid's status where it knows nothing of what is there


class LogicalPool(Bare):
    """The group is the pool: starting activates its volumes on this host, stopping ends that.

    :param who: makes volumes; this process unless given.
    :param patience: seconds that another command may keep a lock.
    """

    kind = "logical"

    def __init__(self, run: Run, *, who: str = "", patience: float = PATIENCE) -> None:
        super().__init__(run)
        self.lvm, self._who = Lvm(run, patience), who

    def live(self, pool: Pool) -> Live:
        """Group and devices of the definition."""
        asked, problems = heeded(pool), []
        meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
        if asked.permissions:
            meaningless(asked.permissions)
        source = asked.source
        name = source.name or "" if source else ""
        name, place = name or asked.name, "/source/name"
        if not _GROUP.fullmatch(name) or name in (".", ".."):
            text = f"{name!r} is no name of a volume group"
            problems.append(Problem("config.invalid", place, None, text, "use letters, digits and + _ . -"))
        kind = str(source.format or "") if source else ""
        if kind not in _FORMATS:
            text = f"volume groups of the format {kind!r} are not known here"
            problems.append(Problem("unsupported.config", "/source/format/@type", None, text, "use lvm2"))
        path = f"/dev/{name}"
        if asked.target and asked.target.rstrip("/") != path:
            text = f"the volumes of the group {name!r} are in {path}, not in {asked.target!r}"
            problems.append(Problem("config.invalid", "/target/path", None, text, "leave it out"))
        devices = [device.path or "" for device in source.devices] if source else []
        if any(not device.startswith("/") for device in devices):
            text = "a device is named by its absolute path"
            problems.append(Problem("config.invalid", "/source/device/@path", None, text, "write it in full"))
        counts = "capacity" if asked.refresh_allocation == "capacity" else ""
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return Live("logical", path, counts=counts, more={"devices": devices})

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:  # noqa: ARG002
        """Make the devices physical volumes, and a group of them.

        :raises Exists: there is a group of that name, or something on a device that is not to be overwritten.
        :raises Busy: a device is in use, or of another group.
        """
        group, devices = group_of(live), (live.more or {}).get("devices") or []
        if not devices:
            text = "a volume group is made of devices, and none is named"
            hint = "such as <source><device path='/dev/sdb'/></source>"
            raise Invalid([Problem("config.missing", "/source/device", None, text, hint)])
        with suppress(NotFound):
            self.lvm.group(group)
            hint = "start the pool, or remove the group: vgremove"
            raise Exists("pool", group, holder="a volume group of LVM", hint=hint)
        taken = dict(self.lvm.devices())
        for device in devices:
            if its := taken.get(device):
                raise Busy(device, holder=f"the volume group {its!r}", hint="name another device")
            found = self.tool("blkid", "-p", "-o", "export", device, content=(0, _NOTHING))
            kinds = [row.partition("=")[2] for row in found.text.splitlines() if row.startswith(("TYPE=", "PTTYPE="))]
            if found.code == 0 and not overwrite and device not in taken:
                raise Exists("file", device, holder=", ".join(kinds) or "something", hint="overwrite it if it may go")
        made: list[str] = []
        try:
            for device in devices:
                self.lvm.do("pvcreate", "--yes", "--force", device, about=device)
                made.append(device)
            self.lvm.do("vgcreate", group, *devices, about=group)
        except VirtError:
            for device in made:
                with suppress(VirtError):
                    self.lvm.do("pvremove", "--yes", device, about=device)
            raise

    def start(self, live: Live) -> Live:
        """Activate the volumes on this host.

        :raises NotFound: there is no such group.
        :raises Failed: a device of it is missing, and with it a volume.
        """
        group = group_of(live)
        self.lvm.group(group)
        self.lvm.do("vgchange", "-aly", group, about=group)
        return live

    def stop(self, live: Live) -> None:
        """Deactivate them, unless the group is gone.

        :raises Busy: one of them is open.
        """
        group = group_of(live)
        opened = [f"{live.path}/{one.name}" for one in self.lvm.volumes(group) if one.open and one.kind in VOLUMES]
        if opened:
            names = ", ".join(opened)
            raise Busy(group, holder=f"whoever has {names} open", hint=f"lsof {opened[0]} tells")
        with suppress(NotFound):
            self.lvm.do("vgchange", "-aln", group, about=group)

    def delete(self, live: Live, *, zeroed: bool = False) -> None:
        """Remove the group, which has to be empty, and what makes its devices physical volumes.

        :raises Invalid: it has volumes.
        """
        group = group_of(live)
        self.lvm.group(group)
        names = sorted(one.name for one in self.lvm.volumes(group) if one.kind != "inner")
        if names:
            text = f"the volume group {group!r} has {', '.join(names)} in it"
            raise Invalid(text, hint="remove that first: lvremove")
        devices = [device for device, its in self.lvm.devices() if its == group]
        self.lvm.do("vgremove", group, about=group)
        for device in devices:
            self.lvm.do("pvremove", device, about=device)
            if zeroed:
                self.tool("blkdiscard", "--zeroout", device)

    def refresh(self, live: Live) -> None:
        """See that the group is there, and activate what somebody added to it."""
        self.start(live)

    def sources(self, asked: PoolSource | None) -> PoolSources:  # noqa: ARG002 - the host knows them all
        """Every volume group of the host."""
        groups: dict[str, list[str]] = {}
        for device, group in self.lvm.devices():
            if group:
                groups.setdefault(group, []).append(device)
        found = [
            PoolSource(name=name, devices=tuple(PoolDevice(path=path) for path in paths), format=PoolFormat.LVM2)
            for name, paths in sorted(groups.items())
        ]
        return PoolSources(sources=tuple(found))

    def room(self, live: Live) -> Room:
        """What the group has, and what of it is in no volume."""
        group = self.lvm.group(group_of(live))
        return Room(group.size, group.free)

    def names(self, live: Live) -> Iterator[Found]:
        """Every volume; what LVM keeps for itself, and pools of thin volumes, are none."""
        volumes = self.lvm.volumes(group_of(live))
        if not volumes:
            self.lvm.group(group_of(live))  # an empty group, or none
        for one in volumes:
            if one.kind in VOLUMES:
                yield Found(one.name, _odd(one))

    def look(self, live: Live, name: str) -> Sight | None:
        """One of them."""
        found = self.find(live, name)
        if found is None or _odd(found):
            return None
        path = f"{live.path}/{name}"
        node = nodes(self.run, [path]).get(path, NONE)
        return Sight("block", found.inode, found.allocation, found.size, *node)

    def volume_told(self, live: Live, name: str, model: Volume) -> Volume:
        """With the devices that it is on, and the volume that it is a snapshot of."""
        devices: dict[str, list[Extent]] = {}
        for device, start, end in self.lvm.parts(group_of(live), name):
            devices.setdefault(device, []).append(Extent(start=start, end=end))
        told = tuple(VolumeSourceDevice(path=path, extents=tuple(parts)) for path, parts in devices.items())
        found = self.find(live, name)
        if found and found.origin:
            below = VolumeBackingStore(path=f"{live.path}/{found.origin}", format=VolumeFormat.RAW)
            model = model.replace(backing_store=below)
        return model.replace(source_devices=told)

    def head(self, live: Live, name: str, count: int) -> bytes:
        """The first bytes of one."""
        return self.tool("head", "--bytes", str(count), f"{live.path}/{name}").out

    def wish(self, model: Volume) -> Wish:
        """Sizes and origin of a logical volume."""
        return wanted(model)

    def stand(self, live: Live, wish: Wish) -> Wish:
        """The wish for a snapshot, with the size of the volume that it is to be one of.

        :raises NotFound: there is no such volume.
        """
        found = self.find(live, self.called(live, wish.backing)) if self.called(live, wish.backing) else None
        if found is None or _odd(found):
            raise NotFound(wish.backing, "volume", hint=f"a snapshot is one of a volume in {live.path}")
        if wish.capacity is not None and wish.capacity < found.size:
            text = f"a snapshot has the size of its origin, {found.size} bytes"
            raise Invalid([Problem("config.range", "/capacity", None, text, "leave it out, and resize it afterwards")])
        size = wish.capacity or found.size
        return replace(wish, capacity=size, allocation=size if wish.allocation < 0 else wish.allocation)

    def draft(self, live: Live, name: str, mark: str) -> LogicalDraft:
        """Begin one, under a name that tells who makes it."""
        from anyvirt_host.storage.kinds.logical_draft import LogicalDraft

        return LogicalDraft(self, live, name, f"{HIDDEN}{mark}.{self._who or maker()}{END}")

    def making(self, live: Live) -> int:
        """How many are made by processes that live."""
        return sum(alive(who) is True for _, who, _ in self._drafts(live))

    def sweep(self, live: Live, mark: str = "") -> list[str]:
        """Remove what killed makers left."""
        said = []
        for its, who, name in self._drafts(live):
            if its == mark or (not mark and alive(who) is False):
                group = group_of(live)
                self.lvm.do("lvremove", "--yes", f"{group}/{name}", about=f"{group}/{name}")
                said.append(f"{live.path}/{name}: removed, its maker was killed")
        return said

    def home(self, live: Live) -> str:
        """The group's own UUID."""
        return f"lvm:{self.lvm.group(group_of(live)).uuid}"

    def in_use(self, live: Live, name: str) -> bool:
        """Whether somebody has the device open."""
        found = self.find(live, name)
        return bool(found and found.open)

    def remove(self, live: Live, name: str) -> None:
        """Remove one.

        :raises Busy: it is open, or another one is a snapshot of it and would go, too.
        """
        group = group_of(live)
        volumes = {one.name: one for one in self.lvm.volumes(group)}
        if name not in volumes:
            raise NotFound(name, "volume")
        above = sorted(one.name for one in volumes.values() if one.kind == "snapshot" and one.origin == name)
        if above:
            names = ", ".join(above)
            raise Busy(f"{live.path}/{name}", holder=names, purpose="their own content", hint=f"delete {names} first")
        self.lvm.do("lvremove", "--yes", f"{group}/{name}", about=f"{group}/{name}")

    def resize(self, live: Live, name: str, size: int, *, allocate: bool) -> Generator[Progress, None, None]:
        """Make one larger or smaller, by whole extents.

        :raises Unsupported: its origin, not it, has the size of a snapshot; a thin volume's space is not set aside.
        """
        yield Progress(0, size, "B", "resizing")
        found = self.find(live, name)
        if found is None:
            raise NotFound(name, "volume")
        if found.kind == "snapshot":
            raise Unsupported("LVM", "resizing a snapshot of a thick volume", hint="copy it into a volume of its own")
        if allocate and found.kind == "thin":
            raise Unsupported("LVM", "setting space aside for a thin volume", hint="leave that out")
        words = ("--size", f"{sectors(size)}b", f"{group_of(live)}/{name}")
        tool = ("lvextend",) if size > found.size else ("lvreduce", "--yes", "--force")
        if sectors(size) != found.size:
            self.lvm.do(*tool, *words, about=words[-1])

    def settle(self, live: Live, name: str, size: int) -> None:
        """Nothing: LVM takes what it needs in one step."""

    def find(self, live: Live, name: str) -> Lv | None:
        """A volume of that name, also one that is no volume of the pool's."""
        if not _good_name(name):
            return None
        return next(iter(self.lvm.volumes(group_of(live), name)), None)

    def _drafts(self, live: Live) -> Iterator[tuple[str, str, str]]:
        """Marks and makers of volumes that are being made, and the names that they have meanwhile."""
        for one in self.lvm.volumes(group_of(live)):
            if one.name.startswith(HIDDEN) and one.name.endswith(END):
                mark, _, who = one.name[len(HIDDEN) : -len(END)].partition(".")
                yield mark, who, one.name


def group_of(live: Live) -> str:
    """The name of the volume group."""
    return live.path.removeprefix("/dev/")


def sectors(size: int) -> int:
    """Bytes in whole sectors, as LVM's programs take them."""
    return -(-size // 512) * 512


def wanted(model: Volume) -> Wish:
    """What a description asks of a logical volume; its ``allocation`` is -1 where it says nothing of that.

    :raises Invalid: with everything in it that cannot be had.
    """
    asked, problems = heeded(model), []
    meaningless(asked, "type", "key", "physical", "source_devices")
    if not _good_name(asked.name) or asked.name.startswith(HIDDEN) or len(asked.name) > _LONGEST:
        text = f"{asked.name!r} is no name of a logical volume"
        hint = f"up to {_LONGEST} letters, digits and + _ . -, no dash first, and no word that LVM keeps for itself"
        problems.append(Problem("config.invalid", "/name", None, text, hint))
    made = Wish(
        asked.name, "raw", asked.capacity or None, -1 if asked.allocation is None else asked.allocation, mode=-1
    )
    if asked.target:
        meaningless(asked.target, "path", "timestamps")
        kind = str(asked.target.format or "raw")
        if kind not in ("raw", "lvm2"):
            text = f"a logical volume of the format {kind!r} is not made here"
            hint = "leave the format out: a logical volume is raw"
            problems.append(Problem("unsupported.config", "/target/format/@type", None, text, hint))
        rights = asked.target.permissions
        if rights:
            owner = (-1 if rights.owner is None else rights.owner, -1 if rights.group is None else rights.group)
            made = replace(made, mode=-1 if rights.mode is None else rights.mode & 0o777, owner=owner)
    store = asked.backing_store
    if store and store.path:
        meaningless(store, "permissions", "timestamps")
        if str(store.format or "raw") not in ("raw", "lvm2"):
            text = "a logical volume stands on another one of its group, which is raw"
            problems.append(Problem("unsupported.config", "/backingStore/format/@type", None, text, "leave it out"))
        made = replace(made, backing=store.path, backing_format="raw")
    elif not asked.capacity:
        text = "a volume needs a size"
        problems.append(Problem("config.missing", "/capacity", None, text, "say how many bytes"))
    problems += unheeded(asked, "storage")
    if problems:
        raise Invalid(problems)
    return made


def _good_name(name: str) -> bool:
    if not _GROUP.fullmatch(name) or name in (".", "..") or name.startswith(("snapshot", "pvmove")):
        return False
    return not any(word in name for word in _KEPT)


def _odd(one: Lv) -> str:
    """Why it is no volume; empty for one."""
    if one.kind not in VOLUMES:
        return "LVM's own"
    if one.name.startswith(HIDDEN):
        return "a volume that is being made, or what a killed process left of one"
    if not one.active:
        return "not active on this host: lvchange --activate y --ignoreactivationskip activates it"
    return ""


def backend(run: Run) -> Backend:
    """The back-end."""
    return LogicalPool(run)
