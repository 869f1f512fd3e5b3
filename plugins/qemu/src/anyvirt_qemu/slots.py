"""Where devices sit on PCI: the tables of QEMU's buses and chipsets; the algorithms are core's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from anyvirt.api import Controller, ControllerTarget, ControllerType, PciAddress, assign

from anyvirt_qemu.machines import Family
from anyvirt_qemu.plan import Caps

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


class Placing:
    """Gives every device on PCI its slot, and adds the controllers that this takes.

    :param d: the definition, whose controllers have numbers and models.
    :param refuse: is told of each device that has no place, and why.
    """

    def __init__(self, d: assign.Drafts, caps: Caps, family: Family, root: str, refuse: Any) -> None:
        self.d, self.caps, self.family, self.root, self.refuse = d, caps, family, root, refuse
        self.virtio = "pcie" if caps.has_device("virtio-blk-pci-non-transitional") else "pci"
        self.space = assign.PciSpace(_who)

    def place(self, spare: int) -> None:
        """Place everything; a guest whose PCI controllers are ours gets that many empty ports besides."""
        pci = [x for x in self.d.controllers if x.type == "pci"]
        ours = all(not x.index for x in pci)
        for x in pci:
            if x.model in BUSES:
                self.space.add(x.index or 0, BUSES[x.model])
        self._chipset()
        self._claim()
        self._usual()
        waiting = list(self._waiting())
        for index, model in self._missing(waiting, spare if ours else 0).items():
            x = self.d.add("controllers", Controller(type=ControllerType.PCI, index=index, model=model))
            self.space.add(index, BUSES[model])
            if not self._exactly("controllers", x, self.family.slots.get(model)):
                pci.append(x)
        for x in pci:
            if x.model not in ROOTS and _wanted(x):
                self._take("controllers", x)
        for field, x in waiting:
            if field != "controllers" or x.type != "pci":
                self._take(field, x)
        self._finish()

    def _kind(self, field: str, x: Any) -> str:
        found = kind(field, x)
        if found == "virtio":
            found = self.virtio
        return "pci" if found == "pcie" and self.root == "pci" else found

    def _chipset(self) -> None:
        """What the chipset holds, and devices of the definition that are part of it."""
        if self.d.controllers and 0 in self.space.buses:
            for slot, function, who in self.family.built_in:
                self.space.claim(assign.Slot(0, slot, function), who)
        for x in self.d.controllers:
            place = _built_in(x, self.family)
            if place and _wanted(x):
                x.address = PciAddress(domain=0, bus=0, slot=place[0], function=place[1])

    def _claim(self) -> None:
        for field in ORDER:
            for x in self.d.many(field):
                at = x.address
                if isinstance(at, PciAddress) and not is_empty(at):
                    slot = assign.Slot(at.bus or 0, at.slot or 0, at.function or 0, at.domain or 0)
                    if None in {at.domain, at.bus, at.slot, at.function}:
                        x.address = at.replace(domain=slot.domain, bus=slot.bus, slot=slot.slot, function=slot.function)
                    what = self._kind(field, x) or "pci"
                    try:
                        self.space.claim(slot, (field, x), what, pack=what in PACKED)
                    except assign.Clash as clash:
                        self.refuse(field, x, str(clash))

    def _usual(self) -> None:
        """Places that firmware and guests expect, where they are free."""
        videos = self.d.many("videos")
        if videos and kind("videos", videos[0]) and _wanted(videos[0]):
            self._exactly("videos", videos[0], self.family.video_slot)
        for x in self.d.many("sounds"):
            if x.model in self.family.slots and _wanted(x):
                self._exactly("sounds", x, self.family.slots[x.model])
        for x in self.d.controllers:
            if x.type == "pci" and x.model in self.family.slots and _wanted(x):
                self._exactly("controllers", x, self.family.slots[x.model])
            elif self.family.sata and x.type == "usb" and x.model == "ich9-uhci1" and _wanted(x):
                slot = next((n for n in USB2_SLOTS if self.space.free(0, n)), None)
                self._exactly("controllers", x, slot, multifunction=True)

    def _exactly(self, field: str, x: Any, slot: int | None, *, multifunction: bool | None = None) -> bool:
        if slot is None or not self.space.free(0, slot):
            return False
        self.space.claim(assign.Slot(0, slot), (field, x))
        self._put(x, assign.Slot(0, slot), multifunction=multifunction)
        return True

    def _waiting(self) -> Iterator[tuple[str, Any]]:
        """Devices without a place, in the order in which they get one; PCI controllers before all others."""
        for x in self.d.controllers:
            if x.type == "pci" and _wanted(x) and self._kind("controllers", x):
                yield "controllers", x
        for field in ORDER:
            for x in self.d.many(field):
                if _wanted(x) and not _is_elsewhere(field, x) and self._kind(field, x):
                    yield field, x
            if field == "disks":
                for x in self.d.many("interfaces"):
                    if x.type == "hostdev" and _wanted(x):
                        yield "interfaces", x

    def _missing(self, waiting: list[tuple[str, Any]], spare: int) -> dict[int, str]:
        """The PCI controllers that these devices need besides, by number."""
        placed = {x.index for x in self.d.controllers if _is_part(x) and not _wanted(x)}
        kinds = []
        for field, x in waiting:
            if field != "controllers" or not _is_part(x):
                kinds.append(self._kind(field, x))
            elif x.index not in placed:
                placed.add(x.index)
                kinds.append(self._kind(field, x))
        if self.root == "pci":
            # Room for one more bridge is kept: a guest that is full could never grow.
            kinds = kinds if self.space.full() else ["pci", *kinds]
            if len(kinds) <= _room(self.space):
                return {}
        trial = self.space.copy()
        added = assign.growth(trial, kinds, self._grow, pack=PACKED)
        if added and spare and self.root == "pcie":
            added |= assign.growth(trial, ["pcie"] * spare, self._grow)
        for index, model in sorted(added.items()):
            del index
            added |= assign.growth(trial, [model], self._grow, pack=PACKED)
        return dict(sorted(added.items()))

    def _grow(self, space: assign.PciSpace, wanted: str) -> Iterable[tuple[int, str]]:
        """Add buses with a slot for this kind."""
        new = 1 + max(space.buses, default=0)
        if wanted in {"pcie", "pcie-switch-upstream-port", "pcie-to-pci-bridge"} and self.root == "pcie":
            models = ["pcie-root-port"]
        elif wanted not in {"pci", "pci-bridge"}:
            models = []
        elif self.root == "pci" or space.takes("pci-bridge"):
            models = ["pci-bridge"]
        elif self.caps.has_device("pcie-pci-bridge"):
            models = ["pcie-root-port", "pcie-to-pci-bridge"]
        else:
            models = ["dmi-to-pci-bridge", "pci-bridge"]
        for place, model in enumerate(models):
            only = frozenset({models[1]}) if not place and len(models) > 1 else None
            space.add(new + place, BUSES[model], takes=only)
        return [(new + place, model) for place, model in enumerate(models)]

    def _take(self, field: str, x: Any) -> None:
        if field == "controllers" and _is_part(x):
            self._companion(x)
            return
        what = self._kind(field, x)
        slot = self.space.take(what, (field, x), pack=what in PACKED)
        if slot is None:
            self.refuse(field, x, "there is no free PCI slot")
        else:
            self._put(x, slot)

    def _companion(self, x: Any) -> None:
        """A part of a USB 2 controller: in the slot of the other parts, at its own function."""
        function = assign.controllers.COMPANIONS[x.model][0]
        for other in self.d.controllers:
            if _is_part(other) and other.index == x.index and not _wanted(other):
                slot: assign.Slot | None = assign.Slot(other.address.bus or 0, other.address.slot or 0, function)
                try:
                    self.space.claim(slot, ("controllers", x))  # type: ignore[arg-type]
                except assign.Clash as clash:
                    self.refuse("controllers", x, str(clash))
                    return
                break
        else:
            slot = self.space.take(self._kind("controllers", x), ("controllers", x), function=function)
        if slot is None:
            self.refuse("controllers", x, "there is no free PCI slot")
            return
        self._put(x, slot, multifunction=None if function else True)

    def _put(self, x: Any, slot: assign.Slot, *, multifunction: bool | None = None) -> None:
        at = x.address
        multi = at.multifunction if isinstance(at, PciAddress) and at.multifunction is not None else multifunction
        x.address = PciAddress(domain=0, bus=slot.bus, slot=slot.slot, function=slot.function, multifunction=multi)

    def _finish(self) -> None:
        """Say which slots have more than one function, and what PCI controllers are called in QEMU."""
        for field in ORDER:
            for x in self.d.many(field):
                at = x.address
                open_ = isinstance(at, PciAddress) and not at.function and at.multifunction is None
                if open_ and self.space.shared(at.bus or 0, at.slot or 0):
                    x.address = at.replace(multifunction=True)
        for x in self.d.controllers:
            if x.type == "pci" and x.model in DRIVERS:
                _describe(x, self.caps)


def _describe(x: Any, caps: Caps) -> None:
    if x.pci_model is None:
        generic = x.model != "pcie-root-port" or caps.has_device("pcie-root-port")
        x.pci_model = DRIVERS[x.model] if generic else "ioh3420"
    target, at = x.target or ControllerTarget(), x.address
    changes: dict[str, Any] = {}
    if x.model == "pci-bridge" and target.chassis_nr is None:
        changes["chassis_nr"] = x.index
    elif x.model in {"pcie-root-port", "pcie-switch-downstream-port"}:
        if target.chassis is None:
            changes["chassis"] = x.index
        if target.port is None and isinstance(at, PciAddress):
            slot, function = at.slot or 0, at.function or 0
            changes["port"] = slot << 3 | function if x.model == "pcie-root-port" else slot
    if changes:
        x.target = target.replace(**changes)


def _wanted(x: Any) -> bool:
    at = x.address
    return at is None or (isinstance(at, PciAddress) and is_empty(at))


def _is_part(x: Any) -> bool:
    """Whether a controller is a part of a USB 2 controller: all parts share a slot."""
    return x.type == "usb" and x.model in assign.controllers.COMPANIONS


def _is_elsewhere(field: str, x: Any) -> bool:
    """Whether a device gets its place at another time than others of its field."""
    return (field == "controllers" and x.type == "pci") or (field == "interfaces" and x.type == "hostdev")


def _room(space: assign.PciSpace) -> int:
    """Free slots of the root."""
    return sum(space.free(0, slot) for slot in range(1, 32))


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


def _who(who: str | tuple[str, Any]) -> str:
    if isinstance(who, str):
        return who
    field, x = who
    if field == "controllers":
        return f"controller {x.model if x.type == 'pci' else x.type} {x.index or 0}"
    for name in ("target", "mac"):
        value = getattr(x, name, None)
        if isinstance(value, str):
            return f"{field.rstrip('s')} {value}"
    return field.rstrip("s")
