"""Where virtual CPUs, I/O threads and memory are kept on the host."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, dangling, duplicate, each, missing, wrong
from anyvirt.model.domain import Domain
from anyvirt.model.element import Element, line_of
from anyvirt.model.numa import NumaTune
from anyvirt.model.tune import CpuTune

APPID_MAX = 128


def tuning(domain: Domain) -> Iterator[Problem]:
    """Everything that ties a guest to a part of its host."""
    threads = iothreads(domain)
    yield from _served(domain, threads)
    if domain.cputune is not None:
        yield from _cputune(domain.cputune, domain.vcpu or 1, threads)
    if domain.numatune is not None:
        yield from _numatune(domain, domain.numatune)
    tune = domain.memtune
    if tune is not None and tune.hard_limit and tune.swap_hard_limit and tune.swap_hard_limit < tune.hard_limit:
        text = "memory and swap together are bounded below memory alone"
        yield conflict("/memtune/swap_hard_limit", line_of(tune), text, "raise it to hard_limit at least")
    if domain.blkiotune is not None:
        yield from _once(domain.blkiotune, "devices", "/blkiotune", "path", "give each device one entry")
    resource = domain.resource
    if resource is not None and resource.partition is not None and not resource.partition.startswith("/"):
        text = f"{resource.partition!r} is no absolute path"
        yield wrong("/resource/partition", line_of(resource), text, "start it with /")
    appid = resource.fibrechannel_appid if resource else None
    if appid is not None and not (0 < len(appid) <= APPID_MAX and appid.isprintable()):
        text = f"{appid[:20]!r} is no application id"
        yield wrong("/resource/fibrechannel/@appid", line_of(resource), text, "use 1 to 128 printable characters")


def iothreads(domain: Domain) -> frozenset[int]:
    """Numbers of the I/O threads that a domain has: those listed, and the lowest free ones up to their count."""
    listed = {thread.id for thread in domain.iothread_ids if thread.id is not None}
    free = (number for number in range(1, len(listed) + (domain.iothreads or 0) + 1) if number not in listed)
    return frozenset([*listed, *(next(free) for _ in range((domain.iothreads or 0) - len(listed)))])


def _served(domain: Domain, threads: Collection[int]) -> Iterator[Problem]:
    yield from _once(domain, "iothread_ids", "", "id", "give each thread a number of its own")
    for field in ("disks", "controllers"):
        for path, device in each(domain, field):
            number = device.driver.iothread if device.driver else None
            if number is not None and number not in threads:
                yield _no_thread(f"{path}/driver/@iothread", device.driver, number)


def _no_thread(path: str, x: Element, number: int) -> Problem:
    text = f"there is no I/O thread {number}"
    return dangling(path, line_of(x), text, "raise <iothreads>, or list its number in <iothreadids>")


def _once(x: Element, field: str, path: str, key: str, hint: str) -> Iterator[Problem]:
    """Elements of a list that have the same key."""
    seen = set()
    for place, item in each(x, field, path):
        value = getattr(item, key)
        if value in seen:
            yield duplicate(place, line_of(item), f"{key} {value} stands here twice", hint)
        seen.add(value)


def _cputune(tune: CpuTune, vcpus: int, threads: Collection[int]) -> Iterator[Problem]:
    yield from _once(tune, "vcpupins", "/cputune", "vcpu", "give each virtual CPU one place")
    yield from _once(tune, "iothreadpins", "/cputune", "iothread", "give each thread one place")
    for path, pin in each(tune, "vcpupins", "/cputune"):
        if pin.vcpu is not None and pin.vcpu >= vcpus:
            text = f"virtual CPU {pin.vcpu} of {vcpus}"
            yield dangling(f"{path}/@vcpu", line_of(pin), text, f"use 0 to {vcpus - 1}, or raise <vcpu>")
    for path, pin in each(tune, "iothreadpins", "/cputune"):
        if pin.iothread is not None and pin.iothread not in threads:
            yield _no_thread(f"{path}/@iothread", pin, pin.iothread)
    for field, key, known in (
        ("vcpuscheds", "vcpus", range(vcpus)),
        ("iothreadscheds", "iothreads", threads),
    ):
        yield from _schedules(tune, field, key, known)
    yield from _priority("/cputune/emulatorsched", tune, tune.emulatorsched, tune.emulatorsched_priority)
    for field in ("cachetunes", "memorytunes"):
        yield from _apart(tune, field, "vcpus", None)


def _schedules(tune: CpuTune, field: str, key: str, known: Collection[int]) -> Iterator[Problem]:
    yield from _apart(tune, field, key, known)
    for path, schedule in each(tune, field, "/cputune"):
        yield from _priority(path, schedule, schedule.scheduler, schedule.priority)


def _apart(tune: CpuTune, field: str, key: str, known: Collection[int] | None) -> Iterator[Problem]:
    """Sets of numbers that must not overlap, nor name what is not there; libvirt lets caches of the future be."""
    taken: dict[int, str] = {}
    same: set[frozenset[int]] = set()
    for path, item in each(tune, field, "/cputune"):
        chosen = getattr(item, key) or frozenset()
        place, line = f"{path}/@{key}", line_of(item)
        lost = sorted(number for number in chosen if known is not None and number not in known)
        if lost:
            yield dangling(place, line, f"there is no number {lost[0]} among {key}", "correct the set")
        clash = sorted(number for number in chosen if number in taken)
        if clash and not (field == "memorytunes" and chosen in same):
            text = f"number {clash[0]} is in {taken[clash[0]]}, too"
            yield duplicate(place, line, text, "put each number into one set")
        same.add(chosen)
        taken |= dict.fromkeys(chosen, path)


def _priority(path: str, x: Element, scheduler: str | None, priority: int | None) -> Iterator[Problem]:
    if scheduler in ("fifo", "rr") and priority is None:
        text = f"scheduler {scheduler} needs a priority"
        yield missing(f"{path}/@priority", line_of(x), text, "such as priority='1'")
    elif scheduler in ("batch", "idle") and priority is not None:
        text = f"scheduler {scheduler} has no priority"
        yield conflict(f"{path}/@priority", line_of(x), text, "leave it out, or use fifo or rr")


def _numatune(domain: Domain, tune: NumaTune) -> Iterator[Problem]:
    cells = domain.cpu.cells if domain.cpu else ()
    if tune.placement == "static" and tune.nodeset is None:
        text = "static placement needs the nodes"
        yield missing("/numatune/memory/@nodeset", line_of(tune, "memory"), text, "such as nodeset='0'")
    modes = {node.mode or "strict" for node in tune.memnodes} | ({tune.mode} if tune.mode else set())
    if tune.memnodes and "restrictive" in modes and len(modes) > 1:
        text = "restrictive stands beside another mode"
        yield conflict("/numatune/memnode/@mode", line_of(tune.memnodes[0]), text, "use restrictive for all")
    if tune.memnodes and tune.placement == "auto":
        text = "nodes of single cells stand beside automatic placement"
        yield conflict("/numatune/memory/@placement", line_of(tune, "memory"), text, "use static placement")
    seen: set[int] = set()
    for path, node in each(tune, "memnodes", "/numatune"):
        place, line = f"{path}/@cellid", line_of(node)
        if node.cellid is None:
            yield missing(place, line, "the number of the cell is missing", "such as cellid='0'")
        elif node.cellid >= len(cells):
            yield dangling(place, line, f"the guest has no cell {node.cellid}", "add it to <cpu><numa>")
        elif node.cellid in seen:
            yield duplicate(place, line, f"cell {node.cellid} stands here twice", "keep one")
        seen.add(-1 if node.cellid is None else node.cellid)
