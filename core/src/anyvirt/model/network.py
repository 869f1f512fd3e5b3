"""Virtual networks; libvirt's formatnetwork."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.address import HostPci
from anyvirt.model.devices.interface import Bandwidth, Route, VirtualPort, Vlan
from anyvirt.model.element import Element, Many, at
from anyvirt.model.rest import Xml
from anyvirt.model.types import (
    UUID,
    Count,
    Hostname,
    IpAddress,
    IpPrefix,
    Ipv4Address,
    Mac,
    OnOff,
    Pattern,
    TcpPort,
    Unsigned,
    YesNo,
)

Duid = Annotated[str, Pattern("DHCP unique identifier", r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2})+", "0:3:0:1:0:16:3e:11")]


class ForwardMode(StrEnum):
    """How guests of a network reach the world."""

    NONE = "none"
    NAT = "nat"
    ROUTE = "route"
    OPEN = "open"
    BRIDGE = "bridge"
    PRIVATE = "private"
    VEPA = "vepa"
    PASSTHROUGH = "passthrough"
    HOSTDEV = "hostdev"


class ForwardInterface(Element, tag="interface"):
    """An interface of the host that guests are connected to."""

    dev: str | None = at("@dev", "Name of the interface", default=None, key=True)
    connections: Count | None = at("@connections", "Guests that use it, live only", default=None)


class ForwardAddress(HostPci, tag="address"):
    """A PCI function of the host that is given to a guest."""

    connections: Count | None = at("@connections", "Guests that use it, live only", default=None)


class Nat(Element, tag="nat"):
    """How addresses are translated."""

    ipv6: YesNo | None = at("@ipv6", "IPv6 is translated, too", default=None)
    address_start: Ipv4Address | None = at("address/@start", "First public address", default=None)
    address_end: Ipv4Address | None = at("address/@end", "Last public address", default=None)
    port_start: TcpPort | None = at("port/@start", "First port in use, 1024 without it", default=None)
    port_end: TcpPort | None = at("port/@end", "Last port in use, 65535 without it", default=None)


class Forward(Element, tag="forward"):
    """How guests reach the world; a network without it is isolated."""

    mode: ForwardMode | None = at("@mode", "Mode, nat without it", default=None)
    dev: str | None = at("@dev", "Interface of the host that traffic leaves by", default=None)
    managed: YesNo | None = at("@managed", "Host devices are detached from the host at start", default=None)
    driver: Literal["kvm", "vfio", "xen"] | None = at("driver/@name", "Who passes host devices through", default=None)
    driver_model: str | None = at("driver/@model", "Kernel module that is bound to host devices", default=None)
    pf: str | None = at("pf/@dev", "Interface of the physical function whose virtual ones are used", default=None)
    pf_connections: Count | None = at("pf/@connections", "Guests that use it, live only", default=None)
    nat: Nat | None = at("nat", "How addresses are translated", default=None)
    interfaces: Many[ForwardInterface] = at("interface", "Interfaces to choose from", default=())
    addresses: Many[ForwardAddress] = at("address", "PCI functions to choose from", default=())


class NetworkBridge(Element, tag="bridge"):
    """The bridge of the host that guests are connected to."""

    name: str | None = at("@name", "Name of the interface", default=None)
    zone: str | None = at("@zone", "Zone of firewalld", default=None)
    stp: OnOff | None = at("@stp", "Spanning tree protocol", default=None)
    delay: Unsigned | None = at("@delay", "Seconds until a port forwards", default=None)
    mac_table_manager: Literal["kernel", "libvirt"] | None = at(
        "@macTableManager", "Who keeps the table of addresses", default=None
    )


class PortGroup(Element, tag="portgroup"):
    """Settings that interfaces ask for by name."""

    name: str | None = at("@name", "Name, unique in the network", default=None, key=True)
    default: YesNo | None = at("@default", "Interfaces that ask for none are in this", default=None)
    trust_guest_rx_filters: YesNo | None = at(
        "@trustGuestRxFilters", "The guest may change its MAC address and filters", default=None
    )
    virtualport: VirtualPort | None = at("virtualport", "Port of a switch", default=None)
    bandwidth: Bandwidth | None = at("bandwidth", "Limits of traffic of each interface", default=None)
    vlan: Vlan | None = at("vlan", "VLANs", default=None)


class DnsForwarder(Element, tag="forwarder"):
    """A server that is asked for names that the network does not know."""

    addr: IpAddress | None = at("@addr", "Address; without it the host's own servers", default=None)
    domain: Hostname | None = at("@domain", "Domain that it is asked for, all without it", default=None)


class DnsTxt(Element, tag="txt"):
    """A TXT record."""

    name: str | None = at("@name", "Name", default=None, key=True)
    value: str | None = at("@value", "Text", default=None)


class DnsSrv(Element, tag="srv"):
    """An SRV record."""

    service: str | None = at("@service", "Service", default=None)
    protocol: Literal["tcp", "udp"] | None = at("@protocol", "Protocol", default=None)
    domain: Hostname | None = at("@domain", "Domain that offers the service", default=None)
    target: Hostname | None = at("@target", "Machine that has the service", default=None)
    port: TcpPort | None = at("@port", "Port on that machine", default=None)
    priority: TcpPort | None = at("@priority", "Lower is asked first, up to 65535", default=None)
    weight: TcpPort | None = at("@weight", "Share among equals, up to 65535", default=None)


class DnsHost(Element, tag="host"):
    """Names of one address."""

    ip: IpAddress | None = at("@ip", "Address", default=None, key=True)
    hostnames: Many[Hostname] = at("hostname", "Names", default=())


class Dns(Element, tag="dns"):
    """The network's name server."""

    enable: YesNo | None = at("@enable", "There is one", default=None)
    forward_plain_names: YesNo | None = at(
        "@forwardPlainNames", "Names without a dot are asked elsewhere, too", default=None
    )
    forwarders: Many[DnsForwarder] = at("forwarder", "Servers that are asked", default=())
    txts: Many[DnsTxt] = at("txt", "TXT records", default=())
    srvs: Many[DnsSrv] = at("srv", "SRV records", default=())
    hosts: Many[DnsHost] = at("host", "Names and addresses", default=())


class DhcpLease(Element, tag="lease"):
    """How long an address is given away for."""

    expiry: Unsigned | None = at("@expiry", "Time in units; 0 is for ever", default=None)
    unit: Literal["seconds", "minutes", "hours"] | None = at("@unit", "Unit, minutes without it", default=None)


class DhcpRange(Element, tag="range"):
    """Addresses that guests are given."""

    start: IpAddress | None = at("@start", "First address", default=None, key=True)
    end: IpAddress | None = at("@end", "Last address", default=None)
    lease: DhcpLease | None = at("lease", "How long", default=None)


class DhcpHost(Element, tag="host"):
    """The address and the name of one guest."""

    id: Duid | None = at("@id", "Identifier of a guest that asks with DHCPv6", default=None)
    mac: Mac | None = at("@mac", "MAC address of the guest", default=None, key=True)
    name: str | None = at("@name", "Name of the guest", default=None)
    ip: IpAddress | None = at("@ip", "Address", default=None, key=True)
    lease: DhcpLease | None = at("lease", "How long", default=None)


class Dhcp(Element, tag="dhcp"):
    """The network's DHCP server for one family."""

    ranges: Many[DhcpRange] = at("range", "Addresses to give away", default=())
    hosts: Many[DhcpHost] = at("host", "Guests with an address of their own", default=())
    bootp_file: str | None = at("bootp/@file", "File that guests boot", default=None)
    bootp_server: Hostname | None = at("bootp/@server", "Server that has the file", default=None)


class NetworkIp(Element, tag="ip"):
    """An address of the host in the network, and what is served there."""

    family: Literal["ipv4", "ipv6"] | None = at("@family", "Family, ipv4 without it", default=None)
    address: IpAddress | None = at("@address", "Address of the bridge", default=None, key=True)
    netmask: Ipv4Address | None = at("@netmask", "Mask of the network", default=None)
    prefix: IpPrefix | None = at("@prefix", "Bits of the network", default=None)
    local_ptr: YesNo | None = at("@localPtr", "Names of its addresses are never asked elsewhere", default=None)
    tftp_root: str | None = at("tftp/@root", "Directory that is served with TFTP", default=None)
    dhcp: Dhcp | None = at("dhcp", "DHCP server", default=None)


class Network(Element, tag="network"):
    """A virtual network."""

    connections: Count | None = at("@connections", "Guests that use it, live only", default=None)
    ipv6: YesNo | None = at("@ipv6", "Guests reach one another with IPv6 though no address is declared", default=None)
    trust_guest_rx_filters: YesNo | None = at(
        "@trustGuestRxFilters", "Guests may change their MAC address and filters", default=None
    )
    name: str | None = at("name", "Name, unique on the host", default=None, key=True)
    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None)
    title: str | None = at("title", "Short description", default=None)
    description: str | None = at("description", "Description", default=None)
    metadata: Xml | None = at("metadata", "Content of other programs", default=None)
    forward: Forward | None = at("forward", "How guests reach the world", default=None)
    bridge: NetworkBridge | None = at("bridge", "Bridge of the host", default=None)
    mtu: Count | None = at("mtu/@size", "Largest packet in bytes", default=None)
    mac: Mac | None = at("mac/@address", "MAC address of the bridge", default=None)
    domain: Hostname | None = at("domain/@name", "Domain of the guests' names", default=None)
    domain_local_only: YesNo | None = at("domain/@localOnly", "Its names are never asked elsewhere", default=None)
    domain_register: YesNo | None = at("domain/@register", "The host's resolver asks here for its names", default=None)
    dns: Dns | None = at("dns", "Name server", default=None)
    vlan: Vlan | None = at("vlan", "VLANs", default=None)
    bandwidth: Bandwidth | None = at("bandwidth", "Limits of traffic of the bridge", default=None)
    isolated: YesNo | None = at("port/@isolated", "Guests do not see one another", default=None)
    ips: Many[NetworkIp] = at("ip", "Addresses of the host", default=())
    routes: Many[Route] = at("route", "Routes through the network", default=())
    virtualport: VirtualPort | None = at("virtualport", "Port of a switch", default=None)
    portgroups: Many[PortGroup] = at("portgroup", "Settings that interfaces ask for by name", default=())
    extensions: Many[Element] = at(".", "Elements of namespaces that plug-ins registered", default=())


class PortBandwidth(Bandwidth, tag="bandwidth"):
    """Limits of traffic of a port."""

    class_id: Count | None = at("@classID", "Number of the traffic class, live only", default=None)


class NetworkPlug(Element, tag="plug", when=("type", "network")):
    """The port is on the bridge of a virtual network."""

    bridge: str | None = at("@bridge", "Name of the bridge", default=None)
    mac_table_manager: Literal["kernel", "libvirt"] | None = at(
        "@macTableManager", "Who keeps the table of addresses", default=None
    )


class BridgePlug(Element, tag="plug", when=("type", "bridge")):
    """The port is on a bridge that somebody else made."""

    bridge: str | None = at("@bridge", "Name of the bridge", default=None)
    mac_table_manager: Literal["kernel", "libvirt"] | None = at(
        "@macTableManager", "Who keeps the table of addresses", default=None
    )


class DirectPlug(Element, tag="plug", when=("type", "direct")):
    """The port is a macvtap on an interface of the host."""

    dev: str | None = at("@dev", "Name of the interface", default=None)
    mode: Literal["bridge", "passthrough", "private", "vepa"] | None = at("@mode", "Mode", default=None)


class HostdevPlug(Element, tag="plug", when=("type", "hostdev-pci")):
    """The port is a PCI function of the host."""

    managed: YesNo | None = at("@managed", "It is detached from the host at start", default=None)
    driver: Literal["kvm", "vfio", "xen"] | None = at("driver/@name", "Who passes it through", default=None)
    driver_model: str | None = at("driver/@model", "Kernel module that is bound to it", default=None)
    address: HostPci | None = at("address", "Address on the host", default=None)


class NetworkPort(Element, tag="networkport"):
    """What connects an interface of a guest to a network; libvirt's formatnetworkport."""

    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None, key=True)
    owner_name: str | None = at("owner/name", "Domain that it belongs to", default=None)
    owner_uuid: UUID | None = at("owner/uuid", "UUID of that domain", default=None)
    group: str | None = at("group", "Port group", default=None)
    mac: Mac | None = at("mac/@address", "MAC address that the guest sees", default=None)
    trust_guest: YesNo | None = at("rxfilters/@trustGuest", "The guest may change its filters", default=None)
    isolated: YesNo | None = at("port/@isolated", "It does not see other isolated ports", default=None)
    virtualport: VirtualPort | None = at("virtualport", "Port of a switch", default=None)
    bandwidth: PortBandwidth | None = at("bandwidth", "Limits of traffic", default=None)
    vlan: Vlan | None = at("vlan", "VLANs", default=None)
    plug: NetworkPlug | BridgePlug | DirectPlug | HostdevPlug | None = at("plug", "What it is on", default=None)
