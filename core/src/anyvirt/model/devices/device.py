"""What every device has, and parts that several share."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.address import Address
from anyvirt.model.element import Element, at
from anyvirt.model.types import BootOrder, Count, OnOff, Pattern, YesNo

LoadParm = Annotated[str, Pattern("boot menu entry of 1 to 8 characters", r"[A-Za-z0-9. ]{1,8}", "SYSTEM1", "2.LP")]
VirtioModel = Literal["virtio", "virtio-transitional", "virtio-non-transitional"]


class Device(Element):
    """A device of a domain; fields of the device itself are written before these."""

    alias: str | None = at("alias/@name", "Name given by the driver, or by the user with the prefix ua-", default=None)
    acpi_index: Count | None = at("acpi/@index", "Index that firmware tells the guest, for stable names", default=None)
    address: Address | None = at("address", "Where the device sits", default=None)


class Boot(Element, tag="boot"):
    """Place of a device in the boot order."""

    order: BootOrder | None = at("@order", "Place in the boot order, from 1, unique in the domain", default=None)
    loadparm: LoadParm | None = at("@loadparm", "s390 boot menu entry, up to 8 characters", default=None)


class Teaming(Element, tag="teaming"):
    """Part of a device in a pair that the guest uses as one, so that it can be migrated."""

    type: Literal["persistent", "transient"] | None = at(
        "@type", "Whether the device stays or goes at migration", default=None
    )
    persistent: str | None = at("@persistent", "Alias of the interface that stays", default=None)


class VirtioOptions(Element, tag="driver"):
    """Options of a virtio device's driver."""

    iommu: OnOff | None = at("@iommu", "Send DMA through the guest's IOMMU", default=None)
    ats: OnOff | None = at("@ats", "Address translation services", default=None)
    packed: OnOff | None = at("@packed", "Packed virtqueues", default=None)
    page_per_vq: OnOff | None = at("@page_per_vq", "One notification page per queue", default=None)


class Rom(Element, tag="rom"):
    """Option ROM of a PCI device."""

    enabled: YesNo | None = at("@enabled", "The guest sees a ROM", default=None)
    bar: OnOff | None = at("@bar", "The ROM is in a memory region of the device", default=None)
    file: str | None = at("@file", "File that replaces the ROM", default=None)
