"""What a host and its hypervisor can do."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.cpu import CpuSpec
from anyvirt.model.element import Element, at
from anyvirt.model.types import UUID, Count, Integer, Present, Size, Unsigned, YesNo


class HostPages(Element, tag="pages"):
    """Pages of one size."""

    unit: Literal["KiB"] | None = at("@unit", "Unit of the size", default=None)
    size: Unsigned | None = at("@size", "Size of a page, in the unit", default=None, key=True)
    count: Unsigned | None = at(".", "Number of pages of a cell", default=None)


class HostCellCpu(Element, tag="cpu"):
    """A CPU of the host."""

    id: Count | None = at("@id", "Number", default=None, key=True)
    socket_id: Count | None = at("@socket_id", "Socket", default=None)
    die_id: Count | None = at("@die_id", "Die", default=None)
    core_id: Count | None = at("@core_id", "Core", default=None)
    siblings: str | None = at("@siblings", "CPUs of the same core", default=None)


class HostDistance(Element, tag="sibling"):
    """Distance to another cell of the host."""

    id: Count | None = at("@id", "The other cell", default=None, key=True)
    value: Annotated[int, Integer(0, 255)] | None = at("@value", "Distance; 10 is local", default=None)


class HostCell(Element, tag="cell"):
    """A NUMA cell of the host."""

    id: Count | None = at("@id", "Number", default=None, key=True)
    memory: Size | None = at("memory", "Memory", default=None)
    pages: tuple[HostPages, ...] = at("pages", "Pages by size", default=())
    distances: tuple[HostDistance, ...] = at("distances/sibling", "Distances to other cells", default=())
    cpus_num: Count | None = at("cpus/@num", "Number of CPUs", default=None)
    cpus: tuple[HostCellCpu, ...] = at("cpus/cpu", "CPUs", default=())


class HostCpu(CpuSpec, tag="cpu"):
    """The host's CPU."""

    counter: str | None = at("counter/@name", "Name of the time stamp counter", default=None)
    counter_frequency: Unsigned | None = at("counter/@frequency", "Its frequency in Hz", default=None)
    microcode: Count | None = at("microcode/@version", "Version of the microcode", default=None)
    pages: tuple[HostPages, ...] = at("pages", "Page sizes that a guest can use", default=())


class SecurityModel(Element, tag="secmodel"):
    """A security driver of the host."""

    model: str | None = at("model", "Name", default=None, key=True)
    doi: str | None = at("doi", "Domain of interpretation", default=None)


class CapabilitiesHost(Element, tag="host"):
    """The host."""

    uuid: UUID | None = at("uuid", "UUID of the machine", default=None)
    cpu: HostCpu | None = at("cpu", "Its CPU", default=None)
    suspend_mem: Present = at("power_management/suspend_mem", "It can suspend to memory", default=False)
    suspend_disk: Present = at("power_management/suspend_disk", "It can suspend to disk", default=False)
    suspend_hybrid: Present = at("power_management/suspend_hybrid", "It can do both at once", default=False)
    iommu: YesNo | None = at("iommu/@support", "It has an IOMMU", default=None)
    migration_live: Present = at("migration_features/live", "Running guests can migrate", default=False)
    uri_transports: tuple[str, ...] = at(
        "migration_features/uri_transports/uri_transport", "Transports for migration", default=()
    )
    cells_num: Count | None = at("topology/cells/@num", "Number of NUMA cells", default=None)
    cells: tuple[HostCell, ...] = at("topology/cells/cell", "NUMA cells", default=())
    secmodels: tuple[SecurityModel, ...] = at("secmodel", "Security drivers", default=())


class GuestMachine(Element, tag="machine"):
    """A machine type."""

    name: str = at(".", "Name", default="", key=True)
    canonical: str | None = at("@canonical", "The version that the name stands for", default=None)
    max_cpus: Count | None = at("@maxCpus", "Virtual CPUs at most", default=None)


class GuestDomain(Element, tag="domain"):
    """What runs guests of one kind."""

    type: str | None = at("@type", "Type of domain", default=None, key=True)
    emulator: str | None = at("emulator", "Program", default=None)
    loader: str | None = at("loader", "Firmware", default=None)
    machines: tuple[GuestMachine, ...] = at("machine", "Machine types", default=())


class GuestFeature(Element):
    """A feature that guests can have."""

    default: Literal["on", "off"] | None = at("@default", "What it is when nothing is said", default=None)
    toggle: YesNo | None = at("@toggle", "It can be switched", default=None)


class CapabilitiesGuest(Element, tag="guest"):
    """A kind of guest that can run."""

    os_type: str | None = at("os_type", "Kind of guest, such as hvm", default=None, key=True)
    arch: str | None = at("arch/@name", "Architecture", default=None, key=True)
    wordsize: Count | None = at("arch/wordsize", "Bits of a word", default=None)
    emulator: str | None = at("arch/emulator", "Program", default=None)
    loader: str | None = at("arch/loader", "Firmware", default=None)
    machines: tuple[GuestMachine, ...] = at("arch/machine", "Machine types", default=())
    domains: tuple[GuestDomain, ...] = at("arch/domain", "What runs it", default=())
    pae: GuestFeature | None = at("features/pae", "Physical address extension", default=None)
    nonpae: GuestFeature | None = at("features/nonpae", "No physical address extension", default=None)
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
    guests: tuple[CapabilitiesGuest, ...] = at("guest", "Kinds of guests", default=())


class DomainCapabilities(Element, tag="domainCapabilities"):
    """What guests of one machine type can have."""

    path: str | None = at("path", "Program that runs them", default=None)
    domain: str | None = at("domain", "Type of domain", default=None)
    machine: str | None = at("machine", "Machine type", default=None)
    arch: str | None = at("arch", "Architecture", default=None)
    vcpu_max: Count | None = at("vcpu/@max", "Virtual CPUs at most", default=None)
