"""A definition without what is so only while a guest runs."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import BackingStore, CharDevice, Disk, Domain, Graphics, Hostdev, Interface, MemoryDevice

from anyvirt_qemu.devices.link import GENERATED

NAME: Final = 20  # letters of a guest's name that libvirt takes into the name of a folder
USER_ALIAS: Final = "ua-"
# fields of the domain that hold devices
DEVICES: Final = (
    "disks", "controllers", "filesystems", "interfaces", "smartcards", "serials", "parallels", "consoles", "channels",
    "inputs", "tpms", "sounds", "videos", "hostdevs", "redirdevs", "hubs", "watchdogs", "memballoon", "rngs", "nvram",
    "panics", "shmems", "memory_devices", "iommu", "vsock", "cryptos",
)  # fmt: skip


def inactive(domain: Domain) -> Domain:
    """The definition without what is so only while a guest runs."""
    changes: dict[str, Any] = {} if domain.id is None else {"id": None}
    for field in DEVICES:
        value = getattr(domain, field, None)
        if not value:
            continue
        devices = value if type(value) is tuple else (value,)
        stopped = tuple(_stopped(x) for x in devices)
        if any(x is not y for x, y in zip(stopped, devices, strict=True)):
            changes[field] = stopped if type(value) is tuple else stopped[0]
    screens = tuple(_stopped_screen(x, domain.name or "") for x in domain.graphics)
    if any(x is not y for x, y in zip(screens, domain.graphics, strict=True)):
        changes["graphics"] = screens
    if any(x.imagelabel is not None or (x.label is not None and x.type == "dynamic") for x in domain.seclabels):
        changes["seclabels"] = tuple(
            x.replace(imagelabel=None, label=None if x.type == "dynamic" else x.label) for x in domain.seclabels
        )
    return domain.replace(**changes) if changes else domain


def _stopped(x: Any) -> Any:
    changes: dict[str, Any] = {}
    alias = x.alias
    if alias and not alias.startswith(USER_ALIAS):
        changes["alias"] = None
    if isinstance(x, Disk):
        changes |= _stopped_disk(x)
    elif isinstance(x, CharDevice):
        changes |= _stopped_char(x)
    elif isinstance(x, Interface):
        if x.target and x.target.startswith(GENERATED):
            changes["target"] = None
        if x.source is not None and x.source.portid is not None:
            changes["source"] = x.source.replace(portid=None)
    elif isinstance(x, Hostdev) and x.source is not None and x.source.missing is not None:
        changes["source"] = x.source.replace(missing=None)
    elif isinstance(x, MemoryDevice) and x.current is not None:
        changes["current"] = None
    return x.replace(**changes) if changes else x


def _stopped_screen(x: Graphics, name: str) -> Graphics:
    """A screen without the port and the socket that were chosen for a run."""
    changes: dict[str, Any] = {}
    if x.autoport and (x.port or 0) > 0:
        changes["port"] = -1
    if _generated(x.socket, name):
        changes["socket"] = None
    if any(_generated(one.socket, name) for one in x.listens):
        kept = tuple(one for one in x.listens if not _generated(one.socket, name))
        changes["listens"] = kept
    return x.replace(**changes) if changes else x


def _generated(path: str | None, name: str) -> bool:
    """Whether a path is in the folder that libvirt makes for one run of a guest, such as ``domain-7-guest``."""
    return path is not None and re.search(f"/domain-[0-9]+-{re.escape(name[:NAME])}/[^/]+$", path) is not None


def _stopped_disk(x: Disk) -> dict[str, Any]:
    changes: dict[str, Any] = {} if x.mirror is None else {"mirror": None}
    source = x.source
    if source is not None and source.index is not None:
        source = source.replace(index=None)
    if source is not None and any(label.labelskip for label in source.seclabels):
        source = source.replace(seclabels=tuple(label for label in source.seclabels if not label.labelskip))
    if source is not x.source:
        changes["source"] = source
    if x.backing_store is not None and x.backing_store.index is not None:
        changes["backing_store"] = _unnumbered(x.backing_store)
    return changes


def _stopped_char(x: CharDevice) -> dict[str, Any]:
    changes: dict[str, Any] = {} if x.tty is None else {"tty": None}
    if x.type == "pty" and x.sources:
        changes["sources"] = ()
    target: Any = getattr(x, "target", None)
    if getattr(target, "state", None) is not None:
        changes["target"] = target.replace(state=None)
    return changes


def _unnumbered(x: BackingStore) -> BackingStore:
    below = _unnumbered(x.backing_store) if x.backing_store is not None else None
    return x.replace(index=None, backing_store=below)
