"""The guest's NUMA cells: CPUs, memory, distances, latencies, bandwidths, caches of memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from anyvirt.api import Cell, CpuSpec, Domain, meaningless, plain

from anyvirt_qemu.devices import memory, tuning
from anyvirt_qemu.planning.build import Build

LEVELS: Final = ("memory", "first-level", "second-level", "third-level")
POLICIES: Final = {"none": "none", "writeback": "write-back", "writethrough": "write-through"}
ASSOCIATIVITIES: Final = {"none": "none", "direct": "direct", "full": "complex"}
KIB: Final = 1 << 10
LOCAL: Final = 10
MOST: Final = (1 << 63) - (1 << 20)  # sizes are aligned to MiB, and signed


def described(cpu: CpuSpec | None) -> bool:
    """Whether more than distances is told of how cells reach each other."""
    if cpu is None:
        return False
    cpu = plain(cpu)
    return bool(cpu.latencies or cpu.bandwidths or any(cell.caches for cell in cpu.cells))


def numa(b: Build, domain: Domain) -> None:
    """All cells."""
    cpu = domain.cpu
    _tuned(b, domain)
    if cpu is None or not cpu.cells:
        return
    _numbered(b, cpu, domain.vcpu or 1)
    told = described(cpu)
    sizes = memory.plain_cells(b, domain)
    if sizes and domain.memory_backing is not None and domain.memory_backing.allocation == "immediate":
        b.option("-mem-prealloc")
    for cell in cpu.cells:
        number = cell.id or 0
        piece = memory.cell_piece(b, domain, number, cell.memory or 0, cell.mem_access, cell.discard)
        if not sizes:
            memory.back_end(b, domain, piece)
        words = ["node", f"nodeid={number}", *(f"cpus={part}" for part in ranges(cell.cpus or ()))]
        if told:
            words.append(f"initiator={_initiator(cpu, cell)}")
        words.append(f"mem={piece.size >> 20}" if sizes else f"memdev={piece.ident}")
        b.option("-numa", ",".join(words))
    for cell in cpu.cells:
        for other in cell.distances:
            if other.id is None or other.value is None:
                b.problem(other, "", "a distance has a cell and a value", "write both")
            elif other.id != cell.id and other.value <= LOCAL:
                b.problem(other, "value", f"{LOCAL} is the distance of a cell to itself", "use 11 to 255")
            else:
                b.options("-numa", "dist", {"src": cell.id or 0, "dst": other.id, "val": other.value})
    _interconnects(b, cpu)
    _caches(b, cpu)


def _tuned(b: Build, domain: Domain) -> None:
    """Nodes of the host that cannot be kept to by back ends alone."""
    tune = domain.numatune
    if tune is None:
        return
    if tune.placement == "auto" and not tune.nodeset:
        b.refuse(tune, "placement", tuning.NUMAD, text="nobody on this host chooses the nodes")
    cells = {cell.id for cell in domain.cpu.cells} if domain.cpu is not None else set()
    for node in tune.memnodes:
        if node.cellid not in cells:
            b.problem(node, "cellid", f"the guest has no NUMA cell {node.cellid}", "name one of <cpu><numa>")
            meaningless(node)


def _numbered(b: Build, cpu: CpuSpec, vcpus: int) -> None:
    seen: set[int] = set()
    for number, cell in enumerate(cpu.cells):
        if (cell.id or 0) != number:
            b.problem(cell, "id", f"cells are numbered in order, and this one is {number}", "correct the numbers")
        cpus = cell.cpus or frozenset()
        if cpus & seen:
            b.problem(cell, "cpus", f"CPU {min(cpus & seen)} is in two cells", "leave it in one")
        if cpus and max(cpus) >= vcpus:
            b.problem(cell, "cpus", f"there is no CPU {max(cpus)}", f"the guest has {vcpus}, numbered from 0")
        if (cell.memory or 0) > MOST:
            hint = f"give it at most {MOST >> 10} KiB"
            b.problem(cell, "memory", "QEMU cannot count so many bytes", hint, "config.range")
        if not cell.memory and not cpus:
            b.problem(cell, "memory", "the cell has neither memory nor CPUs", "give it one of them")
        seen |= cpus


def ranges(numbers: Iterable[int]) -> list[str]:
    """Numbers as QEMU writes sets of them: ``0-2``, ``5``."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]


def _initiator(cpu: CpuSpec, cell: Cell) -> int:
    """The cell whose CPUs reach this memory best."""
    if cell.cpus:
        return cell.id or 0
    able = {other.id or 0 for other in cpu.cells if other.cpus}
    here = cell.id or 0
    wide = [(x.value or 0, -(x.initiator or 0)) for x in plain(cpu).bandwidths if x.target == here and not x.cache]
    fast = [(-(x.value or 0), -(x.initiator or 0)) for x in plain(cpu).latencies if x.target == here and not x.cache]
    for found in (wide, fast):
        fit = [-initiator for _, initiator in sorted(found, reverse=True) if -initiator in able]
        if fit:
            return fit[0]
    return min(able, default=0)


def _interconnects(b: Build, cpu: CpuSpec) -> None:
    for kind, field, found in (("latency", "latencies", cpu.latencies), ("bandwidth", "bandwidths", cpu.bandwidths)):
        for x in found:
            if not 0 <= (x.cache or 0) < len(LEVELS):
                b.problem(x, "cache", "there are three levels of caches", "use 1, 2 or 3")
                continue
            if x.type is None or x.value is None:
                b.problem(x, "type", f"a {kind} has a type and a value", "write type='access' and a value")
                continue
            options: dict[str, Any] = {
                "initiator": x.initiator or 0,
                "target": x.target or 0,
                "hierarchy": LEVELS[x.cache or 0],
                "data-type": f"{x.type}-{kind}",
                kind: x.value if field == "latencies" else f"{x.value // KIB}K",
            }
            b.options("-numa", "hmat-lb", options)


def _caches(b: Build, cpu: CpuSpec) -> None:
    for cell in cpu.cells:
        for x in cell.caches:
            if x.associativity is None or x.policy is None or x.size is None or x.level is None:
                b.problem(x, "", "a cache has a level, a size, associativity and policy", "write them all")
                continue
            options: dict[str, Any] = {
                "node-id": cell.id or 0,
                "size": f"{x.size // KIB}K",
                "level": x.level,
                "associativity": ASSOCIATIVITIES[x.associativity],
                "policy": POLICIES[x.policy],
                "line": x.line or 0,
            }
            b.options("-numa", "hmat-cache", options)
