"""Devices of the host that are given away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, duplicate, each, missing
from anyvirt.model.devices.hostdev import Hostdev, HostdevType
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of

# Address in the guest of a mediated device, by its model.
MEDIATED: Final = {"vfio-pci": ("pci", "unassigned"), "vfio-ccw": ("ccw", "unassigned"), "vfio-ap": ()}


def hostdevs(domain: Domain) -> Iterator[Problem]:
    """Every host device of a domain."""
    taken: dict[object, str] = {}
    for path, device in each(domain, "hostdevs"):
        line, source = line_of(device), device.source
        if source is None:
            yield missing(f"{path}/source", line, "nothing says which device of the host it is", "give its source")
            continue
        yield from _source(device, path)
        same = (device.mode, device.type, source)
        if same in taken:
            yield duplicate(f"{path}/source", line_of(source) or line, f"{taken[same]} is the same device", "keep one")
        taken.setdefault(same, path)
        if device.type == HostdevType.MDEV and device.model in MEDIATED and device.address is not None:
            kind = (type(device.address)._when or ("", ""))[1]
            if kind not in MEDIATED[device.model]:
                text = f"a mediated device of model {device.model} has no address of type {kind!r}"
                yield conflict(f"{path}/address/@type", line_of(device.address), text, "leave the address out")
        if device.display and not domain.graphics:
            text = "a display without graphics"
            yield missing(f"{path}/@display", line, text, "add <graphics>, or leave display out")


def _source(device: Hostdev, path: str) -> Iterator[Problem]:
    source, line = device.source, line_of(device)
    assert source is not None
    if device.type == HostdevType.PCI and source.address is None:
        yield missing(f"{path}/source/address", line, "the PCI address is missing", "such as bus='0x06' slot='0x00'")
    if device.type == HostdevType.USB and source.address is None and (source.vendor is None or source.product is None):
        hint = "give vendor and product, or an address"
        yield missing(f"{path}/source", line, "nothing says which USB device it is", hint)
    if device.type == HostdevType.MDEV and not getattr(source.address, "uuid", None):
        yield missing(f"{path}/source/address/@uuid", line, "the mediated device has no UUID", "such as uuid='...'")
