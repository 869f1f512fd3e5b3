"""What libvirt's QEMU driver found out about an emulator and keeps in its cache: read, never written."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.status import EmulatorFlag
from anyvirt.model.types import Count, Unsigned, YesNo
from anyvirt.model.words import Arch

Accelerator = Literal["kvm", "tcg", "hvf"]


class CpuProperty(Element, tag="property"):
    """A property of the CPU model that stands for the host."""

    name: str | None = at("@name", "QEMU's name of it", default=None, key=True)
    type: Literal["boolean", "number", "string"] | None = at("@type", "Kind of value", default=None)
    value: str | None = at("@value", "Value", default=None)
    migratable: YesNo | None = at("@migratable", "A guest with it can migrate", default=None)


class ProbedHostCpu(Element, tag="hostCPU"):
    """What QEMU says the host's CPU is."""

    type: Accelerator | None = at("@type", "Accelerator that it holds for", default=None, key=True)
    model: str | None = at("@model", "Model that the properties add to", default=None)
    migratability: YesNo | None = at("@migratability", "QEMU tells what can migrate", default=None)
    properties: Many[CpuProperty] = at("property", "Properties", default=())


class Blocker(Element, tag="blocker"):
    """A feature of a CPU model that the host lacks."""

    name: str | None = at("@name", "The feature", default=None, key=True)


class ProbedCpu(Element, tag="cpu"):
    """A CPU model."""

    type: Accelerator | None = at("@type", "Accelerator that it holds for", default=None, key=True)
    name: str | None = at("@name", "Name", default=None, key=True)
    typename: str | None = at("@typename", "QEMU's type", default=None)
    usable: Literal["yes", "no", "unknown"] | None = at("@usable", "This host can give it", default=None)
    deprecated: YesNo | None = at("@deprecated", "It will be gone some day", default=None)
    blockers: Many[Blocker] = at("blocker", "What the host lacks for it", default=())


class ProbedMachine(Element, tag="machine"):
    """A machine type."""

    type: Accelerator | None = at("@type", "Accelerator that it holds for", default=None, key=True)
    name: str | None = at("@name", "Name", default=None, key=True)
    alias: str | None = at("@alias", "Name without a version that stands for it", default=None)
    hotplug_cpus: YesNo | None = at("@hotplugCpus", "CPUs can be plugged in", default=None)
    max_cpus: Count | None = at("@maxCpus", "Virtual CPUs at most", default=None)
    default: YesNo | None = at("@default", "It is taken when nothing is said", default=None)
    default_cpu: str | None = at("@defaultCPU", "QEMU's type of its CPU when nothing is said", default=None)
    numa_mem_supported: YesNo | None = at("@numaMemSupported", "Cells can be given by size alone", default=None)
    default_ram_id: str | None = at("@defaultRAMid", "QEMU's name of its memory", default=None)
    deprecated: YesNo | None = at("@deprecated", "It will be gone some day", default=None)
    acpi: YesNo | None = at("@acpi", "It has ACPI", default=None)


class HypervCapability(Element, tag="cap"):
    """An enlightenment that guests can have."""

    name: str | None = at("@name", "Its name", default=None, key=True)


class EmulatorProbe(Element, tag="qemuCaps"):
    """The cache file of one emulator (libvirt's qemu_capabilities.c); it may change with every release."""

    emulator: str | None = at("emulator", "Program", default=None, key=True)
    changed: Unsigned | None = at("qemuctime", "Seconds since 1970 when the program changed", default=None)
    driver_changed: Unsigned | None = at("selfctime", "Seconds since 1970 when libvirt changed", default=None)
    driver_version: Unsigned | None = at("selfvers", "Version of libvirt, as one number", default=None)
    flags: Many[EmulatorFlag] = at("flag", "What it can do, in libvirt's words", default=())
    version: Unsigned | None = at("version", "Version of the emulator, as one number", default=None)
    kvm_version: Unsigned | None = at("kvmVersion", "Version of KVM, 0 if unknown", default=None)
    microcode: Unsigned | None = at("microcodeVersion", "Version of the host's microcode", default=None)
    package: str | None = at("package", "Version of the package", default=None)
    arch: Arch | None = at("arch", "Architecture of its guests", default=None)
    host_cpus: Many[ProbedHostCpu] = at("hostCPU", "What the host's CPU is", default=())
    cpus: Many[ProbedCpu] = at("cpu", "CPU models", default=())
    machines: Many[ProbedMachine] = at("machine", "Machine types", default=())
    hyperv_supported: YesNo | None = at("hypervCapabilities/@supported", "It has enlightenments", default=None)
    hyperv: Many[HypervCapability] = at("hypervCapabilities/cap", "Enlightenments", default=())
