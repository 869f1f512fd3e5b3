"""Devices of the host that a guest gets: USB, PCI, mediated devices, SCSI units and targets of the kernel."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import (
    CcwAddress,
    DriveAddress,
    HostAddress,
    Hostdev,
    HostdevSource,
    Interface,
    UnassignedAddress,
    meaningless,
    path_of,
)

from anyvirt_qemu.devices import ends
from anyvirt_qemu.devices import source as storage
from anyvirt_qemu.devices.common import bootindex, controller_id, controller_model, pci, rom, subchannel, usb, virtio
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.plan import AssignedUse

MEDIATED: Final = "/sys/bus/mdev/devices"
VHOST_SCSI: Final = "/dev/vhost-scsi"
# which resets of the guest reach a USB device -> guest-reset, guest-resets-all
RESETS: Final = {"off": (False, None), "uninitialized": (True, False), "on": (True, True)}


def hostdev(b: Build, x: Hostdev) -> None:
    """One device of the host."""
    if x.mode not in {None, "subsystem"}:
        b.refuse(x, "mode", "use subsystem", text="only containers are given parts of the host's own view")
        return
    if isinstance(x.address, UnassignedAddress):
        meaningless(x)
        return
    make = {"usb": _usb, "pci": _pci, "mdev": _mdev, "scsi": _scsi, "scsi_host": _scsi_host}.get(str(x.type))
    if make is None:
        b.refuse(x, "type", "use usb, pci, mdev, scsi or scsi_host")
        return
    if x.source is None:
        b.problem(x, "source", "the device is not named", "say in <source> which one it is")
        return
    make(b, x, x.source)


def _usb(b: Build, x: Hostdev, source: HostdevSource) -> None:
    meaningless(x, "managed")
    meaningless(source, "missing", "startup_policy")
    options: dict[str, Any] = {"driver": b.has(x, "type", "usb-host"), "id": x.alias, **usb(b, x)}
    at = source.address
    if at is not None and at.bus is not None and at.device is not None:
        meaningless(at, "type")
        meaningless(source, "vendor", "product")
        options["hostdevice"] = f"/dev/bus/usb/{at.bus:03d}/{at.device:03d}"
        b.assigned.append(AssignedUse("usb", f"{at.bus:03d}:{at.device:03d}", place=path_of(x)))
    elif source.vendor is not None and source.product is not None:
        options |= {"vendorid": source.vendor, "productid": source.product}
    else:
        b.problem(x, "source", "vendor and product, or bus and device are needed", "lsusb shows both")
    if source.guest_reset is not None:
        one, all_of_them = RESETS[source.guest_reset]
        options |= {"guest-reset": one, "guest-resets-all": all_of_them}
    b.device(options | {"bootindex": bootindex(b, x, x.boot)})


def _pci(b: Build, x: Hostdev, source: HostdevSource) -> None:
    meaningless(source, "write_filtering")
    if x.driver not in {None, "vfio"}:
        b.refuse(x, "driver", "use vfio")
    if x.driver_model is not None:
        meaningless(x, "driver_model")  # the driver that has it by now
    at = source.address
    if at is None:
        b.problem(source, "address", "the PCI address is missing", "lspci -D shows it")
        return
    host = _host(at)
    b.assigned.append(AssignedUse("pci", host, bool(x.managed), place=path_of(x)))
    options = {"driver": b.has(x, "type", "vfio-pci"), "host": host, "id": x.alias, **pci(b, x), **rom(b, x.rom)}
    if x.teaming is not None:
        meaningless(x.teaming, "type")
        options["failover_pair_id"] = x.teaming.persistent
    b.device(options | {"bootindex": bootindex(b, x, x.boot)})


def _host(at: HostAddress) -> str:
    """A place on the host's PCI as sysfs and QEMU write it."""
    meaningless(at, "type", "multifunction")
    return f"{at.domain or 0:04x}:{at.bus or 0:02x}:{at.slot or 0:02x}.{at.function or 0:x}"


def card(b: Build, x: Interface) -> None:
    """A network card of the host, or a virtual function of one, which gets the MAC address of the definition."""
    at = x.source.device_address if x.source else None
    if at is None or at.type not in {None, "pci"}:
        b.problem(x, "source", "the PCI address of the card is missing", "lspci -D shows it; for USB, use <hostdev>")
        return
    ends.elsewhere(b, x, vlans=True)
    meaningless(x, "model", "target", "target_managed")
    if x.driver is not None and x.driver.name not in {None, "vfio"}:
        b.refuse(x.driver, "name", "use vfio")
    host = _host(at)
    b.assigned.append(AssignedUse("pci", host, bool(x.managed), x.mac or "", ends.tag(b, x), path_of(x)))
    options = {"driver": b.has(x, "type", "vfio-pci"), "host": host, "id": x.alias, **pci(b, x), **rom(b, x.rom)}
    if x.teaming is not None:
        meaningless(x.teaming, "type")
        options["failover_pair_id"] = x.teaming.persistent
    b.device(options | {"bootindex": bootindex(b, x, x.boot)})


def _mdev(b: Build, x: Hostdev, source: HostdevSource) -> None:
    meaningless(x, "managed")
    at = source.address
    if at is None or at.uuid is None:
        b.problem(source, "address", "the UUID of the mediated device is missing", "mdevctl list shows it")
        return
    if x.model in {"vfio-ccw", "vfio-ap"}:
        _channelled(b, x, at.uuid)
        return
    driver = "vfio-pci-nohotplug" if x.ramfb else "vfio-pci"
    options: dict[str, Any] = {"driver": b.has(x, "model", driver), "id": x.alias}
    options["sysfsdev"] = f"{MEDIATED}/{at.uuid}"
    b.assigned.append(AssignedUse("mdev", str(at.uuid), place=path_of(x)))
    if x.display is not None:
        options["display"] = "on" if x.display else "off"
    if x.ramfb is not None:
        options["ramfb"] = True if x.ramfb else None
    b.device(options | pci(b, x) | rom(b, x.rom) | {"bootindex": bootindex(b, x, x.boot)})


def _channelled(b: Build, x: Hostdev, uuid: str) -> None:
    """A subchannel of the host's, or its processors for cryptography, for an s390 guest."""
    options: dict[str, Any] = {"driver": b.has(x, "model", x.model or ""), "id": x.alias}
    if isinstance(x.address, CcwAddress):
        options["devno"] = subchannel(b, x.address)
    for field in ("display", "ramfb"):
        if getattr(x, field):
            b.refuse(x, field, "take it out", text="only devices on PCI show a screen")
    b.assigned.append(AssignedUse("mdev", uuid, place=path_of(x)))
    b.device(options | {"sysfsdev": f"{MEDIATED}/{uuid}", "bootindex": bootindex(b, x, x.boot)})


def _scsi(b: Build, x: Hostdev, source: HostdevSource) -> None:
    """A unit that gets the guest's own commands."""
    meaningless(x, "managed")
    if x.sgio == "unfiltered":
        b.refuse(x, "sgio", "leave it out", text="no kernel of today lets unfiltered commands through")
    if x.rawio:
        b.refuse(x, "rawio", "leave it out", text="QEMU runs without the right to raw I/O here")
    node = f"n{b.node()}-host"
    below = _iscsi(b, source, node) if source.protocol == "iscsi" else _unit(b, x, source)
    b.blockdev({**below, "node-name": node, "read-only": x.readonly})
    at = x.address
    if not isinstance(at, DriveAddress):
        b.problem(x, "address", "the device needs a drive address", "leave the address out")
        return
    bus = controller_id(b, "scsi", at.controller or 0)
    options: dict[str, Any] = {"driver": b.has(x, "type", "scsi-generic"), "id": x.alias, "drive": node}
    if controller_model(b, "scsi", at.controller or 0) == "lsilogic":
        meaningless(at, "target")
        options |= {"bus": f"{bus}.{at.bus or 0}", "scsi-id": at.unit or 0}
    else:
        place = {"channel": at.bus or 0, "scsi-id": at.target or 0, "lun": at.unit or 0}
        options |= {"bus": f"{bus}.0", **place}
    options["share-rw"] = True if x.shareable else None
    b.device(options | {"bootindex": bootindex(b, x, x.boot)})


def _unit(b: Build, x: Hostdev, source: HostdevSource) -> dict[str, Any]:
    at = source.address
    if source.adapter is None or at is None:
        b.problem(source, "adapter", "adapter and address are needed", "lsscsi -g shows both")
        return {"driver": "null-co"}
    meaningless(at, "type")
    place = f"{source.adapter.removeprefix('scsi_host')}:{at.bus or 0}:{at.target or 0}:{at.unit or 0}"
    path = b.storage.generics.get(place)
    if path is None:
        b.refuse(source, "address", "lsscsi -g shows those there are", text=f"there is no SCSI unit {place} here")
    if not x.shareable:
        b.assigned.append(AssignedUse("scsi", place, place=path_of(x)))
    return {"driver": "host_device", "filename": path or "/dev/null"}


def _iscsi(b: Build, source: HostdevSource, node: str) -> dict[str, Any]:
    return storage.iscsi(b, source, source.hosts, source.name, source.auth, source.initiator, node)


def _scsi_host(b: Build, x: Hostdev, source: HostdevSource) -> None:
    """A target that the host's kernel serves."""
    meaningless(x, "managed")
    if source.protocol != "vhost" or source.wwpn is None:
        b.problem(source, "wwpn", "the target has no name", "write <source protocol='vhost' wwpn='naa....'/>")
        return
    model = x.model if x.model is not None and x.model.startswith("virtio") else None
    options = virtio(b, x, "vhost-scsi", model)
    meaningless(x, "boot")
    if x.boot is not None:
        b.refuse(x, "boot", "leave it out", text="firmware finds no disks behind vhost-scsi")
    b.device(options | {"wwpn": source.wwpn, "vhostfd": str(b.fd("open", VHOST_SCSI))})
