"""The guest's IOMMU."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import at
from anyvirt.model.types import Count, OnOff


class Iommu(Device, tag="iommu"):
    """The guest's IOMMU."""

    model: Literal["intel", "smmuv3", "virtio"] | None = at("@model", "Model", default=None)
    intremap: OnOff | None = at("driver/@intremap", "Interrupt remapping", default=None)
    caching_mode: OnOff | None = at("driver/@caching_mode", "Needed for passing devices through", default=None)
    eim: OnOff | None = at("driver/@eim", "Extended interrupt mode", default=None)
    iotlb: OnOff | None = at("driver/@iotlb", "Cache translations of the host", default=None)
    dma_translation: OnOff | None = at("driver/@dma_translation", "Translate DMA, since libvirt 10.7", default=None)
    aw_bits: Count | None = at("driver/@aw_bits", "Width of addresses", default=None)
