"""The guest's IOMMU."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Domain, Iommu, meaningless, plain

from anyvirt_qemu.devices.common import pci
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.machines import family

SMMU: Final = "smmuv3"


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
        if b.caps.has_feature("machine.acpi") and (b.domain.features is None or not b.domain.features.acpi):
            b.problem(x, "model", "the guest learns of it from ACPI, which is off", "write <features><acpi/>")
        b.device({"driver": b.has(x, "model", "virtio-iommu-pci"), **pci(b, x), "id": x.alias})
    elif x.model == SMMU:
        meaningless(x, "alias")  # a part of the machine
        if not family(b.machine, b.caps.arch).gic:
            b.refuse(x, "model", "use virtio", text=f"{b.machine.name} has no place for Arm's IOMMU")
    else:
        b.refuse(x, "model", "use intel on q35, smmuv3 on virt, or virtio")


def option(domain: Domain) -> str | None:
    """What the machine is told of an IOMMU that is a part of it."""
    found = plain(domain).iommu
    return SMMU if found is not None and found.model == SMMU else None


def _onoff(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"
