"""The host part of the capabilities document: processors, memory by node, caches, from ``/proc`` and ``/sys``."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from anyvirt.api import (
    CacheBank,
    CapabilitiesHost,
    CpuFeature,
    HostCell,
    HostCellCpu,
    HostCpu,
    HostDistance,
    HostPages,
    PageSize,
    SecurityModel,
    Topology,
)
from anyvirt_host.local import files

from anyvirt_qemu.probing.cpu_models import VENDORS, Models, plain
from anyvirt_qemu.probing.host_cpu import choice

SYS: Final = Path("/sys")
PROC: Final = Path("/proc")
KIB: Final = 1 << 10
MIB: Final = 1 << 20
LARGE: Final = {"pse": 2 * MIB, "pdpe1gb": 1 << 30}  # flag of a CPU -> size of a page that it gives
UNITS: Final = {"K": KIB, "M": MIB, "G": 1 << 30, "": 1}
KINDS: Final = {"Unified": "both", "Instruction": "code", "Data": "data"}
SHARED_LEVEL: Final = 3  # caches below are a core's own


def host(models: Models | None, *, system: Path = SYS, proc: Path = PROC) -> CapabilitiesHost:
    """What the machine has.

    :param models: what CPU models are made of, to name the nearest; the CPU has no model without it.
    """
    devices = system / "devices/system"
    cells = tuple(_cell(path) for path in sorted(devices.glob("node/node[0-9]*"), key=_last))
    states = " ".join(_lines(system / "power/state")).split()
    groups = system / "kernel/iommu_groups"
    return CapabilitiesHost(
        uuid=_uuid(system),
        cpu=_cpu(proc, devices, models),
        suspend_mem="mem" in states,
        suspend_disk="disk" in states,
        iommu=groups.is_dir() and any(groups.iterdir()),
        cells_num=len(cells) or None,
        cells=cells,
        banks=tuple(_banks(devices / "cpu")),
        secmodels=tuple(SecurityModel(model=name, doi="0") for name in _security(system)),  # type: ignore[arg-type]
    )


def _uuid(system: Path) -> str | None:
    for path in (system / "class/dmi/id/product_uuid", Path("/etc/machine-id")):
        found = "".join(_lines(path)).replace("-", "").strip().lower()
        if re.fullmatch(r"[0-9a-f]{32}", found):
            return "-".join((found[:8], found[8:12], found[12:16], found[16:20], found[20:]))
    return None


def _security(system: Path) -> list[str]:
    enabled = "".join(_lines(system / "module/apparmor/parameters/enabled")).strip() == "Y"
    return [
        "dac",
        *(["apparmor"] if enabled else []),
        *(["selinux"] if (system / "fs/selinux/enforce").exists() else []),
    ]


def _cpu(proc: Path, devices: Path, models: Models | None) -> HostCpu:
    said: dict[str, str] = {}
    for line in _lines(proc / "cpuinfo"):
        name, _, value = line.partition(":")
        said.setdefault(name.strip(), value.strip())
    flags = {plain(flag) for flag in said.get("flags", "").split()}
    vendor = VENDORS.get(said.get("vendor_id", ""), "")
    clock = files.number(devices / "cpu/cpu0/tsc_freq_khz") if "tsc" in flags else None
    bits = re.match(r"(\d+) bits physical", said.get("address sizes", ""))
    model, features = _named(flags, vendor, models)
    return HostCpu(
        arch=platform.machine(),
        model=model,
        vendor=vendor or None,
        microcode=_integer(said.get("microcode")),
        signature_family=_integer(said.get("cpu family")),
        signature_model=_integer(said.get("model")),
        signature_stepping=_integer(said.get("stepping")),
        counter="tsc" if clock else None,
        counter_frequency=clock * 1000 if clock else None,
        topology=_topology(devices / "cpu"),
        maxphysaddr_mode="emulate" if bits else None,
        maxphysaddr_bits=int(bits[1]) if bits else None,
        features=tuple(CpuFeature(name=name) for name in features),
        pages=tuple(PageSize(size=size) for size in _sizes(flags)),
    )


def _named(flags: set[str], vendor: str, models: Models | None) -> tuple[str | None, list[str]]:
    """The nearest model of the vendor of which the host has all, and the features that it has beside that."""
    if models is None:
        return None, []
    known = flags & models.known
    own = {
        name: set(one.features)
        for name, one in models.sets.named.items()
        if one.features <= known and one.vendor in {"", vendor}
    }
    found = choice(known, own)
    return found["model"], list(found["features"])


def _sizes(flags: set[str]) -> list[int]:
    return [os.sysconf("SC_PAGE_SIZE"), *(size for flag, size in LARGE.items() if flag in flags)]


def _topology(cpus: Path) -> Topology | None:
    places = [path / "topology" for path in cpus.glob("cpu[0-9]*")]
    sockets = {files.number(path / "physical_package_id") for path in places}
    dies = {(files.number(path / "physical_package_id"), files.number(path / "die_id")) for path in places}
    cores = {(files.number(path / "physical_package_id"), files.number(path / "core_id")) for path in places}
    if not places or None in sockets:
        return None
    each = len(cores) // len(dies) or 1
    return Topology(
        sockets=len(sockets), dies=len(dies) // len(sockets), cores=each, threads=len(places) // len(cores) or 1
    )


def _cell(path: Path) -> HostCell:
    memory = None
    for line in _lines(path / "meminfo"):
        if "MemTotal:" in line:
            memory = int(line.split()[3]) * KIB
    numbers = sorted(_last(cpu) for cpu in path.glob("cpu[0-9]*"))
    return HostCell(
        id=_last(path),
        memory=memory,
        pages=tuple(_pages(path, memory)),
        distances=tuple(
            HostDistance(id=number, value=int(value))
            for number, value in enumerate(" ".join(_lines(path / "distance")).split())
        ),
        cpus_num=len(numbers),
        cpus=tuple(_processor(path.parents[1] / "cpu", number) for number in numbers),
    )


def _pages(node: Path, memory: int | None) -> Iterable[HostPages]:
    """Pages by size; those of huge ones are not the others' any more."""
    huge = {}
    for folder in node.glob("hugepages/hugepages-*kB"):
        huge[int(folder.name[10:-2]) * KIB] = files.number(folder / "nr_hugepages") or 0
    usual = os.sysconf("SC_PAGE_SIZE")
    if memory is not None:
        taken = sum(size * count for size, count in huge.items())
        yield HostPages(size=usual, count=max(0, memory - taken) // usual)
    yield from (HostPages(size=size, count=count) for size, count in sorted(huge.items()))


def _processor(cpus: Path, number: int) -> HostCellCpu:
    place = cpus / f"cpu{number}" / "topology"
    return HostCellCpu(
        id=number,
        socket_id=files.number(place / "physical_package_id"),
        die_id=files.number(place / "die_id"),
        core_id=files.number(place / "core_id"),
        siblings=_set(place / "thread_siblings_list"),
    )


def _banks(cpus: Path) -> Iterable[CacheBank]:
    """Caches that several cores may share, each once."""
    seen: set[tuple[int, int | None, str]] = set()
    for place in sorted(cpus.glob("cpu[0-9]*/cache/index[0-9]*"), key=lambda path: (_last(path.parents[1]), path.name)):
        level, number = files.number(place / "level"), files.number(place / "id")
        kind = KINDS.get("".join(_lines(place / "type")).strip(), "")
        size = re.fullmatch(r"(\d+)([KMG]?)", "".join(_lines(place / "size")).strip())
        if level is None or level < SHARED_LEVEL or not kind or (level, number, kind) in seen:
            continue
        seen.add((level, number, kind))
        yield CacheBank(
            id=number,
            level=level,
            type=kind,  # type: ignore[arg-type]
            size=int(size[1]) * UNITS[size[2]] if size else None,
            cpus=_set(place / "shared_cpu_list"),
        )


def _last(path: Path) -> int:
    found = re.search(r"\d+$", path.name)
    return int(found[0]) if found else 0


def _integer(text: str | None) -> int | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return None


def _set(path: Path) -> frozenset[int] | None:
    found: set[int] = set()
    for part in next(iter(_lines(path)), "").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found) or None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
