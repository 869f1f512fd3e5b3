"""Addresses of devices: where on which bus they sit."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.element import Element, at
from anyvirt.model.types import (
    UUID,
    Count,
    Hex1,
    Hex2,
    Hex4,
    Hex32,
    Hex64,
    Hexadecimal,
    LongNumber,
    Number,
    OnOff,
    Pattern,
)

UsbPort = Annotated[str, Pattern("USB port", r"[0-9]{1,3}(\.[0-9]{1,3}){0,6}", "1", "1.2")]
HostBus = Annotated[int, Hexadecimal(2, 2**32 - 1)]


class PciAddress(Element, tag="address", when=("type", "pci")):
    """A slot on a PCI bus of the guest."""

    domain: Hex4 | None = at("@domain", "PCI domain", default=None)
    bus: Hex2 | None = at("@bus", "Number of the bus, which is the index of its controller", default=None)
    slot: Hex2 | None = at("@slot", "Slot 0 to 31", default=None)
    function: Hex1 | None = at("@function", "Function 0 to 7", default=None)
    multifunction: OnOff | None = at("@multifunction", "Other functions of the slot are in use, too", default=None)
    zpci_uid: Hex4 | None = at("zpci/@uid", "s390 user identifier", default=None)
    zpci_fid: Hex32 | None = at("zpci/@fid", "s390 function identifier", default=None)


class HostPci(Element, tag="address"):
    """A slot on a PCI bus of the host."""

    domain: Hex4 | None = at("@domain", "PCI domain", default=None)
    bus: Hex2 | None = at("@bus", "Bus", default=None)
    slot: Hex2 | None = at("@slot", "Slot", default=None)
    function: Hex1 | None = at("@function", "Function", default=None)
    type: Literal["pci"] | None = at("@type", "Always pci", default=None)
    multifunction: OnOff | None = at("@multifunction", "The device has other functions", default=None)


class HostAddress(Element, tag="address"):
    """Where a device sits on the host; which fields count depends on its kind."""

    type: Literal["pci", "usb", "scsi"] | None = at("@type", "Kind of bus", default=None)
    domain: Hex4 | None = at("@domain", "PCI domain", default=None)
    bus: HostBus | None = at("@bus", "Bus", default=None)
    slot: Hex2 | None = at("@slot", "PCI slot", default=None)
    function: Hex1 | None = at("@function", "PCI function", default=None)
    multifunction: OnOff | None = at("@multifunction", "The PCI device has other functions", default=None)
    device: Number | None = at("@device", "Number of the device on its USB bus", default=None)
    target: Number | None = at("@target", "SCSI target", default=None)
    unit: LongNumber | None = at("@unit", "SCSI unit", default=None)
    uuid: UUID | None = at("@uuid", "UUID of a mediated device", default=None)


class DriveAddress(Element, tag="address", when=("type", "drive")):
    """A unit on a disk controller."""

    controller: Count | None = at("@controller", "Index of the controller", default=None)
    bus: Count | None = at("@bus", "Bus of the controller", default=None)
    target: Count | None = at("@target", "SCSI target", default=None)
    unit: Count | None = at("@unit", "Unit on the bus", default=None)


class VirtioSerialAddress(Element, tag="address", when=("type", "virtio-serial")):
    """A port of a virtio-serial controller."""

    controller: Count | None = at("@controller", "Index of the controller", default=None)
    bus: Count | None = at("@bus", "Bus of the controller", default=None)
    port: Count | None = at("@port", "Port number", default=None)


class CcidAddress(Element, tag="address", when=("type", "ccid")):
    """A slot of a smartcard reader."""

    controller: Count | None = at("@controller", "Index of the controller", default=None)
    slot: Count | None = at("@slot", "Slot of the reader", default=None)


class UsbAddress(Element, tag="address", when=("type", "usb")):
    """A port of a USB controller."""

    bus: Count | None = at("@bus", "Index of the controller", default=None)
    port: UsbPort | None = at("@port", "Port, dotted through hubs, such as 1.2", default=None)


class SpaprAddress(Element, tag="address", when=("type", "spapr-vio")):
    """A register of pseries virtual I/O."""

    reg: Hex64 | None = at("@reg", "Register", default=None)


class CcwAddress(Element, tag="address", when=("type", "ccw")):
    """A subchannel of an s390 guest."""

    cssid: Hex2 | None = at("@cssid", "Channel subsystem, 0xfe for virtual devices", default=None)
    ssid: Hex1 | None = at("@ssid", "Subchannel set", default=None)
    devno: Hex4 | None = at("@devno", "Device number", default=None)


class IsaAddress(Element, tag="address", when=("type", "isa")):
    """I/O ports of an ISA device."""

    iobase: Hex64 | None = at("@iobase", "First I/O port", default=None)
    irq: Hex64 | None = at("@irq", "Interrupt line", default=None)


class DimmAddress(Element, tag="address", when=("type", "dimm")):
    """A slot for a memory module."""

    slot: Count | None = at("@slot", "Slot number", default=None)
    base: Hex64 | None = at("@base", "Guest physical address", default=None)


class MmioAddress(Element, tag="address", when=("type", "virtio-mmio")):
    """A virtio device mapped to memory."""


class VirtioS390Address(Element, tag="address", when=("type", "virtio-s390")):
    """A virtio device of the old s390 transport."""


class UnassignedAddress(Element, tag="address", when=("type", "unassigned")):
    """A host device that is kept in the document but not given to the guest."""


Address = (
    PciAddress
    | DriveAddress
    | VirtioSerialAddress
    | CcidAddress
    | UsbAddress
    | SpaprAddress
    | CcwAddress
    | IsaAddress
    | DimmAddress
    | MmioAddress
    | VirtioS390Address
    | UnassignedAddress
)
