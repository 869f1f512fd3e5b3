"""Network interfaces."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.address import HostAddress
from anyvirt.model.devices.device import Boot, Device, Rom, Teaming
from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import (
    UUID,
    Count,
    Hex4,
    Hostname,
    Integer,
    IpAddress,
    IpPrefix,
    Mac,
    Number,
    OnOff,
    TcpPort,
    Unsigned,
    Word,
    YesNo,
)

VlanNumber = Annotated[int, Integer(0, 4095)]


class InterfaceType(StrEnum):
    """What an interface is connected to."""

    NETWORK = "network"
    BRIDGE = "bridge"
    ETHERNET = "ethernet"
    USER = "user"
    DIRECT = "direct"
    HOSTDEV = "hostdev"
    VHOSTUSER = "vhostuser"
    INTERNAL = "internal"
    VDPA = "vdpa"
    NULL = "null"
    VDS = "vds"
    SERVER = "server"
    CLIENT = "client"
    MCAST = "mcast"
    UDP = "udp"


class Ip(Element, tag="ip"):
    """An IP address of an interface."""

    address: IpAddress | None = at("@address", "Address", default=None, key=True)
    family: Literal["ipv4", "ipv6"] | None = at("@family", "Family", default=None)
    prefix: IpPrefix | None = at("@prefix", "Bits of the network", default=None)
    peer: IpAddress | None = at("@peer", "Address of the other end", default=None)


class Route(Element, tag="route"):
    """A route through an interface."""

    family: Literal["ipv4", "ipv6"] | None = at("@family", "Family", default=None)
    address: IpAddress | None = at("@address", "Network", default=None, key=True)
    netmask: IpAddress | None = at("@netmask", "Mask of the network", default=None)
    prefix: IpPrefix | None = at("@prefix", "Bits of the network", default=None, key=True)
    gateway: IpAddress | None = at("@gateway", "Next hop", default=None)
    metric: Count | None = at("@metric", "Preference; lower is better", default=None)


class InterfaceSource(Element, tag="source"):
    """Host side of an interface; which fields count depends on its ``type``."""

    network: str | None = at("@network", "Virtual network", default=None)
    portgroup: str | None = at("@portgroup", "Port group of the network", default=None)
    portid: str | None = at("@portid", "Port of the network, live only, or of a distributed switch", default=None)
    bridge: str | None = at("@bridge", "Host bridge", default=None)
    dev: str | None = at("@dev", "Host interface (direct, user) or device (vdpa)", default=None)
    mode: Literal["vepa", "bridge", "private", "passthrough", "client", "server"] | None = at(
        "@mode", "Mode of a macvtap, or end of a vhost-user socket", default=None
    )
    name: str | None = at("@name", "Internal network", default=None)
    type: Literal["unix"] | None = at("@type", "Kind of a vhost-user socket", default=None)
    path: str | None = at("@path", "Path of a vhost-user socket", default=None)
    address: Hostname | None = at("@address", "Address of a socket connection", default=None)
    port: TcpPort | None = at("@port", "Port of a socket connection", default=None)
    switchid: UUID | None = at("@switchid", "Distributed switch", default=None)
    portgroupid: Word | None = at("@portgroupid", "Port group of the switch", default=None)
    connectionid: Count | None = at("@connectionid", "Connection of the switch", default=None)
    mac_table_manager: Literal["kernel", "libvirt"] | None = at(
        "@macTableManager", "Who keeps the bridge's table, live only", default=None
    )
    missing: YesNo | None = at("@missing", "The host's USB device was not there at start, live only", default=None)
    vendor: Hex4 | None = at("vendor/@id", "Vendor number of the host's USB device", default=None)
    product: Hex4 | None = at("product/@id", "Product number of the host's USB device", default=None)
    device_address: HostAddress | None = at("address", "Host device of a hostdev interface", default=None)
    local_address: Hostname | None = at("local/@address", "Own address of a udp interface", default=None)
    local_port: TcpPort | None = at("local/@port", "Own port of a udp interface", default=None)
    reconnect: YesNo | None = at("reconnect/@enabled", "Connect again when the peer went away", default=None)
    reconnect_timeout: Count | None = at("reconnect/@timeout", "Seconds between attempts", default=None)
    ips: Many[Ip] = at("ip", "Addresses of the host's end", default=())
    routes: Many[Route] = at("route", "Routes on the host", default=())


class Offloads(Element):
    """Offloads of one end of a virtio interface."""

    csum: OnOff | None = at("@csum", "Checksums", default=None)
    gso: OnOff | None = at("@gso", "Generic segmentation, host only", default=None)
    tso4: OnOff | None = at("@tso4", "TCP segmentation over IPv4", default=None)
    tso6: OnOff | None = at("@tso6", "TCP segmentation over IPv6", default=None)
    ecn: OnOff | None = at("@ecn", "TCP segmentation with ECN", default=None)
    ufo: OnOff | None = at("@ufo", "UDP fragmentation", default=None)
    mrg_rxbuf: OnOff | None = at("@mrg_rxbuf", "Merged receive buffers, host only", default=None)


class InterfaceDriver(Element, tag="driver"):
    """How the hypervisor moves packets."""

    name: Literal["kvm", "vfio", "xen", "qemu", "vhost"] | None = at("@name", "Back end", default=None)
    txmode: Literal["iothread", "timer"] | None = at("@txmode", "When packets are sent", default=None)
    ioeventfd: OnOff | None = at("@ioeventfd", "Handle I/O outside the vCPU's thread", default=None)
    event_idx: OnOff | None = at("@event_idx", "Fewer interrupts and exits", default=None)
    queues: Count | None = at("@queues", "Number of queue pairs", default=None)
    rx_queue_size: Count | None = at("@rx_queue_size", "Entries of a receive queue", default=None)
    tx_queue_size: Count | None = at("@tx_queue_size", "Entries of a transmit queue", default=None)
    rss: OnOff | None = at("@rss", "Receive side scaling", default=None)
    rss_hash_report: OnOff | None = at("@rss_hash_report", "Tell the guest the packet's hash", default=None)
    iommu: OnOff | None = at("@iommu", "Send DMA through the guest's IOMMU", default=None)
    ats: OnOff | None = at("@ats", "Address translation services", default=None)
    packed: OnOff | None = at("@packed", "Packed virtqueues", default=None)
    page_per_vq: OnOff | None = at("@page_per_vq", "One notification page per queue", default=None)
    host: Offloads | None = at("host", "Offloads of the host's end", default=None)
    guest: Offloads | None = at("guest", "Offloads of the guest's end", default=None)


class VirtualPort(Element, tag="virtualport"):
    """Port of a switch that needs to be told who connects."""

    type: Literal["802.1Qbg", "802.1Qbh", "openvswitch", "midonet"] | None = at("@type", "Kind of switch", default=None)
    managerid: Number | None = at("parameters/@managerid", "VSI manager", default=None)
    typeid: Number | None = at("parameters/@typeid", "VSI type", default=None)
    typeidversion: Number | None = at("parameters/@typeidversion", "Version of the VSI type", default=None)
    instanceid: UUID | None = at("parameters/@instanceid", "VSI instance", default=None)
    profileid: str | None = at("parameters/@profileid", "Port profile", default=None)
    interfaceid: UUID | None = at("parameters/@interfaceid", "Open vSwitch or Midonet interface", default=None)


class VlanTag(Element, tag="tag"):
    """A VLAN."""

    id: VlanNumber | None = at("@id", "Number, 0 to 4095", default=None, key=True)
    native_mode: Literal["tagged", "untagged"] | None = at("@nativeMode", "Native VLAN of a trunk", default=None)


class Vlan(Element, tag="vlan"):
    """VLANs of a port."""

    trunk: YesNo | None = at("@trunk", "Several VLANs pass", default=None)
    tags: Many[VlanTag] = at("tag", "The VLANs", default=())


class Rate(Element):
    """A limit of traffic in one direction."""

    average: Unsigned | None = at("@average", "KiB a second in the long run", default=None)
    peak: Unsigned | None = at("@peak", "KiB a second at most", default=None)
    burst: Unsigned | None = at("@burst", "KiB that may pass at peak rate", default=None)
    floor: Unsigned | None = at("@floor", "KiB a second that are guaranteed", default=None)


class Bandwidth(Element, tag="bandwidth"):
    """Limits of traffic."""

    class_id: Count | None = at("@classID", "Traffic class of what is guaranteed, in status only", default=None)
    inbound: Rate | None = at("inbound", "Traffic to the guest", default=None)
    outbound: Rate | None = at("outbound", "Traffic from the guest", default=None)


class FilterParameter(Element, tag="parameter"):
    """A parameter of a network filter."""

    name: str | None = at("@name", "Name of the variable", default=None)
    value: str | None = at("@value", "One value", default=None)


class PortRange(Element, tag="range"):
    """A range of ports that are forwarded, or not."""

    start: TcpPort | None = at("@start", "First port", default=None)
    end: TcpPort | None = at("@end", "Last port", default=None)
    to: TcpPort | None = at("@to", "First port in the guest", default=None)
    exclude: YesNo | None = at("@exclude", "Leave these out", default=None)


class PortForward(Element, tag="portForward"):
    """Ports of the host that reach the guest."""

    proto: Literal["tcp", "udp"] | None = at("@proto", "Protocol", default=None)
    address: IpAddress | None = at("@address", "Address of the host", default=None)
    dev: str | None = at("@dev", "Interface of the host", default=None)
    ranges: Many[PortRange] = at("range", "Ports", default=())


class ActualInterface(Element, tag="actual"):
    """What a running interface is connected to, as its network said."""

    type: InterfaceType | None = at("@type", "What it is connected to", default=None)
    managed: YesNo | None = at("@managed", "The host device is detached from the host", default=None)
    trust_guest_rx_filters: YesNo | None = at(
        "@trustGuestRxFilters", "The guest may change its MAC address and filters", default=None
    )
    driver: Literal["kvm", "vfio", "xen"] | None = at("driver/@name", "How a host device is given away", default=None)
    source: InterfaceSource | None = at("source", "Host side", default=None)
    virtualport: VirtualPort | None = at("virtualport", "Port of a switch", default=None)
    vlan: Vlan | None = at("vlan", "VLANs", default=None)
    isolated: YesNo | None = at("port/@isolated", "Guests of one bridge do not see one another", default=None)
    bandwidth: Bandwidth | None = at("bandwidth", "Limits of traffic", default=None)


class Interface(Device, tag="interface"):
    """A network interface of the guest."""

    type: InterfaceType | None = at("@type", "What it is connected to", default=None)
    managed: YesNo | None = at("@managed", "A host device is detached from the host at start", default=None)
    trust_guest_rx_filters: YesNo | None = at(
        "@trustGuestRxFilters", "The guest may change its MAC address and filters", default=None
    )
    mac: Mac | None = at("mac/@address", "MAC address", default=None, key=True)
    mac_type: Literal["generated", "static"] | None = at("mac/@type", "Who chose the address", default=None)
    mac_check: YesNo | None = at("mac/@check", "The hypervisor checks the address", default=None)
    source: InterfaceSource | None = at("source", "Host side", default=None)
    ips: Many[Ip] = at("ip", "Addresses in the guest", default=())
    routes: Many[Route] = at("route", "Routes in the guest", default=())
    port_forwards: Many[PortForward] = at("portForward", "Ports that reach the guest (passt)", default=())
    virtualport: VirtualPort | None = at("virtualport", "Port of a switch", default=None)
    vlan: Vlan | None = at("vlan", "VLANs", default=None)
    isolated: YesNo | None = at("port/@isolated", "Guests of one bridge do not see one another", default=None)
    bandwidth: Bandwidth | None = at("bandwidth", "Limits of traffic", default=None)
    script: str | None = at("script/@path", "Program that sets up the host side", default=None)
    downscript: str | None = at("downscript/@path", "Program that takes down the host side", default=None)
    backenddomain: str | None = at("backenddomain/@name", "Xen domain that serves the interface", default=None)
    target: str | None = at("target/@dev", "Name of the host's end, such as vnet0", default=None)
    target_managed: YesNo | None = at("target/@managed", "The driver creates the host's end", default=None)
    guest_dev: str | None = at("guest/@dev", "Name in a container", default=None)
    guest_actual: str | None = at("guest/@actual", "Name in a container as it came out, live only", default=None)
    model: Word | None = at("model/@type", "Model of the card: virtio, e1000e, rtl8139 ...", default=None)
    driver: InterfaceDriver | None = at("driver", "How packets are moved", default=None)
    backend_type: Literal["default", "passt"] | None = at("backend/@type", "Back end of a user interface", default=None)
    backend_tap: str | None = at("backend/@tap", "Path of the tap device node", default=None)
    backend_vhost: str | None = at("backend/@vhost", "Path of the vhost device node", default=None)
    backend_log_file: str | None = at("backend/@logFile", "Log file of passt", default=None)
    filter: str | None = at("filterref/@filter", "Network filter", default=None)
    filter_parameters: Many[FilterParameter] = at("filterref/parameter", "Parameters of the filter", default=())
    boot: Boot | None = at("boot", "Place in the boot order", default=None)
    rom: Rom | None = at("rom", "Option ROM", default=None)
    sndbuf: Unsigned | None = at("tune/sndbuf", "Bytes of the tap's send buffer", default=None)
    link: Literal["up", "down"] | None = at("link/@state", "Whether the cable is in", default=None)
    mtu: Count | None = at("mtu/@size", "Largest packet in bytes", default=None)
    coalesce_rx_frames: Count | None = at(
        "coalesce/rx/frames/@max", "Packets collected before an interrupt", default=None
    )
    teaming: Teaming | None = at("teaming", "Part in a failover pair", default=None)
    actual: ActualInterface | None = at(
        "actual", "What a network made of the interface at start, in status only", default=None
    )
    created: YesNo | None = at(
        "privateData/created/@value", "The driver made the host's end, in status only", default=None
    )
