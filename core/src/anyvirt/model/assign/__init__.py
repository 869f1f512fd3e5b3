"""Algorithms that complete definitions and place devices; every table about a hypervisor or machine is a driver's."""

from __future__ import annotations

from anyvirt.model.assign import controllers, fresh, pairing
from anyvirt.model.assign.alias import Names
from anyvirt.model.assign.draft import Draft, Drafts
from anyvirt.model.assign.drive import Units, bus_of, free_target, namespace, target_index, target_name
from anyvirt.model.assign.number import Numbers
from anyvirt.model.assign.order import put_forward
from anyvirt.model.assign.pci import Clash, PciKind, PciSpace, Slot, growth
from anyvirt.model.assign.register import Registers
from anyvirt.model.assign.usb import UsbPorts

__all__ = [
    "Clash",
    "Draft",
    "Drafts",
    "Names",
    "Numbers",
    "PciKind",
    "PciSpace",
    "Registers",
    "Slot",
    "Units",
    "UsbPorts",
    "bus_of",
    "controllers",
    "free_target",
    "fresh",
    "growth",
    "namespace",
    "pairing",
    "put_forward",
    "target_index",
    "target_name",
]
