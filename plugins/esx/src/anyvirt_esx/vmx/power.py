"""Processors and memory."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import CpuSpec, CpuTune, MemTune, Topology

from anyvirt_esx.vmx.parse import Settings
from anyvirt_esx.vmx.write import Lines

MIB: Final = 1 << 20
STEP: Final = 4 * MIB
MEMORY: Final = 32
MEMORY_MOST: Final = 1 << 26
VCPUS_MOST: Final = 1024
SHARES: Final = {"low": 500, "normal": 1000, "high": 2000}


def read(v: Settings) -> dict[str, Any]:
    """Fields of the domain."""
    memory = v.number("memsize", 1, MEMORY_MOST) or MEMORY
    vcpus = v.number("numvcpus", 1, VCPUS_MOST) or 1
    limit = _limit(v)
    fields: dict[str, Any] = {
        "memory": memory * MIB,
        "current_memory": (memory if limit is None else min(memory, limit)) * MIB,
        "vcpu": vcpus,
        "vcpu_placement": "static",
    }
    least = v.number("sched.mem.minsize", 0, MEMORY_MOST)
    least = v.number("sched.mem.min", 0, MEMORY_MOST) or 0 if least is None else least
    if least:
        fields["memtune"] = MemTune(min_guarantee=least * MIB)
    cpus = _affinity(v, vcpus)
    if cpus:
        fields["vcpu_cpuset"] = cpus
    shares = _shares(v, vcpus)
    if shares is not None:
        fields["cputune"] = CpuTune(shares=shares)
    cores = v.number("cpuid.coresPerSocket", 1, VCPUS_MOST) or 1
    if cores > 1 and vcpus % cores:
        text = f"{vcpus} processors do not fill sockets of {cores}"
        v.wrong("cpuid.coresPerSocket", text, "make numvcpus a multiple of it", "config.conflict")
    elif cores > 1:
        fields["cpu"] = CpuSpec(topology=Topology(sockets=vcpus // cores, dies=1, cores=cores, threads=1))
    return fields


def write(x: Any, w: Lines) -> None:
    """Settings of processors and memory."""
    _write_memory(x, w)
    vcpus = x.vcpu or 1
    w.put("numvcpus", vcpus)
    if x.vcpu_placement not in {None, "static"}:
        w.refuse(x, "vcpu_placement", "nobody chooses processors of the host", "write static")
    if x.vcpu_current not in {None, vcpus}:
        w.refuse(x, "vcpu_current", "a machine starts with all of its processors", "leave it out")
    _write_topology(x, w, vcpus)
    if x.vcpu_cpuset:
        if len(x.vcpu_cpuset) < vcpus:
            text = f"{vcpus} processors need as many of the host's"
            w.refuse(x, "vcpu_cpuset", text, "name more", "config.range")
        w.put("sched.cpu.affinity", ",".join(map(str, sorted(x.vcpu_cpuset))))
    if x.cputune is not None and x.cputune.shares is not None:
        words = {number * vcpus: word for word, number in SHARES.items()}
        w.put("sched.cpu.shares", words.get(x.cputune.shares, x.cputune.shares))


def _write_memory(x: Any, w: Lines) -> None:
    if not x.memory:
        w.refuse(x, "memory", "a machine has memory", "say how much", "config.missing")
        return
    size = _up(x.memory)
    w.put("memsize", size)
    if x.current_memory is not None and _up(x.current_memory) != size:
        w.put("sched.mem.max", _up(x.current_memory))
    if x.memtune is not None and x.memtune.min_guarantee:
        w.put("sched.mem.minsize", _up(x.memtune.min_guarantee))


def _write_topology(x: Any, w: Lines, vcpus: int) -> None:
    topology = x.cpu.topology if x.cpu is not None else None
    if topology is None:
        return
    cores = topology.cores or 1
    if (topology.threads or 1) != 1:
        w.refuse(topology, "threads", "processors have one thread each", "make it 1")
    if (topology.dies or 1) != 1:
        w.refuse(topology, "dies", "sockets have one die each", "make it 1")
    if (topology.sockets or 1) * cores != vcpus:
        text = f"{topology.sockets or 1} sockets of {cores} are not {vcpus} processors"
        w.refuse(topology, "sockets", text, "correct one of the two", "config.conflict")
    w.put("cpuid.coresPerSocket", cores)


def _up(size: int) -> int:
    """Bytes in MiB, a multiple of four, and no less."""
    return -(-size // STEP) * 4


def _limit(v: Settings) -> int | None:
    if (v.text("sched.mem.max") or "unlimited").lower() == "unlimited":
        return None
    limit = v.number("sched.mem.max", -1, MEMORY_MOST)
    return limit if limit is not None and limit > 0 else None


def _affinity(v: Settings, vcpus: int) -> frozenset[int]:
    text = v.text("sched.cpu.affinity") or "all"
    if text.lower() == "all":
        return frozenset()
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > VCPUS_MOST or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        v.wrong("sched.cpu.affinity", "it is no list of numbers", "such as 0,1,2, or all")
        return frozenset()
    found = frozenset(map(int, parts))
    if len(found) < vcpus:
        text = f"{vcpus} processors need as many of the host's"
        v.wrong("sched.cpu.affinity", text, "name more, or write all", "config.range")
    return found


def _shares(v: Settings, vcpus: int) -> int | None:
    word = (v.text("sched.cpu.shares") or "").lower()
    if word in SHARES:
        return SHARES[word] * vcpus
    return v.number("sched.cpu.shares", 0, 10**7)
