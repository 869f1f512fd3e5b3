"""Controllers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from anyvirt.api import Controller, ControllerTarget, Disk, DriveAddress, PciAddress, meaningless, plain

from anyvirt_qemu.devices.common import bootindex, controller_id, iothread, pci, register, tuned, usb, virtio
from anyvirt_qemu.planning.build import Build

ROOTS: Final = ("pci-root", "pcie-root")
PCI: Final = {
    "pcie-root-port": ("pcie-root-port", "ioh3420"),
    "pcie-to-pci-bridge": ("pcie-pci-bridge",),
    "pci-bridge": ("pci-bridge",),
    "dmi-to-pci-bridge": ("i82801b11-bridge",),
    "pcie-switch-upstream-port": ("x3130-upstream",),
    "pcie-switch-downstream-port": ("xio3130-downstream",),
    "pci-expander-bus": ("pxb",),
    "pcie-expander-bus": ("pxb-pcie",),
}
SCSI: Final = {
    "lsilogic": "lsi53c895a",
    "am53c974": "am53c974",
    "dc390": "dc390",
    "lsisas1068": "mptsas1068",
    "lsisas1078": "megasas",
    "vmpvscsi": "pvscsi",
}
XHCI_PORTS: Final = 15
USB: Final = {
    "qemu-xhci": "qemu-xhci",
    "nec-xhci": "nec-usb-xhci",
    "piix3-uhci": "piix3-usb-uhci",
    "piix4-uhci": "piix4-usb-uhci",
    "ehci": "usb-ehci",
    "pci-ohci": "pci-ohci",
    "ich9-ehci1": "ich9-usb-ehci1",
    "ich9-uhci1": "ich9-usb-uhci1",
    "ich9-uhci2": "ich9-usb-uhci2",
    "ich9-uhci3": "ich9-usb-uhci3",
    "vt82c686b-uhci": "vt82c686b-usb-uhci",
}
# root of a machine -> its host bridge, and what has the switch for hotplug there
BRIDGES: Final = {"pci": "i440FX-pcihost", "pcie": "q35-pcihost"}
HOST_BRIDGE: Final = "spapr-pci-host-bridge"
X86: Final = ("x86_64", "i686")
ORDER: Final = ("usb", "scsi", "ide", "sata", "virtio-serial", "ccid", "fdc", "nvme")
KIB: Final = 1024
SERIAL: Final = re.compile(r"[A-Za-z0-9_ .+:/@-]{1,20}", re.ASCII)


def ordered(controllers: Sequence[Controller]) -> list[Controller]:
    """All controllers, each behind the PCI bus that it sits on."""
    waiting = [x for x in controllers if x.type == "pci"]
    done: list[Controller] = []
    known = {0}
    while waiting:
        ready = [not x.index or _bus(x) in known for x in waiting]
        if not any(ready):
            return [*done, *waiting, *(x for x in controllers if x.type != "pci")]  # refused later
        now = [x for x, is_ready in zip(waiting, ready, strict=True) if is_ready]
        done += now
        known.update(x.index or 0 for x in now)
        waiting = [x for x, is_ready in zip(waiting, ready, strict=True) if not is_ready]
    return done + sorted((x for x in controllers if x.type != "pci"), key=_rank)


def _rank(x: Controller) -> int:
    """Place of its kind among the others: guests see devices of one bus in the order in which QEMU makes them."""
    return ORDER.index(x.type) if x.type in ORDER else len(ORDER)


def _bus(x: Controller) -> int:
    return (x.address.bus or 0) if isinstance(x.address, PciAddress) else 0


def _built_in(b: Build, x: Controller, slot: int, function: int) -> None:
    """A controller of the chipset, which is where it is."""
    at = x.address
    if isinstance(at, PciAddress) and (at.bus or 0, at.slot or 0, at.function or 0, at.domain or 0) != (
        0,
        slot,
        function,
        0,
    ):
        b.problem(x, "address", f"this controller is at slot {slot:#x}, function {function}", "leave the address out")


def controller(b: Build, x: Controller) -> None:
    """One controller, unless it is part of the machine."""
    meaningless(x, "index")
    if x.type == "pci":
        _pci(b, x)
    elif x.type == "usb":
        _usb(b, x)
    elif x.type == "scsi":
        _scsi(b, x)
    elif x.type == "virtio-serial":
        options = virtio(b, x, "virtio-serial", x.model) | (tuned(x.driver) if x.driver else {})
        if x.driver:
            options["ioeventfd"] = x.driver.ioeventfd
        b.device(options | {"max_ports": x.ports, "vectors": x.vectors})
    elif x.type == "sata":
        _sata(b, x)
    elif x.type == "ide":
        if not b.machine.name.startswith(("pc-", "isapc")) or b.machine.bus == "pcie" or x.index:
            b.refuse(x, "", "only machine type pc has an IDE controller, 0; use sata")
        meaningless(x, "model")
        _built_in(b, x, 1, 1)
    elif x.type == "fdc":
        _fdc(b, x)
    elif x.type == "ccid":
        b.device({"driver": b.has(x, "type", "usb-ccid"), "id": x.alias, **usb(b, x)})
    elif x.type == "nvme":
        b.device({"driver": b.has(x, "type", "nvme"), **pci(b, x), "id": x.alias, "serial": _serial(b, x)})
    else:
        b.refuse(x, "type", "use pci, usb, scsi, sata, ide, fdc, ccid, nvme or virtio-serial")


def _serial(b: Build, x: Controller) -> str:
    """The serial number of an NVMe controller; the guest takes two with the same one for the same."""
    if x.serial is None:
        return f"{(b.domain.uuid or '').replace('-', '')[:16]}-{x.index or 0}"
    if not SERIAL.fullmatch(x.serial):
        b.problem(x, "serial", f"{x.serial!r} cannot be shown to a guest", "use up to 20 letters, digits and _.+:/@-")
    return x.serial


def _pci(b: Build, x: Controller) -> None:
    index = x.index or 0
    if x.model in ROOTS:
        if x.model != f"{b.machine.bus}-root":
            b.problem(x, "model", f"the machine {b.machine.name} has a {b.machine.bus}-root", "correct the model")
        if x.pci_model == HOST_BRIDGE:
            _bridge(b, x, index)
        else:
            _root(b, x)
        return
    if index == 0:
        b.problem(x, "index", "controller 0 is the root of the machine", "number it from 1")
    drivers = PCI.get(x.model or "")
    if drivers is None:
        b.refuse(x, "model", f"use {', '.join(PCI)}")
        return
    driver = x.pci_model or drivers[0]
    if driver not in drivers:
        b.refuse(x, "pci_model", f"use {' or '.join(drivers)}")
    options: dict[str, Any] = {"driver": b.has(x, "model", driver), **pci(b, x), "id": x.alias}
    target = x.target or ControllerTarget()
    if x.model in {"pcie-root-port", "pcie-switch-downstream-port"}:
        options |= {"port": target.port or 0, "chassis": index if target.chassis is None else target.chassis}
        options["hotplug"] = target.hotplug
    elif x.model == "pci-bridge":
        options["chassis_nr"] = index if target.chassis_nr is None else target.chassis_nr
    elif x.model in {"pci-expander-bus", "pcie-expander-bus"}:
        if target.bus_nr is None:
            b.problem(x, "target", "the bus has no number", "write <target busNr=.../>, from 1 to 254")
        options |= {"bus_nr": target.bus_nr, "numa_node": target.node}
    b.device(options)


def _bridge(b: Build, x: Controller, index: int) -> None:
    """One of several roots of pseries, of which the machine brings the first."""
    target = x.target or ControllerTarget()
    number = target.index or 0
    if not index:
        if number:
            b.problem(target, "index", "the machine's own bridge is 0", "leave it out")
        if target.node is not None:
            b.refuse(
                target, "node", "put the devices behind another pci-root", text="the machine's own bridge has none"
            )
        return
    if not number:
        b.problem(target, "index", "0 is the machine's own bridge", "leave it out, or number it from 1")
    driver = b.has(x, "pci_model", HOST_BRIDGE)
    b.device({"driver": driver, "index": number, "id": x.alias, "numa_node": target.node})


def _root(b: Build, x: Controller) -> None:
    """The host bridge, which is there already: its window for large regions, and hotplug on its bus."""
    if x.pcihole64 is not None:
        if b.caps.arch not in X86:
            b.refuse(x, "pcihole64", "take it out", text=f"the window of {b.machine.name} has one size")
        size = f"{x.pcihole64 // KIB}K"
        b.option("-global", f"{BRIDGES[b.machine.bus]}.pci-hole64-size={size}")
    target = x.target
    if target is not None and target.hotplug is not None:
        if b.machine.bus != "pci" or b.caps.arch not in X86:
            b.refuse(target, "hotplug", "set it at the ports", text="nothing can be plugged into a pcie-root")
        b.option("-global", f"PIIX4_PM.acpi-root-pci-hotplug={'on' if target.hotplug else 'off'}")


def _fdc(b: Build, x: Controller) -> None:
    """The floppy controller, which older machines have and newer ones get where there is a drive."""
    meaningless(x, "model")
    if b.caps.arch not in X86:
        b.refuse(x, "type", "use another bus", text=f"machine {b.machine.name} has no floppy drives")
    if x.index:
        b.refuse(x, "index", "use 0", text="a machine has one floppy controller")
    drives = [disk for disk in plain(b.domain).disks if disk.bus == "fdc"]
    places = {f"bootindex{_letter(disk)}": bootindex(b, disk, disk.boot) for disk in drives}
    if b.machine.bus == "pci":
        for key, place in places.items():
            if place is not None:
                b.option("-global", f"isa-fdc.{key}={place}")
    elif drives:
        b.device({"driver": b.has(x, "type", "isa-fdc"), **places})


def _letter(drive: Disk) -> str:
    return "B" if isinstance(drive.address, DriveAddress) and drive.address.unit else "A"


def _usb(b: Build, x: Controller) -> None:
    if x.model == "none":
        return
    driver = USB.get(x.model or "")
    if driver is None:
        b.refuse(x, "model", f"use none, {', '.join(USB)}")
        return
    options: dict[str, Any] = {"driver": b.has(x, "model", driver), **pci(b, x), "id": x.alias}
    if "xhci" in driver:
        if (x.ports or 0) > XHCI_PORTS:
            b.problem(x, "ports", f"{driver} has at most {XHCI_PORTS}", "use fewer, or a second controller")
        options |= {"p2": x.ports, "p3": x.ports}
    if x.master is not None:
        options |= {"masterbus": f"{controller_id(b, 'usb', x.index or 0)}.0", "firstport": x.master}
    b.device(options)


def _scsi(b: Build, x: Controller) -> None:
    model = x.model or ""
    if model in {"virtio-scsi", "virtio-transitional", "virtio-non-transitional"}:
        variant = "virtio" if model == "virtio-scsi" else model
        options = virtio(b, x, "virtio-scsi", variant)
        if x.driver:
            options |= {
                **tuned(x.driver),
                "num_queues": x.driver.queues,
                "cmd_per_lun": x.driver.cmd_per_lun,
                "max_sectors": x.driver.max_sectors,
                "ioeventfd": x.driver.ioeventfd,
            }
            if x.driver.iothread is not None:
                options["iothread"] = iothread(b, x.driver, "iothread", x.driver.iothread)
        b.device(options)
    elif model in SCSI:
        b.device({"driver": b.has(x, "model", SCSI[model]), **pci(b, x), "id": x.alias})
    elif model == "ibmvscsi" and b.caps.arch == "ppc64":
        b.device({"driver": b.has(x, "model", "spapr-vscsi"), "id": x.alias, **register(b, x)})
    else:
        text = "ibmvscsi is of pseries machines" if model == "ibmvscsi" else ""
        b.refuse(x, "model", f"use virtio-scsi, {', '.join(SCSI)}", text=text)


def _sata(b: Build, x: Controller) -> None:
    if b.machine.bus == "pcie" and b.caps.arch in X86 and not x.index:
        _built_in(b, x, 31, 2)
        return
    b.device({"driver": b.has(x, "type", "ich9-ahci"), **pci(b, x), "id": x.alias})
