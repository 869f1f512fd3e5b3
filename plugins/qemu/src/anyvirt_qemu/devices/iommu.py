"""The guest's IOMMU."""

from __future__ import annotations

from typing import Any

from anyvirt.api import Iommu

from anyvirt_qemu.build import Build
from anyvirt_qemu.devices.common import pci
from anyvirt_qemu.devices.features import ACPI


def iommu(b: Build, x: Iommu) -> None:
    """The guest's IOMMU."""
    if x.model == "intel":
        if b.machine.bus != "pcie" or b.caps.arch != "x86_64":
            b.refuse(x, "model", "use machine type q35", text=f"{b.machine.name} has no place for Intel's IOMMU")
        options: dict[str, Any] = {
            "driver": b.has(x, "model", "intel-iommu"),
            "id": x.alias,
            "intremap": _onoff(x.intremap),
            "caching-mode": x.caching_mode,
            "eim": _onoff(x.eim),
            "device-iotlb": x.iotlb,
            "aw-bits": x.aw_bits,
            "dma-translation": x.dma_translation,
        }
        b.device(options)
    elif x.model == "virtio":
        if b.caps.arch in ACPI and (b.domain.features is None or not b.domain.features.acpi):
            b.problem(x, "model", "the guest learns of it from ACPI, which is off", "write <features><acpi/>")
        b.device({"driver": b.has(x, "model", "virtio-iommu-pci"), **pci(b, x), "id": x.alias})
    else:
        b.refuse(x, "model", "use intel on q35, or virtio")


def _onoff(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"
