"""The capabilities document, from what the probe of the binary and the host tell."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

from anyvirt.api import (
    Capabilities,
    CapabilitiesGuest,
    CapabilitiesHost,
    DomainType,
    GuestDomain,
    GuestFeature,
    GuestMachine,
    HostCell,
    HostCellCpu,
    HostCpu,
    OsType,
)

from anyvirt_qemu.accelerator import choose
from anyvirt_qemu.capability import Capability

WORDS: Final = {"i686": 32, "armv7l": 32, "riscv32": 32}
NODES: Final = Path("/sys/devices/system/node")
CPUS: Final = Path("/sys/devices/system/cpu")


def capabilities(caps: Capability, cache: Path) -> Capabilities:
    """What this host can run with this QEMU."""
    kinds = ["qemu"]
    if choose(caps.binary, cache).name == "kvm":
        kinds.append("kvm")
    machines = tuple(
        GuestMachine(name=alias, canonical=one.name if alias != one.name else None, max_cpus=one.max_cpus)
        for alias, one in sorted(caps.machines.items())
    )
    guest = CapabilitiesGuest(
        os_type=OsType.HVM,
        arch=caps.arch,
        wordsize=WORDS.get(caps.arch, 64),
        emulator=caps.binary,
        machines=machines,
        domains=tuple(GuestDomain(type=DomainType(kind)) for kind in kinds),
        acpi=GuestFeature(default=True, toggle=True),
        apic=GuestFeature(default=True, toggle=False),
        cpuselection=GuestFeature(),
        deviceboot=GuestFeature(),
    )
    return Capabilities(host=_host(), guests=(guest,))


def _host() -> CapabilitiesHost:
    cells = tuple(_cell(path) for path in sorted(NODES.glob("node[0-9]*")))
    return CapabilitiesHost(
        cpu=HostCpu(arch=platform.machine()),
        cells_num=len(cells) or None,
        cells=cells,
    )


def _cell(path: Path) -> HostCell:
    memory = None
    for line in _lines(path / "meminfo"):
        if "MemTotal:" in line:
            memory = int(line.split()[3]) * 1024
    numbers = sorted(int(cpu.name[3:]) for cpu in path.glob("cpu[0-9]*"))
    return HostCell(
        id=int(path.name[4:]),
        memory=memory,
        cpus_num=len(numbers),
        cpus=tuple(_cpu(number) for number in numbers),
    )


def _cpu(number: int) -> HostCellCpu:
    place = CPUS / f"cpu{number}" / "topology"
    return HostCellCpu(
        id=number,
        socket_id=_number(place / "physical_package_id"),
        core_id=_number(place / "core_id"),
        siblings=_set(place / "thread_siblings_list"),
    )


def _number(path: Path) -> int | None:
    text = next(iter(_lines(path)), "")
    return int(text) if text.isdecimal() else None


def _set(path: Path) -> frozenset[int] | None:
    found: set[int] = set()
    for part in next(iter(_lines(path)), "").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found) or None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except OSError:
        return []
