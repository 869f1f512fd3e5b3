"""What machine types have: their chipset's devices, defaults for what a definition leaves open."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from anyvirt_qemu.planning.plan import Caps, Machine

# device of QEMU -> word in a definition, from the one that is preferred
Choice = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """What all machine types of one kind have in common.

    :param usb: controllers that a guest gets which asks for none; nothing where it gets none.
    :param usb_stored: those that guests have which others have defined, and which say nothing of it.
    :param usb_given: models of USB controllers that a definition brings without one.
    :param sata: there is a SATA controller in the chipset.
    :param ide: controllers and disks of IDE are possible.
    :param built_in: slot and function of what the chipset holds and no definition names, and what it is.
    :param video_slot: where firmware looks for the first video card; None where that is anywhere.
    :param serial: kind and model of serial ports.
    :param cards: models of network cards.
    :param panics: every guest has a panic notifier.
    :param root_driver: what QEMU calls a PCI root, where there can be several.
    :param transport: what virtio devices are on that name no place: ``pci``, ``ccw`` (subchannels of s390), ``mmio``,
        or ``""`` where there is no room for any.
    :param vga: video cards may be of those that a PC's firmware knows.
    :param gic: there is an interrupt controller of Arm.
    """

    name: str
    usb: Choice = ()
    usb_stored: Choice = ()
    usb_given: Choice = ()
    sata: bool = False
    ide: bool = False
    ps2: bool = False
    balloon: bool = True
    built_in: tuple[tuple[int, int, str], ...] = ()
    video_slot: int | None = None
    serial: tuple[str, str] = ("isa-serial", "isa-serial")
    cards: Choice = (("rtl8139", "rtl8139"), ("e1000", "e1000"), ("", "virtio"))
    videos: Choice = (("cirrus-vga", "cirrus"), ("VGA", "vga"))
    scsi: Choice = (("lsi53c895a", "lsilogic"), ("", "virtio-scsi"))
    panic: Literal["isa", "pseries", "s390"] = "isa"
    panics: bool = False
    root_driver: str = ""
    transport: Literal["pci", "ccw", "mmio", ""] = "pci"
    vga: bool = True
    gic: bool = False
    slots: dict[str, int] = field(default_factory=dict)  # devices with a usual place, by model


PIIX: Final = (("piix3-usb-uhci", "piix3-uhci"),)
XHCI: Final = (("qemu-xhci", "qemu-xhci"), ("nec-usb-xhci", "nec-xhci"))
OHCI: Final = ("pci-ohci", "pci-ohci")
EHCI: Final = ("ich9-usb-ehci1", "ich9-ehci1")

I440FX: Final = Family(
    "i440fx",
    usb=(*PIIX, ("", "")),
    usb_given=PIIX,
    ide=True,
    ps2=True,
    built_in=((1, 0, "ISA bridge"), (1, 3, "power management")),
    video_slot=2,
)
Q35: Final = Family(
    "q35",
    usb=(*XHCI, EHCI),
    usb_given=(*XHCI, EHCI),
    sata=True,
    ps2=True,
    built_in=((31, 0, "LPC bridge"), (31, 3, "SMBus")),
    video_slot=1,
    slots={"ich9": 0x1B, "dmi-to-pci-bridge": 0x1E},
)
ISAPC: Final = Family(
    "isapc", transport="", balloon=False, ide=True, ps2=True, videos=(("cirrus-vga", "cirrus"), ("isa-vga", "vga"))
)
MICROVM: Final = Family(
    "microvm", transport="mmio", cards=(("", "virtio"),), videos=(("", "virtio"),), scsi=(("", "virtio-scsi"),)
)
VIRT: Final = Family(
    "virt",
    usb_given=XHCI,
    balloon=False,
    serial=("system-serial", "pl011"),
    cards=(("", "virtio"),),
    videos=(("", "virtio"),),
    scsi=(("", "virtio-scsi"),),
    vga=False,
    gic=True,
)
RISCV: Final = Family(
    "riscv-virt",
    usb_given=XHCI,
    serial=("system-serial", "16550a"),
    cards=(("", "virtio"),),
    videos=(("", "virtio"),),
    scsi=(("", "virtio-scsi"),),
    vga=False,
)
PSERIES: Final = Family(
    "pseries",
    usb=(*XHCI, OHCI),
    usb_stored=(OHCI,),
    usb_given=(*XHCI, OHCI),
    serial=("spapr-vio-serial", "spapr-vty"),
    videos=(("", "vga"),),
    scsi=(("", "ibmvscsi"),),
    panic="pseries",
    panics=True,
    root_driver="spapr-pci-host-bridge",
)
CCW: Final = Family(
    "s390-ccw",
    usb_given=(("", "none"),),
    serial=("sclp-serial", "sclpconsole"),
    cards=(("", "virtio"),),
    videos=(("", "virtio"),),
    scsi=(("", "virtio-scsi"),),
    panic="s390",
    panics=True,
    transport="ccw",
    vga=False,
)
OTHER: Final = Family("", transport="mmio", serial=("system-serial", ""), cards=(("", "virtio"),))
GIC2_CPUS: Final = 8  # CPUs that version 2 of Arm's interrupt controller can have
# CPU models of 32 bits that QEMU chooses for machines of both widths -> one that runs guests of 64 bits
WIDER: Final = {"cortex-a15": "cortex-a57"}
# families of machine types that are called virt
VIRTS: Final = {
    "aarch64": VIRT, "armv7l": VIRT, "armv6l": VIRT, "riscv32": RISCV, "riscv64": RISCV, "loongarch64": RISCV,
}  # fmt: skip
NAMES: Final = (
    (re.compile(r"(pc-)?q35(-.*)?"), Q35),
    (re.compile(r"isapc"), ISAPC),
    (re.compile(r"microvm"), MICROVM),
    (re.compile(r"pc(-i440fx-.*|-[01]\..*)?|rhel6\..*"), I440FX),
    (re.compile(r"pseries(-.*)?"), PSERIES),
    (re.compile(r"s390-ccw(-.*)?"), CCW),
)


def family(machine: Machine, arch: str) -> Family:
    """The family of a machine type; ``OTHER`` where it has none."""
    for pattern, found in NAMES:
        if pattern.fullmatch(machine.name):
            return found
    if machine.name.startswith("virt") and arch in VIRTS:
        return VIRTS[arch]
    return I440FX if machine.bus == "pci" else Q35 if machine.bus == "pcie" else OTHER


def chosen(choice: Choice, caps: Caps) -> str | None:
    """The first that this QEMU has; ``""`` in place of a device stands for one that need not be there."""
    return next((word for device, word in choice if not device or caps.has_device(device)), None)
