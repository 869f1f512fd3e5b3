"""Controllers: what other devices hang from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from anyvirt.model.devices.device import Device
from anyvirt.model.element import Element, at
from anyvirt.model.types import Count, Hex2, OnOff, Size, Words

# SCSI, USB, PCI, IDE and virtio-serial
_MODELS: Final = (
    "auto buslogic lsilogic lsisas1068 vmpvscsi ibmvscsi virtio-scsi lsisas1078 ncr53c90 dc390 am53c974 "
    "piix3-uhci piix4-uhci ehci ich9-ehci1 ich9-uhci1 ich9-uhci2 ich9-uhci3 vt82c686b-uhci pci-ohci nec-xhci qusb1 "
    "qusb2 qemu-xhci none "
    "pci-root pcie-root pci-bridge dmi-to-pci-bridge pcie-to-pci-bridge pcie-root-port pcie-switch-upstream-port "
    "pcie-switch-downstream-port pci-expander-bus pcie-expander-bus "
    "piix3 piix4 ich6 "
    "virtio virtio-transitional virtio-non-transitional"
)
_PCI_MODELS: Final = (
    "pci-bridge i82801b11-bridge ioh3420 x3130-upstream xio3130-downstream pxb pxb-pcie pcie-root-port "
    "spapr-pci-host-bridge pcie-pci-bridge"
)
ControllerModel = Annotated[str, Words({word: word for word in _MODELS.split()})]
PciModel = Annotated[str, Words({word: word for word in _PCI_MODELS.split()})]


class ControllerType(StrEnum):
    """Kind of bus."""

    IDE = "ide"
    FDC = "fdc"
    SCSI = "scsi"
    SATA = "sata"
    VIRTIO_SERIAL = "virtio-serial"
    CCID = "ccid"
    USB = "usb"
    PCI = "pci"
    XENBUS = "xenbus"
    ISA = "isa"
    NVME = "nvme"


class ControllerDriver(Element, tag="driver"):
    """How the hypervisor serves a controller."""

    queues: Count | None = at("@queues", "Number of virtqueues", default=None)
    cmd_per_lun: Count | None = at("@cmd_per_lun", "Commands queued for a unit", default=None)
    max_sectors: Count | None = at("@max_sectors", "Sectors of a request", default=None)
    ioeventfd: OnOff | None = at("@ioeventfd", "Handle I/O outside the vCPU's thread", default=None)
    iothread: Count | None = at("@iothread", "I/O thread that serves the controller", default=None)
    iommu: OnOff | None = at("@iommu", "Send DMA through the guest's IOMMU", default=None)
    ats: OnOff | None = at("@ats", "Address translation services", default=None)
    packed: OnOff | None = at("@packed", "Packed virtqueues", default=None)
    page_per_vq: OnOff | None = at("@page_per_vq", "One notification page per queue", default=None)


class ControllerTarget(Element, tag="target"):
    """Guest side of a PCI controller."""

    chassis_nr: Count | None = at("@chassisNr", "Chassis of a bridge", default=None)
    chassis: Count | None = at("@chassis", "Chassis of a port", default=None)
    port: Hex2 | None = at("@port", "Port number", default=None)
    bus_nr: Count | None = at("@busNr", "Bus of an expander", default=None)
    index: Count | None = at("@index", "Host bridge of pseries", default=None)
    hotplug: OnOff | None = at("@hotplug", "Devices can be plugged while the guest runs", default=None)
    node: Count | None = at("node", "NUMA cell", default=None)


class Controller(Device, tag="controller"):
    """A controller."""

    type: ControllerType | None = at("@type", "Kind of bus", default=None, key=True)
    index: Count | None = at("@index", "Number among its kind", default=None, key=True)
    model: ControllerModel | None = at("@model", "Model, which belongs to one of the kinds", default=None)
    ports: Count | None = at("@ports", "Number of ports", default=None)
    vectors: Count | None = at("@vectors", "Interrupt vectors of virtio-serial", default=None)
    max_grant_frames: Count | None = at("@maxGrantFrames", "Grant frames of xenbus", default=None)
    max_event_channels: Count | None = at("@maxEventChannels", "Event channels of xenbus", default=None)
    serial: str | None = at("serial", "Serial number of NVMe; made from the guest's UUID without", default=None)
    driver: ControllerDriver | None = at("driver", "How it is served", default=None)
    pci_model: PciModel | None = at("model/@name", "Device that implements a PCI controller", default=None)
    target: ControllerTarget | None = at("target", "Guest side of a PCI controller", default=None)
    pcihole64: Size | None = at("pcihole64", "64-bit PCI window", default=None)
    master: Count | None = at("master/@startport", "First port of a USB companion", default=None)
