"""What a host and its hypervisor can do."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.cpu import CellCache, CpuSpec, Latency, NumaBandwidth
from anyvirt.model.element import Element, Many, at
from anyvirt.model.os import OsType
from anyvirt.model.types import UUID, Count, CpuSet, Integer, OnOff, Present, Size, Unsigned, YesNo
from anyvirt.model.words import Arch, DomainType


class PageSize(Element, tag="pages"):
    """A size of page that guests can use."""

    size: Size | None = at("@size", "The size", default=None, key=True)


class HostPages(Element, tag="pages"):
    """Pages of one size."""

    size: Size | None = at("@size", "Size of a page", default=None, key=True)
    count: Unsigned | None = at(".", "Number of pages of a cell", default=None)


class HostCellCpu(Element, tag="cpu"):
    """A CPU of the host."""

    id: Count | None = at("@id", "Number", default=None, key=True)
    socket_id: Count | None = at("@socket_id", "Socket", default=None)
    die_id: Count | None = at("@die_id", "Die", default=None)
    core_id: Count | None = at("@core_id", "Core", default=None)
    siblings: CpuSet | None = at("@siblings", "CPUs of the same core", default=None)


class HostDistance(Element, tag="sibling"):
    """Distance to another cell of the host."""

    id: Count | None = at("@id", "The other cell", default=None, key=True)
    value: Annotated[int, Integer(0, 255)] | None = at("@value", "Distance; 10 is local", default=None)


class HostCell(Element, tag="cell"):
    """A NUMA cell of the host."""

    id: Count | None = at("@id", "Number", default=None, key=True)
    memory: Size | None = at("memory", "Memory", default=None)
    pages: Many[HostPages] = at("pages", "Pages by size", default=())
    distances: Many[HostDistance] = at("distances/sibling", "Distances to other cells", default=())
    caches: Many[CellCache] = at("cache", "Memory-side caches", default=())
    cpus_num: Count | None = at("cpus/@num", "Number of CPUs", default=None)
    cpus: Many[HostCellCpu] = at("cpus/cpu", "CPUs", default=())


class HostCpu(CpuSpec, tag="cpu"):
    """The host's CPU."""

    pae: Present = at("features/pae", "It extends physical addresses, in old documents", default=False)
    nonpae: Present = at("features/nonpae", "It can do without, in old documents", default=False)
    counter: Literal["tsc"] | None = at("counter/@name", "The time stamp counter", default=None)
    counter_frequency: Unsigned | None = at("counter/@frequency", "Its frequency in Hz", default=None)
    counter_scaling: YesNo | None = at("counter/@scaling", "Guests can have another frequency", default=None)
    microcode: Count | None = at("microcode/@version", "Version of the microcode", default=None)
    signature_family: Count | None = at("signature/@family", "Family", default=None)
    signature_model: Count | None = at("signature/@model", "Model", default=None)
    signature_stepping: Count | None = at("signature/@stepping", "Stepping", default=None)
    pages: Many[PageSize] = at("pages", "Page sizes that a guest can use", default=())


class StartLabel(Element, tag="baselabel"):
    """The label that guests of one type start from."""

    type: DomainType | None = at("@type", "Type of domain", default=None, key=True)
    label: str = at(".", "The label", default="")


class SecurityModel(Element, tag="secmodel"):
    """A security driver of the host."""

    model: Literal["selinux", "apparmor", "dac", "none"] | None = at("model", "Name", default=None, key=True)
    doi: str | None = at("doi", "Domain of interpretation", default=None)
    baselabels: Many[StartLabel] = at("baselabel", "Labels that guests start from", default=())


class CacheControl(Element, tag="control"):
    """How a cache can be shared out."""

    granularity: Size | None = at("@granularity", "Step of a part's size", default=None)
    min: Count | None = at("@min", "Smallest part, in the unit of the granularity", default=None)
    type: Literal["both", "code", "data"] | None = at("@type", "What it caches", default=None, key=True)
    max_allocs: Count | None = at("@maxAllocs", "Parts at most", default=None)


class MonitorFeature(Element, tag="feature"):
    """Something that can be measured."""

    name: Literal["llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"] | None = at(
        "@name", "Which one", default=None, key=True
    )


class CacheMonitoring(Element, tag="monitor"):
    """How the use of caches can be measured."""

    level: Count | None = at("@level", "Level of the caches", default=None, key=True)
    reuse_threshold: Count | None = at("@reuseThreshold", "Bytes left at which a monitor is free again", default=None)
    max_monitors: Count | None = at("@maxMonitors", "Monitors at most", default=None)
    features: Many[MonitorFeature] = at("feature", "What can be measured", default=())


class CacheBank(Element, tag="bank"):
    """A cache of the host."""

    id: Count | None = at("@id", "Number", default=None, key=True)
    level: Count | None = at("@level", "Level", default=None, key=True)
    type: Literal["both", "code", "data"] | None = at("@type", "What it caches", default=None, key=True)
    size: Size | None = at("@size", "Size", default=None)
    cpus: CpuSet | None = at("@cpus", "CPUs that use it", default=None)
    controls: Many[CacheControl] = at("control", "How it can be shared out", default=())


class BandwidthControl(Element, tag="control"):
    """How the memory bandwidth of a node can be shared out; percent."""

    granularity: Count | None = at("@granularity", "Step of a share", default=None)
    min: Count | None = at("@min", "Smallest share", default=None)
    max_allocs: Count | None = at("@maxAllocs", "Shares at most", default=None)


class BandwidthNode(Element, tag="node"):
    """A node whose memory bandwidth can be shared out."""

    id: Count | None = at("@id", "Number", default=None, key=True)
    cpus: CpuSet | None = at("@cpus", "CPUs of the node", default=None)
    control: BandwidthControl | None = at("control", "How it can be shared out", default=None)


class BandwidthMonitoring(Element, tag="monitor"):
    """How memory bandwidth can be measured."""

    max_monitors: Count | None = at("@maxMonitors", "Monitors at most", default=None)
    features: Many[MonitorFeature] = at("feature", "What can be measured", default=())


class CapabilitiesHost(Element, tag="host"):
    """The host."""

    uuid: UUID | None = at("uuid", "UUID of the machine", default=None)
    cpu: HostCpu | None = at("cpu", "Its CPU", default=None)
    suspend_mem: Present = at("power_management/suspend_mem", "It can suspend to memory", default=False)
    suspend_disk: Present = at("power_management/suspend_disk", "It can suspend to disk", default=False)
    suspend_hybrid: Present = at("power_management/suspend_hybrid", "It can do both at once", default=False)
    iommu: YesNo | None = at("iommu/@support", "It has an IOMMU", default=None)
    migration_live: Present = at("migration_features/live", "Running guests can migrate", default=False)
    uri_transports: Many[Literal["tcp", "rdma", "unix", "xenmigr", "vpxmigr"]] = at(
        "migration_features/uri_transports/uri_transport", "Transports for migration", default=()
    )
    cells_num: Count | None = at("topology/cells/@num", "Number of NUMA cells", default=None)
    cells: Many[HostCell] = at("topology/cells/cell", "NUMA cells", default=())
    latencies: Many[Latency] = at("topology/interconnects/latency", "Latencies between cells", default=())
    bandwidths: Many[NumaBandwidth] = at("topology/interconnects/bandwidth", "Bandwidths between cells", default=())
    banks: Many[CacheBank] = at("cache/bank", "Caches", default=())
    cache_monitors: Many[CacheMonitoring] = at("cache/monitor", "How caches can be measured", default=())
    bandwidth_nodes: Many[BandwidthNode] = at("memory_bandwidth/node", "Memory bandwidth by node", default=())
    bandwidth_monitor: BandwidthMonitoring | None = at(
        "memory_bandwidth/monitor", "How memory bandwidth can be measured", default=None
    )
    secmodels: Many[SecurityModel] = at("secmodel", "Security drivers", default=())


class GuestMachine(Element, tag="machine"):
    """A machine type."""

    name: str = at(".", "Name", default="", key=True)
    canonical: str | None = at("@canonical", "The version that the name stands for", default=None)
    max_cpus: Count | None = at("@maxCpus", "Virtual CPUs at most", default=None)
    deprecated: YesNo | None = at("@deprecated", "It will be gone some day", default=None)


class GuestDomain(Element, tag="domain"):
    """What runs guests of one kind."""

    type: DomainType | None = at("@type", "Type of domain", default=None, key=True)
    emulator: str | None = at("emulator", "Program", default=None)
    loader: str | None = at("loader", "Firmware", default=None)
    machines: Many[GuestMachine] = at("machine", "Machine types", default=())


class GuestFeature(Element):
    """A feature that guests can have."""

    default: OnOff | None = at("@default", "What it is when nothing is said", default=None)
    toggle: YesNo | None = at("@toggle", "It can be switched", default=None)


class CapabilitiesGuest(Element, tag="guest"):
    """A kind of guest that can run."""

    os_type: OsType | None = at("os_type", "Kind of guest, such as hvm", default=None, key=True)
    arch: Arch | None = at("arch/@name", "Architecture", default=None, key=True)
    wordsize: Count | None = at("arch/wordsize", "Bits of a word", default=None)
    emulator: str | None = at("arch/emulator", "Program", default=None)
    loader: str | None = at("arch/loader", "Firmware", default=None)
    machines: Many[GuestMachine] = at("arch/machine", "Machine types", default=())
    domains: Many[GuestDomain] = at("arch/domain", "What runs it", default=())
    pae: GuestFeature | None = at("features/pae", "Physical address extension", default=None)
    nonpae: GuestFeature | None = at("features/nonpae", "No physical address extension", default=None)
    ia64_be: GuestFeature | None = at("features/ia64_be", "Big-endian Itanium", default=None)
    acpi: GuestFeature | None = at("features/acpi", "ACPI", default=None)
    apic: GuestFeature | None = at("features/apic", "APIC", default=None)
    hap: GuestFeature | None = at("features/hap", "Nested paging by hardware", default=None)
    cpuselection: GuestFeature | None = at("features/cpuselection", "The CPU model can be chosen", default=None)
    deviceboot: GuestFeature | None = at("features/deviceboot", "Boot order by device", default=None)
    disksnapshot: GuestFeature | None = at("features/disksnapshot", "Snapshots of disks", default=None)
    privnet: GuestFeature | None = at("features/privnet", "A network of its own", default=None)
    external_snapshot: GuestFeature | None = at("features/externalSnapshot", "External snapshots", default=None)


class Capabilities(Element, tag="capabilities"):
    """What a host and its hypervisor can do."""

    host: CapabilitiesHost | None = at("host", "The host", default=None)
    guests: Many[CapabilitiesGuest] = at("guest", "Kinds of guests", default=())
