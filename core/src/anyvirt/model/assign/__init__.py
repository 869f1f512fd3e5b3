"""Algorithms that place devices: names, slots, units, ports; every table about a machine is a driver's."""

from __future__ import annotations

from anyvirt.model.assign.alias import Names
from anyvirt.model.assign.number import Numbers
from anyvirt.model.assign.pci import Clash, PciBus, PciSpace, Slot
from anyvirt.model.assign.usb import UsbPorts

__all__ = ["Clash", "Names", "Numbers", "PciBus", "PciSpace", "Slot", "UsbPorts"]
