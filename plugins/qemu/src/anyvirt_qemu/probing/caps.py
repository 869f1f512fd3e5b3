"""A probed binary as the planner asks about it."""

from __future__ import annotations

from typing import Final, Literal

from anyvirt_qemu.planning.machines import VIRTS
from anyvirt_qemu.planning.plan import Bus, Machine
from anyvirt_qemu.probing.capability import Capability

# beginnings of names of machine types with PCI at their root, and with PCI Express
PCI: Final = ("pc-i440fx", "pc-0", "pc-1", "pseries", "s390-ccw")
PCIE: Final = ("pc-q35", "q35")
# emulators whose own default is no machine for guests with virtio, or that have none
USUAL: Final = {"aarch64": "virt", "armv7l": "virt", "riscv32": "virt", "riscv64": "virt"}


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
        found = self._found.machines.get(name or USUAL.get(self.arch, ""))
        if not name and found is None:
            found = next((one for one in self._found.machines.values() if one.default), None)
        if found is None:
            return None
        express = found.name.startswith(PCIE) or (found.name.startswith("virt") and self.arch in VIRTS)
        bus: Bus = "pcie" if express else ""
        if found.name.startswith(PCI):
            bus = "pci"
        return Machine(found.name, bus, found.max_cpus, self._usual(found.cpu), found.ram, found.sizes)

    def _usual(self, cpu: str | None) -> str | None:
        """The name of a model that does not change with its revision, where it has one: ``POWER9``."""
        general, revised, _ = (cpu or "").partition("_v")
        return general.upper() if revised and general in self._found.cpus else cpu

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

    def near(self, kind: Literal["machine", "cpu"], name: str) -> str:
        """A way out where there is no such name: those like it, else where all of them are listed."""
        from difflib import get_close_matches

        known = list(self._found.machines if kind == "machine" else self._found.cpus)
        folded = {one.lower(): one for one in known}
        found = [folded[one] for one in get_close_matches(name.lower(), list(folded), n=3, cutoff=0.6)]
        command = "anyvirt host capabilities" if kind == "machine" else "anyvirt cpu models"
        return f"did you mean {' or '.join(found)}?" if found else f"{command} lists those there are"

    def has_cpu(self, model: str) -> bool:
        """Whether ``-cpu`` knows it."""
        found = self._found.cpus
        return model in found or model == "host" or (self.arch.startswith("ppc") and model.lower() in found)
