"""Network filters and what binds them to interfaces; libvirt's formatnwfilter."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.devices.interface import FilterParameter
from anyvirt.model.element import Element, Many, at
from anyvirt.model.nwfilter_types import (
    ChainName,
    ConnectionStates,
    IpSetFlags,
    RuleBoolean,
    RuleByte,
    RuleDscp,
    RuleEtherType,
    RuleIp,
    RuleIpSet,
    RuleIpv6,
    RuleLong,
    RuleMac,
    RuleMask,
    RuleMaskv6,
    RuleOpcode,
    RulePort,
    RulePriority,
    RuleProtocol,
    RuleShort,
    RuleVlan,
    TcpFlags,
)
from anyvirt.model.types import UUID, Mac, YesNo


class Match(Element):
    """What packets a rule is for."""

    match: YesNo | None = at("@match", "no: the rule is for all others", default=None)
    comment: str | None = at("@comment", "Remark, 256 characters", default=None)


class MatchSource(Match):
    """Packets by the Ethernet address that they come from."""

    srcmacaddr: RuleMac | None = at("@srcmacaddr", "MAC address of the sender", default=None)


class MatchFrame(MatchSource):
    """Packets by Ethernet addresses that they come from."""

    srcmacmask: RuleMac | None = at("@srcmacmask", "Mask of the sender's MAC address", default=None)


class MatchEthernet(MatchFrame):
    """Packets by Ethernet addresses."""

    dstmacaddr: RuleMac | None = at("@dstmacaddr", "MAC address of the receiver", default=None)
    dstmacmask: RuleMac | None = at("@dstmacmask", "Mask of the receiver's MAC address", default=None)


class MacMatch(MatchEthernet, tag="mac"):
    """Packets by their Ethernet header."""

    protocolid: RuleEtherType | None = at("@protocolid", "Protocol inside", default=None)


class VlanMatch(MatchEthernet, tag="vlan"):
    """Packets of VLANs."""

    vlanid: RuleVlan | None = at("@vlanid", "Number of the VLAN", default=None)
    encap_protocol: RuleEtherType | None = at("@encap-protocol", "Protocol inside", default=None)


class StpMatch(MatchFrame, tag="stp"):
    """Packets of the spanning tree protocol."""

    type: RuleByte | None = at("@type", "Type of message", default=None)
    flags: RuleByte | None = at("@flags", "Flags", default=None)
    root_priority: RuleShort | None = at("@root-priority", "Priority of the root, or lowest", default=None)
    root_priority_hi: RuleShort | None = at("@root-priority-hi", "Highest priority of the root", default=None)
    root_address: RuleMac | None = at("@root-address", "MAC address of the root", default=None)
    root_address_mask: RuleMac | None = at("@root-address-mask", "Mask of that address", default=None)
    root_cost: RuleLong | None = at("@root-cost", "Cost of the way to the root, or lowest", default=None)
    root_cost_hi: RuleLong | None = at("@root-cost-hi", "Highest cost", default=None)
    sender_priority: RuleShort | None = at("@sender-priority", "Priority of the sender, or lowest", default=None)
    sender_priority_hi: RuleShort | None = at("@sender-priority-hi", "Highest priority of the sender", default=None)
    sender_address: RuleMac | None = at("@sender-address", "MAC address of the sending bridge", default=None)
    sender_address_mask: RuleMac | None = at("@sender-address-mask", "Mask of that address", default=None)
    port: RuleShort | None = at("@port", "Port, or lowest", default=None)
    port_hi: RuleShort | None = at("@port-hi", "Highest port", default=None)
    age: RuleShort | None = at("@age", "Age of the message, or lowest", default=None)
    age_hi: RuleShort | None = at("@age-hi", "Highest age", default=None)
    max_age: RuleShort | None = at("@max-age", "Age at which messages are dropped, or lowest", default=None)
    max_age_hi: RuleShort | None = at("@max-age-hi", "Highest of those", default=None)
    hello_time: RuleShort | None = at("@hello-time", "Time between messages, or lowest", default=None)
    hello_time_hi: RuleShort | None = at("@hello-time-hi", "Highest of those", default=None)
    forward_delay: RuleShort | None = at("@forward-delay", "Time until a port forwards, or lowest", default=None)
    forward_delay_hi: RuleShort | None = at("@forward-delay-hi", "Highest of those", default=None)


class ArpMatch(MatchEthernet, tag="arp"):
    """Packets of ARP."""

    hwtype: RuleShort | None = at("@hwtype", "Kind of hardware", default=None)
    protocoltype: RuleShort | None = at("@protocoltype", "Kind of address", default=None)
    opcode: RuleOpcode | None = at("@opcode", "What is asked or answered", default=None)
    arpsrcmacaddr: RuleMac | None = at("@arpsrcmacaddr", "MAC address of who asks", default=None)
    arpdstmacaddr: RuleMac | None = at("@arpdstmacaddr", "MAC address of who is asked", default=None)
    arpsrcipaddr: RuleIp | None = at("@arpsrcipaddr", "Address of who asks", default=None)
    arpsrcipmask: RuleMask | None = at("@arpsrcipmask", "Mask of that address", default=None)
    arpdstipaddr: RuleIp | None = at("@arpdstipaddr", "Address of who is asked", default=None)
    arpdstipmask: RuleMask | None = at("@arpdstipmask", "Mask of that address", default=None)
    gratuitous: RuleBoolean | None = at("@gratuitous", "Only what nobody asked for", default=None)


class RarpMatch(ArpMatch, tag="rarp"):
    """Packets of reverse ARP."""


class IpMatch(MatchEthernet, tag="ip"):
    """Packets of IPv4, seen by the bridge."""

    srcipaddr: RuleIp | None = at("@srcipaddr", "Address of the sender", default=None)
    srcipmask: RuleMask | None = at("@srcipmask", "Mask of that address", default=None)
    dstipaddr: RuleIp | None = at("@dstipaddr", "Address of the receiver", default=None)
    dstipmask: RuleMask | None = at("@dstipmask", "Mask of that address", default=None)
    protocol: RuleProtocol | None = at("@protocol", "Protocol inside", default=None)
    srcportstart: RulePort | None = at("@srcportstart", "First port of the sender", default=None)
    srcportend: RulePort | None = at("@srcportend", "Last port of the sender", default=None)
    dstportstart: RulePort | None = at("@dstportstart", "First port of the receiver", default=None)
    dstportend: RulePort | None = at("@dstportend", "Last port of the receiver", default=None)
    dscp: RuleDscp | None = at("@dscp", "Class of service", default=None)


class Ipv6Match(MatchEthernet, tag="ipv6"):
    """Packets of IPv6, seen by the bridge."""

    srcipaddr: RuleIpv6 | None = at("@srcipaddr", "Address of the sender", default=None)
    srcipmask: RuleMaskv6 | None = at("@srcipmask", "Mask of that address", default=None)
    dstipaddr: RuleIpv6 | None = at("@dstipaddr", "Address of the receiver", default=None)
    dstipmask: RuleMaskv6 | None = at("@dstipmask", "Mask of that address", default=None)
    protocol: RuleProtocol | None = at("@protocol", "Protocol inside", default=None)
    srcportstart: RulePort | None = at("@srcportstart", "First port of the sender", default=None)
    srcportend: RulePort | None = at("@srcportend", "Last port of the sender", default=None)
    dstportstart: RulePort | None = at("@dstportstart", "First port of the receiver", default=None)
    dstportend: RulePort | None = at("@dstportend", "Last port of the receiver", default=None)
    type: RuleByte | None = at("@type", "Type of an ICMPv6 message, or lowest", default=None)
    typeend: RuleByte | None = at("@typeend", "Highest type", default=None)
    code: RuleByte | None = at("@code", "Code of an ICMPv6 message, or lowest", default=None)
    codeend: RuleByte | None = at("@codeend", "Highest code", default=None)


class MatchIp(MatchSource):
    """Packets, seen by the host's firewall."""

    dscp: RuleDscp | None = at("@dscp", "Class of service", default=None)
    state: ConnectionStates | None = at("@state", "States of the connection", default=None)
    connlimit_above: RuleShort | None = at("@connlimit-above", "Only past so many connections", default=None)
    ipset: RuleIpSet | None = at("@ipset", "Set of addresses of the host", default=None)
    ipsetflags: IpSetFlags | None = at("@ipsetflags", "Which addresses are looked up in the set", default=None)


class MatchIpv4(MatchIp):
    """Packets of IPv4, seen by the host's firewall."""

    srcipaddr: RuleIp | None = at("@srcipaddr", "Address of the sender", default=None)
    srcipmask: RuleMask | None = at("@srcipmask", "Mask of that address", default=None)
    srcipfrom: RuleIp | None = at("@srcipfrom", "First address of the sender", default=None)
    srcipto: RuleIp | None = at("@srcipto", "Last address of the sender", default=None)
    dstipaddr: RuleIp | None = at("@dstipaddr", "Address of the receiver", default=None)
    dstipmask: RuleMask | None = at("@dstipmask", "Mask of that address", default=None)
    dstipfrom: RuleIp | None = at("@dstipfrom", "First address of the receiver", default=None)
    dstipto: RuleIp | None = at("@dstipto", "Last address of the receiver", default=None)


class MatchIpv6(MatchIp):
    """Packets of IPv6, seen by the host's firewall."""

    srcipaddr: RuleIpv6 | None = at("@srcipaddr", "Address of the sender", default=None)
    srcipmask: RuleMaskv6 | None = at("@srcipmask", "Mask of that address", default=None)
    srcipfrom: RuleIpv6 | None = at("@srcipfrom", "First address of the sender", default=None)
    srcipto: RuleIpv6 | None = at("@srcipto", "Last address of the sender", default=None)
    dstipaddr: RuleIpv6 | None = at("@dstipaddr", "Address of the receiver", default=None)
    dstipmask: RuleMaskv6 | None = at("@dstipmask", "Mask of that address", default=None)
    dstipfrom: RuleIpv6 | None = at("@dstipfrom", "First address of the receiver", default=None)
    dstipto: RuleIpv6 | None = at("@dstipto", "Last address of the receiver", default=None)


class MatchPorts(MatchIpv4):
    """Packets of IPv4 by ports."""

    srcportstart: RulePort | None = at("@srcportstart", "First port of the sender", default=None)
    srcportend: RulePort | None = at("@srcportend", "Last port of the sender", default=None)
    dstportstart: RulePort | None = at("@dstportstart", "First port of the receiver", default=None)
    dstportend: RulePort | None = at("@dstportend", "Last port of the receiver", default=None)


class MatchPortsIpv6(MatchIpv6):
    """Packets of IPv6 by ports."""

    srcportstart: RulePort | None = at("@srcportstart", "First port of the sender", default=None)
    srcportend: RulePort | None = at("@srcportend", "Last port of the sender", default=None)
    dstportstart: RulePort | None = at("@dstportstart", "First port of the receiver", default=None)
    dstportend: RulePort | None = at("@dstportend", "Last port of the receiver", default=None)


class TcpMatch(MatchPorts, tag="tcp"):
    """Packets of TCP."""

    option: RuleByte | None = at("@option", "Number of a TCP option that is set", default=None)
    flags: TcpFlags | None = at("@flags", "Flags that are looked at, and those of them that are set", default=None)


class UdpMatch(MatchPorts, tag="udp"):
    """Packets of UDP."""


class SctpMatch(MatchPorts, tag="sctp"):
    """Packets of SCTP."""


class IcmpMatch(MatchIpv4, tag="icmp"):
    """Packets of ICMP."""

    type: RuleByte | None = at("@type", "Type of message", default=None)
    code: RuleByte | None = at("@code", "Code of message", default=None)


class IgmpMatch(MatchIpv4, tag="igmp"):
    """Packets of IGMP."""


class AllMatch(MatchIpv4, tag="all"):
    """All packets of IPv4."""


class EspMatch(MatchIpv4, tag="esp"):
    """Encrypted packets of IPsec."""


class AhMatch(MatchIpv4, tag="ah"):
    """Authenticated packets of IPsec."""


class UdpliteMatch(MatchIpv4, tag="udplite"):
    """Packets of UDP-Lite."""


class TcpIpv6Match(MatchPortsIpv6, tag="tcp-ipv6"):
    """Packets of TCP over IPv6."""

    option: RuleByte | None = at("@option", "Number of a TCP option that is set", default=None)
    flags: TcpFlags | None = at("@flags", "Flags that are looked at, and those of them that are set", default=None)


class UdpIpv6Match(MatchPortsIpv6, tag="udp-ipv6"):
    """Packets of UDP over IPv6."""


class SctpIpv6Match(MatchPortsIpv6, tag="sctp-ipv6"):
    """Packets of SCTP over IPv6."""


class Icmpv6Match(MatchIpv6, tag="icmpv6"):
    """Packets of ICMPv6."""

    type: RuleByte | None = at("@type", "Type of message", default=None)
    code: RuleByte | None = at("@code", "Code of message", default=None)


class AllIpv6Match(MatchIpv6, tag="all-ipv6"):
    """All packets of IPv6."""


class EspIpv6Match(MatchIpv6, tag="esp-ipv6"):
    """Encrypted packets of IPsec over IPv6."""


class AhIpv6Match(MatchIpv6, tag="ah-ipv6"):
    """Authenticated packets of IPsec over IPv6."""


class UdpliteIpv6Match(MatchIpv6, tag="udplite-ipv6"):
    """Packets of UDP-Lite over IPv6."""


class RuleAction(StrEnum):
    """What becomes of a packet."""

    DROP = "drop"
    ACCEPT = "accept"
    REJECT = "reject"
    RETURN = "return"
    CONTINUE = "continue"


class FilterRule(Element, tag="rule"):
    """One rule of a filter; without a protocol it is for all packets."""

    action: RuleAction | None = at("@action", "What becomes of a packet", default=None)
    direction: Literal["in", "out", "inout"] | None = at("@direction", "Seen from the guest", default=None)
    priority: RulePriority | None = at("@priority", "Lower comes first, 500 without it", default=None)
    statematch: RuleBoolean | None = at("@statematch", "Answers are let through, too", default=None)
    protocol: (
        MacMatch | VlanMatch | StpMatch | ArpMatch | RarpMatch | IpMatch | Ipv6Match | TcpMatch | UdpMatch | SctpMatch
        | IcmpMatch | IgmpMatch | AllMatch | EspMatch | AhMatch | UdpliteMatch | TcpIpv6Match | UdpIpv6Match
        | SctpIpv6Match | Icmpv6Match | AllIpv6Match | EspIpv6Match | AhIpv6Match | UdpliteIpv6Match | None
    ) = at(".", "Which packets", default=None)  # fmt: skip


class FilterRef(Element, tag="filterref"):
    """Another filter that stands in this place."""

    filter: str | None = at("@filter", "Name of the filter", default=None)
    parameters: Many[FilterParameter] = at("parameter", "Values of its variables", default=())


class NetworkFilter(Element, tag="filter"):
    """A network filter."""

    name: str | None = at("@name", "Name, unique on the host", default=None, key=True)
    chain: ChainName | None = at("@chain", "Chain that the rules are in: root, or a protocol's", default=None)
    priority: RulePriority | None = at("@priority", "Lower chains come first", default=None)
    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None)
    entries: Many[FilterRule | FilterRef] = at(".", "Rules and other filters, in their order", default=())


class FilterBinding(Element, tag="filterbinding"):
    """A filter at work on an interface."""

    owner_name: str | None = at("owner/name", "Domain that has the interface", default=None)
    owner_uuid: UUID | None = at("owner/uuid", "UUID of that domain", default=None)
    portdev: str | None = at("portdev/@name", "Name of the interface on the host", default=None, key=True)
    linkdev: str | None = at("linkdev/@name", "Interface that a macvtap is on", default=None)
    mac: Mac | None = at("mac/@address", "MAC address in the guest", default=None)
    filterref: FilterRef | None = at("filterref", "The filter", default=None)
