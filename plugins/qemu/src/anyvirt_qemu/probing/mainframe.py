"""Baselines and comparisons of CPUs where QEMU itself makes them: s390x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from anyvirt.api import CpuComparison, CpuFeature, CpuMatch, CpuMode, CpuPolicy, CpuSpec, Invalid, Problem, VirtError

from anyvirt_qemu.probing import talk
from anyvirt_qemu.probing.capability import Capability
from anyvirt_qemu.qmp.command import Command

BASELINE: Final = "query-cpu-model-baseline"
COMPARISON: Final = "query-cpu-model-comparison"
EXPANSION: Final = "query-cpu-model-expansion"
OFF: Final = (CpuPolicy.DISABLE, CpuPolicy.FORBID)
MATCHES: Final = {"identical": CpuMatch.IDENTICAL, "superset": CpuMatch.SUPERSET}


def can(caps: Capability) -> bool:
    """Whether this QEMU compares models itself."""
    return {BASELINE, COMPARISON} <= caps.commands


def baseline(caps: Capability, folder: Path, cpus: Sequence[CpuSpec], *, expand: bool) -> CpuSpec:
    """The model that all of these can be.

    :raises Invalid: there are none, or QEMU has no such model.
    """
    if not cpus:
        raise Invalid("there are no CPUs to compare", hint="give one or more")
    found = _plain(cpus[0])
    for other in cpus[1:]:
        found = _one(caps, folder, BASELINE, {"modela": found, "modelb": _plain(other)})["model"]
    if expand or len(cpus) == 1:
        found = _one(caps, folder, EXPANSION, {"type": "full" if expand else "static", "model": found})["model"]
    features = [
        CpuFeature(policy=CpuPolicy.REQUIRE if value else CpuPolicy.DISABLE, name=name)
        for name, value in sorted(found.get("props", {}).items())
        if value is True or (value is False and not expand)
    ]
    return CpuSpec(
        mode=CpuMode.CUSTOM, match="exact", model=found["name"], model_fallback="forbid", features=tuple(features)
    )


def compare(caps: Capability, folder: Path, cpu: CpuSpec) -> CpuComparison:
    """How the host's CPU is to this one.

    :raises Invalid: QEMU has no such model.
    """
    whole = "host" if caps.accel == "kvm" else "max"
    told = _one(caps, folder, COMPARISON, {"modela": {"name": whole}, "modelb": _plain(cpu)})
    names = tuple(sorted(told.get("responsible-properties", ())))
    match = MATCHES.get(str(told["result"]), CpuMatch.INCOMPATIBLE)
    if match is CpuMatch.INCOMPATIBLE:
        return CpuComparison(match, missing=names, reason=f"the host differs in {', '.join(names) or 'its model'}")
    return CpuComparison(match, extra=names)


def _plain(cpu: CpuSpec) -> dict[str, Any]:
    """A model as QEMU names it."""
    return {"name": cpu.model or "", "props": {one.name or "": one.policy not in OFF for one in cpu.features}}


def _one(caps: Capability, folder: Path, command: str, arguments: Mapping[str, Any]) -> Any:
    (answer,) = talk.ask(caps.binary, caps.accel, folder, [Command(command, arguments)])
    if isinstance(answer, VirtError):
        raise Invalid([Problem("unsupported.config", "/cpu/model", None, str(answer), "correct it")]) from answer
    return answer
