"""Defaults and addresses of guests that are not for x86, against what libvirt makes of the same documents.

``other_architectures.toml`` beside this file lists what is expected to differ, with the reason. Only outputs for the
latest QEMU count: those for an older one depend on what it lacked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from anyvirt.model.diff import diff
from anyvirt.model.domain import Domain
from anyvirt.model.xml import parse

from tests.outside.test_qemu_defaults import without_open_places

LEDGER: Final = tomllib.loads(Path(__file__).with_name("other_architectures.toml").read_text(encoding="utf-8"))
LATEST: Final = re.compile(r"\.(aarch64|ppc64|riscv64|s390x)-latest$")
# architecture -> bus at the root of its machines, and the CPU that QEMU chooses
MACHINES: Final = {
    "aarch64": ("pcie", "cortex-a15"),
    "ppc64": ("pci", "POWER9"),
    "riscv64": ("pcie", None),
    "s390x": ("pci", "qemu"),
}
Figure = Callable[..., None]


@dataclass(frozen=True)
class Probed:
    """What a probe of a QEMU that has everything would have found."""

    arch: str
    json_device: bool = True
    json_netdev: bool = True
    sandbox: bool = True

    @property
    def binary(self) -> str:
        return f"/usr/bin/qemu-system-{self.arch}"

    def machine(self, name: str) -> Any:
        from anyvirt_qemu.planning.plan import Machine

        bus, cpu = MACHINES[self.arch]
        return Machine(name, bus, cpu=cpu)  # type: ignore[arg-type]

    def has_device(self, name: str) -> bool:
        return bool(name)

    has_object = has_feature = has_cpu = has_device

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        return bool(option or parameter)


def difference(expected: Path, given: Path, arch: str) -> str:
    """How a document comes out otherwise than libvirt has it, ``""`` where it does not."""
    from anyvirt_qemu.planning.defaults import complete
    from anyvirt_qemu.planning.filling import Policy

    policy = Policy(spare_ports=1, vnc_socket=False, usb_ports=None)
    there, domain = parse(expected.read_bytes(), Domain), parse(given.read_bytes(), Domain)
    made = complete(domain, Probed(arch), Random(1).randbytes, policy=policy, stored=True)  # type: ignore[arg-type]
    again = complete(made, Probed(arch), Random(2).randbytes, policy=policy, stored=True)  # type: ignore[arg-type]
    assert again == made
    return "; ".join(str(one) for one in diff(there, without_open_places(made, there)))


def test_definitions_for_other_architectures_are_completed_as_libvirt_completes_them(
    folder: Path, figure: Figure
) -> None:
    failed, names = {}, []
    for path in sorted((folder / "qemuxml2xmloutdata").glob("*-latest.xml")):
        named = LATEST.search(path.stem)
        given = folder / "qemuxml2argvdata" / f"{LATEST.sub('', path.stem)}.xml"
        if named is None or not given.exists():
            continue
        names.append(given.stem)
        if reason := difference(path, given, named[1]):
            failed[given.stem] = reason
    if not names:
        return
    figure("machines", len(names) - len(failed), len(names))
    surprising = {name: reason for name, reason in failed.items() if name not in LEDGER["pairs"]}
    if len(names) == LEDGER["count"]["pairs"]:
        assert surprising == {}
    assert sorted(name for name in LEDGER["pairs"] if name in names and name not in failed) == [], "these pass now"
