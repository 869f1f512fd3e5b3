"""Where devices sit, and numbers that only one of them can have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anyvirt.errors import Problem
from anyvirt.model.address import CcwAddress, DriveAddress, PciAddress, UsbAddress
from anyvirt.model.checks.found import dangling, duplicate, each, outside
from anyvirt.model.devices.controller import Controller, ControllerType
from anyvirt.model.devices.device import Device
from anyvirt.model.devices.disk import Disk
from anyvirt.model.devices.filesystem import Filesystem
from anyvirt.model.devices.sound import Audio
from anyvirt.model.domain import Domain
from anyvirt.model.element import Element, line_of
from anyvirt.model.walk import Step

HUB_PORTS = 8
DEEPEST = 4


def addresses(steps: Sequence[Step]) -> Iterator[Problem]:
    """No two devices at one place."""
    taken: dict[tuple[object, ...], str] = {}
    disk = Step("", Element(), None)
    for step in steps:
        path, element, line = step
        if isinstance(element, Disk):
            disk = step
        if "/source/" in path or not path.startswith("/devices/"):
            continue
        if path.startswith("/devices/console[0]/"):
            continue  # the first console may be the first serial port, said twice
        owner = path.removesuffix("/address")
        for where, name in _places(element, disk.element if disk.path == owner else None):
            if where in taken:
                yield duplicate(path, line, f"{name} is taken by {taken[where]}", "use another, or leave it out")
            taken.setdefault(where, owner)
        if isinstance(element, PciAddress) and element.zpci_uid == 0:
            yield outside(f"{path}/zpci/@uid", line, "the uid of a zPCI device is 0", "use 0x0001 to 0xffff")


def _places(element: Element, owner: Element | None) -> Iterator[tuple[tuple[object, ...], str]]:
    if isinstance(element, PciAddress):
        if element.slot is not None:
            numbers = (element.domain or 0, element.bus or 0, element.slot, element.function or 0)
            yield ("PCI", *numbers), f"PCI address {numbers[0]:04x}:{numbers[1]:02x}:{numbers[2]:02x}.{numbers[3]}"
        if element.zpci_uid:
            yield ("zPCI uid", element.zpci_uid), f"zPCI uid {element.zpci_uid:#06x}"
        if element.zpci_fid is not None:
            yield ("zPCI fid", element.zpci_fid), f"zPCI fid {element.zpci_fid:#010x}"
    elif isinstance(element, CcwAddress) and element.devno is not None:
        channel = (element.cssid or 0, element.ssid or 0, element.devno)
        yield ("CCW", *channel), f"CCW device {channel[0]:x}.{channel[1]:x}.{channel[2]:04x}"
    elif isinstance(element, DriveAddress) and isinstance(owner, Disk) and owner.bus is not None:
        unit = (element.controller or 0, element.bus or 0, element.target or 0, element.unit or 0)
        yield (owner.bus, *unit), f"{owner.bus} drive {':'.join(map(str, unit))}"


def numbers(domain: Domain, steps: Sequence[Step]) -> Iterator[Problem]:
    """Aliases, and devices of which there is one of a number."""
    aliases: dict[str, str] = {}
    seen: dict[tuple[str, object], str] = {}
    for path, element, line in steps:
        alias = getattr(element, "alias", None) if isinstance(element, Device) else None
        if isinstance(alias, str) and alias.startswith("ua-"):
            if alias in aliases:
                text = f"alias {alias!r} is taken by {aliases[alias]}"
                yield duplicate(f"{path}/alias/@name", line, text, "use another")
            aliases.setdefault(alias, path)
        number = _number(element)
        if number is not None:
            if number in seen:
                yield duplicate(path, line, f"{type(element)._tag} {number[1]} stands here twice", "use another number")
            seen[number] = path
    yield from _usb(domain, steps)


def _number(element: Element) -> tuple[str, object] | None:
    if isinstance(element, Controller):
        # A USB controller and its companions share an index.
        companion = element.master is not None or "ich9" in (element.model or "")
        if element.type is not None and element.index is not None and not companion:
            return "controller", f"{element.type} {element.index}"
    elif isinstance(element, Filesystem) and element.target:
        return "filesystem", repr(element.target)
    elif isinstance(element, Audio) and element.id is not None:
        return "audio", element.id
    return None


def _usb(domain: Domain, steps: Sequence[Step]) -> Iterator[Problem]:
    """USB that is switched off, and ports of hubs."""
    controllers = [item for item in each(domain, "controllers") if item[1].type == ControllerType.USB]
    off = [item for item in controllers if item[1].model == "none"]
    if off:
        for path, pointer in each(domain, "inputs"):
            if pointer.bus == "usb":
                text = "USB is switched off by a controller of model 'none'"
                yield dangling(f"{path}/@bus", line_of(pointer), text, "use another bus, or remove that controller")
        for path, controller in controllers:
            if controller.model != "none":
                text = "USB is switched off by a controller of model 'none'"
                yield duplicate(path, line_of(controller), text, "remove one of them")
    taken: dict[tuple[int, str], str] = {}
    for path, element, line in steps:
        if not isinstance(element, UsbAddress) or "/source/" in path or element.port is None:
            continue
        port = element.port
        where = (element.bus or 0, port)
        if off:
            yield dangling(path, line, "USB is switched off, so there is no port", "remove the controller 'none'")
        elif where in taken:
            yield duplicate(path, line, f"USB port {port} of bus {where[0]} is taken by {taken[where]}", "use another")
        elif port.count(".") >= DEEPEST:
            yield outside(f"{path}/@port", line, f"port {port} is behind too many hubs", f"use {DEEPEST} numbers")
        elif "." in port and int(port.rpartition(".")[2]) > HUB_PORTS:
            text = f"a hub has no port {port.rpartition('.')[2]}"
            yield outside(f"{path}/@port", line, text, f"use 1 to {HUB_PORTS}")
        taken.setdefault(where, path.removesuffix("/address"))
