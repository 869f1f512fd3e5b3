"""CPUs of the host: three made-up models, and what its guests can have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from anyvirt.api import Document, Invalid, Problem, Unsupported, impl

if TYPE_CHECKING:
    from typing import Any

    from anyvirt.api import CpuComparison, CpuModels, CpuSpec, DomainCapabilities

EMULATOR: Final = "/usr/bin/test-hv"
MACHINE: Final = "testpc"
MODELS: Final = {
    "small": ("", ("fpu", "sse")),
    "blue": ("Blue", ("fpu", "sse", "aes")),
    "blue-new": ("Blue", ("fpu", "sse", "aes", "avx", "wide")),
    "green": ("Green", ("fpu", "sse", "avx")),
}
HOST: Final = ("Blue", ("fpu", "sse", "aes", "avx", "clock"))
UNMIGRATABLE: Final = ("clock",)
CAPABILITIES: Final = """\
<domainCapabilities>
  <path>{emulator}</path>
  <domain>test</domain>
  <machine>{machine}</machine>
  <arch>{arch}</arch>
  <vcpu max='32'/>
  <os supported='yes'><loader supported='no'/></os>
  <cpu>
    <mode name='host-passthrough' supported='yes'/>
    <mode name='host-model' supported='yes'>
      <model fallback='forbid'>blue</model><vendor>Blue</vendor>
      <feature policy='require' name='avx'/><feature policy='require' name='clock'/>
    </mode>
    <mode name='custom' supported='yes'>{models}</mode>
  </cpu>
  <devices><disk supported='yes'/></devices>
</domainCapabilities>
"""


class Cpus:
    """What guests can have, and what CPUs have in common."""

    def _machine(self) -> dict[str, Any]:
        raise NotImplementedError

    @impl
    def domain_capabilities(
        self, emulator: str | None, arch: str | None, machine: str | None, virttype: str | None
    ) -> Document[DomainCapabilities]:
        own = str(self._machine()["arch"])
        _asked(own, emulator, arch, machine, virttype)
        rows = []
        for name, (vendor, features) in MODELS.items():
            missing = [one for one in features if one not in HOST[1]]
            usable = "no" if missing or vendor not in {"", HOST[0]} else "yes"
            rows.append(f"<model usable='{usable}' vendor='{vendor or 'unknown'}'>{name}</model>")
            if missing:
                rows.append(
                    f"<blockers model='{name}'>" + "".join(f"<feature name='{x}'/>" for x in missing) + "</blockers>"
                )
        return Document(CAPABILITIES.format(emulator=EMULATOR, machine=MACHINE, arch=own, models="".join(rows)))

    @impl
    def cpu_baseline(
        self,
        cpus: Sequence[Document[CpuSpec]],
        expand: bool,
        migratable: bool,
        emulator: str | None,
        arch: str | None,
        machine: str | None,
        virttype: str | None,
    ) -> Document[CpuSpec]:
        from anyvirt.api import cpu_baseline

        _asked(str(self._machine()["arch"]), emulator, arch, machine, virttype)
        given = [cpu.model for cpu in cpus]
        return Document(model=cpu_baseline(given, _models(), expand=expand, migratable=migratable))

    @impl
    def cpu_compare(
        self,
        cpu: Document[CpuSpec],
        emulator: str | None,
        arch: str | None,
        machine: str | None,
        virttype: str | None,
    ) -> CpuComparison:
        from anyvirt.api import cpu_comparison

        _asked(str(self._machine()["arch"]), emulator, arch, machine, virttype)
        return cpu_comparison(cpu.model, _models())


def _models() -> CpuModels:
    from anyvirt.api import CpuModels, FeatureSet

    named = {name: FeatureSet(vendor, frozenset(features)) for name, (vendor, features) in MODELS.items()}
    return CpuModels(FeatureSet(HOST[0], frozenset(HOST[1])), named, frozenset(UNMIGRATABLE))


def _asked(own: str, emulator: str | None, arch: str | None, machine: str | None, virttype: str | None) -> None:
    """Refuse what this host does not have."""
    if emulator not in {None, EMULATOR}:
        raise Unsupported("test", f"the emulator {emulator}", hint=f"there is {EMULATOR}")
    if arch not in {None, own}:
        raise Unsupported("this host", f"guests of {arch}", hint=f"there are {own}")
    if virttype not in {None, "test"}:
        raise Unsupported("test", f"domains of type {virttype}", hint="there is test")
    if machine not in {None, MACHINE}:
        text = f"there is no machine type {machine}"
        raise Invalid([Problem("unsupported.config", "/domainCapabilities/machine", None, text, f"use {MACHINE}")])
