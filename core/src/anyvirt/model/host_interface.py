"""Interfaces of the host: Ethernet cards, bridges, bonds, VLANs; libvirt's formatinterface."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Count, Integer, IpAddress, IpPrefix, Ipv4Address, Mac, OnOff, Pattern, Present, YesNo

VlanId = Annotated[int, Integer(0, 4095)]
Delay = Annotated[str, Pattern("number of seconds", r"[0-9]+(\.[0-9]+)?", "0", "1.5")]


class HostInterfaceType(StrEnum):
    """What an interface of the host is."""

    ETHERNET = "ethernet"
    BRIDGE = "bridge"
    BOND = "bond"
    VLAN = "vlan"


class LinkState(StrEnum):
    """State of a link, as the kernel names it."""

    UNKNOWN = "unknown"
    NOTPRESENT = "notpresent"
    DOWN = "down"
    LOWERLAYERDOWN = "lowerlayerdown"
    TESTING = "testing"
    DORMANT = "dormant"
    UP = "up"


class BondMode(StrEnum):
    """How a bond spreads traffic."""

    BALANCE_RR = "balance-rr"
    ACTIVE_BACKUP = "active-backup"
    BALANCE_XOR = "balance-xor"
    BROADCAST = "broadcast"
    IEEE_802_3AD = "802.3ad"
    BALANCE_TLB = "balance-tlb"
    BALANCE_ALB = "balance-alb"


class HostIp(Element, tag="ip"):
    """An address of an interface of the host."""

    address: IpAddress | None = at("@address", "Address", default=None, key=True)
    prefix: IpPrefix | None = at("@prefix", "Bits of the network", default=None)


class HostDhcp(Element, tag="dhcp"):
    """Addresses are asked for with DHCP."""

    peerdns: YesNo | None = at("@peerdns", "Name servers are taken from the answer", default=None)


class HostProtocol(Element, tag="protocol"):
    """What an interface of the host has of one family of addresses."""

    family: Literal["ipv4", "ipv6"] | None = at("@family", "Family", default=None, key=True)
    autoconf: Present = at("autoconf", "Addresses come of router advertisements", default=False)
    dhcp: HostDhcp | None = at("dhcp", "Addresses are asked for with DHCP", default=None)
    ips: Many[HostIp] = at("ip", "Fixed addresses", default=())
    gateway: IpAddress | None = at("route/@gateway", "Next hop of the default route", default=None)


class HostLink(Element, tag="interface"):
    """An interface of the host that belongs to a bond."""

    type: HostInterfaceType | None = at("@type", "What it is", default=None)
    name: str | None = at("@name", "Name, such as eth0", default=None, key=True)
    mac: Mac | None = at("mac/@address", "MAC address", default=None)
    link_state: LinkState | None = at("link/@state", "State of the link, live only", default=None)
    link_speed: Count | None = at("link/@speed", "Mbit a second, live only", default=None)


class HostBond(Element, tag="bond"):
    """What makes an interface a bond."""

    mode: BondMode | None = at("@mode", "How traffic is spread", default=None)
    miimon_freq: Count | None = at("miimon/@freq", "Milliseconds between looks at the link", default=None)
    miimon_downdelay: Count | None = at("miimon/@downdelay", "Milliseconds until a link is down", default=None)
    miimon_updelay: Count | None = at("miimon/@updelay", "Milliseconds until a link is up", default=None)
    miimon_carrier: Literal["ioctl", "netif"] | None = at("miimon/@carrier", "Who tells about the link", default=None)
    arpmon_interval: Count | None = at("arpmon/@interval", "Milliseconds between ARP requests", default=None)
    arpmon_target: Ipv4Address | None = at("arpmon/@target", "Address that answers ARP requests", default=None)
    arpmon_validate: Literal["none", "active", "backup", "all"] | None = at(
        "arpmon/@validate", "Whose ARP answers are looked at", default=None
    )
    interfaces: Many[HostLink] = at("interface", "Interfaces that it is made of", default=())


class HostPort(HostLink, tag="interface"):
    """An interface of the host that belongs to a bridge."""

    vlan_tag: VlanId | None = at("vlan/@tag", "Number of the VLAN", default=None)
    vlan_interface: str | None = at("vlan/interface/@name", "Interface that the VLAN is on", default=None)
    bond: HostBond | None = at("bond", "What makes it a bond", default=None)


class HostBridge(Element, tag="bridge"):
    """What makes an interface a bridge."""

    stp: OnOff | None = at("@stp", "Spanning tree protocol", default=None)
    delay: Delay | None = at("@delay", "Seconds until a port forwards", default=None)
    interfaces: Many[HostPort] = at("interface", "Ports", default=())


class HostInterface(HostPort, tag="interface"):
    """An interface of the host; a domain's interface has no name of its own, and no start mode."""

    start: Literal["onboot", "none", "hotplug"] | None = at("start/@mode", "When it is brought up", default=None)
    mtu: Count | None = at("mtu/@size", "Largest packet in bytes", default=None)
    protocols: Many[HostProtocol] = at("protocol", "Addresses, by family", default=())
    bridge: HostBridge | None = at("bridge", "What makes it a bridge", default=None)
