"""Where devices sit on PCI: the tables of QEMU's buses and chipsets; the algorithms are core's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from anyvirt.api import Controller, ControllerTarget, ControllerType, PciAddress, assign

from anyvirt_qemu.planning.machines import Family
from anyvirt_qemu.planning.plan import Caps

# Kinds of devices: pci and pcie are end points; each controller is a kind of its own; integrated sits on the root.
END_POINTS: Final = frozenset({"pci", "pcie"})
BRIDGED: Final = frozenset({"pci", "pci-bridge"})
PORTED: Final = frozenset({"pcie", "pcie-switch-upstream-port", "pcie-to-pci-bridge"})
ROOTED: Final = frozenset({"pcie-root-port", "dmi-to-pci-bridge"})
BUSES: Final = {
    "pci-root": assign.PciKind(BRIDGED | {"pci-expander-bus", "integrated"}, END_POINTS),
    "pci-bridge": assign.PciKind(BRIDGED, END_POINTS),
    "pci-expander-bus": assign.PciKind(BRIDGED, END_POINTS, first=0),
    "pcie-root": assign.PciKind(ROOTED | {"pcie-expander-bus", "integrated"}, END_POINTS | PORTED),
    "pcie-expander-bus": assign.PciKind(ROOTED, END_POINTS, first=0),
    "dmi-to-pci-bridge": assign.PciKind(frozenset({"pci-bridge"}), END_POINTS, first=0),
    "pcie-to-pci-bridge": assign.PciKind(BRIDGED, END_POINTS),
    "pcie-root-port": assign.PciKind(PORTED, END_POINTS, first=0, last=0),
    "pcie-switch-downstream-port": assign.PciKind(PORTED, END_POINTS, first=0, last=0),
    "pcie-switch-upstream-port": assign.PciKind(frozenset({"pcie-switch-downstream-port"}), END_POINTS, first=0),
}
MOST: Final = 256  # buses of a guest
ROOTS: Final = ("pci-root", "pcie-root")
DRIVERS: Final = {
    "pci-bridge": "pci-bridge",
    "dmi-to-pci-bridge": "i82801b11-bridge",
    "pcie-to-pci-bridge": "pcie-pci-bridge",
    "pcie-root-port": "pcie-root-port",
    "pcie-switch-upstream-port": "x3130-upstream",
    "pcie-switch-downstream-port": "xio3130-downstream",
    "pci-expander-bus": "pxb",
    "pcie-expander-bus": "pxb-pcie",
}
EXPANDERS: Final = frozenset({"pci-expander-bus", "pcie-expander-bus"})
PACKED: Final = frozenset({"pcie-root-port"})
# Fields of the domain in the order in which their devices get places; controllers stand there twice.
ORDER: Final = (
    "filesystems", "interfaces", "sounds", "controllers", "disks", "hostdevs", "memballoon", "rngs", "watchdogs",
    "videos", "shmems", "inputs", "serials", "iommu", "vsock", "memory_devices", "cryptos", "panics",
)  # fmt: skip
CONVENTIONAL_USB: Final = frozenset({
    "ehci", "ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3", "vt82c686b-uhci", "piix3-uhci", "piix4-uhci",
    "pci-ohci",
})  # fmt: skip
EXPRESS_CARDS: Final = frozenset({"e1000e", "igb", "vmxnet3"})
NO_PCI_CARDS: Final = frozenset({"usb-net", "spapr-vlan", "lan9118", "smc91c111"})
USB2_SLOTS: Final = (0x1D, 0x1A)


def kind(field: str, x: Any) -> str:
    """What kind of slot a device needs: pci, pcie, virtio, integrated, a controller's model, or ``""`` for none."""
    match field:
        case "controllers":
            return _controller(x)
        case "disks":
            return _virtio(x.model) if x.bus == "virtio" else ""
        case "interfaces":
            return _card(x)
        case "videos":
            return {"virtio": "virtio", "bochs": "pcie", "none": "", "ramfb": ""}.get(x.model, "pci")
        case "sounds":
            return "" if x.model in {"sb16", "pcspk", "usb"} else "pci"
        case "inputs":
            return _virtio(x.model) if x.bus == "virtio" else ""
        case "serials":
            return "pci" if x.target is not None and x.target.type == "pci-serial" else ""
        case "watchdogs":
            return "pci" if x.model in {"i6300esb", None} else ""
        case "memballoon":
            return "" if x.model in {"none", "xen"} else _virtio(x.model)
        case "panics":
            return "integrated" if x.model == "pvpanic" else ""
        case "iommu":
            return "integrated" if x.model == "virtio" else ""
        case "memory_devices":
            return "virtio" if (x.model or "").startswith("virtio") else ""
        case "hostdevs":
            return _host(x)
        case "shmems" | "cryptos":
            return "pci"
    return _virtio(x.model)


def _virtio(model: str | None) -> str:
    return "pci" if model == "virtio-transitional" else "virtio"


def _controller(x: Any) -> str:
    match x.type:
        case "pci":
            return "" if x.model in ROOTS else x.model or ""
        case "usb":
            return "pci" if x.model is None or x.model in CONVENTIONAL_USB else "pcie" if "xhci" in x.model else ""
        case "scsi":
            if x.model in {"virtio-scsi", "virtio-transitional", "virtio-non-transitional"}:
                return _virtio(x.model)
            return "" if x.model in {None, "ncr53c90", "ibmvscsi"} else "pci"
        case "virtio-serial":
            return _virtio(x.model)
        case "sata":
            return "pci"
        case "nvme":
            return "pcie"
        case "ide":
            return "pci" if x.index else ""
    return ""


def _card(x: Any) -> str:
    if x.type == "hostdev":
        return "pcie"
    if x.model in {"virtio", "virtio-non-transitional", "virtio-transitional"}:
        return _virtio(x.model)
    if x.model in NO_PCI_CARDS:
        return ""
    return "pcie" if x.model is None or x.model in EXPRESS_CARDS else "pci"


def _host(x: Any) -> str:
    """A device of the host; nearly all there are speak PCI Express."""
    if x.mode not in {None, "subsystem"}:
        return ""
    if x.type == "mdev":
        return "pcie" if x.model == "vfio-pci" else ""
    if x.type == "scsi_host":
        return _virtio(x.model)
    return "pcie" if x.type == "pci" else ""


def is_empty(at: Any) -> bool:
    """Whether an address only says that it is on PCI."""
    return not (at.domain or at.bus or at.slot)


@dataclass(slots=True)
class Seat:
    """A device on PCI, and the kind of slot that it needs."""

    field: str
    x: Any
    kind: str

    def __str__(self) -> str:
        x = self.x
        if self.field == "controllers":
            return f"controller {x.model if x.type == 'pci' else x.type} {x.index or 0}"
        for name in ("target", "mac"):
            value = getattr(x, name, None)
            if isinstance(value, str):
                return f"{self.field.rstrip('s')} {value}"
        return self.field.rstrip("s")


class Placing:
    """Gives every device on PCI its slot, and adds the controllers that this takes.

    :param d: the definition, whose controllers have numbers and models.
    :param refuse: is told of each device that has no place, and why.
    """

    def __init__(self, d: assign.Drafts, caps: Caps, family: Family, root: str, refuse: Any) -> None:
        self.d, self.caps, self.family, self.root, self.refuse = d, caps, family, root, refuse
        modern = root == "pcie" and caps.has_device("virtio-blk-pci-non-transitional")
        self.kinds = {"virtio": "pcie" if modern else "pci", "pcie": root}
        self.space = assign.PciSpace()
        # what brings more slots of PCI: a bridge, or another root
        self.further = "pci-root" if family.root_driver else "pci-bridge"
        self.parts: dict[int, Any] = {}  # number of a USB 2 controller -> address of a part that has its place

    def place(self, spare: int) -> None:
        """Place everything; a guest whose PCI controllers are ours gets that many empty ports besides."""
        buses = [x for x in self.d.controllers if x.type == "pci"]
        ours = all(not x.index for x in buses)
        for x in buses:
            if x.model in BUSES:
                self.space.add(x.index or 0, BUSES[x.model])
        seats = self._seats(buses)
        gaps = self._gaps(seats)
        for index, model in gaps.items():
            self.space.add(index, BUSES[model])
        self._chipset()
        self._claim(seats)
        self._usual(seats)
        self.parts = {x.index: x.address for x in self.d.controllers if _is_part(x) and not _wanted(x)}
        waiting = [seat for seat in seats if seat.kind and _wanted(seat.x)]
        added = self._missing(waiting, list(gaps.values()), spare if ours else 0)
        for index, model in added.items():
            self.space.add(index, BUSES[model])
        added = dict(sorted((gaps | added).items()))
        controllers = [seat for seat in waiting if seat.field == "controllers" and seat.x.type == "pci"]
        for seat in controllers:
            self._take(seat)
        self._add(added)
        for seat in waiting[len(controllers) :]:
            self._take(seat)
        for who in self.space.firsts():
            if isinstance(who, Seat) and who.x is not None and who.x.address.multifunction is None:
                who.x.address = who.x.address.replace(multifunction=True)
        for x in buses:
            if x.model in DRIVERS:
                _describe(x, self.caps, buses)
        if self.family.root_driver:
            roots = [x for x in self.d.controllers if x.type == "pci" and x.model == "pci-root"]
            for x in sorted(roots, key=lambda x: x.index or 0):
                self._root(x, roots)

    def _root(self, x: Any, buses: list[Any]) -> None:
        """Tell one of several roots from the others: the first is the machine's, 0."""
        if x.pci_model is None:
            x.pci_model = self.family.root_driver
        if x.target is None or x.target.index is None:
            used = {y.target.index for y in buses if y.target is not None}
            free = next(number for number in range(0 if not x.index else 1, 256) if number not in used)
            x.target = (x.target or ControllerTarget()).replace(index=free)

    def _chipset(self) -> None:
        """What the chipset holds, and devices of the definition that are part of it."""
        if self.space.buses:
            for slot, function, who in self.family.built_in:
                self.space.claim(assign.Slot(0, slot, function), who)
        for x in self.d.controllers:
            place = _built_in(x, self.family)
            if place and _wanted(x):
                x.address = _at(assign.Slot(0, *place), None)

    def _seats(self, buses: list[Any]) -> list[Seat]:
        """All that needs a slot or has one, in the order in which slots are given: first what brings buses."""
        found = [("controllers", x) for x in buses]
        for field in ORDER:
            devices = self.d.many(field)
            if field == "controllers":
                devices = [x for x in devices if x.type != "pci"]
            elif field == "interfaces":
                devices = [x for x in devices if x.type != "hostdev"]
            elif field == "hostdevs":
                found += [("interfaces", x) for x in self.d.many("interfaces") if x.type == "hostdev"]
            found += [(field, x) for x in devices]
        seats = []
        for field, x in found:
            what = kind(field, x)
            if what or isinstance(x.address, PciAddress):
                seats.append(Seat(field, x, self.kinds.get(what, what)))
        return seats

    def _claim(self, seats: list[Seat]) -> None:
        for seat in seats:
            at = seat.x.address
            if not isinstance(at, PciAddress) or is_empty(at):
                continue
            slot = assign.Slot(at.bus or 0, at.slot or 0, at.function or 0, at.domain or 0)
            if None in {at.domain, at.bus, at.slot, at.function}:
                at = seat.x.address = at.replace(
                    domain=slot.domain, bus=slot.bus, slot=slot.slot, function=slot.function
                )
            try:
                self.space.claim(slot, seat, seat.kind or "pci", pack=seat.kind in PACKED)
            except assign.Clash as clash:
                self.refuse(seat.field, seat.x, str(clash))

    def _usual(self, seats: list[Seat]) -> None:
        """Places that firmware and guests expect, where they are free."""
        first = True
        for seat in seats:
            x = seat.x
            if seat.field == "videos" and first:
                first = False
                if _wanted(x):
                    self._exactly(seat, self.family.video_slot)
            elif seat.field not in {"sounds", "controllers"} or not _wanted(x):
                continue
            elif x.model in self.family.slots:
                self._exactly(seat, self.family.slots[x.model])
            elif self.family.sata and x.model == "ich9-uhci1":
                slot = next((n for n in USB2_SLOTS if self.space.free(0, n)), None)
                self._exactly(seat, slot, multifunction=True)

    def _exactly(self, seat: Seat, slot: int | None, *, multifunction: bool | None = None) -> None:
        if slot is not None and self.space.free(0, slot):
            place = assign.Slot(0, slot)
            self.space.claim(place, seat)
            _put(seat.x, place, multifunction=multifunction)

    def _gaps(self, seats: list[Seat]) -> dict[int, str]:
        """Controllers of buses that are spoken of, by an address or a higher number, and that nobody brings."""
        needed = dict.fromkeys(range(1, max(self.space.buses, default=0)), "")
        for seat in seats:
            at = seat.x.address
            if isinstance(at, PciAddress) and at.bus and not at.domain and at.bus not in self.space.buses:
                needed |= dict.fromkeys((n for n in range(1, at.bus) if n not in needed), "")
                what = "pci-bridge" if at.slot else seat.kind  # behind a port there is one slot
                needed[at.bus] = what if not needed.get(at.bus) else needed[at.bus]
        plain = self.further if self.root == "pci" else "pcie-root-port"
        bridge = self.further if self.root == "pci" or self.space.takes("pci-bridge") else "pcie-to-pci-bridge"
        return {
            number: bridge if what in BRIDGED else plain
            for number, what in sorted(needed.items())
            if number not in self.space.buses
        }

    def _missing(self, waiting: list[Seat], more: list[str], spare: int) -> dict[int, str]:
        """The PCI controllers that these devices need besides, by number.

        :param more: models of controllers that need a place of their own, too.
        """
        placed = set(self.parts)
        kinds = []
        for seat in waiting:
            if seat.field == "controllers" and _is_part(seat.x):
                if seat.x.index in placed:
                    continue
                placed.add(seat.x.index)
            kinds.append(seat.kind)
        more = [model for model in more if model not in ROOTS]
        if self.root == "pci" and not self.family.root_driver and not self.space.full():
            # Room for one more bridge is kept: a guest that is full could never grow.
            kinds.insert(0, "pci")
        kinds += more
        if not kinds:
            return {}
        if len(set(kinds)) == 1:  # what nearly all guests are: counting does
            lacking = len(kinds) - self.space.room(kinds[0])
            if lacking <= 0:
                return {}
            if kinds[0] == self.root == "pcie":
                first = 1 + max(self.space.buses)
                return dict.fromkeys(range(first, min(MOST, first + lacking + spare)), "pcie-root-port")
        trial = self.space.copy()
        added = assign.growth(trial, kinds, self._grow, pack=PACKED)
        if added and self.root == "pcie":
            added |= assign.growth(trial, ["pcie"] * spare, self._grow)
        bridges = [model for model in added.values() if model not in ROOTS]
        return dict(sorted((added | assign.growth(trial, bridges, self._grow, pack=PACKED)).items()))

    def _grow(self, space: assign.PciSpace, wanted: str) -> Iterable[tuple[int, str]]:
        """Add buses with a slot for this kind."""
        new = 1 + max(space.buses, default=0)
        if wanted in {"pcie", "pcie-switch-upstream-port", "pcie-to-pci-bridge"} and self.root == "pcie":
            models = ["pcie-root-port"]
        elif wanted not in {"pci", "pci-bridge"}:
            models = []
        elif self.root == "pci" or space.takes("pci-bridge"):
            models = [self.further]
        elif self.caps.has_device("pcie-pci-bridge"):
            models = ["pcie-root-port", "pcie-to-pci-bridge"]
        else:
            models = ["dmi-to-pci-bridge", "pci-bridge"]
        if new + len(models) > MOST:
            return []
        for place, model in enumerate(models):
            only = frozenset({models[1]}) if not place and len(models) > 1 else None
            space.add(new + place, BUSES[model], takes=only)
        return [(new + place, model) for place, model in enumerate(models)]

    def _add(self, added: dict[int, str]) -> None:
        """Give new PCI controllers their slots; then it is known which slots they share."""
        places: list[tuple[int, str, assign.Slot]] = []
        for index, model in added.items():
            if model in ROOTS:
                self.d.add("controllers", Controller(type=ControllerType.PCI, index=index, model=model))
                continue
            usual = self.family.slots.get(model)
            slot: assign.Slot | None
            if usual is not None and self.space.free(0, usual):
                slot = assign.Slot(0, usual)
                self.space.claim(slot, f"controller {model} {index}")
            else:
                slot = self.space.take(model, f"controller {model} {index}", pack=model in PACKED)
            if slot is not None:
                places.append((index, model, slot))
        for index, model, slot in places:
            shared = True if not slot.function and self.space.shared(slot.bus, slot.slot) else None
            self.d.add("controllers", _controller_at(index, model, _driver(model, self.caps), slot, shared))

    def _take(self, seat: Seat) -> None:
        if seat.field == "controllers" and _is_part(seat.x):
            self._companion(seat)
            return
        slot = self.space.take(seat.kind, seat, pack=seat.kind in PACKED)
        if slot is None:
            self.refuse(seat.field, seat.x, "there is no free PCI slot")
        else:
            _put(seat.x, slot)

    def _companion(self, seat: Seat) -> None:
        """A part of a USB 2 controller: in the slot of the other parts, at its own function."""
        x = seat.x
        function = assign.controllers.COMPANIONS[x.model][0]
        at = self.parts.get(x.index)
        slot: assign.Slot | None
        if at is None:
            slot = self.space.take(seat.kind, seat, function=function)
        else:
            slot = assign.Slot(at.bus or 0, at.slot or 0, function)
            try:
                self.space.claim(slot, seat)
            except assign.Clash:
                slot = None
        if slot is None:
            self.refuse("controllers", x, "there is no free PCI slot beside the other parts of the controller")
        else:
            _put(x, slot, multifunction=None if function else True)
            self.parts.setdefault(x.index, x.address)


@lru_cache(1024)
def _at(slot: assign.Slot, multifunction: bool | None) -> PciAddress:
    """An address; the same one for all guests that have a device there."""
    return PciAddress(domain=0, bus=slot.bus, slot=slot.slot, function=slot.function, multifunction=multifunction)


@lru_cache(1024)
def _controller_at(index: int, model: str, driver: str, slot: assign.Slot, multifunction: bool | None) -> Controller:
    """A PCI controller; the same one for all guests that have it there."""
    at = _at(slot, multifunction)
    numbers = _numbers(model, index, at)
    target = ControllerTarget(**numbers) if numbers else None
    return Controller(type=ControllerType.PCI, index=index, model=model, pci_model=driver, target=target, address=at)


def _put(x: Any, slot: assign.Slot, *, multifunction: bool | None = None) -> None:
    at = x.address
    multi = at.multifunction if at is not None and at.multifunction is not None else multifunction
    x.address = _at(slot, multi)
    if at is not None and (at.zpci_uid is not None or at.zpci_fid is not None):
        x.address = x.address.replace(zpci_uid=at.zpci_uid, zpci_fid=at.zpci_fid)


def _driver(model: str, caps: Caps) -> str:
    """What QEMU calls a PCI controller."""
    return "ioh3420" if model == "pcie-root-port" and not caps.has_device(model) else DRIVERS[model]


def _numbers(model: str, index: int, at: Any) -> dict[str, Any]:
    """Numbers that tell a PCI controller from others like it."""
    if model == "pci-bridge":
        return {"chassis_nr": index}
    if model not in {"pcie-root-port", "pcie-switch-downstream-port"}:
        return {}
    slot = at.slot or 0
    return {"chassis": index, "port": slot << 3 | (at.function or 0) if model == "pcie-root-port" else slot}


def _describe(x: Any, caps: Caps, buses: list[Any]) -> None:
    if x.pci_model is None:
        x.pci_model = _driver(x.model, caps)
    at, target = x.address, x.target
    if x.model in EXPANDERS and (target is None or target.bus_nr is None):
        # One number for the bus and one for the bridge that it brings; what is below is for the root's own bridges.
        lowest = min((y.target.bus_nr for y in buses if y.target and y.target.bus_nr is not None), default=256)
        x.target = (target or ControllerTarget()).replace(bus_nr=max(1, lowest - 2))
    elif isinstance(at, PciAddress):
        numbers = _numbers(x.model, x.index, at)
        open_ = {name: number for name, number in numbers.items() if target is None or getattr(target, name) is None}
        if open_:
            x.target = (target or ControllerTarget()).replace(**open_)


def _wanted(x: Any) -> bool:
    at = x.address
    return at is None or (isinstance(at, PciAddress) and is_empty(at))


def _is_part(x: Any) -> bool:
    """Whether a controller is a part of a USB 2 controller: all parts share a slot."""
    return x.type == "usb" and x.model in assign.controllers.COMPANIONS


def _built_in(x: Any, family: Family) -> tuple[int, int] | None:
    if x.index:
        return None
    if family.sata and x.type == "sata":
        return 31, 2
    if family.ide and x.type == "ide":
        return 1, 1
    if family.ide and x.type == "usb" and x.model in {"piix3-uhci", None}:
        return 1, 2
    return None
