"""Disks, drives and floppies: reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from anyvirt.api import Controller, Disk, DiskDriver, DriveAddress, Source

from anyvirt_esx.vmx.parse import Settings
from anyvirt_esx.vmx.places import Locate

MODELS: Final = {
    "buslogic": "buslogic", "lsilogic": "lsilogic", "lsisas1068": "lsisas1068", "pvscsi": "vmpvscsi", "auto": "auto",
}  # fmt: skip
MODES: Final = {
    "persistent": "", "independent-persistent": "", "undoable": "", "append": "", "nonpersistent": "transient",
    "independent-nonpersistent": "transient",
}  # fmt: skip
ADAPTER: Final = 7
AUTO: Final = "auto detect"
EMPTY: Final = "emptybackingstring"
CDROMS: Final = ("cdrom-image", "atapi-cdrom", "cdrom-raw")
HARD: Final = {
    "scsi-harddisk",
    "ata-harddisk",
    "disk",
    "harddisk",
    "plaindisk",
    "scsi-nonpassthru-rdm",
    "scsi-passthru-rdm",
}


@dataclass(frozen=True, slots=True)
class Bus:
    """Where disks hang.

    :param units: how many a controller has, with the adapter's own.
    :param counted: how many names a controller's disks take.
    """

    name: str
    controllers: int
    units: int
    counted: int
    prefix: str


SCSI: Final = Bus("scsi", 4, 64, 15, "sd")
SATA: Final = Bus("sata", 4, 30, 30, "sd")
IDE: Final = Bus("ide", 2, 2, 2, "hd")
NVME: Final = Bus("nvme", 4, 64, 64, "nvme")
FLOPPIES: Final = 2
BUSES: Final = (SCSI, SATA, IDE, NVME)


def read(v: Settings, locate: Locate) -> dict[str, Any]:
    """Disks and the controllers that they hang from."""
    disks: list[Any] = []
    used: dict[tuple[str, int], None] = {}
    taken: set[str] = set()
    for bus in BUSES:
        for number, unit in v.numbered(rf"{bus.name}([0-9]{{1,2}}):([0-9]{{1,2}})"):
            disk = _disk(v, bus, number, unit, locate)
            if disk is not None:
                disks.append(disk.replace(target=_free(bus, number, unit, taken)))
                used[(bus.name, 0 if bus is IDE else number)] = None
    for (number,) in v.numbered(r"floppy([0-9])"):
        floppy = _floppy(v, number, locate)
        if floppy is not None:
            disks.append(floppy)
            used[("fdc", 0)] = None
    controllers = [_controller(v, name, number) for name, number in used]
    _idle(v, used)
    return {"disks": tuple(disks), "controllers": tuple(controllers)}


def letters(index: int) -> str:
    """The end of a disk's name: a, b ... z, aa ..."""
    found = ""
    while index >= 0:
        found = chr(ord("a") + index % 26) + found
        index = index // 26 - 1
    return found


def target_of(bus: Bus, number: int, unit: int) -> str:
    """The name of a disk at a place."""
    if bus is NVME:
        return f"nvme{number}n{unit + 1}"
    after = bus is SCSI and unit > ADAPTER
    return bus.prefix + letters(number * bus.counted + unit - after)


def _free(bus: Bus, number: int, unit: int, taken: set[str]) -> str:
    """The name of a disk, or the next one where another has it: beyond unit 15 there are two places of one name."""
    name, index = target_of(bus, number, unit), SCSI.controllers * SCSI.units
    while name in taken:
        name, index = f"{bus.prefix}{letters(index)}", index + 1
    taken.add(name)
    return name


def _controller(v: Settings, name: str, number: int) -> Any:
    fields: dict[str, Any] = {"type": name, "index": number}
    if name == "scsi":
        model = v.one_of(f"scsi{number}.virtualDev", MODELS)
        if model:
            fields["model"] = model
        shared = v.text(f"scsi{number}.sharedBus")
        if shared and shared.lower() != "none":
            v.note(f"left out: scsi{number} is shared with other machines ({shared[:40]})")
    return Controller(**fields)


def _idle(v: Settings, used: dict[tuple[str, int], None]) -> None:
    for name in ("scsi", "sata", "nvme"):
        for (number,) in v.numbered(rf"{name}([0-9]{{1,2}})"):
            key = f"{name}{number}.present"
            if v.flag(key) and (name, number) not in used and (number < SCSI.controllers):
                v.note(f"left out: the controller {name}{number}, which no disk hangs from")
            v.skip(f"{name}{number}.")


def _disk(v: Settings, bus: Bus, number: int, unit: int, locate: Locate) -> Any:
    """What hangs at a place; None where there is nothing, or nothing that a definition tells."""
    place = f"{bus.name}{number}:{unit}"
    if not v.flag(f"{place}.present") or (bus is not IDE and not v.flag(f"{bus.name}{number}.present")):
        v.skip(f"{place}.")
        return None
    if number >= bus.controllers or unit >= bus.units or (bus is SCSI and unit == ADAPTER):
        v.wrong(f"{place}.present", "there is no such place", "hang it elsewhere", "config.range")
        return None
    if v.flag(f"{place}.clientDevice"):
        v.skip(f"{place}.")
        v.note(f"left out: {place}, a drive of whoever watches the machine")
        return None
    fields = _drive(v, place, locate) if _is_drive(v, place) else _hard(v, place, locate)
    if fields is None:
        v.skip(f"{place}.")
        return None
    controller, way, unit = (0, number, unit) if bus is IDE else (number, 0, unit)
    address = DriveAddress(controller=controller, bus=way, target=0, unit=unit)
    return Disk(**fields, **_words(bus=bus.name), address=address)


def _is_drive(v: Settings, place: str) -> bool:
    kind = (v.text(f"{place}.deviceType") or "").lower()
    if kind in CDROMS or kind == "scsi-passthru":
        return True
    return not kind and (v.text(f"{place}.fileName") or "").lower().endswith(".iso")


def _hard(v: Settings, place: str, locate: Locate) -> dict[str, Any] | None:
    kind = (v.text(f"{place}.deviceType") or "disk").lower()
    name = v.text(f"{place}.fileName")
    if kind not in HARD:
        v.wrong(
            f"{place}.deviceType", f"{kind[:40]!r} is not known here", "use a disk or a drive", "unsupported.config"
        )
        return None
    if name is None:
        v.wrong(f"{place}.fileName", "a disk has a file", "name it", "config.missing")
        return None
    if not name.lower().endswith(".vmdk"):
        v.wrong(f"{place}.fileName", f"{name[-40:]!r} is no VMDK", "make one of it", "unsupported.config")
        return None
    fields: dict[str, Any] = {"type": "file", "device": "disk"}
    if v.flag(f"{place}.writeThrough"):
        fields["driver"] = DiskDriver(**_words(cache="writethrough"))
    if v.one_of(f"{place}.mode", MODES):
        fields["transient"] = True
    found = locate(name)
    if found is None:
        v.wrong(f"{place}.fileName", f"there is no {name!r}", "correct the name", "config.reference")
        return None
    return {**fields, "source": Source(file=found)}


def _drive(v: Settings, place: str, locate: Locate) -> dict[str, Any] | None:
    kind = (v.text(f"{place}.deviceType") or "cdrom-image").lower()
    name = v.text(f"{place}.fileName") or ""
    if kind == "cdrom-image":
        found = locate(name) if name and name.lower() != EMPTY else None
        if found is None and name and name.lower() != EMPTY:
            v.note(f"left out: {name} in {place}, which is not there")
        source = {} if found is None else {"source": Source(file=found)}
        return {"type": "file", "device": "cdrom", "readonly": True, **source}
    if kind == "scsi-passthru" and not name.startswith("/vmfs/devices/cdrom/"):
        v.note(f"left out: {place}, a device of the host that is passed through")
        return None
    fields: dict[str, Any] = {"type": "block", "device": "cdrom" if kind == "atapi-cdrom" else "lun", "readonly": True}
    if name.lower() == AUTO or (v.flag(f"{place}.autodetect") and not name):
        fields["source"] = Source(**_words(startup_policy="optional"))
    elif name and name.lower() != EMPTY:
        fields["source"] = Source(dev=name)
    return fields


def _floppy(v: Settings, number: int, locate: Locate) -> Any:
    place = f"floppy{number}"
    if number >= FLOPPIES or not v.flag(f"{place}.present"):
        v.skip(f"{place}.")
        return None
    if v.flag(f"{place}.clientDevice"):
        v.skip(f"{place}.")
        v.note(f"left out: {place}, a drive of whoever watches the machine")
        return None
    kind = v.one_of(f"{place}.fileType", {"file": "file", "device": "block"})
    name = v.text(f"{place}.fileName") or ""
    if kind is None:
        kind = "block" if name.startswith("/dev/") or name.lower() == AUTO or not name else "file"
    fields: dict[str, Any] = {"type": kind, "device": "floppy", "target": f"fd{letters(number)}", "bus": "fdc"}
    if kind == "file":
        found = locate(name) if name and name.lower() != EMPTY else None
        fields |= {} if found is None else {"source": Source(file=found)}
    elif name.lower() == AUTO or (v.flag(f"{place}.autodetect") and not name):
        fields["source"] = Source(**_words(startup_policy="optional"))
    elif name:
        fields["source"] = Source(dev=name)
    return Disk(**fields, address=DriveAddress(controller=0, bus=0, target=0, unit=number))


def _words(**fields: Any) -> dict[str, Any]:
    """Fields whose types the model gives them when it is written and read."""
    return fields
