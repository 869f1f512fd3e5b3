"""Devices of the host; libvirt's formatnode."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.address import HostPci
from anyvirt.model.element import Element, Many, at
from anyvirt.model.host_interface import LinkState
from anyvirt.model.types import (
    UUID,
    Bit,
    Count,
    Hex2,
    Hex4,
    Hexadecimal,
    Integer,
    Mac,
    Pattern,
    PlainBytes,
    Unsigned,
    Wwn,
)

ClassCode = Annotated[int, Hexadecimal(6, 0xFFFFFF)]
Subsystem = Annotated[int, Hexadecimal(1, 0xFE)]
SubchannelSet = Annotated[int, Hexadecimal(1, 3)]
ApDomain = Annotated[int, Hexadecimal(4, 0xFF)]
NumaNode = Annotated[int, Integer(-1, 2**31 - 1)]
Transfers = Annotated[str, Pattern("number of GT/s", r"[0-9]+(\.[0-9]+)?", "2.5", "16")]
VpdText = Annotated[str, Pattern("VPD text", r"[ -_a-z]{0,65535}", "42", "Vendor:A, rev=1.0")]
VpdIndex = Annotated[str, Pattern("VPD index", r"[0-9A-Z]", "0", "Z")]


class IommuGroup(Element, tag="iommuGroup"):
    """Devices that the IOMMU cannot tell apart."""

    number: Count | None = at("@number", "Number of the group", default=None)
    addresses: Many[HostPci] = at("address", "PCI functions in the group", default=())


class DeviceId(Element):
    """A number that stands for a vendor or a product, with its name."""

    id: Hex4 | None = at("@id", "Number", default=None)
    name: str | None = at(".", "Name", default=None)


class PciLink(Element, tag="link"):
    """A link of PCI Express."""

    validity: Literal["cap", "sta"] | None = at("@validity", "What it can do, or does now", default=None, key=True)
    port: Count | None = at("@port", "Port that the device is in", default=None)
    speed: Transfers | None = at("@speed", "Speed in GT/s", default=None)
    width: Count | None = at("@width", "Number of lanes", default=None)


class MdevType(Element, tag="type"):
    """A kind of mediated device that a device can make."""

    id: str | None = at("@id", "Identifier of the vendor, such as i915-GVTg_V5_8", default=None, key=True)
    name: str | None = at("name", "Name", default=None)
    device_api: Literal["vfio-pci", "vfio-ccw", "vfio-ap", "vfio-platform", "vfio-amba"] | None = at(
        "deviceAPI", "How a guest sees it", default=None
    )
    available_instances: Count | None = at("availableInstances", "How many can still be made", default=None)


class MdevTypes(Element, tag="capability", when=("type", "mdev_types")):
    """The device can make mediated devices."""

    types: Many[MdevType] = at("type", "Kinds of them", default=())


class PhysFunction(Element, tag="capability", when=("type", "phys_function")):
    """The device is a virtual function."""

    address: HostPci | None = at("address", "Its physical function", default=None)


class VirtFunctions(Element, tag="capability", when=("type", "virt_functions")):
    """The device has virtual functions."""

    max_count: Count | None = at("@maxCount", "How many it can have", default=None)
    addresses: Many[HostPci] = at("address", "Those that it has", default=())


class PciBridge(Element, tag="capability", when=("type", "pci-bridge")):
    """The device is a PCI bridge."""


class CardbusBridge(Element, tag="capability", when=("type", "cardbus-bridge")):
    """The device is a CardBus bridge."""


class VendorField(Element, tag="vendor_field"):
    """A field of which the vendor knows the meaning."""

    index: VpdIndex | None = at("@index", "Letter or digit", default=None, key=True)
    value: VpdText | None = at(".", "Text", default=None)


class SystemField(Element, tag="system_field"):
    """A field that the system fills."""

    index: VpdIndex | None = at("@index", "Letter or digit", default=None, key=True)
    value: VpdText | None = at(".", "Text", default=None)


class VpdReadonly(Element, tag="fields", when=("access", "readonly")):
    """Vital product data that the vendor wrote."""

    change_level: VpdText | None = at("change_level", "Engineering change level", default=None)
    manufacture_id: VpdText | None = at("manufacture_id", "Addition to the vendor", default=None)
    part_number: VpdText | None = at("part_number", "Part number", default=None)
    serial_number: VpdText | None = at("serial_number", "Serial number", default=None)
    vendor_fields: Many[VendorField] = at("vendor_field", "Fields of the vendor", default=())


class VpdReadwrite(Element, tag="fields", when=("access", "readwrite")):
    """Vital product data that the owner wrote."""

    asset_tag: VpdText | None = at("asset_tag", "Identifier of the owner", default=None)
    vendor_fields: Many[VendorField] = at("vendor_field", "Fields of the vendor", default=())
    system_fields: Many[SystemField] = at("system_field", "Fields of the system", default=())


class Vpd(Element, tag="capability", when=("type", "vpd")):
    """The device has vital product data."""

    name: VpdText | None = at("name", "Name of the device", default=None)
    fields: Many[VpdReadonly | VpdReadwrite] = at("fields", "The data", default=())


class SystemCapability(Element, tag="capability", when=("type", "system")):
    """The host itself."""

    product: str | None = at("product", "Name of the product", default=None)
    hardware_vendor: str | None = at("hardware/vendor", "Who built it", default=None)
    hardware_version: str | None = at("hardware/version", "Version", default=None)
    hardware_serial: str | None = at("hardware/serial", "Serial number", default=None)
    hardware_uuid: UUID | None = at("hardware/uuid", "UUID", default=None)
    firmware_vendor: str | None = at("firmware/vendor", "Who wrote the firmware", default=None)
    firmware_version: str | None = at("firmware/version", "Version of the firmware", default=None)
    firmware_release_date: str | None = at("firmware/release_date", "Its date, month first", default=None)


class PciCapability(Element, tag="capability", when=("type", "pci")):
    """A function on the PCI bus."""

    class_code: ClassCode | None = at("class", "Class, subclass and programming interface", default=None)
    domain: Unsigned | None = at("domain", "PCI domain", default=None)
    bus: Unsigned | None = at("bus", "Bus", default=None)
    slot: Unsigned | None = at("slot", "Slot", default=None)
    function: Unsigned | None = at("function", "Function", default=None)
    product: DeviceId | None = at("product", "Product", default=None)
    vendor: DeviceId | None = at("vendor", "Vendor", default=None)
    capabilities: Many[PhysFunction | VirtFunctions | PciBridge | CardbusBridge | MdevTypes | Vpd] = at(
        "capability", "What it can do", default=()
    )
    iommu_group: IommuGroup | None = at("iommuGroup", "Devices that go to a guest together", default=None)
    numa_node: NumaNode | None = at("numa/@node", "NUMA node that it is near", default=None)
    links: Many[PciLink] = at("pci-express/link", "Links of PCI Express", default=())


class UsbDeviceCapability(Element, tag="capability", when=("type", "usb_device")):
    """A device on the USB bus."""

    bus: Unsigned | None = at("bus", "Bus", default=None)
    device: Unsigned | None = at("device", "Number on the bus", default=None)
    product: DeviceId | None = at("product", "Product", default=None)
    vendor: DeviceId | None = at("vendor", "Vendor", default=None)


class UsbCapability(Element, tag="capability", when=("type", "usb")):
    """An interface of a USB device."""

    number: Unsigned | None = at("number", "Number of the interface", default=None)
    class_code: Unsigned | None = at("class", "Class", default=None)
    subclass: Unsigned | None = at("subclass", "Subclass", default=None)
    protocol: Unsigned | None = at("protocol", "Protocol", default=None)
    description: str | None = at("description", "Description", default=None)


class NetFeature(Element, tag="feature"):
    """Work that a network card does for the CPU."""

    name: (
        Literal[
            "rx", "tx", "sg", "tso", "ufo", "gso", "gro", "lro", "rxvlan", "txvlan", "ntuple", "rxhash", "rdma",
            "txudptnl", "switchdev",
        ]
        | None
    ) = at("@name", "Name, as ethtool has it", default=None, key=True)  # fmt: skip


class Ieee80203(Element, tag="capability", when=("type", "80203")):
    """The interface speaks Ethernet."""


class Ieee80211(Element, tag="capability", when=("type", "80211")):
    """The interface speaks wireless LAN."""


class NetCapability(Element, tag="capability", when=("type", "net")):
    """A network interface."""

    interface: str | None = at("interface", "Name, such as eth0", default=None)
    address: Mac | None = at("address", "MAC address", default=None)
    link_state: LinkState | None = at("link/@state", "State of the link", default=None)
    link_speed: Count | None = at("link/@speed", "Mbit a second", default=None)
    features: Many[NetFeature] = at("feature", "Work that it does for the CPU", default=())
    capabilities: Many[Ieee80203 | Ieee80211] = at("capability", "Protocols", default=())


class FcHost(Element, tag="capability", when=("type", "fc_host")):
    """The adapter is on a Fibre Channel fabric."""

    wwnn: Wwn | None = at("wwnn", "Node name", default=None)
    wwpn: Wwn | None = at("wwpn", "Port name", default=None)
    fabric_wwn: Wwn | None = at("fabric_wwn", "Name of the fabric", default=None)


class VportOps(Element, tag="capability", when=("type", "vport_ops")):
    """The adapter can have virtual adapters."""

    max_vports: Count | None = at("max_vports", "How many it can have", default=None)
    vports: Count | None = at("vports", "How many it has", default=None)


class ScsiHostCapability(Element, tag="capability", when=("type", "scsi_host")):
    """A SCSI adapter."""

    host: Unsigned | None = at("host", "Number", default=None)
    unique_id: Count | None = at("unique_id", "Number among adapters of one parent", default=None)
    capabilities: Many[FcHost | VportOps] = at("capability", "What it can do", default=())


class FcRemotePort(Element, tag="capability", when=("type", "fc_remote_port")):
    """The target is behind a port of a Fibre Channel fabric."""

    rport: str | None = at("rport", "Name of the port", default=None)
    wwpn: Wwn | None = at("wwpn", "World wide name of the port", default=None)


class ScsiTargetCapability(Element, tag="capability", when=("type", "scsi_target")):
    """A SCSI target."""

    target: str | None = at("target", "Name, such as target0:0:0", default=None)
    capabilities: Many[FcRemotePort] = at("capability", "How it is reached", default=())


class ScsiCapability(Element, tag="capability", when=("type", "scsi")):
    """A SCSI device."""

    host: Unsigned | None = at("host", "Adapter", default=None)
    bus: Unsigned | None = at("bus", "Bus of the adapter", default=None)
    target: Unsigned | None = at("target", "Target on the bus", default=None)
    lun: Unsigned | None = at("lun", "Unit of the target", default=None)
    type: str | None = at("type", "Kind, such as disk", default=None)


class ScsiGenericCapability(Element, tag="capability", when=("type", "scsi_generic")):
    """A character device that takes SCSI commands."""

    char: str | None = at("char", "Path of the device", default=None)


class Removable(Element, tag="capability", when=("type", "removable")):
    """The medium can be taken out."""

    media_available: Bit | None = at("media_available", "There is one", default=None)
    media_size: PlainBytes | None = at("media_size", "Bytes of the medium", default=None)
    media_label: str | None = at("media_label", "Label of the medium", default=None)
    logical_block_size: PlainBytes | None = at("logical_block_size", "Bytes of a block", default=None)
    num_blocks: Unsigned | None = at("num_blocks", "Number of blocks", default=None)


class Hotpluggable(Element, tag="capability", when=("type", "hotpluggable")):
    """The device can be taken out."""


class StorageCapability(Element, tag="capability", when=("type", "storage")):
    """A device that keeps data."""

    block: str | None = at("block", "Path of the block device", default=None)
    bus: str | None = at("bus", "Bus that it is on, such as scsi", default=None)
    drive_type: str | None = at("drive_type", "Kind of drive, such as disk or cdrom", default=None)
    model: str | None = at("model", "Model", default=None)
    vendor: str | None = at("vendor", "Vendor", default=None)
    serial: str | None = at("serial", "Serial number", default=None)
    size: PlainBytes | None = at("size", "Bytes of a drive whose medium cannot be taken out", default=None)
    logical_block_size: PlainBytes | None = at("logical_block_size", "Bytes of a block", default=None)
    num_blocks: Unsigned | None = at("num_blocks", "Number of blocks", default=None)
    capabilities: Many[Removable | Hotpluggable] = at("capability", "What can be taken out", default=())


class DrmCapability(Element, tag="capability", when=("type", "drm")):
    """A device of the direct rendering manager."""

    type: Literal["primary", "control", "render"] | None = at("type", "What it is for", default=None)


class MdevAttribute(Element, tag="attr"):
    """A setting of a mediated device, written in the order given."""

    name: str | None = at("@name", "Name", default=None)
    value: str | None = at("@value", "Value", default=None)


class MdevCapability(Element, tag="capability", when=("type", "mdev")):
    """A mediated device."""

    type: str | None = at("type/@id", "Kind of it", default=None)
    uuid: UUID | None = at("uuid", "UUID", default=None)
    parent_addr: str | None = at("parent_addr", "Address of the device that made it", default=None)
    iommu_group: IommuGroup | None = at("iommuGroup", "Its group, live only", default=None)
    attributes: Many[MdevAttribute] = at("attr", "Settings", default=())


class CcwCapability(Element, tag="capability", when=("type", "ccw")):
    """A device on an s390 channel."""

    cssid: Subsystem | None = at("cssid", "Channel subsystem", default=None)
    ssid: SubchannelSet | None = at("ssid", "Subchannel set", default=None)
    devno: Hex4 | None = at("devno", "Device number", default=None)


class ChannelAddress(Element, tag="channel_dev_addr"):
    """The device that a subchannel leads to."""

    cssid: Subsystem | None = at("cssid", "Channel subsystem", default=None)
    ssid: SubchannelSet | None = at("ssid", "Subchannel set", default=None)
    devno: Hex4 | None = at("devno", "Device number", default=None)


class CssCapability(Element, tag="capability", when=("type", "css")):
    """A subchannel of s390."""

    cssid: Subsystem | None = at("cssid", "Channel subsystem", default=None)
    ssid: SubchannelSet | None = at("ssid", "Subchannel set", default=None)
    devno: Hex4 | None = at("devno", "Number of the subchannel", default=None)
    channel_dev_addr: ChannelAddress | None = at("channel_dev_addr", "The device that it leads to", default=None)
    capabilities: Many[MdevTypes] = at("capability", "What it can do", default=())


class VdpaCapability(Element, tag="capability", when=("type", "vdpa")):
    """A network device with a virtio data path of its own."""

    chardev: str | None = at("chardev", "Path of the character device", default=None)


class ApCardCapability(Element, tag="capability", when=("type", "ap_card")):
    """A crypto card of s390."""

    ap_adapter: Hex2 | None = at("ap-adapter", "Number of the card", default=None)


class ApQueueCapability(Element, tag="capability", when=("type", "ap_queue")):
    """A queue of a crypto card of s390."""

    ap_adapter: Hex2 | None = at("ap-adapter", "Number of the card", default=None)
    ap_domain: ApDomain | None = at("ap-domain", "Domain", default=None)


class ApMatrixCapability(Element, tag="capability", when=("type", "ap_matrix")):
    """All crypto cards of an s390 host."""

    capabilities: Many[MdevTypes] = at("capability", "What it can do", default=())


class DevNode(Element, tag="devnode"):
    """A path of a device below /dev."""

    type: Literal["dev", "link"] | None = at("@type", "The device itself or a link to it", default=None)
    path: str | None = at(".", "The path", default=None, key=True)


class NodeDevice(Element, tag="device"):
    """A device of the host."""

    name: str | None = at("name", "Name, unique on the host", default=None, key=True)
    path: str | None = at("path", "Place in sysfs", default=None)
    devnodes: Many[DevNode] = at("devnode", "Paths below /dev", default=())
    parent: str | None = at("parent", "Device that it hangs from", default=None)
    parent_wwnn: Wwn | None = at("parent/@wwnn", "Node name of a parent to be found by it", default=None)
    parent_wwpn: Wwn | None = at("parent/@wwpn", "Port name of a parent to be found by it", default=None)
    parent_fabric_wwn: Wwn | None = at("parent/@fabric_wwn", "Fabric of a parent to be found by it", default=None)
    driver: str | None = at("driver/name", "Kernel module that drives it", default=None)
    capabilities: Many[
        SystemCapability
        | PciCapability
        | UsbDeviceCapability
        | UsbCapability
        | NetCapability
        | ScsiHostCapability
        | ScsiTargetCapability
        | ScsiCapability
        | ScsiGenericCapability
        | StorageCapability
        | DrmCapability
        | MdevCapability
        | CcwCapability
        | CssCapability
        | VdpaCapability
        | ApCardCapability
        | ApQueueCapability
        | ApMatrixCapability
    ] = at("capability", "What it is", default=())
