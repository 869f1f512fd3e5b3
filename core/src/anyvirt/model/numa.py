"""Which NUMA nodes of the host hold a guest's memory."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Count, CpuSet

NumaMode = Literal["strict", "preferred", "interleave", "restrictive"]


class MemNode(Element, tag="memnode"):
    """Where the memory of one cell of the guest comes from."""

    cellid: Count | None = at("@cellid", "Number of the guest's cell", default=None, key=True)
    mode: NumaMode | None = at("@mode", "How strictly the nodes are kept to", default=None)
    nodeset: CpuSet | None = at("@nodeset", "Nodes of the host", default=None)


class NumaTune(Element, tag="numatune"):
    """Where the guest's memory comes from."""

    mode: NumaMode | None = at("memory/@mode", "How strictly the nodes are kept to", default=None)
    placement: Literal["static", "auto"] | None = at("memory/@placement", "Who chooses the nodes", default=None)
    nodeset: CpuSet | None = at("memory/@nodeset", "Nodes of the host", default=None)
    memnodes: Many[MemNode] = at("memnode", "Where the memory of single cells comes from", default=())
