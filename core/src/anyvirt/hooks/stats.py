"""Hooks of statistics: figures of many domains in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from anyvirt.hooks.spec import spec

if TYPE_CHECKING:
    from anyvirt.model.stats import Balloon, Block, Cpu, DomainStats, Net, Vcpu
    from anyvirt.ref import Answer, Ref


class StatsSpec:
    """A driver has either ``stats_collect``, or a hook for each group that it knows.

    A figure that is not known is None, never 0; an inactive domain has its state and what its definition says.
    """

    @spec(
        "stats",
        kind="bulk",
        covers={
            "virConnectGetAllDomainStats": ("state", "cpu", "vcpu", "balloon", "interface", "block"),
            "virDomainGetInfo": (),
            "virDomainGetCPUStats": (),
            "virDomainMemoryStats": (),
            "virDomainBlockStats": (),
            "virDomainBlockStatsFlags": (),
            "virDomainInterfaceStats": (),
            "virDomainGetVcpus": (),
        },
    )
    def stats_collect(self, refs: Sequence[Ref], groups: AbstractSet[str]) -> Iterator[tuple[Ref, Answer[DomainStats]]]:
        """Several groups of each domain in one pass.

        :param groups: names out of ``anyvirt.api.GROUPS``; one that the driver does not know stays None.
        """

    @spec("stats", kind="bulk", covers={"virDomainGetCPUStats": ()})
    def stats_cpu(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Cpu]]]:
        """Processor time of each domain."""

    @spec("stats", kind="bulk", covers={"virDomainGetVcpus": ()})
    def stats_vcpu(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[Vcpu]]]]:
        """Figures of each virtual processor."""

    @spec("stats", kind="bulk", covers={"virDomainMemoryStats": ()})
    def stats_balloon(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Balloon]]]:
        """Memory of each domain."""

    @spec("stats", kind="bulk", covers={"virDomainInterfaceStats": ()})
    def stats_interface(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[Net]]]]:
        """Figures of each network interface."""

    @spec("stats", kind="bulk", covers={"virDomainBlockStats": (), "virDomainBlockStatsFlags": ()})
    def stats_block(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[Block]]]]:
        """Figures of each disk."""
