"""Rules between fields that hold for every hypervisor; all that is broken is listed at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.address import PciAddress
from anyvirt.model.domain import Domain
from anyvirt.model.element import Element, line_of
from anyvirt.model.walk import Step, walk

NAME_MAX: Final = 255
ZERO: Final = "00000000-0000-0000-0000-000000000000"


def check(domain: Domain) -> tuple[Problem, ...]:
    """What makes a definition wrong whatever runs it: duplicates, contradictions, values out of bounds.

    Unknown content is not looked at; ``unknown`` lists that.
    """
    steps = list(walk(domain))
    found = [
        *check_name(domain.name, line_of(domain, "name")),
        *_identity(domain),
        *_memory(domain),
        *_cpus(domain),
        *_cells(domain),
        *_boot(domain, steps),
        *_disks(domain),
        *_networks(domain),
        *_graphics(domain),
        *_addresses(steps),
        *_unique(steps),
    ]
    return tuple(sorted(found, key=lambda problem: problem.line or 0))


def _wrong(path: str, line: int | None, text: str, hint: str = "") -> Problem:
    return Problem("config.invalid", path, line, text, hint)


def check_name(name: str, line: int | None = None, path: str = "/name") -> Iterator[Problem]:
    """Whether a name can be the name of a domain, pool, volume, network or snapshot."""
    if not name:
        yield _wrong(path, line, "there is no name", "give one that is unique on the host")
        return
    size = len(name.encode(errors="surrogatepass"))
    if size > NAME_MAX:
        yield _wrong(path, line, f"the name is {size} bytes long", f"use at most {NAME_MAX} bytes")
    for character, text in (("\n", "a line break"), ("/", "a slash"), ("\0", "a NUL")):
        if character in name:
            yield _wrong(path, line, f"the name holds {text}", "leave it out")
    if name in (".", ".."):
        yield _wrong(path, line, f"the name is {name!r}", "use a name that is no path")
    elif not name.strip():
        yield _wrong(path, line, "the name is blank", "use at least one visible character")


def _identity(domain: Domain) -> Iterator[Problem]:
    if domain.uuid == ZERO:
        yield _wrong("/uuid", line_of(domain, "uuid"), "the UUID is all zero", "leave it out to have one made")
    if domain.title is not None and "\n" in domain.title:
        yield _wrong("/title", line_of(domain, "title"), "the title holds a line break", "use the description")
    if domain.type is None:
        yield _wrong("/@type", line_of(domain), "the type is missing", "such as type='kvm' or type='qemu'")


def _memory(domain: Domain) -> Iterator[Problem]:
    memory, cells = domain.memory, domain.cpu.cells if domain.cpu else ()
    if not memory and not any(cell.memory for cell in cells):
        text = "the memory is 0" if memory == 0 else "the memory is missing"
        yield _wrong("/memory", line_of(domain, "memory"), text, "such as <memory unit='MiB'>512</memory>")
    if domain.max_memory is not None:
        line = line_of(domain, "maxMemory")
        if memory and domain.max_memory < memory:
            yield _wrong("/maxMemory", line, "the maximum is below the memory at boot", "raise it")
        if domain.max_memory_slots is None:
            yield _wrong("/maxMemory/@slots", line, "the number of slots is missing", "such as slots='16'")
    elif domain.max_memory_slots is not None:
        yield _wrong("/maxMemory", line_of(domain, "maxMemory"), "slots need a size", "give the maximum memory")


def _cpus(domain: Domain) -> Iterator[Problem]:
    line = line_of(domain, "vcpu")
    if domain.vcpu == 0:
        yield _wrong("/vcpu", line, "there is no virtual CPU", "use at least 1")
    if domain.vcpu_current is not None:
        most = 1 if domain.vcpu is None else domain.vcpu
        if domain.vcpu_current > most:
            yield _wrong("/vcpu/@current", line, f"{domain.vcpu_current} of {most} virtual CPUs", "lower it")
        elif domain.vcpu_current == 0:
            yield _wrong("/vcpu/@current", line, "no virtual CPU at boot", "use at least 1")
    cpu = domain.cpu
    if cpu is None:
        return
    seen: set[str] = set()
    for index, feature in enumerate(cpu.features):
        path = f"/cpu/feature[{feature.name or index}]"
        if not feature.name:
            yield _wrong(f"{path}/@name", line_of(feature), "the name is missing")
        elif feature.name in seen:
            yield _wrong(path, line_of(feature), f"feature {feature.name!r} stands here twice", "keep one")
        seen.add(feature.name or "")


def _cells(domain: Domain) -> Iterator[Problem]:
    cells = domain.cpu.cells if domain.cpu else ()
    taken: dict[int, str] = {}
    for index, cell in enumerate(cells):
        name = str(index if cell.id is None else cell.id)
        path = f"/cpu/numa/cell[{name}]"
        if cell.memory is None:
            yield _wrong(f"{path}/@memory", line_of(cell), "the memory of the cell is missing")
        for number in sorted(cell.cpus or ()):
            if number in taken:
                text = f"virtual CPU {number} is in cell {taken[number]}, too"
                yield _wrong(f"{path}/@cpus", line_of(cell), text, "put it in one cell")
                break
            taken[number] = name
    numbers = [cell.id for cell in cells if cell.id is not None]
    if numbers and sorted(numbers) != list(range(len(cells))):
        hint = f"use 0 to {len(cells) - 1}, each once, for all cells"
        yield _wrong("/cpu/numa", line_of(cells[0]), "the numbers of the cells do not run from 0", hint)


def _boot(domain: Domain, steps: list[Step]) -> Iterator[Problem]:
    orders: dict[int, str] = {}
    for path, element, line in steps:
        order = getattr(element, "order", None) if type(element)._tag == "boot" else None
        if order is None:
            continue
        if order in orders:
            yield _wrong(
                f"{path}/@order", line, f"boot order {order} is taken by {orders[order]}", "use another number"
            )
        orders.setdefault(order, path.removesuffix("/boot"))
    os = domain.os
    if os is None:
        yield _wrong("/os", line_of(domain), "nothing says what is booted", "such as <os><type>hvm</type></os>")
        return
    if os.boots and orders:
        text = "boot devices stand here and boot orders on devices"
        yield _wrong("/os/boot", line_of(os), text, "use one of both")
    if os.type is None and domain.bootloader is None:
        yield _wrong("/os/type", line_of(os), "the type is missing", "such as <type>hvm</type>")
    if not os.kernel and not domain.bootloader:
        for name in ("cmdline", "initrd"):
            if getattr(os, name):
                yield _wrong(f"/os/{name}", line_of(os, name), f"{name} needs a kernel", "give the kernel, too")


def _disks(domain: Domain) -> Iterator[Problem]:
    seen: dict[str, int | None] = {}
    for index, disk in enumerate(domain.disks):
        path, line = f"/devices/disk[{disk.target or index}]", line_of(disk)
        if not disk.target:
            yield _wrong(f"{path}/target/@dev", line, "the target is missing", "such as <target dev='vda'/>")
        elif disk.target in seen:
            text = (
                f"target {disk.target!r} is taken by the disk of line {seen[disk.target]}"
                if seen[disk.target]
                else (f"target {disk.target!r} is taken by another disk")
            )
            yield _wrong(f"{path}/target/@dev", line_of(disk, "target") or line, text, "use another name")
        else:
            seen[disk.target] = line
        limits = disk.iotune
        if limits is not None:
            for kind in ("bytes_sec", "iops_sec"):
                each = getattr(limits, f"read_{kind}") or getattr(limits, f"write_{kind}")
                if getattr(limits, f"total_{kind}") and each:
                    text = f"total_{kind} stands beside a limit of one direction"
                    yield _wrong(f"{path}/iotune/total_{kind}", line_of(limits), text, "use one of both")


def _networks(domain: Domain) -> Iterator[Problem]:
    for index, interface in enumerate(domain.interfaces):
        path, line = f"/devices/interface[{interface.mac or index}]", line_of(interface)
        if interface.mac:
            first = int(interface.mac[:2], 16) if interface.mac[:2].isalnum() else 0
            if first & 1:
                text = f"{interface.mac} is a multicast address"
                yield _wrong(f"{path}/mac/@address", line_of(interface, "mac") or line, text, "use an even first byte")
        source, kind = interface.source, interface.type
        needs = {"network": "network", "bridge": "bridge", "direct": "dev", "vdpa": "dev", "internal": "name"}
        name = needs.get(kind or "")
        if name and not (source and getattr(source, name)):
            text = f"an interface of type {kind} needs {name}"
            yield _wrong(f"{path}/source/@{name}", line, text, f"such as <source {name}='...'/>")


def _graphics(domain: Domain) -> Iterator[Problem]:
    primary = [video for video in domain.videos if video.primary]
    if len(primary) > 1:
        yield _wrong("/devices/video/model/@primary", line_of(primary[1]), "two video cards are primary", "keep one")
    if len(domain.videos) > 1 and any(video.model == "none" for video in domain.videos):
        other = next(video for video in domain.videos if video.model == "none")
        yield _wrong("/devices/video/model/@type", line_of(other), "'none' stands beside other cards", "remove one")


def _addresses(steps: list[Step]) -> Iterator[Problem]:
    taken: dict[tuple[object, ...], str] = {}
    for path, element, line in steps:
        where: tuple[object, ...] | None = None
        if "/source/" in path or not path.startswith("/devices/"):
            continue
        if isinstance(element, PciAddress) and element.slot is not None:
            where = ("PCI", element.domain or 0, element.bus or 0, element.slot, element.function or 0)
        if path.startswith("/devices/console[0]/"):
            continue  # the first console may be the first serial port, said twice
        if where is None:
            continue
        owner = path.removesuffix("/address")
        if where in taken:
            name = ":".join(str(part) for part in where[1:])
            yield _wrong(path, line, f"PCI address {name} is taken by {taken[where]}", "use another slot or function")
        taken.setdefault(where, owner)


def _unique(steps: list[Step]) -> Iterator[Problem]:
    """Aliases, and devices of which there is one of a number."""
    aliases: dict[str, str] = {}
    numbers: dict[tuple[str, object], str] = defaultdict(str)
    for path, element, line in steps:
        alias = getattr(element, "alias", None)
        if isinstance(alias, str) and alias.startswith("ua-"):
            if alias in aliases:
                yield _wrong(
                    f"{path}/alias/@name", line, f"alias {alias!r} is taken by {aliases[alias]}", "use another"
                )
            aliases.setdefault(alias, path)
        number = _number(element)
        if number is not None:
            if number in numbers:
                text = f"{type(element)._tag} {number[1]} stands here twice"
                yield _wrong(path, line, text, "use another number")
            numbers[number] = path


def _number(element: Element) -> tuple[str, object] | None:
    if type(element)._tag == "controller":
        kind, index = getattr(element, "type", None), getattr(element, "index", None)
        # A USB controller and its companions share an index.
        companion = getattr(element, "master", None) is not None or "ich9" in (getattr(element, "model", None) or "")
        if kind is not None and index is not None and not companion:
            return ("controller", f"{kind} {index}")
    if type(element)._tag == "filesystem" and getattr(element, "target", None):
        return ("filesystem", repr(getattr(element, "target", None)))
    if type(element)._tag == "audio" and getattr(element, "id", None) is not None and hasattr(element, "timer_period"):
        return ("audio", getattr(element, "id", None))
    return None
