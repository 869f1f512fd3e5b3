"""Features of the virtual hardware that can be switched."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.container import ContainerCapabilities
from anyvirt.model.element import Element, at
from anyvirt.model.types import Count, Integer, MebiSize, OnOff, Present, Size, State


class HyperV(Element, tag="hyperv"):
    """Enlightenments for Windows guests."""

    mode: Literal["custom", "passthrough"] | None = at("@mode", "custom, or all that the host has", default=None)
    relaxed: State | None = at("relaxed", "Relax constraints on timers", default=None)
    vapic: State | None = at("vapic", "Virtual APIC", default=None)
    spinlocks: State | None = at("spinlocks", "Yield when spinning", default=None)
    spinlocks_retries: Annotated[int, Integer(0, 2**32 - 1)] | None = at(
        "spinlocks/@retries", "Attempts before yielding, at least 4095", default=None
    )
    vpindex: State | None = at("vpindex", "Index of the virtual processor", default=None)
    runtime: State | None = at("runtime", "Time spent on running the guest", default=None)
    synic: State | None = at("synic", "Synthetic interrupt controller", default=None)
    stimer: State | None = at("stimer", "Synthetic timers", default=None)
    stimer_direct: State | None = at("stimer/direct", "Timers that interrupt directly", default=None)
    reset: State | None = at("reset", "Reset by the hypervisor", default=None)
    vendor_id: State | None = at("vendor_id", "Set the hypervisor's vendor", default=None)
    vendor_id_value: str | None = at("vendor_id/@value", "The vendor, up to 12 characters", default=None)
    frequencies: State | None = at("frequencies", "Tell frequencies", default=None)
    reenlightenment: State | None = at("reenlightenment", "Tell about a changed time stamp counter", default=None)
    tlbflush: State | None = at("tlbflush", "Flush the TLB by hypercall", default=None)
    ipi: State | None = at("ipi", "Interrupt other processors by hypercall", default=None)
    evmcs: State | None = at("evmcs", "Enlightened VMCS", default=None)
    avic: State | None = at("avic", "Interrupts by hardware beside the synthetic controller", default=None)


class KvmFeatures(Element, tag="kvm"):
    """What KVM shows of itself."""

    hidden: State | None = at("hidden", "Hide KVM from the guest", default=None)
    hint_dedicated: State | None = at("hint-dedicated", "The guest has its CPUs for itself", default=None)
    poll_control: State | None = at("poll-control", "The guest may poll before halting", default=None)
    pv_ipi: State | None = at("pv-ipi", "Interrupts by hypercall", default=None)
    dirty_ring: State | None = at("dirty-ring", "Track written pages in rings", default=None)
    dirty_ring_size: Count | None = at("dirty-ring/@size", "Entries of a ring, a power of two", default=None)


class Features(Element, tag="features"):
    """Features of the virtual hardware."""

    acpi: Present = at("acpi", "ACPI", default=False)
    apic: Present = at("apic", "APIC", default=False)
    apic_eoi: OnOff | None = at("apic/@eoi", "End of interrupt without an exit", default=None)
    pae: Present = at("pae", "Physical address extension", default=False)
    hap: State | None = at("hap", "Nested paging by hardware", default=None)
    viridian: Present = at("viridian", "Viridian extensions of Xen", default=False)
    privnet: Present = at("privnet", "A container has a network of its own", default=False)
    hyperv: HyperV | None = at("hyperv", "Enlightenments for Windows", default=None)
    kvm: KvmFeatures | None = at("kvm", "What KVM shows of itself", default=None)
    xen_e820_host: State | None = at("xen/e820_host", "Show the host's memory map", default=None)
    xen_passthrough: State | None = at("xen/passthrough", "Allow passing devices through", default=None)
    xen_passthrough_mode: Literal["sync_pt", "share_pt"] | None = at(
        "xen/passthrough/@mode", "How page tables are kept", default=None
    )
    pvspinlock: State | None = at("pvspinlock", "Spinlocks by hypercall", default=None)
    pmu: State | None = at("pmu", "Performance counters", default=None)
    vmport: State | None = at("vmport", "VMware's I/O port", default=None)
    gic: Present = at("gic", "Interrupt controller of Arm", default=False)
    gic_version: Literal["host", "2", "3"] | None = at("gic/@version", "Its version", default=None)
    smm: State | None = at("smm", "System management mode", default=None)
    smm_tseg: MebiSize | None = at("smm/tseg", "Its memory", default=None)
    ioapic: Literal["qemu", "kvm"] | None = at("ioapic/@driver", "Who emulates the I/O APIC", default=None)
    hpt_resizing: Literal["enabled", "disabled", "required"] | None = at(
        "hpt/@resizing", "The guest may resize its hash page table", default=None
    )
    hpt_maxpagesize: Size | None = at("hpt/maxpagesize", "Largest page of the hash page table", default=None)
    vmcoreinfo: State | None = at("vmcoreinfo", "The guest leaves notes for its core dump", default=None)
    htm: State | None = at("htm", "Transactional memory (pseries)", default=None)
    nested_hv: State | None = at("nested-hv", "Nested virtualisation (pseries)", default=None)
    ccf_assist: State | None = at("ccf-assist", "Count cache flush assist (pseries)", default=None)
    msrs_unknown: Literal["ignore", "fault"] | None = at("msrs/@unknown", "What unknown registers do", default=None)
    cfpc: Literal["broken", "workaround", "fixed"] | None = at("cfpc/@value", "Cache flush (pseries)", default=None)
    sbbc: Literal["broken", "workaround", "fixed"] | None = at("sbbc/@value", "Bounds check (pseries)", default=None)
    ibs: Literal["broken", "workaround", "fixed", "fixed-ibs", "fixed-ccd", "fixed-na"] | None = at(
        "ibs/@value", "Indirect branches (pseries)", default=None
    )
    tcg_tb_cache: Size | None = at("tcg/tb-cache", "Memory for translated code", default=None)
    capabilities: ContainerCapabilities | None = at("capabilities", "Linux capabilities of a container", default=None)
