"""Defaults of what stands before a definition's devices, as libvirt's QEMU driver has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from anyvirt.api import (
    BootDevice,
    Clock,
    ClockOffset,
    CpuFeature,
    CpuMode,
    CpuPolicy,
    CpuSpec,
    Features,
    LifecycleAction,
    NumaTune,
    Os,
    OsBoot,
    OsType,
    assign,
)

from anyvirt_qemu.planning.machines import GIC2_CPUS, WIDER, family
from anyvirt_qemu.planning.plan import Caps, Machine

MIB: Final = 1 << 20
# what the CPU of a guest is under KVM where nobody names one: the host's, which cannot be another, or one like it
WITH_KVM: Final = {
    "aarch64": CpuMode.HOST_PASSTHROUGH, "armv7l": CpuMode.HOST_PASSTHROUGH, "s390x": CpuMode.HOST_MODEL,
}  # fmt: skip
UNLIMITED: Final = 9007199254740991 << 10


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site may decide otherwise.

    :param spare_ports: empty PCIe ports that a new guest gets, for devices that are plugged later.
    :param vnc_socket: a screen without an address is served on a unix socket of the guest's own, not on TCP.
    :param usb_ports: ports of a USB 3 controller that leaves them open; None for QEMU's own four.
    """

    spare_ports: int = 4
    vnc_socket: bool = True
    usb_ports: int | None = 15


def identity(d: assign.Drafts, caps: Caps, machine: Machine, *, stored: bool) -> None:
    """Size, boot, clock, life cycle: what stands before the devices.

    :param stored: a definition whose size others have settled, which stays.
    """
    os = d.os or Os()
    ordered = any(x.boot for field in ("disks", "interfaces", "hostdevs", "redirdevs") for x in d.many(field))
    changes: dict[str, Any] = {}
    if os.type is None:
        changes["type"] = OsType.HVM
    if os.arch is None:
        changes["arch"] = caps.arch
    if os.machine != machine.name:
        changes["machine"] = machine.name
    if not os.boots and not ordered and (os.type or "hvm") == "hvm":
        changes["boots"] = (OsBoot(dev=BootDevice.HD),)
    changes |= _firmware(os)
    if changes or d.os is None:
        d.os = os.replace(**changes)
    _processors(d)
    _memory(d, stored=stored)
    _tuning(d)
    hyperv = d.features.hyperv if d.features is not None else None
    if hyperv is not None and hyperv.mode is None:
        d.features = d.features.replace(hyperv=hyperv.replace(mode="custom"))
    if family(machine, caps.arch).gic:
        _interrupts(d)
    _clock(d)
    labels = d.seclabels
    for x in labels:
        if x.relabel is None and x.model != "none" and x.type in {"dynamic", "static"}:
            x.relabel = x.type == "dynamic"
    for field, action in (
        ("on_poweroff", LifecycleAction.DESTROY),
        ("on_reboot", LifecycleAction.RESTART),
        ("on_crash", LifecycleAction.DESTROY),
    ):
        if getattr(d, field) is None:
            setattr(d, field, action)
    if d.emulator is None:
        d.emulator = caps.binary
    cpu(d, machine)


def _processors(d: assign.Drafts) -> None:
    """How many there are, and who chooses where they run: with the memory, unless somebody has pinned them."""
    if d.vcpu is None:
        d.vcpu = 1
    tune = d.cputune
    pinned = d.vcpu_cpuset is not None or (
        tune is not None and (tune.vcpupins or tune.emulatorpin is not None or tune.iothreadpins)
    )
    numa = d.numatune
    if numa is not None and numa.placement == "auto" and not pinned:
        d.vcpu_placement = "auto"
    elif d.vcpu_placement is None:
        d.vcpu_placement = "static"
    elif d.vcpu_placement == "auto" and (numa is None or not (numa.placement or numa.nodeset or numa.memnodes)):
        d.numatune = (numa or NumaTune()).replace(mode="strict" if numa is None else numa.mode, placement="auto")
    if d.numatune is not None and d.numatune.mode is None and (d.numatune.nodeset or d.numatune.placement):
        d.numatune = d.numatune.replace(mode="strict")


def _interrupts(d: assign.Drafts) -> None:
    """Arm's interrupt controller, which is always there: the host's own, or the one that runs as many CPUs."""
    x = d.features or Features()
    version = x.gic_version or ("host" if d.type == "kvm" else "2" if (d.vcpu or 1) <= GIC2_CPUS else "3")
    if not x.gic or x.gic_version is None:
        d.features = x.replace(gic=True, gic_version=version)


def _firmware(os: Os) -> dict[str, Any]:
    """Keys that are enrolled are there for secure boot."""
    features = {x.name: x for x in os.firmware_features}
    keys = features.get("enrolled-keys")
    if keys is None or not keys.enabled or "secure-boot" in features:
        return {}
    return {"firmware_features": (*os.firmware_features, keys.replace(name="secure-boot"))}


def _memory(d: assign.Drafts, *, stored: bool) -> None:
    """The memory of all NUMA cells and modules together, where there are cells."""
    cells = d.cpu.cells if d.cpu is not None else ()
    whole = sum(cell.memory or 0 for cell in cells)
    if whole and (d.memory is None or not stored):
        whole += sum(x.size or 0 for x in d.many("memory_devices"))
        if d.memory != whole:
            d.memory = whole
    if d.current_memory is None or (d.memory is not None and d.current_memory > d.memory):
        d.current_memory = d.memory


def _clock(d: assign.Drafts) -> None:
    """What the clock shows; one that is so many seconds off is variable."""
    x = d.clock or Clock()
    offset = x.offset or ClockOffset.UTC
    changes: dict[str, Any] = {} if x.offset is not None else {"offset": offset}
    if offset in {ClockOffset.UTC, ClockOffset.LOCALTIME} and x.adjustment not in {None, "reset"}:
        changes = {"offset": ClockOffset.VARIABLE, "basis": str(offset)}
    elif offset == ClockOffset.VARIABLE:
        if x.adjustment is None:
            changes["adjustment"] = 0
        if x.basis is None:
            changes["basis"] = "utc"
    if changes or d.clock is None:
        d.clock = x.replace(**changes)


def _tuning(d: assign.Drafts) -> None:
    """Limits that say that there are none are left out; pins stand in the order of what they pin."""
    if d.memtune is not None:
        limits = ("hard_limit", "soft_limit", "min_guarantee", "swap_hard_limit")
        none = {field: None for field in limits if (getattr(d.memtune, field) or 0) >= UNLIMITED}
        if none:
            kept = d.memtune.replace(**none)
            d.memtune = kept if any(getattr(kept, field) is not None for field in limits) else None
    if d.cputune is not None:
        pins = tuple(sorted(d.cputune.iothreadpins, key=lambda pin: pin.iothread or 0))
        if pins != d.cputune.iothreadpins:
            d.cputune = d.cputune.replace(iothreadpins=pins)


def cpu(d: assign.Drafts, machine: Machine) -> None:
    """The CPU that QEMU would choose, by name, so that another QEMU shows the same; and how it is checked."""
    x = d.cpu
    if x is not None and x == CpuSpec():
        x = d.cpu = None
    changes: dict[str, Any] = {}
    if x is None or (x.model is None and x.mode in {None, CpuMode.CUSTOM}):
        model = WIDER.get(machine.cpu or "", machine.cpu) if d.os.arch == "aarch64" else machine.cpu
        if d.type == "kvm" and d.os.arch in WITH_KVM:
            changes = {"mode": WITH_KVM[d.os.arch]}
        elif model is not None:
            changes = {"mode": CpuMode.CUSTOM, "match": "exact", "model": model, "model_fallback": "forbid"}
        if changes:
            usual = "partial" if changes["mode"] == CpuMode.HOST_MODEL else "none"
            changes["check"] = usual if x is None or x.check is None else x.check
    elif x.mode in {CpuMode.HOST_PASSTHROUGH, CpuMode.MAXIMUM}:
        changes = {"check": x.check or "none"}
        if x.migratable is None and d.os.arch in {"x86_64", "i686"}:
            changes["migratable"] = True
    else:
        changes = {"check": x.check or "partial"}
        if x.mode in {None, CpuMode.CUSTOM}:
            changes |= {"mode": CpuMode.CUSTOM, "match": x.match or "exact"}
        if x.model is not None:
            changes["model_fallback"] = x.model_fallback or "allow"
    if x is not None and x.topology is not None and x.topology.dies is None:
        changes["topology"] = x.topology.replace(dies=1)
    if x is not None and any(feature.policy is None for feature in x.features):
        changes["features"] = tuple(feature.replace(policy=feature.policy or "require") for feature in x.features)
    if x is not None and d.os.arch == "aarch64":
        changes |= _vectors(x)
    if x is not None and x.cells:
        changes["cells"] = _cells(x.cells, d.vcpu)
    if changes:
        d.cpu = (x or CpuSpec()).replace(**changes)


def _vectors(x: CpuSpec) -> dict[str, Any]:
    """Lengths of vectors, such as ``sve512``, say that there are vectors."""
    names = {feature.name or "" for feature in x.features}
    if "sve" in names or not any(name.removeprefix("sve").isdecimal() for name in names):
        return {}
    return {"features": (*x.features, CpuFeature(name="sve", policy=CpuPolicy.REQUIRE))}


def _cells(cells: tuple[Any, ...], vcpus: int) -> tuple[Any, ...]:
    """NUMA cells with numbers, in the order of these; virtual CPUs in no cell belong to the first."""
    taken = {cell.id for cell in cells if cell.id is not None}
    free = (n for n in range(len(cells) + len(taken)) if n not in taken)
    numbered = [cell if cell.id is not None else cell.replace(id=next(free)) for cell in cells]
    numbered.sort(key=lambda cell: cell.id or 0)
    placed = frozenset().union(*(cell.cpus or () for cell in cells))
    left = frozenset(range(vcpus)) - placed if placed else frozenset()
    if left:
        numbered[0] = numbered[0].replace(cpus=(numbered[0].cpus or frozenset()) | left)
    return tuple(numbered)
