"""How devices are called: libvirt's names, so that tools which know them find them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from anyvirt.api import Controller, DimmAddress, Disk, Domain, DriveAddress, Invalid, Problem, assign

# fields of the domain in the order in which their devices are named, and what names begin with
PREFIXES: Final = {
    "controllers": "controller", "disks": "disk", "interfaces": "net", "filesystems": "fs", "smartcards": "smartcard",
    "serials": "serial", "parallels": "parallel", "channels": "channel", "inputs": "input", "tpms": "tpm",
    "sounds": "sound", "videos": "video", "hostdevs": "hostdev", "redirdevs": "redir", "hubs": "hub",
    "watchdogs": "watchdog", "memballoon": "balloon", "rngs": "rng", "shmems": "shmem", "memory_devices": "mem",
    "panics": "panic", "iommu": "iommu", "vsock": "vsock", "nvram": "nvram", "cryptos": "crypto",
}  # fmt: skip
DISKS: Final = {"virtio": "virtio-disk", "usb": "usb-disk", "sd": "sd-disk"}
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,100}", re.ASCII)
MEMORY: Final = {"dimm": "dimm", "nvdimm": "nvdimm", "virtio-pmem": "virtiopmem", "virtio-mem": "virtiomem"}


def named(domain: Domain) -> Domain:
    """The domain with a name for every device; those there are stay.

    :raises Invalid: two devices have one name, or one that QEMU cannot take.
    """
    d = assign.Drafts(domain)
    names = assign.Names()
    problems: list[Problem] = []
    for field in PREFIXES:
        for x in d.many(field):
            if x.alias is not None:
                problems += _check(field, x.alias, names)
    if problems:
        raise Invalid(problems)
    flat = {x.index or 0 for x in d.controllers if x.type == "scsi" and x.model == "lsilogic"}
    for field, prefix in PREFIXES.items():
        for x in d.many(field):
            if not x.alias:
                x.alias = _name(field, x, prefix, names, flat)
    for number, x in enumerate(d.consoles):
        if not x.alias:
            kind = x.target.type if x.target else None
            mirrors = kind in {None, "serial"} and number == 0 and d.serials
            x.alias = d.serials[0].alias if mirrors else names.take("console")
    return d.done()  # type: ignore[no-any-return]


def _check(field: str, alias: str, names: assign.Names) -> list[Problem]:
    path = f"/devices/{field}/alias/@name"
    if not NAME.fullmatch(alias):
        hint = "start with ua-, then letters, digits, dash, underscore"
        return [Problem("config.invalid", path, None, f"{alias!r} is no name for a device", hint)]
    if not names.claim(alias):
        return [Problem("config.invalid", path, None, f"two devices are named {alias!r}", "choose another")]
    return []


def _name(field: str, x: Any, prefix: str, names: assign.Names, flat: Collection[int]) -> str:
    wanted = ""
    if field == "controllers":
        wanted = controller(x)
    elif field == "disks":
        wanted = disk(x, flat)
        prefix = DISKS.get(x.bus or "", "disk")
    elif field == "interfaces" and x.type == "hostdev":
        prefix = "hostdev"
    elif field == "memory_devices":
        prefix = MEMORY.get(x.model or "", prefix)
        if isinstance(x.address, DimmAddress) and x.address.slot is not None:
            wanted = f"{prefix}{x.address.slot}"
    if wanted and names.claim(wanted):
        return wanted
    return names.take(prefix)


def controller(x: Controller) -> str:
    """The name of a controller, where its kind and number give one."""
    index = x.index or 0
    match x.type:
        case "pci":
            return f"{'pcie' if x.model == 'pcie-root' else 'pci'}.{index}"
        case "usb":
            if x.master is not None or (x.model or "").startswith("ich9-uhci"):
                return ""
            return f"usb{index}" if index else "usb"
        case "ide":
            return "ide"
        case None:
            return ""
    return f"{x.type}{index}"


def disk(x: Disk, flat: Collection[int] = frozenset()) -> str:
    """The name of a disk, where its place or its target give one.

    :param flat: indices of SCSI controllers that have units only, and no targets.
    """
    at = x.address
    if isinstance(at, DriveAddress) and x.bus in {"scsi", "sata", "ide", "fdc", "nvme"}:
        target = f"-{at.target or 0}" if x.bus == "scsi" and (at.controller or 0) not in flat else ""
        return f"{x.bus}{at.controller or 0}-{at.bus or 0}{target}-{at.unit or 0}"
    index = assign.target_index(x.target or "")
    return f"virtio-disk{index}" if x.bus == "virtio" and index is not None else ""
