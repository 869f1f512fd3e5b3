"""How much of the host a guest gets, and which parts of it: CPUs, schedulers, limits, caches; no word to QEMU."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from anyvirt.api import BlkioTune, CpuTune, Domain, MemTune, Resource, meaningless, path_of, plain

from anyvirt_qemu.devices import memory
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.tuning import CacheUse, LimitUse, PinUse, ScheduleUse, Tuning

NUMAD: Final = "install numad, which chooses (on Debian and Ubuntu: apt install numad), or choose yourself"
# a name of a group that is no file of the kernel's in it, and no way out of it
COMPONENT: Final = re.compile(r"(?!cgroup\.)[A-Za-z0-9_][A-Za-z0-9_.@:+-]*", re.ASCII)
RATES: Final = {
    "read_bytes_sec": "io.rbps",
    "write_bytes_sec": "io.wbps",
    "read_iops_sec": "io.riops",
    "write_iops_sec": "io.wiops",
}


def tuning(b: Build, x: Domain) -> None:
    """Everything that the host does for the guest beside QEMU."""
    tune, resource = x.cputune or CpuTune(), x.resource or Resource()
    base = x.vcpu_cpuset or frozenset()
    if x.vcpu_placement == "auto" and not base:
        b.refuse(x, "vcpu_placement", NUMAD, text="nobody on this host chooses the CPUs")
    threads = memory.iothread_numbers(x)
    b.tuning = Tuning(
        cpus=tune.emulatorpin or base,
        cpus_place=path_of(tune, "emulatorpin") if tune.emulatorpin else path_of(x, "vcpu_cpuset"),
        pins=tuple(_pins(x, tune, base, threads)),
        schedules=tuple(_schedules(tune)),
        partition=_partition(b, resource),
        limits=(*_times(x, tune, threads), *_nodes(x), *_memory(b, x), *_io(b, x.blkiotune)),
        caches=tuple(_caches(b, tune)),
        appid=resource.fibrechannel_appid or "",
    )
    _events(b, x)


def _events(b: Build, x: Domain) -> None:
    """What a process that stays would have to count."""
    events = [(event.name or "", event.enabled) for event in x.perf_events]
    counted = ", ".join(name for name, enabled in events if enabled)
    if counted:
        b.warnings.append(f"<perf>: nobody stays beside the guest to count {counted}")


def _pins(x: Domain, tune: CpuTune, base: frozenset[int], threads: list[int]) -> Iterator[PinUse]:
    """Where threads run that QEMU does not start where it runs itself."""
    processors = {pin.vcpu: (pin.cpuset, path_of(pin, "cpuset")) for pin in tune.vcpupins}
    others = {pin.iothread: (pin.cpuset, path_of(pin, "cpuset")) for pin in tune.iothreadpins}
    usual = (base, path_of(x, "vcpu_cpuset"))
    start = tune.emulatorpin or base
    for kind, numbers, chosen in (("vcpu", range(x.vcpu or 1), processors), ("iothread", threads, others)):
        for number in numbers:
            cpus, place = chosen.get(number, usual)
            if (cpus or base) != start:
                yield PinUse(kind, number, cpus or base, place)  # type: ignore[arg-type]


def _schedules(tune: CpuTune) -> Iterator[ScheduleUse]:
    for vcpus in tune.vcpuscheds:
        for number in sorted(vcpus.vcpus or ()):
            yield ScheduleUse("vcpu", number, vcpus.scheduler or "", vcpus.priority or 0, path_of(vcpus, "scheduler"))
    for threads in tune.iothreadscheds:
        policy, priority, place = threads.scheduler or "", threads.priority or 0, path_of(threads, "scheduler")
        for number in sorted(threads.iothreads or ()):
            yield ScheduleUse("iothread", number, policy, priority, place)
    if tune.emulatorsched:
        place = path_of(tune, "emulatorsched")
        yield ScheduleUse("emulator", 0, tune.emulatorsched, tune.emulatorsched_priority or 0, place)


def _partition(b: Build, x: Resource) -> str:
    path = x.partition or ""
    if path and not (path.startswith("/") and all(COMPONENT.fullmatch(part) for part in path[1:].split("/"))):
        b.problem(x, "partition", f"{path!r} is no path of a group", "write it like /machine/production")
        return ""
    return path


def _times(x: Domain, tune: CpuTune, threads: list[int]) -> Iterator[LimitUse]:
    """CPU time; what is without bound takes no group."""
    if tune.shares is not None:
        yield LimitUse("cpu.shares", (tune.shares,), path_of(tune, "shares"))
    processors = [f"vcpu{number}" for number in range(x.vcpu or 1)]
    others = [f"iothread{number}" for number in threads]
    for word, groups in (("global_", [""]), ("", processors), ("emulator_", ["emulator"]), ("iothread_", others)):
        period, quota = getattr(tune, f"{word}period"), getattr(tune, f"{word}quota")
        if quota is not None and quota > 0:
            for group in groups:
                yield LimitUse("cpu.quota", (quota, period or 0), path_of(tune, f"{word}quota"), group)


def _nodes(x: Domain) -> Iterator[LimitUse]:
    """Nodes that memory comes from where back ends do not keep to them."""
    tune = x.numatune
    if tune is None:
        return
    if tune.mode == "restrictive" and tune.nodeset:
        yield LimitUse("cpuset.mems", tuple(sorted(tune.nodeset)), path_of(tune, "nodeset"))
    cells = {cell.id: cell.cpus or frozenset() for cell in plain(x).cpu.cells} if plain(x).cpu else {}  # type: ignore[union-attr]
    for node in tune.memnodes:
        if node.mode == "restrictive" and node.nodeset:
            for number in sorted(cells.get(node.cellid, ())):
                yield LimitUse("cpuset.mems", tuple(sorted(node.nodeset)), path_of(node, "nodeset"), f"vcpu{number}")


def _memory(b: Build, x: Domain) -> Iterator[LimitUse]:
    tune = x.memtune or MemTune()
    if tune.min_guarantee:
        text = "nothing sets memory of this host aside for a guest of QEMU"
        b.refuse(tune, "min_guarantee", "use <memoryBacking><locked/>, or huge pages", text=text)
    for field, name in (("hard_limit", "hard"), ("soft_limit", "soft"), ("swap_hard_limit", "total")):
        value = getattr(tune, field)
        if value is not None:
            yield LimitUse(f"memory.{name}", (value,), path_of(tune, field))


def _io(b: Build, x: BlkioTune | None) -> Iterator[LimitUse]:
    if x is None:
        return
    if x.weight:
        yield LimitUse("io.weight", (x.weight,), path_of(x, "weight"))
    for device in x.devices:
        path = b.path(device, "path", device.path)
        for field, name in {"weight": "io.weight", **RATES}.items():
            value = getattr(device, field)
            if value:
                yield LimitUse(name, (value,), path_of(device, field), device=path)


def _caches(b: Build, tune: CpuTune) -> Iterator[CacheUse]:
    """Parts of caches and of the bandwidth to memory, by the virtual CPUs that share them."""
    bandwidths = {plain(x).vcpus: x for x in tune.memorytunes}
    for part in tune.cachetunes:
        meaningless(part, "id")
        _monitors(b, part.monitors)
        caches = tuple((x.level or 3, x.id or 0, x.type or "both", x.size or 0) for x in part.caches)
        shares = _shares(b, bandwidths.pop(part.vcpus, None))
        if caches or shares:
            yield CacheUse(part.vcpus or frozenset(), caches, shares, path_of(part))
    for rest in bandwidths.values():
        yield CacheUse(rest.vcpus or frozenset(), (), _shares(b, rest), path_of(rest))


def _shares(b: Build, x: Any) -> tuple[tuple[int, int], ...]:
    if x is None:
        return ()
    meaningless(x, "id", "vcpus")
    _monitors(b, x.monitors)
    return tuple((node.id or 0, node.bandwidth or 0) for node in x.nodes)


def _monitors(b: Build, monitors: Iterable[object]) -> None:
    for x in monitors:
        meaningless(x)
        b.warnings.append(f"{path_of(x)}: nobody stays beside the guest to measure this")
