"""The domain capabilities document: what guests of one machine type can have, from what was found out of a QEMU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from anyvirt.api import (
    CpuFeature,
    CpuPolicy,
    CustomMode,
    DomainCapabilities,
    DomainType,
    Firmwares,
    GicSupport,
    GicVersions,
    HostModelMode,
    HypervFeatures,
    HypervSupport,
    LaunchSecuritySupport,
    LoaderReadonly,
    LoaderSecure,
    LoaderSupport,
    LoaderTypes,
    MaximumMigratable,
    MaximumMode,
    MemoryBackingSupport,
    MemorySources,
    ModelBlockers,
    OsSupport,
    PassthroughMigratable,
    PassthroughMode,
    SecurityTypes,
    SevSupport,
    SgxSection,
    SgxSupport,
    UsableModel,
)

from anyvirt_qemu.devices.cpu import HYPERV
from anyvirt_qemu.devices.features import X86
from anyvirt_qemu.planning.machines import family
from anyvirt_qemu.planning.plan import Machine
from anyvirt_qemu.probing import domcaps_devices as devices
from anyvirt_qemu.probing.capability import Capability, CpuModel
from anyvirt_qemu.probing.caps import Caps
from anyvirt_qemu.probing.cpu_models import Models
from anyvirt_qemu.probing.host_cpu import HostCpu
from anyvirt_qemu.readiness.firmwares import INTERFACES, QEMU_ARCHES, Firmware

ANY: Final = ("host", "max", "base")  # models that are modes of their own, and one that has nothing
# object of QEMU -> what a definition calls it; those that QEMU itself asks the host for are not here
SECURED: Final = {"sev-snp-guest": "sev-snp", "s390-pv-guest": "s390-pv", "tdx-guest": "tdx"}
KIB: Final = 1 << 10


@dataclass(frozen=True, slots=True)
class HostSide:
    """What the host, and not QEMU, decides.

    :param kvm: guests are run by KVM.
    :param vcpus: how many virtual CPUs the kernel gives a guest at most; None where that is not known.
    :param firmwares: those that descriptions of the host tell of.
    :param programs: which of the programs that devices need are installed.
    :param tpms: versions of the specification that the emulator knows.
    :param vfio: PCI devices can be taken from the host.
    :param models: what CPU models are made of.
    :param nearest: the model that is nearest to the host's CPU.
    """

    kvm: bool
    vcpus: int | None = None
    firmwares: Sequence[Firmware] = ()
    programs: frozenset[str] = frozenset()
    tpms: tuple[str, ...] = ()
    vfio: bool = False
    models: Models | None = None
    nearest: HostCpu | None = field(default=None)


def document(found: Capability, machine: Machine, host: HostSide) -> DomainCapabilities:
    """What guests of this machine type can have."""
    caps = Caps(found)
    at = devices.Place(caps, found, machine, family(machine, caps.arch), host.programs)
    most = machine.max_cpus if host.vcpus is None else min(machine.max_cpus, host.vcpus)
    return DomainCapabilities(
        path=caps.binary,
        domain=DomainType.KVM if host.kvm else DomainType.QEMU,
        machine=machine.name,
        arch=caps.arch,
        vcpu_max=most,
        iothreads=caps.has_object("iothread"),
        os=_os(caps, machine, host.firmwares),
        cpu_modes=_cpu(found, host),
        memory_backing=_memory(caps),
        disk=devices.disks(at),
        graphics=devices.graphics(at),
        video=devices.videos(at),
        hostdev=devices.hostdevs(at, vfio=host.vfio),
        rng=devices.rngs(at),
        filesystem=devices.filesystems(at),
        tpm=devices.tpms(at, host.tpms),
        redirdev=devices.redirdevs(at),
        channel=devices.channels(at),
        crypto=devices.cryptos(at),
        interface=devices.interfaces(at),
        panic=devices.panics(at),
        console=devices.consoles(at),
        **_features(found, caps, at, host),
    )


def _os(caps: Caps, machine: Machine, firmwares: Sequence[Firmware]) -> OsSupport:
    fit = [one for one in firmwares if _fits(one, caps.arch, machine)]
    kinds: list[Any] = [
        word for word, interface in INTERFACES.items() if any(interface in one.interfaces for one in fit)
    ]
    if caps.arch in X86 and "bios" not in kinds:
        kinds.append("bios")  # QEMU brings one along
    flash = caps.has_device("cfi.pflash01") and (caps.arch in X86 or machine.name.startswith("virt"))
    secure = any("secure-boot" in one.features for one in fit)
    loader = LoaderSupport(
        supported=True,
        paths=tuple(dict.fromkeys(one.path for one in fit)),
        enums=(
            LoaderTypes(values=("rom", "pflash") if flash else ("rom",)),
            LoaderReadonly(values=(True, False) if flash else (True,)),
            LoaderSecure(values=(True, False) if secure else (False,)),
        ),
    )
    return OsSupport(supported=True, enums=(Firmwares(values=tuple(sorted(kinds))),), loader=loader)


def _fits(one: Firmware, arch: str, machine: Machine) -> bool:
    """Whether a description of firmware names this kind of guest."""
    name = QEMU_ARCHES.get(arch, arch)
    globs = [glob for other, patterns in one.targets if other == name for glob in patterns]
    return any(fnmatchcase(machine.name, glob) for glob in globs)


def _cpu(found: Capability, host: HostSide) -> tuple[PassthroughMode | MaximumMode | HostModelMode | CustomMode, ...]:
    loose = host.models is not None and host.models.migratable
    switch: tuple[bool, ...] = (True, False) if loose else (False,)
    whole = "max" in found.cpus or not found.cpus
    rows = [cpu for name, cpu in found.cpus.items() if name not in ANY]
    blocked = [cpu for cpu in rows if cpu.missing]
    return (
        PassthroughMode(supported=host.kvm, enums=(PassthroughMigratable(values=switch),) if host.kvm else ()),
        MaximumMode(supported=whole, enums=(MaximumMigratable(values=switch),) if whole else ()),
        _like_host(host),
        CustomMode(
            supported=bool(rows),
            models=tuple(_model(cpu, host.models) for cpu in rows),
            blockers=tuple(
                ModelBlockers(model=cpu.name, features=tuple(CpuFeature(name=name) for name in cpu.missing or ()))
                for cpu in blocked
            ),
        ),
    )


def _like_host(host: HostSide) -> HostModelMode:
    if host.nearest is None:
        return HostModelMode(supported=False)
    features = [
        CpuFeature(policy=CpuPolicy.REQUIRE if has else CpuPolicy.DISABLE, name=name)
        for name, has in sorted(host.nearest.features.items(), key=lambda item: (not item[1], item[0]))
    ]
    vendor = ""
    if host.models is not None:
        sets = host.models.sets
        vendor = sets.host.vendor or (sets.named[host.nearest.model].vendor if host.nearest.model in sets.named else "")
    return HostModelMode(
        supported=True,
        model=host.nearest.model,
        model_fallback="forbid",
        vendor=vendor or None,
        features=tuple(features),
    )


def _model(cpu: CpuModel, models: Models | None) -> UsableModel:
    known = models.sets.named.get(cpu.name) if models is not None else None
    return UsableModel(
        name=cpu.name,
        usable="unknown" if cpu.usable is None else "yes" if cpu.usable else "no",
        deprecated=True if cpu.deprecated else None,
        vendor=(known.vendor if known is not None else "") or "unknown",
        canonical=cpu.alias_of,
    )


def _memory(caps: Caps) -> MemoryBackingSupport:
    rows = {"file": "memory-backend-file", "anonymous": "memory-backend-ram", "memfd": "memory-backend-memfd"}
    values: tuple[Any, ...] = tuple(word for word, name in rows.items() if caps.has_object(name))
    return MemoryBackingSupport(supported=True, enums=(MemorySources(values=values),))


def _features(found: Capability, caps: Caps, at: devices.Place, host: HostSide) -> dict[str, Any]:
    sev, sgx = found.told("sev-capabilities"), found.told("sgx-capabilities")
    secured: list[Any] = [word for name, word in SECURED.items() if caps.has_object(name)]
    if sev:
        secured.insert(0, "sev")
    return {
        "gic": _gic(found.told("gic-capabilities"), kvm=host.kvm),
        "vmcoreinfo": caps.has_device("vmcoreinfo"),
        "genid": caps.has_device("vmgenid"),
        "backing_store_input": True,
        "backup": False,  # there is no call that makes one
        "async_teardown": caps.has_option("run-with", "async-teardown") or caps.has_option("async-teardown"),
        "s390_pv": "s390-pv" in secured,
        "ps2": at.family.ps2,
        "tdx": "tdx" in secured,
        "sev": _sev(sev),
        "sgx": _sgx(sgx),
        "hyperv": _hyperv(host),
        "launch_security": LaunchSecuritySupport(
            supported=bool(secured), enums=(SecurityTypes(values=tuple(secured)),) if secured else ()
        ),
    }


def _gic(rows: Sequence[Any], *, kvm: bool) -> GicSupport:
    way = "kernel" if kvm else "emulated"
    versions: tuple[Any, ...] = tuple(str(row["version"]) for row in rows if row.get(way))
    return GicSupport(supported=bool(versions), enums=(GicVersions(values=versions),) if versions else ())


def _sev(told: Any) -> SevSupport:
    if not told:
        return SevSupport(supported=False)
    return SevSupport(
        supported=True,
        cbitpos=told.get("cbitpos"),
        reduced_phys_bits=told.get("reduced-phys-bits"),
        cpu0_id=told.get("cpu0-id"),
    )


def _sgx(told: Any) -> SgxSupport:
    if not told or not told.get("sgx"):
        return SgxSupport(supported=False)
    sections = tuple(SgxSection(node=row.get("node"), size=row.get("size")) for row in told.get("sections", ()))
    size = told.get("section-size") or sum(section.size or 0 for section in sections)
    return SgxSupport(
        supported=True, flc=told.get("flc"), sgx1=told.get("sgx1"), sgx2=told.get("sgx2"), section_size=size,
        sections=sections,
    )  # fmt: skip


def _hyperv(host: HostSide) -> HypervSupport:
    """Enlightenments are KVM's; which it has, QEMU tells of a CPU with all of them."""
    has = host.models.hyperv if host.models is not None and host.kvm else frozenset()
    words = tuple(word for word in HYPERV if word in has)
    if not words:
        return HypervSupport(supported=False)
    return HypervSupport(supported=True, enums=(HypervFeatures(values=(*words, "spinlocks", "vendor_id")),))
