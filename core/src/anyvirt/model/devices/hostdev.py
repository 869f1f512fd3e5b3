"""Devices of the host that are given to a guest."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.address import HostAddress
from anyvirt.model.devices.device import Boot, Device, Rom, Teaming
from anyvirt.model.devices.interface import Ip, Route
from anyvirt.model.element import Element, Many, at
from anyvirt.model.source import Auth, SourceHost, SourcePrivate
from anyvirt.model.types import Hex4, OnOff, Pattern, Present, YesNo

VhostName = Annotated[
    str, Pattern("name such as naa.5123456789abcde0", r"naa\.[0-9A-Fa-f]{16}", "naa.5123456789abcde0")
]
AdapterName = Annotated[str, Pattern("adapter", r"scsi_host[0-9]+", "scsi_host0", "scsi_host15")]


class HostdevType(StrEnum):
    """Kind of host device: six of a subsystem, of which three are for containers."""

    USB = "usb"
    PCI = "pci"
    SCSI = "scsi"
    SCSI_HOST = "scsi_host"
    MDEV = "mdev"
    STORAGE = "storage"
    MISC = "misc"
    NET = "net"


class HostdevSource(Element, tag="source"):
    """Which device of the host it is; which fields count depends on the ``type`` of its owner."""

    startup_policy: Literal["mandatory", "requisite", "optional"] | None = at(
        "@startupPolicy", "What happens when the USB device is missing", default=None
    )
    guest_reset: Literal["off", "uninitialized", "on"] | None = at(
        "@guestReset", "Which resets of the guest reach the USB device", default=None
    )
    missing: YesNo | None = at("@missing", "The USB device was not there at start, live only", default=None)
    write_filtering: YesNo | None = at(
        "@writeFiltering", "Filter what the guest writes to the configuration space of a PCI device, Xen only",
        default=None,
    )  # fmt: skip
    protocol: Literal["iscsi", "vhost"] | None = at(
        "@protocol", "iscsi for a unit of a server, vhost for scsi_host", default=None
    )
    name: str | None = at("@name", "iSCSI name of the target, a slash and the unit", default=None)
    wwpn: VhostName | None = at("@wwpn", "World wide port name of a target that the kernel serves", default=None)
    vendor: Hex4 | None = at("vendor/@id", "Vendor number of the USB device", default=None)
    product: Hex4 | None = at("product/@id", "Product number of the USB device", default=None)
    adapter: AdapterName | None = at("adapter/@name", "SCSI adapter of the host", default=None)
    address: HostAddress | None = at("address", "Where the device sits on the host", default=None)
    hosts: Many[SourceHost] = at("host", "iSCSI server", default=())
    auth: Auth | None = at("auth", "Credentials for the server", default=None)
    initiator: str | None = at("initiator/iqn/@name", "iSCSI initiator name", default=None)
    block: str | None = at("block", "Path of the host's block device, for storage", default=None)
    char: str | None = at("char", "Path of the host's character device, for misc", default=None)
    interface: str | None = at("interface", "Name of the host's interface, for net", default=None)
    unbind: Present = at("origstates/unbind", "The PCI device had no driver, in status only", default=False)
    removeslot: Present = at("origstates/removeslot", "Its slot leaves the stub driver, in status only", default=False)
    reprobe: Present = at("origstates/reprobe", "The host's driver gets it back, in status only", default=False)
    private: SourcePrivate | None = at("privateData", "The driver's notes, in status only", default=None)


class Hostdev(Device, tag="hostdev"):
    """A device of the host that is given to the guest; which fields count depends on ``type``."""

    mode: Literal["subsystem", "capabilities"] | None = at(
        "@mode", "subsystem, which holds without it, or capabilities for what a container sees", default=None
    )
    type: HostdevType | None = at("@type", "Kind of device", default=None)
    managed: YesNo | None = at("@managed", "The device is detached from the host at start", default=None)
    sgio: Literal["filtered", "unfiltered"] | None = at("@sgio", "Which SCSI commands pass", default=None)
    rawio: YesNo | None = at("@rawio", "The SCSI device needs the right to raw I/O", default=None)
    model: (
        Literal["vfio-pci", "vfio-ccw", "vfio-ap", "virtio", "virtio-transitional", "virtio-non-transitional"] | None
    ) = at("@model", "What the guest sees of a mediated device, or variant of a scsi_host", default=None)
    display: OnOff | None = at("@display", "The mediated device shows a screen", default=None)
    ramfb: OnOff | None = at("@ramfb", "A frame buffer is shown until the guest's driver runs", default=None)
    driver: Literal["kvm", "vfio", "xen"] | None = at("driver/@name", "How a PCI device is given away", default=None)
    driver_model: str | None = at("driver/@model", "Kernel driver that gives it away, since libvirt 10.1", default=None)
    source: HostdevSource | None = at("source", "Which device of the host it is", default=None)
    teaming: Teaming | None = at("teaming", "Part in a failover pair of interfaces", default=None)
    ips: Many[Ip] = at("ip", "Addresses in the container", default=())
    routes: Many[Route] = at("route", "Routes in the container", default=())
    readonly: Present = at("readonly", "The guest cannot write", default=False)
    shareable: Present = at("shareable", "Several guests may use it at the same time", default=False)
    boot: Boot | None = at("boot", "Place in the boot order", default=None)
    rom: Rom | None = at("rom", "Option ROM", default=None)
