"""Virtual CPUs, their features, NUMA cells and threads for I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, dangling, duplicate, each, missing, outside, wrong
from anyvirt.model.cpu import CpuMode, CpuSpec
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of

NEAREST: Final = 10


def processors(domain: Domain) -> Iterator[Problem]:
    """How many virtual CPUs there are, and what they are."""
    line = line_of(domain, "vcpu")
    if domain.vcpu == 0:
        yield outside("/vcpu", line, "there is no virtual CPU", "use at least 1")
    if domain.vcpu_current is not None:
        most = 1 if domain.vcpu is None else domain.vcpu
        if domain.vcpu_current > most:
            yield outside("/vcpu/@current", line, f"{domain.vcpu_current} of {most} virtual CPUs", "lower it")
        elif domain.vcpu_current == 0:
            yield outside("/vcpu/@current", line, "no virtual CPU at boot", "use at least 1")
    if domain.cpu is not None:
        yield from _features(domain.cpu)
        yield from _model(domain.cpu)
        yield from _cells(domain, domain.cpu)


def _features(cpu: CpuSpec) -> Iterator[Problem]:
    seen: set[str] = set()
    for path, feature in each(cpu, "features", "/cpu"):
        if not feature.name:
            yield missing(f"{path}/@name", line_of(feature), "the name is missing", "such as name='vmx'")
        elif feature.name in seen:
            yield duplicate(path, line_of(feature), f"feature {feature.name!r} stands here twice", "keep one")
        seen.add(feature.name or "")


def _model(cpu: CpuSpec) -> Iterator[Problem]:
    line = line_of(cpu)
    if cpu.model_vendor_id is not None and len(cpu.model_vendor_id) != 12:
        text = f"{cpu.model_vendor_id!r} has {len(cpu.model_vendor_id)} characters"
        yield wrong("/cpu/model/@vendor_id", line_of(cpu, "model"), text, "a vendor has 12")
    host = cpu.mode in (CpuMode.HOST_PASSTHROUGH, CpuMode.MAXIMUM)
    if cpu.cache_mode == "passthrough":
        if cpu.cache_level is not None:
            text = "a cache that is passed through has no level"
            yield conflict("/cpu/cache/@level", line_of(cpu, "cache"), text, "leave it out")
        if not host:
            text = f"the host's cache cannot be seen with mode {cpu.mode or 'custom'}"
            yield conflict("/cpu/cache/@mode", line_of(cpu, "cache"), text, "use mode='host-passthrough'")
    if cpu.maxphysaddr_mode == "passthrough" and cpu.maxphysaddr_bits is not None:
        text = "the width is the host's and given, too"
        yield conflict("/cpu/maxphysaddr/@bits", line_of(cpu, "maxphysaddr"), text, "leave bits out, or emulate")
    topology = cpu.topology
    if topology is not None:
        for name in ("sockets", "dies", "cores", "threads"):
            if getattr(topology, name) == 0:
                yield outside(f"/cpu/topology/@{name}", line_of(topology) or line, f"{name} is 0", "use at least 1")


def _cells(domain: Domain, cpu: CpuSpec) -> Iterator[Problem]:
    taken: dict[int, str] = {}
    known = {index if cell.id is None else cell.id for index, cell in enumerate(cpu.cells)}
    most = domain.vcpu or 1
    for index, cell in enumerate(cpu.cells):
        name = str(index if cell.id is None else cell.id)
        path, line = f"/cpu/numa/cell[{name}]", line_of(cell)
        if cell.memory is None:
            yield missing(f"{path}/@memory", line, "the memory of the cell is missing", "such as memory='512'")
        for number in sorted(cell.cpus or ()):
            if number in taken:
                text = f"virtual CPU {number} is in cell {taken[number]}, too"
                yield duplicate(f"{path}/@cpus", line, text, "put it in one cell")
                break
            if number >= most:
                text = f"virtual CPU {number} of {most}"
                yield dangling(f"{path}/@cpus", line, text, f"use 0 to {most - 1}, or raise <vcpu>")
                break
            taken[number] = name
        for sibling in cell.distances:
            place = f"{path}/distances/sibling[{sibling.id}]"
            if sibling.id is not None and sibling.id not in known:
                yield dangling(place, line_of(sibling), f"there is no cell {sibling.id}", "correct the number")
            if sibling.value is not None and sibling.value < NEAREST:
                text = f"distance {sibling.value} is below {NEAREST}, which is the cell itself"
                yield outside(f"{place}/@value", line_of(sibling), text, "use 10 to 254")
    listed = [cell.id for cell in cpu.cells if cell.id is not None]
    if listed and sorted(listed) != list(range(len(cpu.cells))):
        hint = f"use 0 to {len(cpu.cells) - 1}, each once, for all cells"
        yield wrong("/cpu/numa", line_of(cpu.cells[0]), "the numbers of the cells do not run from 0", hint)
