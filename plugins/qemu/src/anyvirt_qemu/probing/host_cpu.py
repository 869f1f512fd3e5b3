"""The CPU model that is nearest to what a host can give a guest: asked of QEMU, then spelled out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from anyvirt.api import CpuFeature, CpuMode, CpuPolicy, CpuSpec, Problem, VirtError

from anyvirt_qemu.probing import cache, talk
from anyvirt_qemu.probing.capability import Capability
from anyvirt_qemu.qmp.command import Command

FORMAT: Final = 2
CPUS: Final = Path("/proc/cpuinfo")
# models that stand for no real CPU
UNREAL: Final = ("max", "host", "base")
PLAIN: Final = ("qemu", "kvm")  # nor do these, though they name a vendor
# switches of a CPU that are no features, and features that have another name, too
SWITCHES: Final = frozenset({
    "check", "enforce", "kvm", "l3-cache", "legacy-cache", "full-cpuid-auto-level", "migratable", "pmu",
    "fill-mtrr-mask", "cpuid-0xb", "host-cache-info", "host-phys-bits", "tcg-cpuid", "vmware-cpuid-freq", "realized",
    "hotplugged", "hotpluggable", "start-powered-off", "hypervisor", "lmce", "xen-vapic",
})  # fmt: skip
DOUBLES: Final = frozenset({"i64", "xd", "sse3", "pclmuldq", "sse4-1", "sse4-2", "ffxsr"})
FOREIGN: Final = ("x-", "hv-", "kvm-", "kvmclock")


@dataclass(frozen=True, slots=True)
class HostCpu:
    """A named model and what the host has beside it (True) or lacks of it (False)."""

    model: str
    features: Mapping[str, bool]


def nearest(caps: Capability, folder: Path, cpus: Path = CPUS) -> HostCpu | None:
    """The model that shares most with what guests of this QEMU and accelerator can have; None where none is usable.

    What is emulated may be of any vendor: the host's own where it has a usable model, so that hosts agree.

    :param folder: for what was found out, which is kept until the binary or the kernel changes.
    :param cpus: where the kernel tells of the host's processors.
    :raises Failed: QEMU does not start.
    """
    vendor = _vendor(cpus) if caps.accel == "tcg" else ""
    key = [*cache.identity(caps.binary), FORMAT, caps.accel, vendor]
    kind = f"host-cpu-{caps.accel}"
    kept = cache.load(folder, kind, key)
    if kept is None:
        kept = _ask(caps, folder, vendor)
        cache.keep(folder, kind, key, kept)
    return HostCpu(kept["model"], kept["features"]) if kept.get("model") else None


def frozen(x: CpuSpec, host: HostCpu) -> CpuSpec:
    """A CPU like the host's, spelled out: the same on any other host, or not started there."""
    own = {feature.name for feature in x.features}
    found = [
        CpuFeature(name=name, policy=CpuPolicy.REQUIRE if has else CpuPolicy.DISABLE)
        for name, has in sorted(host.features.items())
        if name not in own
    ]
    return x.replace(
        mode=CpuMode.CUSTOM,
        match="exact",
        check="partial",
        model=host.model,
        model_fallback="forbid",
        features=(*found, *x.features),
    )


def lacking(caps: Capability, x: CpuSpec | None) -> list[str]:
    """Features of a named model that guests cannot have here and that the definition does not switch off."""
    if x is None or x.model is None or x.mode not in {None, CpuMode.CUSTOM}:
        return []
    found = caps.cpus.get(x.model)
    off = {_plain(one.name) for one in x.features if one.policy in {CpuPolicy.DISABLE, CpuPolicy.FORBID}}
    return sorted({name for name in (found.missing or ()) if _plain(name) not in off}) if found is not None else []


def _plain(name: str | None) -> str:
    return (name or "").replace("_", "-").replace(".", "-")


def told(x: CpuSpec, lacks: list[str]) -> str:
    """What the user hears of a CPU that is not whole."""
    return f"the guest's {x.model} is without {', '.join(lacks)}, which this host cannot give"


def problem(x: CpuSpec, lacks: list[str]) -> Problem:
    """The same as a blocker, for definitions that want their CPU checked."""
    names = "".join(f"<feature policy='disable' name='{name}'/>" for name in lacks)
    hint = f"choose another model, write check='none', or leave them out: {names}"
    return Problem("unsupported.config", "/cpu/model", None, told(x, lacks), hint)


def _vendor(cpus: Path) -> str:
    """What the processors say of their maker, such as ``GenuineIntel``; nothing where they say nothing."""
    try:
        lines = cpus.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def _ask(caps: Capability, folder: Path, vendor: str) -> dict[str, Any]:
    names = [
        name
        for name, cpu in caps.cpus.items()
        if cpu.usable and not cpu.deprecated and name not in UNREAL and cpu.alias_of is None
    ]
    whole = "host" if caps.accel == "kvm" else "max"
    asked = [
        Command("query-cpu-model-expansion", {"type": "full", "model": {"name": name}}) for name in [whole, *names]
    ]
    answers = talk.ask(caps.binary, caps.accel, folder, asked)
    host, *models = (set[str]() if isinstance(one, VirtError) else features(one) for one in answers)
    sets = dict(zip(names, models, strict=True))
    made = [name for name, one in zip(names, answers[1:], strict=True) if vendor and _maker(one) == vendor]
    return choice(host, {name: sets[name] for name in made if not name.startswith(PLAIN)} or sets)


def _maker(answer: Any) -> str:
    return "" if isinstance(answer, VirtError) else str(answer["model"].get("props", {}).get("vendor", ""))


def features(answer: Mapping[str, Any]) -> set[str]:
    """The features that a model has, from QEMU's expansion of it; each under one name."""
    properties = answer["model"].get("props", {})
    return {
        name
        for name, value in properties.items()
        if value is True and name not in SWITCHES | DOUBLES and not name.startswith(FOREIGN) and "_" not in name
    }


def choice(host: set[str], models: Mapping[str, set[str]]) -> dict[str, Any]:
    """The model with most in common with the host, and what makes the difference; the last name of equal ones."""
    best = max(models, key=lambda name: (len(models[name] & host) - len(models[name] - host), name), default=None)
    if best is None or not host:
        return {"model": None, "features": {}}
    more, less = host - models[best], models[best] - host
    return {"model": best, "features": dict.fromkeys(sorted(more), True) | dict.fromkeys(sorted(less), False)}
