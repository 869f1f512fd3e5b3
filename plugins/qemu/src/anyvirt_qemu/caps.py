"""A probed binary as the planner asks about it."""

from __future__ import annotations

from typing import Final

from anyvirt_qemu.capability import Capability
from anyvirt_qemu.plan import Bus, Machine

PCI: Final = ("pc-i440fx", "pc-0", "pc-1", "isapc", "pseries")


class Caps:
    """The view that ``plan.Caps`` describes, on what the probe has found."""

    def __init__(self, found: Capability) -> None:
        self._found = found

    @property
    def binary(self) -> str:
        return self._found.binary

    @property
    def arch(self) -> str:
        return self._found.arch

    @property
    def json_device(self) -> bool:
        return "json.device" in self._found.features

    @property
    def json_netdev(self) -> bool:
        return "json.netdev" in self._found.features

    @property
    def sandbox(self) -> bool:
        return self._found.has_option("sandbox", "elevateprivileges")

    def machine(self, name: str) -> Machine | None:
        """The machine type of that name or alias, the default one for an empty name."""
        found = self._found.machines.get(name)
        if not name:
            found = next((one for one in self._found.machines.values() if one.default), None)
        if found is None:
            return None
        bus: Bus = "pci" if found.name.startswith(PCI) else ""
        if "q35" in found.name or found.name.startswith("virt"):
            bus = "pcie"
        return Machine(found.name, bus, found.max_cpus, found.cpu, found.ram, found.sizes)

    def has_device(self, name: str) -> bool:
        """Whether ``-device`` knows it."""
        return name in self._found.devices

    def has_object(self, name: str) -> bool:
        """Whether ``-object`` knows it."""
        return name in self._found.objects

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        """Whether the command line knows ``-option``, or that parameter of it."""
        return self._found.has_option(option, parameter)

    def has_feature(self, name: str) -> bool:
        """Whether QEMU's schema has what ``capability.FEATURES`` names so."""
        return name in self._found.features

    def has_cpu(self, model: str) -> bool:
        """Whether ``-cpu`` knows it."""
        return model in self._found.cpus or model in {"host", "max"}
