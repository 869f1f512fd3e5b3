"""Disks that name a volume of a storage pool, as the files, devices and images on servers that the volumes are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Disk,
    DiskDriver,
    NotFound,
    Problem,
    Protocol,
    Source,
    SourceHost,
    SourceType,
    VirtError,
)

if TYPE_CHECKING:
    from anyvirt.api import Connection, Domain, Pool, PoolSource, Volume

LOCAL: Final = {"file": (SourceType.FILE, "file"), "block": (SourceType.BLOCK, "dev"), "dir": (SourceType.DIR, "dir")}
IMAGES: Final = {"iso": "raw", "luks": "raw", "none": "raw", "unknown": "raw"}  # what QEMU calls a format otherwise
ISCSI: Final = ("iscsi", "iscsi-direct")
REMOVABLE: Final = ("cdrom", "floppy")
MISSING: Final = "volume.not-found"
HOOKS: Final = ("pool_list", "volume_config", "volume_path")


class _Wrong(Exception):
    """Why a disk has no place; ``field`` is what of it is wrong."""

    def __init__(self, field: str, text: str, hint: str, code: str = "config.invalid") -> None:
        super().__init__(text)
        self.field, self.text, self.hint, self.code = field, text, hint, code


def placed(domain: Domain, calls: Connection | None) -> tuple[Domain, list[Problem], list[str]]:
    """The definition with its volumes in their places, why others have none, and what may be missing and is.

    :param calls: who knows pools; without that the definition stays as it is, and the plan refuses it.
    """
    wanted = [disk for disk in domain.disks if disk.type == "volume" and disk.source is not None]
    if not wanted or calls is None or not all(hook in calls.supports for hook in HOOKS):
        return domain, [], []
    pools, disks, problems, told = _Pools(calls), [], [], []
    for disk in domain.disks:
        if disk not in wanted:
            disks.append(disk)
            continue
        try:
            disks.append(_placed(disk, pools))
        except _Wrong as wrong:
            optional = disk.source is not None and disk.source.startup_policy == "optional"
            if optional and wrong.code == MISSING:
                told.append(f"{wrong.text}, and disk {disk.target} starts without it, as its startupPolicy says")
                disks += [disk.replace(source=None, backing_store=None)] if disk.device in REMOVABLE else []
                continue
            disks.append(disk)
            problems.append(Problem(wrong.code, f"{_path(disk)}/{wrong.field}", None, wrong.text, wrong.hint))
    return domain.replace(disks=tuple(disks)), problems, told


def without(problems: Iterable[Problem], unplaced: Iterable[Problem]) -> list[Problem]:
    """Problems without those of the plan about the type of disks that have no place, which is told already."""
    types = {f"{problem.path.partition('/source')[0].partition('/driver')[0]}/@type" for problem in unplaced}
    return [problem for problem in problems if problem.path not in types]


@dataclass
class _Pools:
    """Pools that were asked for, each once."""

    calls: Connection
    seen: dict[str, Any] = field(default_factory=dict)

    def volume(self, source: Source) -> tuple[Any, Volume, str]:
        """The pool and the volume that a source names, and the volume's path."""
        name, text = source.pool or "", source.volume or ""
        pool = self.seen.get(name) or self._pool(name)
        self.seen[name] = pool
        try:
            volume = self.calls.lookup_volume(pool, text)
            return pool, volume.config().model, volume.path()
        except NotFound:
            hint = "make it, or name another"
            raise _Wrong("source/@volume", f"pool {name!r} has no volume {text!r}", hint, MISSING) from None
        except VirtError as error:
            raise _Wrong("source/@volume", f"volume {text!r} of pool {name!r}: {error.message}", error.hint) from None

    def _pool(self, name: str) -> Any:
        try:
            pool = self.calls.lookup_pool(name)
            active = pool.info().active
        except NotFound:
            hint = "define it, or name another: pool list --all shows them"
            raise _Wrong("source/@pool", f"there is no pool {name!r}", hint, "pool.not-found") from None
        except VirtError as error:
            raise _Wrong("source/@pool", f"pool {name!r}: {error.message}", error.hint) from None
        if not active:
            hint = f"start it: pool start {name}"
            raise _Wrong("source/@pool", f"pool {name!r} is not active", hint, "pool.wrong-state")
        return pool


def _placed(disk: Disk, pools: _Pools) -> Disk:
    source = disk.source
    assert source is not None
    pool, volume, path = pools.volume(source)
    kind = str(volume.type or "file")
    config: Pool = pool.config().model if kind == "network" or source.mode else None  # type: ignore[assignment]
    if source.mode and config.type not in ISCSI:
        hint = "leave it out"
        raise _Wrong("source/@mode", f"only volumes of iSCSI pools have a mode, and {source.pool!r} is none", hint)
    if kind == "network" or source.mode == "direct":
        if source.mode == "host" and kind == "network":
            hint = "use direct, or a pool of the type iscsi"
            raise _Wrong("source/@mode", f"volumes of pool {source.pool!r} are no devices of this host", hint)
        type_, place = SourceType.NETWORK, _remote(config, volume, source)
    elif kind in LOCAL:
        type_, name = LOCAL[kind]
        place = {name: path}
    else:
        hint = "name a file, a device or an image on a server"
        raise _Wrong("source/@volume", f"volume {source.volume!r} is of the type {kind}, and no image", hint)
    opened = source.encryption or disk.encryption
    encryption = volume.target.encryption if volume.target and opened is None else None
    if encryption is not None and encryption.format not in {None, "default"}:
        place["encryption"] = encryption.replace(cipher=None, ivgen_name=None, ivgen_hash=None)
    return disk.replace(
        type=type_,
        driver=_driver(disk, volume),
        source=source.replace(pool=None, volume=None, mode=None, **place),
    )


def _driver(disk: Disk, volume: Volume) -> DiskDriver:
    """The disk's driver, with the format that the volume was declared with; never another one."""
    word = str(volume.target.format) if volume.target and volume.target.format else "raw"
    declared = IMAGES.get(word, word)
    driver = disk.driver or DiskDriver(name="qemu")
    if driver.type not in {None, declared} and volume.type != "dir":
        text = f"volume {volume.name!r} was declared as {word}, and the disk says {driver.type}"
        hint = f"write type='{declared}', or declare what the volume is"
        raise _Wrong("driver/@type", text, hint)
    return driver if volume.type == "dir" else driver.replace(type=declared)


def _remote(pool: Pool, volume: Volume, source: Source) -> dict[str, Any]:
    """How QEMU itself reaches a volume, from what its pool says."""
    origin = pool.source
    make = REMOTE.get(str(pool.type))
    if make is None or origin is None:
        hint = "name the image itself"
        raise _Wrong("source/@pool", f"QEMU does not reach volumes of pools of the type {pool.type}", hint)
    protocol, port, name = make(origin, volume)
    hosts = tuple(SourceHost(name=host.name, port=host.port or port) for host in origin.hosts)
    found: dict[str, Any] = {"protocol": protocol, "name": name, "hosts": hosts}
    auth, kind = origin.auth, "ceph" if protocol is Protocol.RBD else "iscsi"
    if auth is not None and source.auth is None:
        secret = auth.secret and auth.secret.replace(type=kind)
        found["auth"] = auth.replace(type=None, secret=secret)
    if protocol is Protocol.ISCSI:
        found["initiator"] = source.initiator or origin.initiator
    return found


def _iscsi(origin: PoolSource, volume: Volume) -> tuple[Protocol, int, str]:
    target = origin.devices[0].path if origin.devices else ""
    unit = volume.name.rpartition(":")[2]
    if not unit.isdecimal():
        raise _Wrong("source/@volume", f"volume {volume.name!r} has no number of a unit", "name it like unit:0:0:1")
    return Protocol.ISCSI, 3260, f"{target}/{int(unit)}"


def _rbd(origin: PoolSource, volume: Volume) -> tuple[Protocol, int, str]:
    return Protocol.RBD, 6789, f"{origin.name}/{volume.name}"


def _gluster(origin: PoolSource, volume: Volume) -> tuple[Protocol, int, str]:
    folder = (origin.dir or "").strip("/")
    return Protocol.GLUSTER, 24007, "/".join(filter(None, (origin.name, folder, volume.name)))


REMOTE: Final = {"iscsi": _iscsi, "iscsi-direct": _iscsi, "rbd": _rbd, "gluster": _gluster}


def _path(disk: Disk) -> str:
    return f"/devices/disk[{disk.target}]"
