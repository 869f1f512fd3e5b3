"""Disks, drives and floppies: writing."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import meaningless

from anyvirt_esx.vmx.disks import ADAPTER, AUTO, FLOPPIES, IDE, NVME, SATA, SCSI, Bus
from anyvirt_esx.vmx.places import spelled
from anyvirt_esx.vmx.write import Lines

MODELS: Final = {
    "buslogic": "buslogic", "lsilogic": "lsilogic", "lsisas1068": "lsisas1068", "vmpvscsi": "pvscsi",
}  # fmt: skip
BUSES: Final = {bus.name: bus for bus in (SCSI, SATA, IDE, NVME)}
NAME: Final = re.compile(r"([a-z]+?)d([a-z]{1,3})")
NVME_NAME: Final = re.compile(r"nvme([0-3])n([1-9][0-9]?)")
LETTERS: Final = 26
LIKE_A_SCSI_DISK: Final = "such as dev='sda' bus='scsi'"


def write(x: Any, w: Lines) -> None:
    """Controllers, what hangs from them, and floppies."""
    places = [(disk, _place(disk, w)) for disk in x.disks if disk.device != "floppy"]
    for name in ("scsi", "sata", "nvme"):
        _write_controllers(x, w, BUSES[name], [(disk, spot) for disk, spot in places if spot and spot[0] == name])
    seen: set[tuple[str, int, int]] = set()
    for disk, spot in places:
        if spot is None:
            continue
        if spot in seen:
            w.refuse(disk, "target", "another disk hangs there", "hang it elsewhere", "config.duplicate")
        seen.add(spot)
        _write_disk(disk, "{}{}:{}".format(*spot), spot[0], w)
    _write_floppies([disk for disk in x.disks if disk.device == "floppy"], w)


def _write_controllers(x: Any, w: Lines, bus: Bus, places: list[tuple[Any, tuple[str, int, int]]]) -> None:
    models: dict[int, str | None] = {}
    for one in x.controllers:
        if one.type != bus.name:
            continue
        index = one.index or 0
        if index >= bus.controllers:
            text = f"there are {bus.controllers} controllers of {bus.name}"
            w.refuse(one, "index", text, "use fewer", "config.range")
        models[index] = one.model
        if one.model is not None and (bus is not SCSI or one.model not in MODELS):
            w.refuse(one, "model", f"there is no {one.model} here", f"there are {', '.join(MODELS)}")
    for disk, (_, number, _) in places:
        wanted = disk.driver.name if disk.driver is not None and bus is SCSI else None
        known = models.setdefault(number, wanted)
        if wanted is not None and wanted not in MODELS:
            w.refuse(disk.driver, "name", f"there is no {wanted} here", f"there are {', '.join(MODELS)}")
        elif wanted is not None and known not in {None, wanted}:
            w.refuse(disk.driver, "name", f"its controller is a {known}", "use one model", "config.conflict")
        elif wanted is not None:
            models[number] = wanted
    for number, model in sorted(models.items()):
        w.put(f"{bus.name}{number}.present", True)
        if model in MODELS:
            w.put(f"{bus.name}{number}.virtualDev", MODELS[model])


def _place(disk: Any, w: Lines) -> tuple[str, int, int] | None:
    """Name of the bus, and the two numbers of the place on it."""
    name = disk.bus or {"h": "ide", "s": "scsi", "n": "nvme"}.get((disk.target or " ")[0])
    bus = BUSES.get(name or "")
    if bus is None:
        w.refuse(disk, "bus", f"no disk hangs from {name or 'nothing'}", f"there are {', '.join(BUSES)} and fdc")
        return None
    found = _addressed(disk, bus, w) if disk.address is not None else _named(disk, bus)
    if found is None:
        if disk.address is None:
            text = f"{disk.target!r} says no place on {bus.name}"
            w.refuse(disk, "target", text, LIKE_A_SCSI_DISK, "config.invalid")
        return None
    number, unit = found
    if number >= bus.controllers or unit >= bus.units or (bus is SCSI and unit == ADAPTER):
        text = f"{bus.name} has no place {number}:{unit}"
        w.refuse(disk, "target", text, "hang it elsewhere", "config.range")
        return None
    return bus.name, number, unit


def _addressed(disk: Any, bus: Bus, w: Lines) -> tuple[int, int] | None:
    address = disk.address
    if not hasattr(address, "controller") or not hasattr(address, "unit"):
        w.refuse(disk, "address", "disks have places on controllers", "write type='drive', or take it out")
        return None
    controller, way, unit = address.controller or 0, address.bus or 0, address.unit or 0
    for field, value in (("target", address.target), ("controller", controller) if bus is IDE else ("bus", way)):
        if value:
            w.refuse(address, field, f"{bus.name} has nothing but 0 there", "write 0", "config.range")
    return (way, unit) if bus is IDE else (controller, unit)


def _named(disk: Any, bus: Bus) -> tuple[int, int] | None:
    """The place that a disk's name tells."""
    if bus is NVME:
        found = NVME_NAME.fullmatch(disk.target or "")
        return (int(found[1]), int(found[2]) - 1) if found else None
    found = NAME.fullmatch(disk.target or "")
    if found is None or f"{found[1]}d" != bus.prefix:
        return None
    index = -1
    for letter in found[2]:
        index = (index + 1) * LETTERS + ord(letter) - ord("a")
    number, unit = divmod(index, bus.counted)
    return number, unit + (bus is SCSI and unit >= ADAPTER)


def _write_disk(disk: Any, place: str, bus: str, w: Lines) -> None:
    kind = disk.device or "disk"
    w.put(f"{place}.present", True)
    if kind == "disk":
        _write_hard(disk, place, bus, w)
    else:
        _write_drive(disk, place, str(kind), w)
    cache = disk.driver.cache if disk.driver is not None else None
    if cache == "writethrough":
        w.put(f"{place}.writeThrough", True)
    elif cache not in {None, "default"}:
        w.refuse(disk.driver, "cache", f"there is no {cache} here", "write writethrough, or take it out")
    if disk.transient and kind == "disk":
        w.put(f"{place}.mode", "independent-nonpersistent")


def _write_hard(disk: Any, place: str, bus: str, w: Lines) -> None:
    if bus != "nvme":
        w.put(f"{place}.deviceType", "scsi-hardDisk" if bus == "scsi" else "ata-hardDisk")
    source = disk.source.file if disk.source is not None else None
    if disk.type not in {None, "file"}:
        w.refuse(disk, "type", "disks are files", "write type='file'")
    elif source is None:
        w.refuse(disk, "source", "a disk has a file", "name it", "config.missing")
    elif not source.lower().endswith(".vmdk"):
        w.refuse(disk.source, "file", "disks are VMDK files", "convert it: qemu-img convert -O vmdk")
    else:
        w.put(f"{place}.fileName", spelled(source))
    _heed_format(disk, {None, "vmdk"}, w)


def _write_drive(disk: Any, place: str, kind: str, w: Lines) -> None:
    """A drive for CDs, or one that is passed through; the guest cannot write to either."""
    meaningless(disk, "readonly")
    source = disk.source
    if disk.type == "block":
        w.put(f"{place}.deviceType", "atapi-cdrom" if kind == "cdrom" else "cdrom-raw")
        _write_device(source, place, w)
    elif kind == "lun" or disk.type not in {None, "file"}:
        w.refuse(disk, "type", "drives are images or devices of the host", "write file or block")
    else:
        w.put(f"{place}.deviceType", "cdrom-image")
        name = source.file if source is not None else None
        w.put(f"{place}.fileName", spelled(name) if name else "emptyBackingString")
    _heed_format(disk, {None, "raw"}, w)


def _write_device(source: Any, place: str, w: Lines) -> None:
    if source is not None and source.dev:
        w.put(f"{place}.fileName", source.dev)
    elif source is not None and source.startup_policy == "optional":
        w.put(f"{place}.autodetect", True)
        w.put(f"{place}.fileName", AUTO)


def _heed_format(disk: Any, known: set[str | None], w: Lines) -> None:
    if disk.driver is not None and disk.driver.type not in known:
        text = f"no image of {disk.driver.type} can be used here"
        w.refuse(disk.driver, "type", text, "convert it with qemu-img")


def _write_floppies(floppies: list[Any], w: Lines) -> None:
    found: dict[int, Any] = {}
    for disk in floppies:
        number = {"fda": 0, "fdb": 1}.get(disk.target or "")
        if number is None or disk.bus not in {None, "fdc"} or number in found:
            w.refuse(disk, "target", "floppies are fda and fdb", "write dev='fda' bus='fdc'", "config.invalid")
            continue
        if disk.address is not None:
            meaningless(disk.address)
        found[number] = disk
    for number in range(FLOPPIES):
        place = f"floppy{number}"
        w.put(f"{place}.present", number in found)
        if number in found:
            _write_floppy(found[number], place, w)


def _write_floppy(disk: Any, place: str, w: Lines) -> None:
    source = disk.source
    if disk.type == "block":
        w.put(f"{place}.fileType", "device")
        _write_device(source, place, w)
    elif disk.type in {None, "file"}:
        w.put(f"{place}.fileType", "file")
        name = source.file if source is not None else None
        w.put(f"{place}.fileName", spelled(name) if name else "")
    else:
        w.refuse(disk, "type", "floppies are images or devices of the host", "write file or block")
    _heed_format(disk, {None, "raw"}, w)
