"""How much memory there is, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterator

from anyvirt.errors import Problem
from anyvirt.model.address import DimmAddress
from anyvirt.model.checks.found import dangling, duplicate, each, missing, outside
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of


def memory(domain: Domain) -> Iterator[Problem]:
    """The size of memory, its maximum, its pages."""
    size, cells = domain.memory, domain.cpu.cells if domain.cpu else ()
    if not size and not any(cell.memory for cell in cells):
        text = "the memory is 0" if size == 0 else "the memory is missing"
        yield missing("/memory", line_of(domain, "memory"), text, "such as <memory unit='MiB'>512</memory>")
    if domain.max_memory is not None:
        line = line_of(domain, "maxMemory")
        if size and domain.max_memory < size:
            yield outside("/maxMemory", line, "the maximum is below the memory at boot", "raise it")
        if domain.max_memory_slots is None:
            yield missing("/maxMemory/@slots", line, "the number of slots is missing", "such as slots='16'")
    elif domain.max_memory_slots is not None:
        yield missing("/maxMemory", line_of(domain, "maxMemory"), "slots need a size", "give the maximum memory")
    yield from _pages(domain)
    yield from _modules(domain)


def _modules(domain: Domain) -> Iterator[Problem]:
    cells = len(domain.cpu.cells) if domain.cpu else 0
    slots: dict[int, str] = {}
    for path, module in each(domain, "memory_devices"):
        line = line_of(module)
        if module.size is None:
            yield missing(f"{path}/target/size", line, "the size of the module is missing", "give its size")
        if module.model != "sgx-epc" and domain.max_memory is None:
            hint = "such as <maxMemory slots='16' unit='GiB'>8</maxMemory>"
            yield missing(path, line, "memory modules need room above the memory at boot", hint)
        if module.node is not None and module.node >= max(cells, 1):
            yield dangling(f"{path}/target/node", line, f"the guest has no cell {module.node}", "correct the number")
        if module.requested is not None and module.size is not None and module.requested > module.size:
            text = f"{module.requested} of {module.size} bytes are requested"
            yield outside(f"{path}/target/requested", line, text, "lower it")
        if module.block and module.requested is not None and module.requested % module.block:
            text = f"{module.requested} bytes are no whole number of blocks of {module.block}"
            yield outside(f"{path}/target/requested", line, text, "use a multiple of the block")
        if isinstance(module.address, DimmAddress) and module.address.slot is not None:
            slot = module.address.slot
            if slot in slots:
                yield duplicate(f"{path}/address/@slot", line, f"slot {slot} is taken by {slots[slot]}", "use another")
            slots.setdefault(slot, path)
            if domain.max_memory_slots is not None and slot >= domain.max_memory_slots:
                text = f"slot {slot} of {domain.max_memory_slots}"
                yield outside(f"{path}/address/@slot", line, text, "lower it, or raise the number of slots")


def _pages(domain: Domain) -> Iterator[Problem]:
    backing = domain.memory_backing
    cells = len(domain.cpu.cells) if domain.cpu else 0
    general: int | None = None
    taken: dict[int, int | None] = {}
    for page in backing.pages if backing else ():
        path, line = f"/memoryBacking/hugepages/page[{page.size}]", line_of(page)
        if page.nodeset is None or (page.nodeset == {0} and not cells):  # a guest without cells is cell 0
            if general is not None and general != page.size:
                text = f"pages of {general} and of {page.size} bytes are both for all cells"
                yield duplicate(path, line, text, "give a nodeset")
            general = page.size
            continue
        for cell in sorted(page.nodeset):
            if cell in taken:
                text = f"cell {cell} has pages of {taken[cell]} bytes, too"
                yield duplicate(f"{path}/@nodeset", line, text, "put it in one nodeset")
                break
            if cell >= cells:
                yield dangling(f"{path}/@nodeset", line, f"the guest has no cell {cell}", "correct the nodeset")
                break
            taken[cell] = page.size
