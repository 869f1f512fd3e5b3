"""What a definition leaves open and this driver fills in, visibly, when it is defined."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count
from typing import Any, Final

from anyvirt.api import Controller, ControllerType, Domain, Invalid, Os, Problem, assign

from anyvirt_qemu.planning import address, equipping, filling, machines
from anyvirt_qemu.planning.filling import Policy
from anyvirt_qemu.planning.inactive import inactive
from anyvirt_qemu.planning.plan import Caps, Machine
from anyvirt_qemu.probing import emulators

PREFIX: Final = bytes((0x52, 0x54, 0x00))
FIRST_CID: Final = 3
POLICY: Final = Policy()
Random = Callable[[int], bytes]
# lists of devices that keep their places when a guest is defined again
KEPT: Final = (
    "disks", "interfaces", "controllers", "filesystems", "inputs", "videos", "sounds", "channels", "consoles",
    "serials", "rngs", "watchdogs", "hubs", "hostdevs", "redirdevs", "shmems", "memory_devices", "smartcards",
    "memballoon", "vsock", "iommu",
)  # fmt: skip


def complete(
    domain: Domain,
    caps: Caps,
    random: Random,
    *,
    old: Domain | None = None,
    taken: Collection[str] = (),
    cids: Collection[int] = (),
    policy: Policy = POLICY,
    live: bool = False,
    stored: bool = False,
) -> Domain:
    """The definition with everything filled in that a start needs, all of it visible in its XML.

    :param random: gives that many random bytes; ``os.urandom``, or something that repeats itself in a test.
    :param old: the definition that this one replaces: devices that stay keep their addresses.
    :param taken: MAC addresses of other guests.
    :param cids: vsock addresses of other guests.
    :param live: what is so only while a guest runs stays.
    :param stored: the definition is one that libvirt has stored: its size and its ports, which were settled then, stay.
    :raises Invalid: no such machine type, another architecture, no room for a device.
    """
    machine = _machine(domain, caps)
    family = machines.family(machine, caps.arch)
    d = assign.Drafts(domain if live else inactive(domain))
    if d.uuid is None:
        d.uuid = assign.fresh.uuid(random) if old is None or old.uuid is None else old.uuid
    if d.genid == "":
        d.genid = assign.fresh.uuid(random)
    filling.identity(d, caps, machine, stored=stored)
    equipping.devices(d, caps, family, policy)
    _number(d.controllers)
    if old is not None:
        _inherit(d, old, machine)
    _unique(d, random, old, taken, cids)
    _controllers(d, caps, machine, family, stored=stored)
    for x in d.controllers:
        if x.model == "qemu-xhci" and x.ports is None and not stored:
            x.ports = policy.usb_ports
    address.place(d, caps, machine, family, spare=policy.spare_ports)
    assign.controllers.ordered(d.controllers)
    return d.done()  # type: ignore[no-any-return]


def _machine(domain: Domain, caps: Caps) -> Machine:
    os = domain.os or Os()
    problems = []
    if os.arch is not None and not emulators.runs(caps.arch, os.arch):
        text = f"this QEMU ({caps.binary}) runs guests of {caps.arch}, not {os.arch}"
        problems.append(Problem("unsupported.config", "/os/type/@arch", None, text, "name another emulator"))
    machine = caps.machine(os.machine or "")
    if machine is None:
        text = f"this QEMU ({caps.binary}) has no machine type {os.machine or '(default)'}"
        hint = caps.near("machine", os.machine or "")
        problems.append(Problem("unsupported.config", "/os/type/@machine", None, text, hint))
    if problems or machine is None:
        raise Invalid(problems)
    return machine


def _unique(
    d: assign.Drafts, random: Random, old: Domain | None, taken: Collection[str], cids: Collection[int]
) -> None:
    """What no other guest may have: MAC addresses, the vsock address."""
    if any(x.mac is None for x in d.interfaces):
        macs = {*taken, *(x.mac for x in d.interfaces if x.mac)}
        for x in d.interfaces:
            if x.mac is None:
                x.mac = assign.fresh.mac(random, PREFIX, macs)
                macs.add(x.mac)
    for x in d.many("vsock"):
        if x.cid is None:
            had = old.vsock.cid if old is not None and old.vsock is not None else None
            x.cid = next(n for n in count(FIRST_CID) if n not in cids) if had is None or had in cids else had


def _number(controllers: list[assign.Draft]) -> None:
    roots = ("pci-root", "pcie-root")
    assign.controllers.number(controllers, lambda x: 1 if x.type == "pci" and x.model not in roots else 0)
    assign.controllers.companions(controllers)
    assign.controllers.ordered(controllers)


def _controllers(d: assign.Drafts, caps: Caps, machine: Machine, family: machines.Family, *, stored: bool) -> None:
    """Models of those given, and those that every guest of this machine has."""
    found = d.controllers
    if not any(x.type == "usb" for x in found):
        usual = family.usb_stored if stored and family.usb_stored else family.usb
        model = machines.chosen(usual or (family.usb_given if address.wants_usb(d) else ()), caps)
        if model == "ich9-ehci1":
            assign.controllers.usb2(d)
        elif model is not None:
            d.add("controllers", Controller(type=ControllerType.USB, index=0, model=model or None))
    if family.sata and not any(x.type == "sata" and not x.index for x in found):
        d.add("controllers", Controller(type=ControllerType.SATA, index=0))
    if machine.bus and not any(x.type == "pci" and not x.index for x in found):
        d.add("controllers", Controller(type=ControllerType.PCI, index=0, model=f"{machine.bus}-root"))
    for x in found:
        if x.type == "usb" and x.model is None:
            x.model = machines.chosen(family.usb_stored if stored and family.usb_stored else family.usb_given, caps)
            if x.model == "none":
                x.address = None


def _inherit(d: assign.Drafts, old: Domain, machine: Machine) -> None:
    """Devices that the old definition has, too, keep their places; and controllers that this one does not mention."""
    if old.os is None or old.os.machine != machine.name:
        return
    for field in KEPT:
        before = getattr(old, field, None) or ()
        left = list(before) if isinstance(before, tuple) else [before]
        for x in d.many(field):
            match = next((y for y in left if _same(field, x, y)), None)
            if match is None:
                continue
            left.remove(match)
            if x.address is None and match.address is not None:
                x.address = match.address
            if field == "interfaces" and x.mac is None:
                x.mac = match.mac
        if field == "controllers":
            given = {(x.type, x.index) for x in d.controllers}
            left = [y for y in left if (y.type, y.index) not in given]
        if field in {"controllers", "hubs"}:
            for y in left:
                d.add(field, y)


def _same(field: str, x: Any, y: Any) -> bool:
    match field:
        case "disks":
            return bool(x.target == y.target and (x.bus is None or x.bus == y.bus))
        case "interfaces":
            same_mac = x.mac is None or x.mac == y.mac
            return bool(same_mac and x.type == y.type and (x.model is None or x.model == y.model))
        case "controllers":
            return bool(x.type == y.type and (x.index or 0) == (y.index or 0) and x.model in {None, y.model})
        case "inputs":
            return bool((x.type, x.bus) == (y.type, y.bus))
        case "channels" | "consoles" | "serials" | "filesystems":
            return bool(x.target == y.target)
        case "hostdevs":
            return bool(x.type == y.type and x.source == y.source)
        case "hubs" | "redirdevs" | "smartcards":
            return bool(x.type == y.type)
    return bool(x.model in {None, y.model})
