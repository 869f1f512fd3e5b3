"""The CPU that a guest sees, and its NUMA cells."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import ByteSize, Count, CpuSet, Integer, OnOff, Size, Unsigned, YesNo
from anyvirt.model.words import Arch


class CpuMode(StrEnum):
    """How the CPU is chosen."""

    CUSTOM = "custom"
    HOST_MODEL = "host-model"
    HOST_PASSTHROUGH = "host-passthrough"
    MAXIMUM = "maximum"


class CpuPolicy(StrEnum):
    """What is done about a CPU feature."""

    FORCE = "force"
    REQUIRE = "require"
    OPTIONAL = "optional"
    DISABLE = "disable"
    FORBID = "forbid"


class CpuFeature(Element, tag="feature"):
    """A feature that the CPU has or lacks."""

    policy: CpuPolicy | None = at("@policy", "What is done; require without it", default=None)
    name: str | None = at("@name", "Name of the feature, such as avx2", default=None, key=True)


class Topology(Element, tag="topology"):
    """How virtual CPUs are packed; the product is their number."""

    sockets: Count | None = at("@sockets", "Sockets", default=None)
    dies: Count | None = at("@dies", "Dies a socket", default=None)
    cores: Count | None = at("@cores", "Cores a die", default=None)
    threads: Count | None = at("@threads", "Threads a core", default=None)


class Sibling(Element, tag="sibling"):
    """Distance to another cell."""

    id: Count | None = at("@id", "The other cell", default=None, key=True)
    value: Annotated[int, Integer(0, 255)] | None = at("@value", "Distance; 10 is local", default=None)


class CellCache(Element, tag="cache"):
    """Memory-side cache of a cell."""

    level: Count | None = at("@level", "Level", default=None, key=True)
    associativity: Literal["none", "direct", "full"] | None = at("@associativity", "How it is indexed", default=None)
    policy: Literal["none", "writeback", "writethrough"] | None = at("@policy", "How it writes", default=None)
    size: ByteSize | None = at("size/@value", "Size", default=None)
    line: ByteSize | None = at("line/@value", "Length of a line", default=None)


class Cell(Element, tag="cell"):
    """A NUMA cell of the guest."""

    id: Count | None = at("@id", "Number of the cell, from 0", default=None, key=True)
    cpus: CpuSet | None = at("@cpus", "Virtual CPUs of the cell", default=None)
    memory: Size | None = at("@memory", "Memory of the cell", default=None)
    mem_access: Literal["shared", "private"] | None = at(
        "@memAccess", "Whether others may map the memory", default=None
    )
    discard: YesNo | None = at("@discard", "The memory's content is dropped when the guest ends", default=None)
    distances: Many[Sibling] = at("distances/sibling", "Distances to other cells", default=())
    caches: Many[CellCache] = at("cache", "Memory-side caches", default=())


class Latency(Element, tag="latency"):
    """Latency between an initiator and a target."""

    initiator: Count | None = at("@initiator", "Cell that asks", default=None)
    target: Count | None = at("@target", "Cell that answers", default=None)
    cache: Count | None = at("@cache", "Level of the cache that answers", default=None)
    type: Literal["access", "read", "write"] | None = at("@type", "Kind of access", default=None)
    value: Unsigned | None = at("@value", "Nanoseconds", default=None)


class NumaBandwidth(Element, tag="bandwidth"):
    """Bandwidth between an initiator and a target."""

    initiator: Count | None = at("@initiator", "Cell that asks", default=None)
    target: Count | None = at("@target", "Cell that answers", default=None)
    cache: Count | None = at("@cache", "Level of the cache that answers", default=None)
    type: Literal["access", "read", "write"] | None = at("@type", "Kind of access", default=None)
    value: Size | None = at("@value", "Bytes a second", default=None)


class CpuSpec(Element, tag="cpu"):
    """The CPU that the guest sees."""

    mode: CpuMode | None = at("@mode", "How the CPU is chosen", default=None)
    match: Literal["minimum", "exact", "strict"] | None = at("@match", "How exactly the model must fit", default=None)
    check: Literal["none", "partial", "full"] | None = at("@check", "How the result is checked at start", default=None)
    migratable: OnOff | None = at("@migratable", "Leave out what cannot be migrated", default=None)
    arch: Arch | None = at("arch", "Architecture, in documents that describe a host", default=None)
    model: str | None = at("model", "Name of the model", default=None)
    model_fallback: Literal["allow", "forbid"] | None = at("model/@fallback", "May a near model serve", default=None)
    model_vendor_id: str | None = at("model/@vendor_id", "Vendor that the guest sees, 12 characters", default=None)
    vendor: str | None = at("vendor", "Vendor that the host must have", default=None)
    topology: Topology | None = at("topology", "How virtual CPUs are packed", default=None)
    cache_level: Annotated[int, Integer(1, 3)] | None = at(
        "cache/@level", "Level of the cache that is described", default=None
    )
    cache_mode: Literal["emulate", "passthrough", "disable"] | None = at(
        "cache/@mode", "What cache is seen", default=None
    )
    maxphysaddr_mode: Literal["emulate", "passthrough"] | None = at(
        "maxphysaddr/@mode", "Where the width of addresses comes from", default=None
    )
    maxphysaddr_bits: Count | None = at("maxphysaddr/@bits", "Width of addresses", default=None)
    features: Many[CpuFeature] = at("feature", "Features beside the model", default=())
    cells: Many[Cell] = at("numa/cell", "NUMA cells", default=())
    latencies: Many[Latency] = at("numa/interconnects/latency", "Latencies between cells", default=())
    bandwidths: Many[NumaBandwidth] = at("numa/interconnects/bandwidth", "Bandwidths between cells", default=())
