"""Where devices go on the machines pc (i440FX) and q35, and how they are called; the algorithms are core's."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import (
    Clash,
    Controller,
    ControllerTarget,
    ControllerType,
    Disk,
    Domain,
    DriveAddress,
    Invalid,
    Names,
    Numbers,
    PciAddress,
    PciBus,
    PciSpace,
    Problem,
    Slot,
    UsbAddress,
    UsbPorts,
    VirtioSerialAddress,
)

from anyvirt_qemu.plan import Machine

SPARE_PORTS: Final = 4
USB_PORTS: Final = {"piix3-uhci": 2, "piix4-uhci": 2, "ehci": 6, "ich9-ehci1": 6, "pci-ohci": 3}
XHCI_PORTS: Final = 15
SERIAL_PORTS: Final = 31
# fields of the domain that hold devices with places on PCI, in the order in which they are given places
ON_PCI: Final = (
    "videos", "controllers", "interfaces", "sounds", "disks", "serials", "inputs", "watchdogs", "memballoon", "rngs",
    "panics", "vsock",
)  # fmt: skip
# what the chipset holds itself: slot, function, who
BUILT_IN: Final = {
    "pci": ((0, 0, "host bridge"), (1, 0, "ISA bridge"), (1, 3, "power management")),
    "pcie": ((0, 0, "host bridge"), (31, 0, "LPC bridge"), (31, 3, "SMBus")),
}
VIDEO_SLOT: Final = {"pci": 2, "pcie": 1}
AUDIO_SLOT: Final = 27
CONVENTIONAL_CARDS: Final = ("e1000", "rtl8139", "pcnet", "ne2k_pci")
UNITS: Final = {
    "scsi": [(0, 0, unit) for unit in range(7)],
    "virtio-scsi": [(0, 0, unit) for unit in range(256)],
    "sata": [(0, 0, unit) for unit in range(6)],
    "ide": [(bus, 0, unit) for bus in range(2) for unit in range(2)],
}


def target_index(target: str) -> int | None:
    """Number of a disk among those of its letters: ``vda`` is 0, ``sdaa`` 26; None for other names."""
    found = re.fullmatch(r"(?:hd|sd|vd|xvd|ubd|fd)([a-z]{1,4})", target)
    if found is None:
        return None
    number = 0
    for letter in found[1]:
        number = number * 26 + ord(letter) - 96
    return number - 1


def named(domain: Domain) -> Domain:
    """The domain with a name for every device; those there are stay.

    :raises Invalid: two devices have one name, or one that QEMU cannot take.
    """
    return _Naming(domain).result()


class _Naming:
    """Names, by kind; those given by the user are taken first."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.names = Names()
        self.problems: list[Problem] = []

    def result(self) -> Domain:
        for field in ("controllers", *ON_PCI[2:], "channels", "videos"):
            for device in _many(self.domain, field):
                if device.alias is not None:
                    self._check(field, device.alias)
        if self.problems:
            raise Invalid(self.problems)
        changes: dict[str, Any] = {}
        for field, prefix in PREFIXES.items():
            devices = _many(self.domain, field)
            changed = [x if x.alias else x.replace(alias=self._name(x, prefix)) for x in devices]
            if devices:
                changes[field] = changed[0] if field in {"memballoon", "vsock"} else tuple(changed)
        serials = changes.get("serials", ())
        changes["consoles"] = tuple(self._console(n, x, serials) for n, x in enumerate(self.domain.consoles))
        return self.domain.replace(**changes)

    def _check(self, field: str, alias: str) -> None:
        path = f"/devices/{field}/alias/@name"
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,100}", alias, re.ASCII):
            hint = "start with ua-, then letters, digits, dash, underscore"
            self.problems.append(Problem("config.invalid", path, None, f"{alias!r} is no name for a device", hint))
        elif not self.names.claim(alias):
            text = f"two devices are named {alias!r}"
            self.problems.append(Problem("config.invalid", path, None, text, "choose another"))

    def _name(self, x: Any, prefix: str) -> str:
        wanted = ""
        if isinstance(x, Controller):
            wanted = _controller_name(x)
        elif isinstance(x, Disk):
            wanted = _disk_name(x)
            prefix = {"virtio": "virtio-disk", "usb": "usb-disk"}.get(x.bus or "", "disk")
        if wanted and self.names.claim(wanted):
            return wanted
        return self.names.take(prefix)

    def _console(self, number: int, x: Any, serials: tuple[Any, ...]) -> Any:
        if x.alias:
            return x
        kind = x.target.type if x.target else None
        if kind in {None, "serial"} and number == 0 and serials:
            return x.replace(alias=serials[0].alias)
        return x.replace(alias=self.names.take("console"))


PREFIXES: Final = {
    "controllers": "controller", "disks": "disk", "interfaces": "net", "serials": "serial", "channels": "channel",
    "inputs": "input", "sounds": "sound", "videos": "video", "watchdogs": "watchdog", "memballoon": "balloon",
    "rngs": "rng", "panics": "panic", "vsock": "vsock",
}  # fmt: skip


def _controller_name(x: Controller) -> str:
    index = x.index or 0
    match x.type:
        case "pci":
            return f"{'pcie' if x.model == 'pcie-root' else 'pci'}.{index}"
        case "usb":
            if x.master is not None or (x.model or "").startswith("ich9-uhci"):
                return ""
            return f"usb{index}" if index else "usb"
        case "ide":
            return "ide"
        case None:
            return ""
    return f"{x.type}{index}"


def _disk_name(x: Disk) -> str:
    at = x.address
    if isinstance(at, DriveAddress) and x.bus in {"scsi", "sata", "ide"}:
        target = f"-{at.target or 0}" if x.bus == "scsi" else ""
        return f"{x.bus}{at.controller or 0}-{at.bus or 0}{target}-{at.unit or 0}"
    index = target_index(x.target or "")
    return f"virtio-disk{index}" if x.bus == "virtio" and index is not None else ""


def placed(domain: Domain, machine: Machine, *, scsi_model: str = "virtio-scsi") -> Domain:
    """The domain with an address for every device that has one on this machine, and the controllers for that.

    Addresses that are given stay. The same devices get the same addresses; one that is added moves no other.

    :param scsi_model: model of SCSI controllers that disks need and the definition does not bring.
    :raises Invalid: two devices have one place, a place does not exist, or there is no room.
    """
    return _Placing(domain, machine, scsi_model).result()


class _Placing:
    """Places devices of one domain; the fields are changed in ``have`` and become a domain at the end."""

    def __init__(self, domain: Domain, machine: Machine, scsi_model: str) -> None:
        self.domain, self.machine, self.scsi_model = domain, machine, scsi_model
        self.have: dict[str, list[Any]] = {}
        self.problems: list[Problem] = []
        self.space = PciSpace()
        self.spare = machine.bus == "pcie" and not any(
            x.type == "pci" and x.model == "pcie-root-port" for x in domain.controllers
        )

    def result(self) -> Domain:
        for field in (*ON_PCI, "consoles", "channels"):
            self.have[field] = _many(self.domain, field)
        self._drives()
        self._serial_ports()
        self._usb()
        if self.machine.bus:
            self._pci()
        if self.problems:
            raise Invalid(self.problems)
        return self.domain.replace(
            **{
                field: (devices[0] if devices else None) if field in {"memballoon", "vsock"} else tuple(devices)
                for field, devices in self.have.items()
            }
        )

    def problem(self, field: str, number: int, text: str) -> None:
        """A device that has no place."""
        device = self.have[field][number]
        key = getattr(device, "target", None)
        path = f"/devices/{_tag(field)}[{key if isinstance(key, str) else number}]/address"
        self.problems.append(Problem("config.invalid", path, None, text, "leave the address out, or choose another"))

    def controller(self, kind: ControllerType, index: int, model: str | None = None) -> Controller:
        """The controller of this kind and number; a new one where there is none."""
        for x in self.have["controllers"]:
            if x.type == kind and (x.index or 0) == index:
                return x  # type: ignore[no-any-return]
        made = Controller(type=kind, index=index, model=model)
        self.have["controllers"].append(made)
        return made

    # disks on controllers with units

    def _drives(self) -> None:
        spaces = {"scsi": Numbers(UNITS["virtio-scsi"]), "sata": Numbers(UNITS["sata"]), "ide": Numbers(UNITS["ide"])}
        waiting = []
        for number, x in enumerate(self.have["disks"]):
            if x.bus not in spaces:
                continue
            if not isinstance(x.address, DriveAddress):
                waiting.append(number)
                continue
            at = x.address
            place = (at.controller or 0, at.bus or 0, at.target or 0, at.unit or 0)
            if not spaces[x.bus].claim(place):
                self.problem("disks", number, "another disk has this place")
            elif x.bus != "scsi" and not spaces[x.bus].fits(place):
                self.problem("disks", number, f"a {x.bus} controller has no such unit")
        for number in waiting:
            self._drive(number, self.have["disks"][number], spaces)
        for x in self.have["disks"]:
            if isinstance(x.address, DriveAddress) and x.bus in spaces:
                model = self.scsi_model if x.bus == "scsi" else None
                self.controller(ControllerType(str(x.bus)), x.address.controller or 0, model)

    def _scsi_shape(self, x: Disk, index: int) -> str:
        if x.bus != "scsi":
            return str(x.bus)
        for controller in self.have["controllers"]:
            if controller.type == "scsi" and (controller.index or 0) == index:
                return "scsi" if controller.model in {"lsilogic", "am53c974", "dc390"} else "virtio-scsi"
        return "scsi" if self.scsi_model == "lsilogic" else "virtio-scsi"

    def _drive(self, number: int, x: Disk, spaces: dict[str, Numbers]) -> None:
        """The unit that the target's name stands for, or the first free one."""
        kind = str(x.bus)
        space = spaces[kind]
        index = target_index(x.target or "")
        place: tuple[int, ...] | None = None
        if index is not None:
            shape = UNITS[self._scsi_shape(x, 0) if kind == "scsi" else kind]
            size = len(shape)
            place = (index // size, *shape[index % size])
        if place is None or not space.claim(place):
            free = Numbers(UNITS[self._scsi_shape(x, 0)], space.taken)
            place = free.take(range(8))
            if place is not None:
                space.claim(place)
        if place is None or (kind == "ide" and place[0]):
            self.problem("disks", number, f"there is no free unit on {kind}")
            return
        controller, bus, target, unit = place
        address = DriveAddress(controller=controller, bus=bus, target=target, unit=unit)
        self.have["disks"][number] = x.replace(address=address)

    # ports of virtio-serial

    def _serial_ports(self) -> None:
        space = Numbers([(port,) for port in range(1, SERIAL_PORTS)])
        waiting: list[tuple[str, int]] = []
        for field in ("consoles", "channels"):
            for number, x in enumerate(self.have[field]):
                if x.target is None or x.target.type != "virtio":
                    continue
                at = x.address
                if isinstance(at, VirtioSerialAddress):
                    self.controller(ControllerType.VIRTIO_SERIAL, at.controller or 0)
                    if not space.claim((at.controller or 0, at.port or 0)):
                        self.problem(field, number, "another device has this port")
                else:
                    waiting.append((field, number))
        for field, number in waiting:
            place = space.take(range(8)) or (0, 0)
            self.controller(ControllerType.VIRTIO_SERIAL, place[0])
            x = self.have[field][number]
            address = VirtioSerialAddress(controller=place[0], bus=0, port=place[1])
            self.have[field][number] = x.replace(address=address)

    # USB

    def _usb(self) -> None:
        ports = UsbPorts()
        for x in self.have["controllers"]:
            if x.type == "usb" and x.model != "none" and not (x.model or "").startswith("ich9-uhci"):
                ports.controller(x.index or 0, x.ports or USB_PORTS.get(x.model or "", XHCI_PORTS))
        waiting = []
        for field in ("inputs", "disks", "serials", "interfaces"):
            for number, x in enumerate(self.have[field]):
                if not _on_usb(field, x):
                    continue
                at = x.address
                if not isinstance(at, UsbAddress):
                    waiting.append((field, number))
                elif not ports.exists(at.bus or 0, at.port or ""):
                    self.problem(field, number, f"there is no port {at.port} on USB bus {at.bus or 0}")
                elif not ports.claim(at.bus or 0, at.port or ""):
                    self.problem(field, number, "another device has this port")
        for field, number in waiting:
            place = ports.take()
            if place is None:
                self.problem(field, number, "there is no free USB port")
                continue
            x = self.have[field][number]
            self.have[field][number] = x.replace(address=UsbAddress(bus=place[0], port=place[1]))

    # PCI

    def _pci(self) -> None:
        root = self.machine.bus
        self._roots(root)
        self._fixed(root)
        self._claims()
        for field in ON_PCI:
            number = 0
            while number < len(self.have[field]):
                x = self.have[field][number]
                kind = _kind(field, x, root)
                if kind and x.address is None:
                    self._place(field, number, kind)
                number += 1
        if self.spare:
            for _ in range(SPARE_PORTS):
                self._root_port()
        for number, x in enumerate(self.have["controllers"]):
            at = x.address
            if x.model != "pcie-root-port" or not isinstance(at, PciAddress) or at.function or at.multifunction:
                continue
            if self.space.shared(Slot(at.bus or 0, at.slot or 0)):
                self.have["controllers"][number] = x.replace(address=at.replace(multifunction=True))

    def _roots(self, root: str) -> None:
        model = f"{root}-root"
        self.controller(ControllerType.PCI, 0, model)
        takes = {"root"} if root == "pcie" else {"root", "pcie", "pci"}
        self.space.add(PciBus(0, frozenset(takes), first=VIDEO_SLOT[root] + 1))
        for x in self.have["controllers"]:
            if x.type == "pci" and x.index:
                self._bus(x)

    def _bus(self, x: Controller) -> None:
        number = x.index or 0
        if x.model in {"pcie-root-port", "pcie-switch-downstream-port"}:
            self.space.add(PciBus(number, frozenset({"pcie"}), first=0, last=0))
        elif x.model == "pcie-switch-upstream-port":
            self.space.add(PciBus(number, frozenset({"downstream"}), first=0))
        elif x.model in {"pcie-to-pci-bridge", "pci-bridge", "dmi-to-pci-bridge"}:
            takes = {"pci", "pcie"} if self.machine.bus == "pci" else {"pci"}
            self.space.add(PciBus(number, frozenset(takes)))

    def _fixed(self, root: str) -> None:
        """What the chipset holds, and devices of the definition that are part of it."""
        for slot, function, who in BUILT_IN[root]:
            self.space.claim(Slot(0, slot, function), who)
        for number, x in enumerate(self.have["controllers"]):
            place = _chipset_place(x, root)
            if place and x.address is None:
                address = PciAddress(domain=0, bus=0, slot=place[0], function=place[1])
                self.have["controllers"][number] = x.replace(address=address)

    def _claims(self) -> None:
        for field in ON_PCI:
            for number, x in enumerate(self.have[field]):
                at = x.address
                if isinstance(at, PciAddress):
                    slot = Slot(at.bus or 0, at.slot or 0, at.function or 0, at.domain or 0)
                    who = _who(field, x)
                    try:
                        self.space.claim(slot, who, multifunction=bool(at.multifunction))
                    except Clash as clash:
                        self.problem(field, number, str(clash))

    def _place(self, field: str, number: int, kind: str) -> None:
        x = self.have[field][number]
        slot: Slot | None = None
        wanted = VIDEO_SLOT[self.machine.bus] if field == "videos" else AUDIO_SLOT if _is_ich9(field, x) else None
        if wanted is not None and self.machine.bus in VIDEO_SLOT:
            slot = self._exactly(Slot(0, wanted), _who(field, x))
        if slot is None and field == "controllers" and x.model == "pcie-root-port":
            slot = self.space.take_function("root", _who(field, x), "root port", start=2)
        slot = slot or self.space.take(kind, _who(field, x))
        if slot is None and self.machine.bus == "pcie" and kind in {"pcie", "pci"}:
            self._grow(kind)
            slot = self.space.take(kind, _who(field, x))
        if slot is None:
            self.problem(field, number, "there is no free PCI slot")
            return
        self._put(field, number, slot)

    def _exactly(self, slot: Slot, who: str) -> Slot | None:
        try:
            self.space.claim(slot, who)
        except Clash:
            return None
        return slot

    def _put(self, field: str, number: int, slot: Slot) -> None:
        x = self.have[field][number]
        address = PciAddress(domain=0, bus=slot.bus, slot=slot.slot, function=slot.function)
        changes: dict[str, Any] = {"address": address}
        if field == "controllers" and x.model == "pcie-root-port":
            port = slot.slot << 3 | slot.function
            target = x.target or ControllerTarget()
            changes["target"] = target.replace(
                chassis=x.index if target.chassis is None else target.chassis,
                port=port if target.port is None else target.port,
            )
            changes["pci_model"] = x.pci_model or "pcie-root-port"
        self.have[field][number] = x.replace(**changes)

    def _grow(self, kind: str) -> None:
        """A new root port; for a conventional device also a bridge on it."""
        self._root_port()
        if kind == "pcie":
            return
        index = self._next()
        bridge = Controller(
            type=ControllerType.PCI, index=index, model="pcie-to-pci-bridge", pci_model="pcie-pci-bridge"
        )
        self.have["controllers"].append(bridge)
        self._place("controllers", len(self.have["controllers"]) - 1, "pcie")
        self._bus(bridge)

    def _root_port(self) -> None:
        index = self._next()
        port = Controller(type=ControllerType.PCI, index=index, model="pcie-root-port")
        self.have["controllers"].append(port)
        number = len(self.have["controllers"]) - 1
        slot = self.space.take_function("root", _who("controllers", port), "root port", start=2)
        if slot is None:
            self.problem("controllers", number, "there is no free slot for a root port")
            return
        self._put("controllers", number, slot)
        self._bus(port)

    def _next(self) -> int:
        return 1 + max((x.index or 0) for x in self.have["controllers"] if x.type == "pci")


def _tag(field: str) -> str:
    return {"memballoon": field, "vsock": field}.get(field, field.rstrip("s"))


def _many(domain: Domain, field: str) -> list[Any]:
    value = getattr(domain, field)
    if value is None:
        return []
    return list(value) if isinstance(value, tuple) else [value]


def _who(field: str, x: Any) -> str:
    if isinstance(x, Controller):
        if x.model == "pcie-root-port":
            return f"root port {x.index}"
        return f"controller {x.type} {x.index or 0}"
    name = getattr(x, "target", None) or getattr(x, "mac", None)
    return f"{field.rstrip('s')} {name}" if isinstance(name, str) else field.rstrip("s")


def _is_ich9(field: str, x: Any) -> bool:
    return field == "sounds" and x.model == "ich9"


def _on_usb(field: str, x: Any) -> bool:
    if field == "serials":
        return x.target is not None and x.target.type == "usb-serial"
    if field == "interfaces":
        return bool(x.model == "usb-net")
    return bool(x.bus == "usb")


def _chipset_place(x: Controller, root: str) -> tuple[int, int] | None:
    if x.index:
        return None
    if root == "pcie" and x.type == "sata":
        return 31, 2
    if root == "pci" and x.type == "ide":
        return 1, 1
    if root == "pci" and x.type == "usb" and x.model == "piix3-uhci":
        return 1, 2
    return None


def _kind(field: str, x: Any, root: str) -> str:
    """``root``, ``pcie`` or ``pci``: what kind of slot a device needs; ``""`` where it is not on PCI."""
    if field == "controllers":
        return _controller_kind(x, root)
    match field:
        case "videos":
            return "" if x.model in {"none", "ramfb"} else "root"
        case "interfaces":
            if x.model == "usb-net":
                return ""
            return "pci" if x.model in CONVENTIONAL_CARDS else "pcie"
        case "sounds":
            return "root" if x.model in {"ich6", "ich7", "ich9", None} else "pci"
        case "disks":
            return "pcie" if x.bus == "virtio" else ""
        case "serials":
            return "pci" if x.target is not None and x.target.type == "pci-serial" else ""
        case "inputs":
            return "pcie" if x.bus == "virtio" else ""
        case "watchdogs":
            return "pci" if x.model in {"i6300esb", None} else ""
        case "memballoon":
            return "" if x.model in {"none", "xen"} else "pcie"
        case "panics":
            return "root" if x.model == "pvpanic" else ""
    return "pcie"


def _controller_kind(x: Controller, root: str) -> str:
    match x.type:
        case "pci":
            if x.model in {"pci-root", "pcie-root"}:
                return ""
            if x.model == "pci-bridge":
                return "pci"
            if x.model == "pcie-switch-downstream-port":
                return "downstream"
            return "pcie" if x.model in {"pcie-to-pci-bridge", "pcie-switch-upstream-port"} else "root"
        case "usb":
            if x.model == "none":
                return ""
            return "pcie" if "xhci" in (x.model or "") else "root" if root == "pcie" else "pci"
        case "scsi":
            return "pci" if x.model in {"lsilogic", "am53c974", "dc390"} else "pcie"
        case "virtio-serial":
            return "pcie"
        case "sata":
            return "root"
    return ""
