"""Switches of the virtual hardware: options of the machine, and of the accelerator."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Clock, Domain, Features, KvmFeatures, meaningless

from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.machines import GIC2_CPUS, family

X86: Final = ("x86_64", "i686")
MIB: Final = 1 << 20
KIB: Final = 1 << 10
ON_FLASH: Final = ("aarch64", "armv7l")  # guests that find ACPI by their UEFI alone
# features of pseries: field, option of the machine
PSERIES: Final = {
    "hpt_resizing": "resize-hpt",
    "htm": "cap-htm",
    "nested_hv": "cap-nested-hv",
    "ccf_assist": "cap-ccf-assist",
    "cfpc": "cap-cfpc",
    "sbbc": "cap-sbbc",
    "ibs": "cap-ibs",
}
RING_LEAST, RING_MOST = 1024, 65536


def machine(b: Build, features: Features, clock: Clock) -> dict[str, Any]:
    """Options of the machine."""
    x86 = b.caps.arch in X86
    options: dict[str, Any] = {"usb": False, "vmport": features.vmport, "smm": features.smm}
    for field in ("vmport", "smm", "smm_tseg"):
        if not x86 and getattr(features, field) is not None:
            b.refuse(features, field, "take it out", text=f"guests of {b.caps.arch} have no such thing")
    if not (family(b.machine, b.caps.arch).name and b.caps.has_feature("machine.acpi")):
        if features.acpi:
            b.warnings.append(f"machine {b.machine.name} of this QEMU has no ACPI")
    elif not features.acpi:
        options["acpi"] = False
    elif b.caps.arch in ON_FLASH and (b.domain.os is None or b.domain.os.loader_type != "pflash"):
        b.problem(features, "acpi", "only UEFI tells an Arm guest of ACPI", "write <os firmware='efi'>, or take it out")
    if features.ioapic is not None and b.accelerator == "kvm":
        options["kernel_irqchip"] = {"qemu": "split", "kvm": "on"}[features.ioapic]
    meaningless(features, "acpi", "apic", "pae", "ioapic")
    if features.smm_tseg is not None:
        if b.machine.bus != "pcie":
            b.refuse(features, "smm_tseg", "use machine type q35", text=f"{b.machine.name} has no such memory")
        b.option("-global", f"mch.extended-tseg-mbytes={features.smm_tseg // MIB}")
    if features.gic:
        options["gic-version"] = _arm(b, features)
    if b.caps.arch == "ppc64":
        options |= _pseries(b, features)
    for timer in clock.timers:
        if timer.name == "hpet" and x86 and b.machine.bus:
            options["hpet"] = timer.present is not False
    return options


def _arm(b: Build, features: Features) -> str | None:
    if b.caps.arch not in {"aarch64", "armv7l"}:
        b.refuse(features, "gic", "take it out", text=f"guests of {b.caps.arch} have no such interrupt controller")
        return None
    version = features.gic_version
    if version == "host" and b.accelerator != "kvm":
        if b.domain.type != "kvm":
            b.refuse(features, "gic_version", "use version='3'", text="without KVM there is no controller of the host")
        version = "2" if (b.domain.vcpu or 1) <= GIC2_CPUS else "3"
        b.warnings.append(f"without KVM there is no interrupt controller of the host; the guest gets version {version}")
    return version


def _pseries(b: Build, features: Features) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, option in PSERIES.items():
        value = getattr(features, field)
        if value is not None and option.startswith("cap-") and not b.caps.has_feature(f"machine.{option}"):
            b.refuse(features, field, "take it out", text=f"{b.machine.name} of this QEMU has no {option}")
        found[option] = value
    if features.hpt_maxpagesize is not None:
        found["cap-hpt-max-page-size"] = f"{features.hpt_maxpagesize // KIB}k"
    return found


def accelerator(b: Build, features: Features) -> None:
    """What runs the guest's code, and how."""
    options: dict[str, Any] = {}
    kvm = features.kvm or KvmFeatures()
    if kvm.dirty_ring:
        size = kvm.dirty_ring_size or 0
        if not RING_LEAST <= size <= RING_MOST or size & (size - 1):
            text = f"a ring has {RING_LEAST} to {RING_MOST} entries, a power of two"
            b.problem(kvm, "dirty_ring_size", text, "write size='4096'")
        if b.accelerator == "kvm":
            options["dirty-ring-size"] = size
        else:
            b.warnings.append("without KVM written pages are not tracked in rings")
    meaningless(kvm, "dirty_ring_size")
    if features.tcg_tb_cache is not None:
        if b.accelerator == "tcg":
            options["tb-size"] = features.tcg_tb_cache // MIB
        else:
            b.warnings.append("with KVM no code is translated, and there is no memory for it")
    b.options("-accel", b.accelerator, options)


def keys(b: Build, domain: Domain) -> dict[str, Any]:
    """Kinds of keys that the machine can wrap."""
    if not domain.keywrap:
        return {}
    if b.caps.arch != "s390x":
        b.refuse(domain, "keywrap", "take it out", text=f"guests of {b.caps.arch} wrap no keys")
    return {f"{x.name}-key-wrap": x.state for x in domain.keywrap}
