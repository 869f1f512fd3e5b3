"""What devices of many kinds share: where they sit, virtio's options, the boot order, option ROMs."""

from __future__ import annotations

from typing import Any, Final, Protocol

from anyvirt.api import (
    Boot,
    CcwAddress,
    MmioAddress,
    PciAddress,
    Rom,
    SpaprAddress,
    UsbAddress,
    VirtioSerialAddress,
    meaningless,
    plain,
)

from anyvirt_qemu.planning.build import Build

SUBSYSTEMS: Final = 0xFE


class Located(Protocol):
    """A device with a name and an address."""

    @property
    def alias(self) -> str | None: ...
    @property
    def acpi_index(self) -> int | None: ...
    @property
    def address(self) -> Any: ...


class VirtioTuned(Protocol):
    """Options of virtio's driver."""

    @property
    def iommu(self) -> bool | None: ...
    @property
    def ats(self) -> bool | None: ...
    @property
    def packed(self) -> bool | None: ...
    @property
    def page_per_vq(self) -> bool | None: ...


def pci(b: Build, x: Located) -> dict[str, Any]:
    """Bus and slot of a PCI device."""
    address = x.address
    if not isinstance(address, PciAddress):
        b.problem(x, "address", "the device needs a PCI address", "leave the address out")
        _misplaced(address)
        return {}
    bus, slot, function = address.bus or 0, address.slot or 0, address.function or 0
    if address.domain:
        b.refuse(address, "domain", "the guest has one PCI domain, 0")
    _zone(b, x, address)
    place: dict[str, Any] = {
        "bus": f"{b.machine.bus}.0" if bus == 0 else pci_bus(b, bus),
        "addr": f"{slot:#x}.{function:#x}" if function else f"{slot:#x}",
    }
    if address.multifunction or (function == 0 and (bus, slot) in b.shared_slots):
        place["multifunction"] = True
    if x.acpi_index is not None:
        place["acpi-index"] = x.acpi_index
    return place


def pci_bus(b: Build, index: int) -> str:
    """Name of the bus that a controller brings."""
    name = controller_id(b, "pci", index)
    return f"{name}.0" if controller_model(b, "pci", index) == "pci-root" else name


def _zone(b: Build, x: Located, address: PciAddress) -> None:
    """The numbers by which an s390 guest knows the device."""
    uid, fid = address.zpci_uid, address.zpci_fid
    if uid is None and fid is None:
        return
    if b.caps.arch != "s390x":
        b.refuse(address, "zpci_uid", "take <zpci> out", text=f"guests of {b.caps.arch} number no PCI devices")
        meaningless(address, "zpci_fid")
    elif not uid:
        b.problem(address, "zpci_uid", "the number is missing or 0", "use 0x0001 to 0xffff, or leave it out")
    else:
        b.device(
            {
                "driver": b.has(address, "zpci_uid", "zpci"),
                "uid": uid,
                "fid": fid,
                "target": x.alias,
                "id": f"zpci{uid}",
            }
        )


def register(b: Build, x: Located) -> dict[str, Any]:
    """Register of a virtual I/O device of pseries."""
    address = x.address
    if address is None:
        return {}
    if not isinstance(address, SpaprAddress):
        b.problem(x, "address", "the device needs a spapr-vio address", "leave the address out")
        _misplaced(address)
        return {}
    return {"reg": address.reg}


def subchannel(b: Build, address: CcwAddress) -> str:
    """Number of a device of s390, as QEMU writes it."""
    cssid = 0xFE if address.cssid is None else address.cssid
    if cssid > SUBSYSTEMS:
        b.problem(address, "cssid", "there is no such channel subsystem", "write cssid='0xfe'")
    return f"{cssid:x}.{address.ssid or 0:x}.{address.devno or 0:04x}"


def _misplaced(address: object) -> None:
    """One problem is enough for an address of another kind."""
    if address is not None:
        meaningless(address)


def usb(b: Build, x: Located) -> dict[str, Any]:
    """Bus and port of a USB device."""
    address = x.address
    if not isinstance(address, UsbAddress):
        b.problem(x, "address", "the device needs a USB address", "leave the address out")
        _misplaced(address)
        return {}
    port = b.token(address, "port", address.port or "1")
    return {"bus": f"{controller_id(b, 'usb', address.bus or 0)}.0", "port": port}


def controller_id(b: Build, kind: str, index: int) -> str:
    """Id of a controller, which its user may have chosen; that of the first of several that are one."""
    for x in plain(b.domain).controllers:
        if x.type == kind and (x.index or 0) == index and x.master is None and x.alias:
            return x.alias
    if kind == "pci":
        return f"pci.{index}"
    return "usb" if kind == "usb" and not index else f"{kind}{index}"


def controller_model(b: Build, kind: str, index: int) -> str | None:
    """Model of a controller; None where there is no such controller."""
    return next((x.model for x in plain(b.domain).controllers if x.type == kind and (x.index or 0) == index), None)


def iothread(b: Build, x: object, field: str, number: int) -> str:
    """Id of an I/O thread; a problem where the definition has none of that number."""
    domain = plain(b.domain)
    named = {one.id for one in domain.iothread_ids}
    free = (n for n in range(1, (domain.iothreads or 0) + len(named) + 1) if n not in named)
    more = [next(free) for _ in range(max(domain.iothreads or 0, len(named)) - len(named))]
    if number not in named and number not in more:
        b.problem(x, field, f"there is no I/O thread {number}", "raise <iothreads>, or name another")
    return f"iothread{number}"


def virtio_serial(b: Build, x: Located) -> dict[str, Any]:
    """Controller and port of a virtio-serial device."""
    address = x.address
    if not isinstance(address, VirtioSerialAddress):
        b.problem(x, "address", "the device needs a virtio-serial address", "leave the address out")
        return {}
    if address.bus:
        b.refuse(address, "bus", "a virtio-serial controller has one bus, 0")
    return {"bus": f"{controller_id(b, 'virtio-serial', address.controller or 0)}.0", "nr": address.port or 0}


def virtio(b: Build, x: Located, name: str, model: str | None = None) -> dict[str, Any]:
    """Driver and place of a virtio device, such as ``virtio-blk``, in the variant that its model asks for."""
    suffix = (model or "virtio").removeprefix("virtio")
    if isinstance(x.address, CcwAddress | MmioAddress):
        if suffix:
            b.refuse(x, "model", "use virtio", text="only devices on PCI have an older and a newer form")
        if isinstance(x.address, MmioAddress):
            return {"driver": b.has(x, "", f"{name}-device"), "id": x.alias}
        return {"driver": b.has(x, "", f"{name}-ccw"), "devno": subchannel(b, x.address), "id": x.alias}
    driver = b.has(x, "", f"{name}-pci{suffix}")
    return {"driver": driver, **pci(b, x), "id": x.alias}


def tuned(options: VirtioTuned | None) -> dict[str, Any]:
    """Virtio's own switches; for devices that have them all."""
    if options is None:
        return {}
    return {
        "iommu_platform": options.iommu,
        "ats": options.ats,
        "packed": options.packed,
        "page-per-vq": options.page_per_vq,
    }


def bootindex(b: Build, x: Located, boot: Boot | None) -> int | None:
    """Place in the boot order, given with the device or by kind."""
    if boot is not None and boot.order is not None:
        return boot.order
    return b.boot.get(x.alias or "")


def rom(b: Build, rom: Rom | None) -> dict[str, Any]:
    """Option ROM of a PCI device."""
    if rom is None:
        return {}
    if rom.enabled is False:
        return {"romfile": ""}
    file = b.path(rom, "file", rom.file) if rom.file is not None else None
    return {"rombar": None if rom.bar is None else int(rom.bar), "romfile": file}
