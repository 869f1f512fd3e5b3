"""QEMU's defaults and addresses against what libvirt's QEMU driver makes of the same documents.

The folder is named by ``ANYVIRT_OUTSIDE_DATA``; nothing of it is in this project. ``qemu_defaults.toml`` beside this
file lists what is expected to differ, with the reason, and which devices the QEMU of a case has: libvirt tests most
documents with a QEMU that has next to nothing, and those named ``x86_64-latest`` with one that has everything.

libvirt's test reads documents as it reads its stored ones. It settles three things only when a document is defined
anew, and they are no part of the comparison: ports of USB devices, ports of virtio consoles, the sum of memory.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.address import PciAddress, UsbAddress, VirtioSerialAddress
from anyvirt.model.diff import diff
from anyvirt.model.domain import Domain
from anyvirt.model.xml import parse

FOLDER = os.environ.get("ANYVIRT_OUTSIDE_DATA") or os.environ.get("ANYVIRT_LIBVIRT_DATA") or ""
INPUTS, OUTPUTS = Path(FOLDER, "qemuxml2argvdata"), Path(FOLDER, "qemuxml2xmloutdata")
LEDGER = tomllib.loads(Path(__file__).with_name("qemu_defaults.toml").read_text(encoding="utf-8"))
ARCHES = ("x86_64", "i686", None)
OTHER = re.compile(r"\.[a-z0-9_]+-(latest|[0-9.]+)$")
LATEST = ".x86_64-latest"
LEAST = 0.9
OPEN = (UsbAddress, VirtioSerialAddress)
Figure = Callable[..., None]

pytestmark = pytest.mark.skipif(not FOLDER, reason="ANYVIRT_OUTSIDE_DATA names no folder of libvirt's documents")


@dataclass(frozen=True)
class Case:
    """A document, what libvirt makes of it, and with which QEMU."""

    name: str
    given: Path
    expected: Path
    latest: bool
    live: bool


@dataclass(frozen=True)
class Probed:
    """What a probe of the test's QEMU would have found."""

    arch: str
    devices: frozenset[str] | None
    cpu: str | None
    json_device: bool = True
    json_netdev: bool = True
    sandbox: bool = True

    @property
    def binary(self) -> str:
        return f"/usr/bin/qemu-system-{'i386' if self.arch == 'i686' else self.arch}"

    def machine(self, name: str) -> Any:
        from anyvirt_qemu.planning.plan import Machine

        # the test's QEMU has no aliases: "pc" and "q35" are names of machines
        name = name or "pc"
        return Machine(name, "pcie" if "q35" in name else "pci", cpu=self.cpu)

    def has_device(self, name: str) -> bool:
        return self.devices is None or name in self.devices

    def has_object(self, name: str) -> bool:
        return bool(name)

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        return bool(option or parameter)

    def has_feature(self, name: str) -> bool:
        return bool(name)

    def has_cpu(self, model: str) -> bool:
        return bool(model)

    def near(self, kind: str, name: str) -> str:
        return f"another {kind} than {name}"


@cache
def cases() -> list[Case]:
    """The pairs whose document is for x86 and whose output is for the plain or the latest QEMU."""
    found = []
    for path in sorted(OUTPUTS.glob("*.xml")):
        name = path.name.removesuffix(".xml").removesuffix(LATEST)
        if OTHER.search(name):
            continue
        given = INPUTS / f"{name}.xml"
        if not given.exists():
            given = INPUTS / f"{re.sub('-(in)?active$', '', name)}.xml"
        if not given.exists():
            continue
        arch = re.search(r"<type[^>]*arch=['\"](\w+)", given.read_text(encoding="utf-8"))
        if (arch and arch[1]) in ARCHES:
            found.append(Case(name, given, path, path.name.endswith(f"{LATEST}.xml"), name.endswith("-active")))
    return found


def probed(case: Case, given: Domain) -> Probed:
    arch = (given.os.arch if given.os else None) or ("i686" if "i386" in (given.emulator or "") else "x86_64")
    if case.latest:
        return Probed(arch, None, "qemu64")
    return Probed(arch, frozenset(LEDGER["devices"].get(case.name, LEDGER["devices"]["default"])), None)


def completed(case: Case) -> Domain:
    from anyvirt_qemu.planning.defaults import complete
    from anyvirt_qemu.planning.filling import Policy

    given = parse(case.given.read_bytes(), Domain)
    policy = Policy(spare_ports=1, vnc_socket=False, usb_ports=None)
    caps = probed(case, given)
    return complete(given, caps, Random(1).randbytes, policy=policy, live=case.live, stored=True)


def without_open_places(made: Domain, expected: Domain) -> Domain:
    """What was made, without places on USB and virtio-serial that libvirt leaves open here."""
    changes = {}
    for field in type(made)._fields:
        ours, theirs = getattr(made, field), getattr(expected, field)
        if type(ours) is not tuple or len(ours) != len(theirs):
            continue
        pairs = zip(ours, theirs, strict=True)
        changes[field] = tuple(x.replace(address=y.address) if _is_open(x, y) else x for x, y in pairs)
    return made.replace(**changes)


def _is_open(x: Any, y: Any) -> bool:
    at, there = getattr(x, "address", None), getattr(y, "address", None)
    return isinstance(at, OPEN) and (there is None or (isinstance(there, OPEN) and there.port is None))


def difference(case: Case) -> str:
    """How a case fails, ``""`` where it passes."""
    expected = parse(case.expected.read_bytes(), Domain)
    try:
        made = without_open_places(completed(case), expected)
    except Invalid as error:
        return str(error)
    return "; ".join(str(one) for one in diff(expected, made))


def hold(figure: Figure, what: str, names: list[str], failed: dict[str, str]) -> None:
    """Tell how many passed; in the folder that the ledger is about, all that it does not list must have."""
    if not names:
        return
    figure(what, len(names) - len(failed), len(names))
    known = LEDGER[what]
    surprising = {name: reason for name, reason in failed.items() if name not in known}
    if len(names) == LEDGER["count"][what]:
        assert surprising == {}
    else:
        print(f"another folder; not in the ledger: {surprising}")
        assert len(names) - len(failed) >= LEAST * len(names)
    assert sorted(name for name in known if name in names and name not in failed) == [], "these pass now"


def test_definitions_are_completed_as_libvirt_completes_them(figure: Figure) -> None:
    failed = {case.name: reason for case in cases() if (reason := difference(case))}
    hold(figure, "pairs", [case.name for case in cases()], failed)


def test_completing_a_second_time_changes_nothing() -> None:
    from anyvirt_qemu.planning.defaults import complete

    changed = {}
    for case in cases():
        try:
            once = completed(case)
        except Invalid:
            continue
        twice = complete(once, probed(case, once), Random(2).randbytes, live=case.live, stored=True)
        if once != twice:
            changed[case.name] = [str(one) for one in diff(once, twice)]
    assert changed == {}


def test_what_libvirt_has_completed_is_complete() -> None:
    """The output of libvirt, completed again, changes nowhere but in places that it leaves open."""
    from anyvirt_qemu.planning.defaults import complete
    from anyvirt_qemu.planning.filling import Policy

    policy = Policy(spare_ports=1, vnc_socket=False, usb_ports=None)
    changed = {}
    for case in cases():
        there = parse(case.expected.read_bytes(), Domain)
        if case.name in LEDGER["pairs"] or difference(case):
            continue
        caps = probed(case, there)
        made = complete(there, caps, Random(1).randbytes, policy=policy, live=case.live, stored=True)
        found = diff(there, without_open_places(made, there))
        if found:
            changed[case.name] = [str(one) for one in found]
    assert changed == {}


Places = dict[str, tuple[str, int, str]]


def told(words: list[str]) -> Places:
    """Places on PCI, USB and virtio-serial that a command line of QEMU gives to devices, by their ids."""
    places: Places = {}
    for option, value in itertools.pairwise(words):
        if option != "-device":
            continue
        parts = value.split(",")
        device = json.loads(value) if value[0] == "{" else dict(part.split("=", 1) for part in parts[1:])
        bus = re.fullmatch(r"(pci|usb|virtio-serial)e?\.?(\d*)(?:\.0)?", device.get("bus", ""))
        place = next((str(device[key]) for key in ("addr", "port", "nr") if key in device), None)
        if bus and place is not None and "id" in device:
            places[device["id"]] = (bus[1], int(bus[2] or 0), place.removesuffix(".0x0"))
    return places


def given(domain: Domain) -> Places:
    """The same of a definition whose devices have names."""
    places: Places = {}
    for field in type(domain)._fields:
        value = getattr(domain, field)
        for x in value if type(value) is tuple else (value,):
            at, name = getattr(x, "address", None), str(getattr(x, "alias", None))
            if isinstance(at, PciAddress):
                function = f".{at.function:#x}" if at.function else ""
                places[name] = ("pci", at.bus or 0, f"{at.slot or 0:#x}{function}")
            elif isinstance(at, UsbAddress):
                places[name] = ("usb", at.bus or 0, str(at.port))
            elif isinstance(at, VirtioSerialAddress):
                places[name] = ("virtio-serial", at.controller or 0, str(at.port))
    return places


def test_devices_sit_where_libvirts_command_lines_have_them(figure: Figure) -> None:
    from anyvirt_qemu.planning.defaults import complete
    from anyvirt_qemu.planning.filling import Policy
    from anyvirt_qemu.planning.naming import named

    names, failed = [], {}
    for path in sorted(INPUTS.glob(f"*{LATEST}.args")):
        name = path.name.removesuffix(f"{LATEST}.args")
        source = INPUTS / f"{name}.xml"
        if not source.exists():
            continue
        domain = parse(source.read_bytes(), Domain)
        caps = probed(Case(name, source, path, latest=True, live=False), domain)
        if caps.arch not in ARCHES:
            continue
        names.append(name)
        try:
            policy = Policy(spare_ports=1, vnc_socket=False, usb_ports=None)
            ours = given(named(complete(domain, caps, Random(1).randbytes, policy=policy)))
        except Invalid as error:
            failed[name] = str(error)
            continue
        places = told(shlex.split(path.read_text(encoding="utf-8").replace("\\\n", " ")))
        wrong = {alias: (place, ours.get(alias)) for alias, place in places.items() if ours.get(alias) != place}
        if wrong:
            failed[name] = str(wrong)
    hold(figure, "places", names, failed)
