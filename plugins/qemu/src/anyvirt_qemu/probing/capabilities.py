"""The capabilities document: the host, and what every QEMU on it can run, from probes of the programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from anyvirt.api import (
    Capabilities,
    CapabilitiesGuest,
    DomainType,
    GuestDomain,
    GuestFeature,
    GuestMachine,
    OsType,
    VirtError,
)

from anyvirt_qemu.devices.features import X86
from anyvirt_qemu.probing import cpu_models, hardware
from anyvirt_qemu.probing.accelerator import choose
from anyvirt_qemu.probing.capability import Capability, probe

WORDS: Final = {"i686": 32, "armv7l": 32, "riscv32": 32, "ppc": 32, "mips": 32, "mipsel": 32, "sparc": 32, "m68k": 32}
NAMELESS: Final = frozenset({"avr", "nios2", "rx", "tricore"})  # what no document has a word for
PREFIX: Final = "qemu-system-"


def capabilities(caps: Capability, folder: Path, path: str | None) -> Capabilities:
    """What this host is, and what it can run.

    :param caps: the QEMU for definitions that name none; its guests come first.
    :param folder: for what was found out.
    :param path: folders where programs are, as in ``PATH``.
    """
    models = cpu_models.found(caps, folder) if caps.arch == platform.machine() else None
    guests = [_guest(caps, folder)]
    for program in programs(path or ""):
        if os.path.realpath(program) != os.path.realpath(caps.binary):
            with suppress(VirtError):  # what is no QEMU, or does not start here, runs nothing
                found = probe(program, folder)
                if found.arch not in NAMELESS and all(guest.arch != found.arch for guest in guests):
                    guests.append(_guest(found, folder))
    return Capabilities(host=hardware.host(models), guests=tuple(guests))


def programs(path: str) -> Iterator[str]:
    """Paths of every QEMU that emulates a whole machine, each by the first folder that has it."""
    seen: set[str] = set()
    for folder in filter(None, path.split(os.pathsep)):
        with suppress(OSError):
            for name in sorted(os.listdir(folder)):
                arch = name.removeprefix(PREFIX)
                if name.startswith(PREFIX) and "-" not in arch and name not in seen:
                    seen.add(name)
                    if os.access(f"{folder}/{name}", os.X_OK):
                        yield f"{folder}/{name}"


def _guest(caps: Capability, folder: Path) -> CapabilitiesGuest:
    acpi = caps.arch in X86 or "machine.acpi" in caps.features
    kinds = ["qemu"]
    if choose(caps.binary, folder).name == "kvm":
        kinds.append("kvm")
    machines = tuple(
        GuestMachine(
            name=alias,
            canonical=one.name if alias != one.name else None,
            max_cpus=one.max_cpus,
            deprecated=True if one.deprecated else None,
        )
        for alias, one in sorted(caps.machines.items())
    )
    return CapabilitiesGuest(
        os_type=OsType.HVM,
        arch=caps.arch,
        wordsize=WORDS.get(caps.arch, 64),
        emulator=caps.binary,
        machines=machines,
        domains=tuple(GuestDomain(type=DomainType(kind)) for kind in kinds),
        pae=GuestFeature() if caps.arch == "i686" else None,
        nonpae=GuestFeature() if caps.arch == "i686" else None,
        acpi=GuestFeature(default=True, toggle=True) if acpi else None,
        apic=GuestFeature(default=True, toggle=False) if caps.arch in X86 else None,
        cpuselection=GuestFeature() if caps.cpus else None,
        deviceboot=GuestFeature(),
    )
