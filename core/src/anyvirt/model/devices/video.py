"""Video cards."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import Element, at
from anyvirt.model.types import Count, KiB, OnOff, YesNo


class VideoType(StrEnum):
    """Model of a video card."""

    VGA = "vga"
    CIRRUS = "cirrus"
    VMVGA = "vmvga"
    XEN = "xen"
    VBOX = "vbox"
    QXL = "qxl"
    VIRTIO = "virtio"
    GOP = "gop"
    NONE = "none"
    BOCHS = "bochs"
    RAMFB = "ramfb"
    PARALLELS = "parallels"


class VideoDriver(Element, tag="driver"):
    """How the card is served."""

    name: Literal["qemu", "vhostuser"] | None = at("@name", "Back end", default=None)
    vgaconf: Literal["io", "on", "off"] | None = at("@vgaconf", "VGA of a bhyve frame buffer", default=None)
    iommu: OnOff | None = at("@iommu", "Send DMA through the guest's IOMMU", default=None)
    ats: OnOff | None = at("@ats", "Address translation services", default=None)
    packed: OnOff | None = at("@packed", "Packed virtqueues", default=None)
    page_per_vq: OnOff | None = at("@page_per_vq", "One notification page per queue", default=None)


class Video(Device, tag="video"):
    """A video card."""

    driver: VideoDriver | None = at("driver", "How it is served", default=None)
    model: VideoType | None = at("model/@type", "Model", default=None)
    ram: KiB | None = at("model/@ram", "Primary memory of qxl", default=None)
    vram: KiB | None = at("model/@vram", "Video memory", default=None)
    vram64: KiB | None = at("model/@vram64", "64-bit video memory of qxl", default=None)
    vgamem: KiB | None = at("model/@vgamem", "VGA memory of qxl", default=None)
    heads: Count | None = at("model/@heads", "Screens", default=None)
    primary: YesNo | None = at("model/@primary", "The card that firmware uses", default=None)
    blob: OnOff | None = at("model/@blob", "Share memory with the host's GPU, since libvirt 9.2", default=None)
    accel2d: YesNo | None = at("model/acceleration/@accel2d", "2D acceleration", default=None)
    accel3d: YesNo | None = at("model/acceleration/@accel3d", "3D acceleration", default=None)
    rendernode: str | None = at("model/acceleration/@rendernode", "Device that renders", default=None)
    resolution_x: Count | None = at("model/resolution/@x", "Pixels across at start", default=None)
    resolution_y: Count | None = at("model/resolution/@y", "Pixels down at start", default=None)
