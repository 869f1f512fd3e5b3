"""Hooks whose code is imported when they are called: listing guests does without it, and is done ten times as often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from anyvirt.api import impl

if TYPE_CHECKING:
    from anyvirt.api import (
        Answer,
        BlockInfo,
        Capabilities,
        CpuComparison,
        CpuSpec,
        Document,
        DomainCapabilities,
        DomainStats,
        Event,
        Fact,
        HostInfo,
        Ref,
        Stream,
    )

    from anyvirt_qemu.probing.asked import Questions
    from anyvirt_qemu.probing.hostfacts import HostFacts
    from anyvirt_qemu.site import Site


class Distant:
    """Hooks about figures, consoles, events and the host."""

    _site: Site

    @impl
    def stats_collect(self, refs: Sequence[Ref], groups: AbstractSet[str]) -> Iterator[tuple[Ref, Answer[DomainStats]]]:
        from anyvirt_qemu.figures import Figures

        return Figures(self._site).stats(refs, groups)

    @impl
    def domain_block_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[BlockInfo]]]]:
        from anyvirt_qemu.figures import Figures

        return Figures(self._site).block_info(refs)

    @impl
    def domain_console(self, ref: Ref, device: str | None, force: bool, readonly: bool, replay: bool) -> Stream:
        from anyvirt_qemu.consoles.console import Consoles

        return Consoles(self._site).open(ref, device, force=force, readonly=readonly, replay=replay)

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        from anyvirt_qemu.watch import watch

        return watch(self._site, after)

    @impl
    def connect_alive(self) -> bool:
        return bool(self._site.binary)

    @impl
    def host_info(self) -> HostInfo:
        return self._host.info()

    @impl
    def host_facts(self) -> Sequence[Fact]:
        return self._host.facts()

    @impl
    def host_capabilities(self) -> Document[Capabilities]:
        return self._host.capabilities()

    @impl
    def domain_capabilities(
        self, emulator: str | None, arch: str | None, machine: str | None, virttype: str | None
    ) -> Document[DomainCapabilities]:
        return self._asked(emulator, arch, machine, virttype).capabilities()

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
        asked = self._asked(emulator, arch, machine, virttype)
        return asked.baseline(cpus, expand=expand, migratable=migratable)

    @impl
    def cpu_compare(
        self,
        cpu: Document[CpuSpec],
        emulator: str | None,
        arch: str | None,
        machine: str | None,
        virttype: str | None,
    ) -> CpuComparison:
        return self._asked(emulator, arch, machine, virttype).compare(cpu)

    def _asked(self, emulator: str | None, arch: str | None, machine: str | None, virttype: str | None) -> Questions:
        from anyvirt_qemu.probing.asked import Questions

        return Questions(self._site, emulator, arch, machine, virttype)

    @property
    def _host(self) -> HostFacts:
        from anyvirt_qemu.probing.hostfacts import HostFacts

        return HostFacts(self._site)
