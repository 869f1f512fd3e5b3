"""What this host has of the storage that a definition names: images that may be missing, SCSI units by their place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt_qemu.image import source_path

if TYPE_CHECKING:
    from anyvirt.api import Domain

UNITS: Final = Path("/sys/bus/scsi/devices")
REMOVABLE: Final = ("cdrom", "floppy")


def present(domain: Domain) -> tuple[Domain, list[str]]:
    """The definition without images that are missing and may be, and a sentence for each.

    A drive for media that change stays, empty; a disk goes with its image.
    """
    kept, told = [], []
    for disk in domain.disks:
        path = source_path(disk)
        optional = disk.source is not None and disk.source.startup_policy == "optional"
        if not optional or path is None or os.path.lexists(path):
            kept.append(disk)
            continue
        told.append(f"{path} is missing, and disk {disk.target} starts without it, as its startupPolicy says")
        if disk.device in REMOVABLE:
            kept.append(disk.replace(source=None, backing_store=None))
    return (domain.replace(disks=tuple(kept)), told) if told else (domain, told)


def generics(domain: Domain, units: Path = UNITS) -> dict[str, str]:
    """Paths of the SCSI units of this host that a definition gives away, by ``host:bus:target:unit``."""
    found = {}
    for device in domain.hostdevs:
        source = device.source
        if device.type != "scsi" or source is None or source.adapter is None or source.address is None:
            continue
        at = source.address
        place = f"{source.adapter.removeprefix('scsi_host')}:{at.bus or 0}:{at.target or 0}:{at.unit or 0}"
        for node in sorted((units / place / "scsi_generic").glob("sg*")):
            found[place] = f"/dev/{node.name}"
    return found
