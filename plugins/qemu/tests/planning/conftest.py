"""A QEMU that has everything, for plans that need none; and plans from XML."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Domain, parse
from anyvirt_qemu.planning import config, defaults
from anyvirt_qemu.planning.machines import WIDER
from anyvirt_qemu.planning.plan import Machine, Paths, Plan, Serving, Storage

PC = Machine("pc-i440fx-7.2", "pci", ram="pc.ram")
Q35 = Machine("pc-q35-7.2", "pcie", 288, ram="pc.ram")
OLD = Machine("pc-i440fx-4.2", "pci", ram="pc.ram", sizes=True)
ARM = Machine("virt-7.2", "pcie", 512, "cortex-a15", "mach-virt.ram")
RISCV = Machine("virt", "pcie", 512, "rv64", "riscv_virt_board.ram")
PSERIES = Machine("pseries-7.2", "pci", 32768, "POWER9", "ppc_spapr.ram")
CCW = Machine("s390-ccw-virtio-7.2", "pci", 248, "qemu", "s390.ram")
NO_ACPI = frozenset({"machine.acpi"})
# architecture of a definition -> the emulator, its architecture, its usual machine type, what it lacks
FOREIGN: dict[str, tuple[str, str, Machine, frozenset[str]]] = {
    "aarch64": ("qemu-system-aarch64", "aarch64", ARM, frozenset()),
    "armv7l": ("qemu-system-arm", "armv7l", ARM, frozenset()),
    "riscv64": ("qemu-system-riscv64", "riscv64", RISCV, NO_ACPI),
    "ppc64": ("qemu-system-ppc64", "ppc64", PSERIES, NO_ACPI),
    "ppc64le": ("qemu-system-ppc64", "ppc64", PSERIES, NO_ACPI),
    "s390x": ("qemu-system-s390x", "s390x", CCW, NO_ACPI),
}

STORAGE = Storage(
    secrets={"secret-1": b"one", "secret-2": b"two", "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f": b"three"},
    groups={"images": 2},
    generics={"2:0:3:1": "/dev/sg7"},
)


@dataclass(frozen=True)
class EveryDevice:
    """Has all devices but those in ``lacking``."""

    binary: str = "/usr/bin/qemu-system-x86_64"
    arch: str = "x86_64"
    json_device: bool = True
    json_netdev: bool = True
    sandbox: bool = True
    lacking: frozenset[str] = frozenset()
    machines: dict[str, Machine] = field(
        default_factory=lambda: {
            "": PC,
            "pc": PC,
            PC.name: PC,
            "q35": Q35,
            Q35.name: Q35,
            OLD.name: OLD,
            "microvm": Machine("microvm", ""),
        }
    )

    def machine(self, name: str) -> Machine | None:
        return self.machines.get(name)

    def has_device(self, name: str) -> bool:
        return name not in self.lacking

    def has_object(self, name: str) -> bool:
        return name not in self.lacking

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        return f"{option}.{parameter}" not in self.lacking

    def has_feature(self, name: str) -> bool:
        return name not in self.lacking

    def has_cpu(self, model: str) -> bool:
        return model in {
            "Nehalem",
            "qemu64",
            "host",
            "max",
            *(one.cpu for one in self.machines.values()),
            *WIDER.values(),
        }

    def near(self, kind: str, name: str) -> str:
        return f"another {kind} than {name}"


def changes(arch: str | None) -> dict[str, Any]:
    """How the QEMU for an architecture differs from that for x86; in nothing for x86 itself."""
    if arch not in FOREIGN:
        return {}
    emulator, name, machine, lacking = FOREIGN[arch]
    alias = machine.name.rpartition("-")[0] or machine.name
    machines = dict.fromkeys(("", alias, machine.name), machine)
    return {"binary": f"/usr/bin/{emulator}", "arch": name, "lacking": lacking, "machines": machines}


Caps = Callable[..., EveryDevice]
Complete = Callable[..., Domain]
Planned = Callable[..., Plan]


@pytest.fixture(scope="session")
def caps() -> Caps:
    """A QEMU, with what is to be different."""
    return lambda **changes: replace(EveryDevice(), **changes)


@pytest.fixture(scope="session")
def paths() -> Paths:
    return Paths(guest="/run/q", nvram="/state/nvram")


@pytest.fixture(scope="session")
def complete(caps: Caps) -> Complete:
    """A complete definition from a text or a model; what is random is the same each time."""

    def make(source: str | Domain, **options: Any) -> Domain:
        domain = parse(source, Domain) if isinstance(source, str) else source
        options.setdefault("caps", caps(**changes(domain.os.arch if domain.os else None)))
        options.setdefault("random", random.Random(1).randbytes)
        return defaults.complete(domain, **options)

    return make


@pytest.fixture(scope="session")
def planned(caps: Caps, complete: Complete, paths: Paths) -> Planned:
    """A plan from a text or a model, which is completed first."""

    def make(source: str | Domain, **options: Any) -> Plan:
        domain = parse(source, Domain) if isinstance(source, str) else source
        options.setdefault("caps", caps(**changes(domain.os.arch if domain.os else None)))
        options.setdefault("accelerator", "tcg")
        options.setdefault("paths", paths)
        options.setdefault("storage", STORAGE)
        options.setdefault("serving", Serving(certificates={"nbd": "/etc/pki/qemu"}))
        return config.plan(complete(source, caps=options["caps"]), **options)

    return make


GUEST = """<domain type='{kind}'>
  <name>guest</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='{machine}'>hvm</type></os>
  <features><acpi/></features>
  {extra}
  <devices>{devices}</devices>
</domain>"""


@pytest.fixture(scope="session")
def guest() -> Callable[..., str]:
    """XML of a guest with the given devices."""

    def make(devices: str = "", *, machine: str = "q35", extra: str = "", kind: str = "qemu") -> str:
        return GUEST.format(devices=devices, machine=machine, extra=extra, kind=kind)

    return make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every document beside the golden command lines."""
    if "document" in metafunc.fixturenames:
        found = sorted((Path(__file__).parent / "plans").glob("*.xml"))
        metafunc.parametrize("document", found, ids=lambda path: path.stem)
