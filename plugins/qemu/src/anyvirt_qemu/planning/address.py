"""Where devices go on the buses of QEMU's machines; the algorithms are core's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from anyvirt.api import (
    CcidAddress,
    CcwAddress,
    ControllerType,
    DimmAddress,
    DriveAddress,
    Hub,
    Invalid,
    IsaAddress,
    MmioAddress,
    PciAddress,
    Problem,
    SpaprAddress,
    UsbAddress,
    VirtioSerialAddress,
    assign,
)

from anyvirt_qemu.planning import slots
from anyvirt_qemu.planning.machines import Family, chosen
from anyvirt_qemu.planning.plan import Caps, Machine

USB_PORTS: Final = {"piix3-uhci": 2, "piix4-uhci": 2, "vt82c686b-uhci": 2, "ehci": 6, "ich9-ehci1": 6, "pci-ohci": 3}
XHCI_PORTS: Final = 4
DEFAULT_PORTS: Final = 2
HUB_PORTS: Final = 8
MOST_HUBS: Final = 16  # with what is on them as many devices as a bus has addresses for
SERIAL_PORTS: Final = 31
NARROW: Final = frozenset({"lsilogic", "am53c974", "dc390", "ncr53c90"})
# bus -> the units of one controller, in the order of disks' numbers; unit 7 of SCSI is the controller itself
UNITS: Final = {
    "ide": assign.Units([(bus, 0, unit) for bus in range(2) for unit in range(2)]),
    "fdc": assign.Units([(0, 0, unit) for unit in range(2)]),
    "sata": assign.Units([(0, 0, unit) for unit in range(6)]),
    "scsi": assign.Units([(0, 0, unit) for unit in range(16) if unit != 7]),
    "nvme": assign.Units([(namespace, 0, 0) for namespace in range(256)]),
    "narrow": assign.Units([(0, 0, unit) for unit in range(7)]),
}
CONTROLLERS: Final = (
    ControllerType.SCSI, ControllerType.FDC, ControllerType.IDE, ControllerType.SATA, ControllerType.NVME,
)  # fmt: skip
MOST: Final = 8
# where QEMU puts the first of each kind of virtual I/O
REGISTERS: Final = (
    ("interfaces", 0x1000), ("controllers", 0x2000), ("serials", 0x30000000), ("nvram", 0x3000), ("tpms", 0x4000),
)  # fmt: skip
# what may be virtio, in the order in which subchannels are given out
VIRTIO: Final = (
    "disks", "interfaces", "hostdevs", "videos", "controllers", "inputs", "filesystems", "memballoon", "rngs",
    "memory_devices", "vsock", "cryptos",
)  # fmt: skip
ON_USB: Final = ("hostdevs", "redirdevs", "inputs", "disks", "sounds", "serials", "interfaces")


def place(d: assign.Drafts, caps: Caps, machine: Machine, family: Family, *, spare: int = 0) -> None:
    """Give every device that has an address on this machine one, and add the controllers for that.

    Addresses that are given stay. The same devices get the same addresses; one that is added moves no other.

    :param spare: empty PCIe ports for a guest that brings no PCI controllers.
    :raises Invalid: two devices have one place, a place does not exist, or there is no room.
    """
    _Placing(d, caps, machine, family).run(spare)


def wants_usb(d: assign.Drafts) -> bool:
    """Whether a definition has devices on USB."""
    given = any(_is_usb(field, x) for field in ON_USB for x in d.many(field))
    return given or bool(d.many("hubs") or d.many("smartcards"))


class _Placing:
    """Places the devices of one domain, bus by bus, and gathers what does not fit."""

    def __init__(self, d: assign.Drafts, caps: Caps, machine: Machine, family: Family) -> None:
        self.d, self.caps, self.machine, self.family = d, caps, machine, family
        self.problems: list[Problem] = []
        self.numbers: dict[str, dict[int, int]] = {}

    def run(self, spare: int) -> None:
        """All buses, in the order in which one needs another."""
        scsi = chosen(self.family.scsi, self.caps)
        self._drives(scsi)
        self._implied(scsi)
        self._serial_ports()
        self._registers()
        if self.family.transport == "ccw":
            self._subchannels()
        elif self.family.transport != "pci":
            self._mapped()
        on_usb = list(self._on_usb())
        self._hubs(on_usb)
        if self.machine.bus:
            slots.Placing(self.d, self.caps, self.family, self.machine.bus, self.refuse).place(spare)
        if self.family.transport == "ccw":
            self._zones()
        self._usb(on_usb)
        self._memory()
        self._isa()
        assign.pairing.same_place(self.d)
        if self.problems:
            raise Invalid(self.problems)

    def refuse(self, field: str, device: Any, text: str) -> None:
        """A device that has no place."""
        key = getattr(device, "target", None)
        numbers = self.numbers.get(field)
        if numbers is None or id(device) not in numbers:
            numbers = self.numbers[field] = {id(x): n for n, x in enumerate(self.d.many(field))}
        name = key if isinstance(key, str) else numbers[id(device)]
        path = f"/devices/{_tag(field)}[{name}]/address"
        self.problems.append(Problem("config.invalid", path, None, text, "leave the address out, or choose another"))

    # disks on controllers with units

    def _drives(self, scsi: str | None) -> None:
        spaces: dict[str, assign.Numbers] = {}
        waiting = []
        for field, x in self._on_units():
            bus = _bus(field, x)
            space = spaces.setdefault(bus, assign.Numbers(UNITS[bus].places))
            at = x.address
            if not isinstance(at, DriveAddress):
                waiting.append((field, x, space))
                continue
            place = (at.controller or 0, at.bus or 0, at.target or 0, at.unit or 0)
            if None in {at.controller, at.bus, at.target, at.unit}:
                x.address = _drive(place)
            if not space.claim(place):
                self.refuse(field, x, "another disk has this place")
            elif bus != "scsi" and not space.fits(place):
                self.refuse(field, x, f"a {bus} controller has no such unit")
        for field, x, space in waiting:
            self._unit(field, x, space, scsi)
            if field == "hostdevs":
                self._alike(x.address)

    def _on_units(self) -> Iterable[tuple[str, Any]]:
        for x in self.d.disks:
            if x.bus in UNITS:
                yield "disks", x
        for x in self.d.many("hostdevs"):
            if x.type == "scsi":
                yield "hostdevs", x

    def _shape(self, bus: str, scsi: str | None) -> assign.Units:
        if bus != "scsi":
            return UNITS[bus]
        first = next((x for x in self.d.controllers if x.type == "scsi" and not x.index), None)
        model = (first.model if first is not None else None) or scsi
        return UNITS["narrow" if model in NARROW else "scsi"]

    def _unit(self, field: str, x: Any, space: assign.Numbers, scsi: str | None) -> None:
        """The unit that the target's name stands for, or the first free one."""
        bus = _bus(field, x)
        shape = UNITS["narrow"] if field == "hostdevs" else self._shape(bus, scsi)
        place = _named(x, bus, shape) if field == "disks" else None
        if place is None or not space.claim(place):
            free = assign.Numbers(shape.places, space.taken)
            place = free.take(range(MOST))
            if place is not None:
                space.claim(place)
        if place is None or (bus in {"ide", "fdc"} and place[0]):
            self.refuse(field, x, f"there is no free unit on {bus}")
            return
        x.address = _drive(place)

    def _alike(self, at: Any) -> None:
        """Further controllers for SCSI devices of the host are as the first one is."""
        first = next((x for x in self.d.controllers if x.type == "scsi" and not x.index), None)
        if first is not None and isinstance(at, DriveAddress) and at.controller:
            assign.controllers.ensure(self.d, ControllerType.SCSI, at.controller, first.model)

    def _implied(self, scsi: str | None) -> None:
        """Controllers that disks, channels and smartcards need; those of disks up to the highest number."""
        highest: dict[ControllerType, int] = {}
        for field, x in self._on_units():
            at = x.address
            if isinstance(at, DriveAddress):
                kind = ControllerType(_bus(field, x))
                highest[kind] = max(highest.get(kind, 0), at.controller or 0)
        needed: dict[ControllerType, Iterable[int]] = {
            kind: range(highest[kind] + 1) for kind in CONTROLLERS if kind in highest
        }
        ports = [x.address for field in ("channels", "consoles") for x in self.d.many(field) if _on_virtio_serial(x)]
        if ports:
            named = (at.controller or 0 if isinstance(at, VirtioSerialAddress) else 0 for at in ports)
            needed[ControllerType.VIRTIO_SERIAL] = sorted(set(named))
        cards = self.d.many("smartcards")
        for number, x in enumerate(cards):
            if x.address is None:
                x.address = CcidAddress(controller=0, slot=number)
        if cards:
            given = (x.address.controller or 0 for x in cards if isinstance(x.address, CcidAddress))
            needed[ControllerType.CCID] = sorted(set(given))
        if needed:
            assign.controllers.imply(self.d, needed)
        for x in self.d.controllers:
            if x.type == "scsi" and x.model is None:
                x.model = scsi

    # ports of virtio-serial

    def _serial_ports(self) -> None:
        found = [x for x in self.d.controllers if x.type == "virtio-serial"]
        if not found:
            return
        room = {x.index or 0: x.ports or SERIAL_PORTS for x in found}
        space = assign.Numbers([(0, port) for port in range(max(room.values()))])
        waiting: list[tuple[str, Any]] = []
        for field in ("consoles", "channels"):
            for x in self.d.many(field):
                at = x.address
                if not _on_virtio_serial(x):
                    continue
                if not isinstance(at, VirtioSerialAddress) or at.port is None or (not at.port and field == "channels"):
                    waiting.append((field, x))
                elif not space.claim((at.controller or 0, at.bus or 0, at.port or 0)):
                    self.refuse(field, x, "another device has this port")
        free = {field: self._free_ports(room, int(field == "channels")) for field in ("consoles", "channels")}
        for field, x in waiting:
            at = x.address
            if isinstance(at, VirtioSerialAddress):
                here = at.controller or 0
                places: Iterable[tuple[int, int]] = ((here, n) for n in range(1, room.get(here, SERIAL_PORTS)))
            else:
                places = free[field]
            place = next((place for place in places if space.claim((place[0], 0, place[1]))), None)
            if place is None:
                self.refuse(field, x, "there is no free port")
                continue
            assign.controllers.ensure(self.d, ControllerType.VIRTIO_SERIAL, place[0])
            x.address = VirtioSerialAddress(controller=place[0], bus=0, port=place[1])

    def _free_ports(self, room: dict[int, int], first: int) -> Iterable[tuple[int, int]]:
        """Controllers and ports in their order, beyond those there are on new controllers; 0 is for consoles."""
        more = (n for n in range(MOST) if n not in room)
        for controller in (*sorted(room), *more):
            for port in range(first, room.get(controller, SERIAL_PORTS)):
                yield controller, port

    # USB

    def _hubs(self, on_usb: list[tuple[str, Any]]) -> None:
        """Add as many hubs as USB devices need ports."""
        devices = len(self.d.many("hubs")) + len(on_usb)
        ports = sum(_ports(x) for x in self.d.controllers if x.type == "usb") + HUB_PORTS * len(self.d.many("hubs"))
        if not ports or devices <= ports:
            return
        for _ in range(min(MOST_HUBS, -(-(devices - ports + 1) // (HUB_PORTS - 1)))):
            self.d.add("hubs", Hub(type="usb"))

    def _on_usb(self) -> Iterable[tuple[str, Any]]:
        for x in self.d.controllers:
            if x.type == "ccid":
                yield "controllers", x
        for field in ON_USB:
            for x in self.d.many(field):
                if _is_usb(field, x):
                    yield field, x

    def _usb(self, on_usb: list[tuple[str, Any]]) -> None:
        if not on_usb and not self.d.many("hubs"):
            return
        ports = assign.UsbPorts()
        for x in self.d.controllers:
            if x.type == "usb" and _ports(x):
                ports.controller(x.index or 0, _ports(x))
        waiting = []
        found = [("hubs", x) for x in self.d.many("hubs")]
        for field, x in (*found, *on_usb):
            at = x.address
            if not isinstance(at, UsbAddress) or not at.port:
                waiting.append((field, x))
            elif not ports.exists(at.bus or 0, at.port or ""):
                self.refuse(field, x, f"there is no port {at.port} on USB bus {at.bus or 0}")
            elif not ports.claim(at.bus or 0, at.port or ""):
                self.refuse(field, x, "another device has this port")
            elif field == "hubs":
                ports.hub(at.bus or 0, at.port, HUB_PORTS)
        for field, x in waiting:
            at = x.address
            if at is not None and not isinstance(at, UsbAddress):
                continue
            free = ports.take(None if at is None else [at.bus or 0])
            if free is None:
                self.refuse(field, x, "there is no free USB port" if ports.buses else "this guest has no USB")
                continue
            x.address = UsbAddress(bus=free[0], port=free[1])
            if field == "hubs":
                ports.hub(*free, HUB_PORTS)

    # numbers

    def _registers(self) -> None:
        """Registers of virtual I/O on pseries."""
        fields = REGISTERS if self.family.name == "pseries" else REGISTERS[:3]
        devices = [(field, start, x) for field, start in fields for x in self.d.many(field) if _on_vio(field, x)]
        if not devices:
            return
        used = [x.address.reg for _field, _start, x in devices if isinstance(x.address, SpaprAddress)]
        space = assign.Registers((reg for reg in used if reg is not None), step=0x1000)
        for _field, start, x in devices:
            if x.address is None or (isinstance(x.address, SpaprAddress) and x.address.reg is None):
                x.address = SpaprAddress(reg=space.take(start))

    def _subchannels(self) -> None:
        """Subchannels of an s390 guest."""
        devices = [(field, x) for field in VIRTIO for x in self.d.many(field) if _on_ccw(field, x)]
        used: set[int] = set()
        for field, x in devices:
            at = x.address
            if isinstance(at, CcwAddress) and at.devno is not None:
                number = (0xFE if at.cssid is None else at.cssid) << 24 | (at.ssid or 0) << 16 | at.devno
                if number in used:
                    self.refuse(field, x, "another device has this subchannel")
                used.add(number)
        space = assign.Registers(number & 0xFFFFFF for number in used if number >> 24 == 0xFE)
        for _field, x in devices:
            if x.address is None or (isinstance(x.address, CcwAddress) and x.address.devno is None):
                number = space.take() or 0
                x.address = CcwAddress(cssid=0xFE, ssid=number >> 16, devno=number & 0xFFFF)

    def _mapped(self) -> None:
        """Virtio devices of machines without PCI, which have no place of their own."""
        for field in VIRTIO:
            for x in self.d.many(field):
                if x.address is not None or not _is_virtio(field, x):
                    continue
                if self.family.transport:
                    x.address = MmioAddress()
                else:
                    self.refuse(field, x, f"machine {self.machine.name} has no place for virtio devices")

    def _zones(self) -> None:
        """Numbers by which an s390 guest knows PCI devices: those that have half a pair first, then the rest."""
        devices = [(field, x) for field in slots.ORDER for x in self.d.many(field) if isinstance(x.address, PciAddress)]
        known = [(field, x) for field, x in devices if field != "controllers" or x.type != "pci"]
        uids = assign.Registers(self._given(known, "zpci_uid"), last=0xFFFF)
        fids = assign.Registers(self._given(known, "zpci_fid"))
        for _field, x in sorted(known, key=lambda one: one[1].address.zpci_uid is one[1].address.zpci_fid is None):
            at = x.address
            uid = uids.take(1) if at.zpci_uid is None else at.zpci_uid
            fid = fids.take() if at.zpci_fid is None else at.zpci_fid
            if (uid, fid) != (at.zpci_uid, at.zpci_fid):
                x.address = at.replace(zpci_uid=uid, zpci_fid=fid)

    def _given(self, devices: list[tuple[str, Any]], name: str) -> set[int]:
        """Numbers that devices have already; each is one's own."""
        found: set[int] = set()
        for field, x in devices:
            number = getattr(x.address, name)
            if number is None:
                continue
            if number in found:
                self.refuse(field, x, f"another device has {name.removeprefix('zpci_')} {number:#x}")
            elif not number and name == "zpci_uid":
                self.refuse(field, x, "uid 0 is nobody's")
            found.add(number)
        return found

    def _memory(self) -> None:
        """Slots of memory modules."""
        modules = [x for x in self.d.many("memory_devices") if x.model in {"dimm", "nvdimm"}]
        if not modules:
            return
        used = [x.address.slot for x in modules if isinstance(x.address, DimmAddress)]
        slots_ = self.d.max_memory_slots
        space = assign.Registers((n for n in used if n is not None), last=None if slots_ is None else slots_ - 1)
        for x in modules:
            if x.address is None or (isinstance(x.address, DimmAddress) and x.address.slot is None):
                number = space.take()
                if number is None:
                    self.refuse("memory_devices", x, f"all {slots_} slots of memory are in use")
                else:
                    x.address = (x.address or DimmAddress()).replace(slot=number)

    def _isa(self) -> None:
        for x in self.d.panics:
            if x.model == "isa" and isinstance(x.address, IsaAddress) and x.address.iobase is None:
                x.address = x.address.replace(iobase=0x505)


def _tag(field: str) -> str:
    return {"memory_devices": "memory", "memballoon": field, "vsock": field, "iommu": field}.get(
        field, field.rstrip("s")
    )


def _bus(field: str, x: Any) -> str:
    return str(x.bus) if field == "disks" else "scsi"


def _named(x: Any, bus: str, shape: assign.Units) -> tuple[int, ...] | None:
    """The place that the name of a disk's target stands for."""
    if bus == "nvme":
        namespace = assign.namespace(x.target or "")
        return None if namespace is None else (*namespace, 0, 0)
    index = assign.target_index(x.target or "")
    return None if index is None else shape.at(index)


def _drive(place: tuple[int, ...]) -> DriveAddress:
    controller, bus, target, unit = place
    return DriveAddress(controller=controller, bus=bus, target=target, unit=unit)


def _on_virtio_serial(x: Any) -> bool:
    return x.target is not None and x.target.type == "virtio"


def _ports(x: Any) -> int:
    """How many ports a USB controller brings; those of companions are their master's."""
    model = x.model or ""
    if model == "none" or model.startswith("ich9-uhci"):
        return 0
    if "xhci" in model or x.ports:
        return x.ports or XHCI_PORTS
    return USB_PORTS.get(model, DEFAULT_PORTS)


def _is_usb(field: str, x: Any) -> bool:
    match field:
        case "serials":
            return x.target is not None and x.target.type == "usb-serial"
        case "interfaces":
            return bool(x.model == "usb-net")
        case "sounds":
            return bool(x.model == "usb")
        case "hostdevs":
            return bool(x.type == "usb")
    return bool(x.bus == "usb")


def _on_vio(field: str, x: Any) -> bool:
    match field:
        case "interfaces":
            return bool(x.model == "spapr-vlan")
        case "controllers":
            return bool(x.type == "scsi" and x.model == "ibmvscsi")
        case "serials":
            return x.target is not None and x.target.type == "spapr-vio-serial"
        case "tpms":
            return bool(x.model != "spapr-tpm-proxy")
    return True


def _on_ccw(field: str, x: Any) -> bool:
    if isinstance(x.address, CcwAddress):
        return True
    if isinstance(x.address, PciAddress):
        return False
    if field == "hostdevs":
        return bool(x.type == "scsi_host" or (x.type == "mdev" and x.model == "vfio-ccw"))
    return _is_virtio(field, x)


def _is_virtio(field: str, x: Any) -> bool:
    return field == "cryptos" or slots.kind(field, x) == "virtio"
