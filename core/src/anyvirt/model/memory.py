"""What a guest's memory is made of, and threads that do its I/O."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Count, CpuSet, Present, Size, YesNo


class HugePage(Element, tag="page"):
    """Huge pages of one size."""

    size: Size | None = at("@size", "Size of a page", default=None, key=True)
    nodeset: CpuSet | None = at("@nodeset", "NUMA cells of the guest that use them", default=None)


class MemoryBacking(Element, tag="memoryBacking"):
    """What memory is made of."""

    hugepages: Present = at("hugepages", "Huge pages", default=False)
    pages: Many[HugePage] = at("hugepages/page", "Huge pages by size", default=())
    nosharepages: Present = at("nosharepages", "Equal pages are not merged", default=False)
    locked: Present = at("locked", "The host never swaps it", default=False)
    source: Literal["file", "anonymous", "memfd"] | None = at("source/@type", "Where it comes from", default=None)
    access: Literal["shared", "private"] | None = at("access/@mode", "Whether others may map it", default=None)
    allocation: Literal["immediate", "ondemand"] | None = at("allocation/@mode", "When it is taken", default=None)
    allocation_threads: Count | None = at("allocation/@threads", "Threads that take it", default=None)
    discard: Present = at("discard", "Its content is dropped when the guest ends", default=False)


class VcpuState(Element, tag="vcpu"):
    """One virtual CPU."""

    id: Count | None = at("@id", "Number, from 0", default=None, key=True)
    enabled: YesNo | None = at("@enabled", "It is there at boot", default=None)
    hotpluggable: YesNo | None = at("@hotpluggable", "It can be unplugged", default=None)
    order: Count | None = at("@order", "Place in the order of plugging, from 1", default=None)


class IoThread(Element, tag="iothread"):
    """A thread for I/O."""

    id: Count | None = at("@id", "Number, from 1", default=None, key=True)
    thread_pool_min: Count | None = at("@thread_pool_min", "Workers that are always there", default=None)
    thread_pool_max: Count | None = at("@thread_pool_max", "Workers at most", default=None)
