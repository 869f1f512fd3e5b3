"""Memory modules that are plugged into a guest."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import at
from anyvirt.model.types import UUID, Count, CpuSet, Hex64, Present, Size, YesNo


class MemoryDevice(Device, tag="memory"):
    """A memory module; which fields count depends on ``model``."""

    model: Literal["dimm", "nvdimm", "virtio-pmem", "virtio-mem", "sgx-epc"] | None = at(
        "@model", "Kind of module", default=None
    )
    access: Literal["shared", "private"] | None = at("@access", "Whether the host's pages are shared", default=None)
    discard: YesNo | None = at("@discard", "The host need not keep the content at the end", default=None)
    uuid: UUID | None = at("uuid", "UUID of an nvdimm of pseries", default=None)
    pagesize: Size | None = at("source/pagesize", "Size of the host pages behind it", default=None)
    nodemask: CpuSet | None = at("source/nodemask", "NUMA nodes of the host that it comes from", default=None)
    path: str | None = at("source/path", "File or device behind persistent memory", default=None)
    alignsize: Size | None = at("source/alignsize", "Alignment of the mapping of that file", default=None)
    pmem: Present = at("source/pmem", "The host keeps writes as persistent memory", default=False)
    size: Size | None = at("target/size", "Size, for virtio-mem at most", default=None)
    node: Count | None = at("target/node", "NUMA cell of the guest", default=None)
    label_size: Size | None = at("target/label/size", "Size of the name space labels of an nvdimm", default=None)
    readonly: Present = at("target/readonly", "The guest cannot write to an nvdimm", default=False)
    block: Size | None = at("target/block", "Step by which virtio-mem grows", default=None)
    requested: Size | None = at("target/requested", "Size that virtio-mem should have", default=None)
    current: Size | None = at("target/current", "Size that virtio-mem has, live only", default=None)
    target_base: Hex64 | None = at(
        "target/address/@base", "Guest physical address of virtio memory, since libvirt 9.4", default=None
    )
    dynamic_memslots: YesNo | None = at(
        "target/@dynamicMemslots", "Map the module in parts, since libvirt 10.1", default=None
    )
