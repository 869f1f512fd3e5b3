"""Controllers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from anyvirt.api import Controller, ControllerTarget, PciAddress, meaningless

from anyvirt_qemu.build import Build
from anyvirt_qemu.devices.common import pci, tuned, usb_id, virtio

ROOTS: Final = ("pci-root", "pcie-root")
PCI: Final = {
    "pcie-root-port": ("pcie-root-port", "ioh3420"),
    "pcie-to-pci-bridge": ("pcie-pci-bridge",),
    "pci-bridge": ("pci-bridge",),
    "dmi-to-pci-bridge": ("i82801b11-bridge",),
    "pcie-switch-upstream-port": ("x3130-upstream",),
    "pcie-switch-downstream-port": ("xio3130-downstream",),
}
SCSI: Final = {
    "lsilogic": "lsi53c895a",
    "am53c974": "am53c974",
    "dc390": "dc390",
    "lsisas1068": "mptsas1068",
    "lsisas1078": "megasas",
    "vmpvscsi": "pvscsi",
}
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
}
XHCI_PORTS: Final = 15


def ordered(controllers: Sequence[Controller]) -> list[Controller]:
    """All controllers, each behind the PCI bus that it sits on."""
    waiting = [x for x in controllers if x.type == "pci"]
    done: list[Controller] = []
    known = {0}
    while waiting:
        ready = [not x.index or _bus(x) in known for x in waiting]
        if not any(ready):
            return [*done, *waiting, *(x for x in controllers if x.type != "pci")]
        now = [x for x, is_ready in zip(waiting, ready, strict=True) if is_ready]
        done += now
        known.update(x.index or 0 for x in now)
        waiting = [x for x, is_ready in zip(waiting, ready, strict=True) if not is_ready]
    return done + [x for x in controllers if x.type != "pci"]


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
        if b.machine.bus != "pci" or x.index:
            b.refuse(x, "", "only machine type pc has an IDE controller, 0; use sata")
        meaningless(x, "model")
        _built_in(b, x, 1, 1)
    else:
        b.refuse(x, "type", "use pci, usb, scsi, sata, ide or virtio-serial")


def _pci(b: Build, x: Controller) -> None:
    index = x.index or 0
    if x.model in ROOTS:
        if x.model != f"{b.machine.bus}-root":
            b.problem(x, "model", f"the machine {b.machine.name} has a {b.machine.bus}-root", "correct the model")
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
    b.device(options)


def _usb(b: Build, x: Controller) -> None:
    if x.model == "none":
        return
    driver = USB.get(x.model or "")
    if driver is None:
        b.refuse(x, "model", f"use none, {', '.join(USB)}")
        return
    options: dict[str, Any] = {"driver": b.has(x, "model", driver), **pci(b, x), "id": x.alias}
    if "xhci" in driver:
        ports = XHCI_PORTS if x.ports is None else x.ports
        options |= {"p2": ports, "p3": ports}
    if x.master is not None:
        options |= {"masterbus": f"{usb_id(x.index or 0)}.0", "firstport": x.master}
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
        b.device(options)
    elif model in SCSI:
        b.device({"driver": b.has(x, "model", SCSI[model]), **pci(b, x), "id": x.alias})
    else:
        b.refuse(x, "model", f"use virtio-scsi, {', '.join(SCSI)}")


def _sata(b: Build, x: Controller) -> None:
    if b.machine.bus == "pcie" and not x.index:
        _built_in(b, x, 31, 2)
        return
    b.device({"driver": b.has(x, "type", "ich9-ahci"), **pci(b, x), "id": x.alias})
