"""Disks: targets, sources, limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, duplicate, each, missing
from anyvirt.model.devices.disk import Disk, DiskBus, DiskDevice, IoTune
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of
from anyvirt.model.source import SourceType

# The attribute of the source that a type of disk needs.
PLACE: Final = {
    SourceType.BLOCK: "dev",
    SourceType.DIR: "dir",
    SourceType.NETWORK: "protocol",
    SourceType.VOLUME: "pool",
}
# Address of a disk on a bus that is the same everywhere; a SATA disk of bhyve sits on PCI.
ADDRESS: Final = {DiskBus.USB: "usb", DiskBus.IDE: "drive", DiskBus.SCSI: "drive", DiskBus.FDC: "drive"}
KINDS: Final = ("bytes_sec", "iops_sec")


def disks(domain: Domain) -> Iterator[Problem]:
    """Every disk of a domain."""
    seen: dict[str, int | None] = {}
    for path, disk in each(domain, "disks"):
        line = line_of(disk)
        if not disk.target:
            yield missing(f"{path}/target/@dev", line, "the target is missing", "such as <target dev='vda'/>")
        elif disk.target in seen:
            holder = f"the disk of line {seen[disk.target]}" if seen[disk.target] else "another disk"
            text = f"target {disk.target!r} is taken by {holder}"
            yield duplicate(f"{path}/target/@dev", line_of(disk, "target") or line, text, "use another name")
        else:
            seen[disk.target] = line
        yield from _source(disk, path)
        yield from _kind(disk, path)
        if disk.iotune is not None:
            yield from limits(disk.iotune, f"{path}/iotune")


def _source(disk: Disk, path: str) -> Iterator[Problem]:
    source, line = disk.source, line_of(disk)
    removable = disk.device in (DiskDevice.CDROM, DiskDevice.FLOPPY)
    place = PLACE.get(disk.type) if disk.type else None
    if place and not (removable and source is None) and not (source and getattr(source, place)):
        hint = f"such as <source {place}='...'/>"
        yield missing(f"{path}/source/@{place}", line, f"a disk of type {disk.type} needs a {place}", hint)
    if source is None:
        return
    for name in ("auth", "encryption"):
        if getattr(disk, name) is not None and getattr(source, name) is not None:
            text = f"{name} stands in the disk and in its source"
            yield conflict(f"{path}/{name}", line_of(getattr(disk, name)), text, "keep the one in the source")
    for where, encryption in ((path, disk.encryption), (f"{path}/source", source.encryption)):
        if encryption is not None and encryption.cipher is not None:
            text = "the cipher of an image that exists is in its header"
            yield conflict(f"{where}/encryption/cipher", line_of(encryption), text, "leave it out; volumes have it")
    if source.startup_policy == "requisite" and not removable:
        text = "only drives with removable media start without a medium that was there before"
        yield conflict(f"{path}/source/@startupPolicy", line_of(source), text, "use optional or mandatory")


def _kind(disk: Disk, path: str) -> Iterator[Problem]:
    line = line_of(disk)
    if disk.device == DiskDevice.LUN:
        if disk.type not in (SourceType.BLOCK, SourceType.NETWORK, SourceType.VOLUME):
            text = f"a lun is passed through from a device, and type {disk.type or 'file'} is none"
            yield conflict(f"{path}/@type", line, text, "use type='block', network or volume")
        if disk.driver is not None and disk.driver.type not in (None, "raw"):
            text = f"a lun has no format {disk.driver.type!r}"
            yield conflict(f"{path}/driver/@type", line_of(disk.driver), text, "use type='raw'")
    needed = ADDRESS.get(disk.bus) if disk.bus else None
    if needed and disk.address is not None:
        kind = (type(disk.address)._when or ("", ""))[1]
        if kind != needed:
            text = f"a disk on bus {disk.bus} has no address of type {kind!r}"
            hint = f"use type {needed!r}, or leave the address out"
            yield conflict(f"{path}/address/@type", line_of(disk.address), text, hint)
    if disk.device == DiskDevice.FLOPPY and disk.bus not in (None, DiskBus.FDC):
        yield conflict(f"{path}/target/@bus", line, f"a floppy drive on bus {disk.bus}", "use bus='fdc'")


def limits(tune: IoTune, path: str) -> Iterator[Problem]:
    """Limits of a disk: the whole or each direction, bursts above them."""
    line = line_of(tune)
    for kind in KINDS:
        for tail in ("", "_max"):
            each_way = getattr(tune, f"read_{kind}{tail}") or getattr(tune, f"write_{kind}{tail}")
            if getattr(tune, f"total_{kind}{tail}") and each_way:
                text = f"total_{kind}{tail} stands beside a limit of one direction"
                yield conflict(f"{path}/total_{kind}{tail}", line, text, "use one of both")
        for way in ("total", "read", "write"):
            name = f"{way}_{kind}"
            rate, burst = getattr(tune, name), getattr(tune, f"{name}_max")
            if burst and rate and burst < rate:
                text = f"the burst {burst} is below the rate {rate}"
                yield conflict(f"{path}/{name}_max", line, text, f"use at least {rate}")
            if getattr(tune, f"{name}_max_length") and not burst:
                text = f"{name}_max_length needs {name}_max"
                yield missing(f"{path}/{name}_max", line, text, "give the burst, too")
