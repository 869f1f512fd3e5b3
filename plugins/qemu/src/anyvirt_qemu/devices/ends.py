"""What a definition says of the host's end of a network card: limits, VLANs, addresses, programs to run."""

from __future__ import annotations

import ipaddress
import os
from typing import Final

from anyvirt.api import Interface, Ip, Rate, Route, Vlan, meaningless

from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.cabling import AddressUse, Ends, Limit, RouteUse, SwitchUse, VlanUse

# libvirt hands these units to tc, for which a kilobyte a second is 1000 bytes, and a kilobyte at once 1024
KBPS: Final = 1000
KB: Final = 1024
TAPS: Final = "use type bridge, direct or ethernet for that"


def ends(b: Build, x: Interface) -> Ends:
    """What is to be done to a tap or macvtap device."""
    _common(b, x)
    addresses, routes = _addresses(b, x)
    if x.isolated and x.type != "bridge":
        b.refuse(x, "isolated", "use type='bridge'", text="only ports of a bridge are isolated from one another")
    if x.trust_guest_rx_filters and x.type == "direct":
        text = f"{x.alias}: every multicast packet reaches the guest; a new MAC address that it chooses is not followed"
        b.warnings.append(text)
    limits = x.bandwidth
    if limits is not None:
        meaningless(limits, "class_id")
    return Ends(
        to_guest=_limit(b, limits.inbound) if limits else None,
        from_guest=_limit(b, limits.outbound) if limits else None,
        vlans=_vlans(b, x, x.vlan) if x.vlan else (),
        isolated=bool(x.isolated),
        coalesce=x.coalesce_rx_frames or None,
        addresses=addresses,
        routes=routes,
        script=_script(b, x, "script", x.script),
        downscript=_script(b, x, "downscript", x.downscript),
        trusted=bool(x.trust_guest_rx_filters) and x.type == "direct",
    )


def elsewhere(b: Build, x: Interface, *, vlans: bool = False) -> None:
    """For cards whose host's end is no device of the host's: what cannot be asked of it.

    :param vlans: VLANs can be, and are read elsewhere.
    """
    _common(b, x)
    _addresses(b, x)
    if x.bandwidth is not None:
        b.warnings.append(f"{x.alias}: the traffic of an interface of type {x.type} is not limited")
        for limit in (x.bandwidth.inbound, x.bandwidth.outbound):
            if limit is not None:
                meaningless(limit)
        meaningless(x.bandwidth)
    for field in ("vlan", "isolated", "coalesce_rx_frames", "script", "downscript", "backend_tap"):
        if getattr(x, field) and not (vlans and field == "vlan"):
            b.refuse(x, field, TAPS, text=f"an interface of type {x.type} has no device on the host")
    if x.trust_guest_rx_filters:
        b.refuse(x, "trust_guest_rx_filters", "leave it out", text="only a device on the host filters what it receives")


def switch(b: Build, x: Interface) -> SwitchUse | None:
    """The port of Open vSwitch that a card has; None where its bridge is the kernel's."""
    port = x.virtualport
    if port is None or port.type != "openvswitch" or x.type != "bridge":
        return None
    if x.isolated:
        b.refuse(x, "isolated", "leave it out", text="Open vSwitch isolates ports by flows of its own")
    if x.source is not None and x.source.bridge:
        b.token(x.source, "bridge", x.source.bridge)
    return SwitchUse(str(port.interfaceid or ""), port.profileid or "")


def tag(b: Build, x: Interface) -> int | None:
    """The one VLAN of a virtual function, whose packets the card tags."""
    vlan = x.vlan
    if vlan is None:
        return None
    meaningless(vlan, "trunk")
    for one in vlan.tags:
        meaningless(one, "native_mode")
    if len(vlan.tags) != 1 or not vlan.tags[0].id:
        b.refuse(x, "vlan", "keep one <tag>", text="a virtual function has one VLAN")
        return None
    return vlan.tags[0].id


def _common(b: Build, x: Interface) -> None:
    """What is said of containers or of live guests, and what needs a service that is not there."""
    meaningless(x, "guest_dev", "guest_actual")
    if x.filter is not None:
        text = f"no service here knows the network filter {x.filter}"
        b.refuse(x, "filter", "take <filterref> out, and have the host's firewall filter the bridge", text=text)
        for parameter in x.filter_parameters:
            meaningless(parameter)
    if x.virtualport is not None and not (x.type == "bridge" and x.virtualport.type == "openvswitch"):
        meaningless(x.virtualport)
        text = "no switch of this kind is told here who connects to it"
        b.refuse(
            x,
            "virtualport",
            "use a bridge of the kernel's, or make the port and write <target managed='no'/>",
            text=text,
        )
    for route in x.routes:
        meaningless(route)
        b.refuse(route, "", "set it in the guest", text="QEMU sets no routes inside a guest")


def _limit(b: Build, rate: Rate | None) -> Limit | None:
    if rate is None:
        return None
    if rate.floor is not None:
        hint = "take it out; average, peak and burst work everywhere"
        b.refuse(rate, "floor", hint, text="only a virtual network guarantees traffic to its guests")
    if not rate.average:
        b.problem(rate, "average", "the rate in the long run is missing", "write average='1000' (kilobytes a second)")
        return None
    peak = rate.peak * KBPS if rate.peak else None
    return Limit(rate.average * KBPS, peak, rate.burst * KB if rate.burst else None)


def _vlans(b: Build, x: Interface, vlan: Vlan) -> tuple[VlanUse, ...]:
    """VLANs of a port: of one alone the packets have no tag; of several only those of the native one have none."""
    if x.type != "bridge":
        b.refuse(x, "vlan", "use a bridge that filters VLANs", text=f"an interface of type {x.type} has no VLANs")
    trunk = bool(vlan.trunk) or len(vlan.tags) > 1
    if vlan.trunk is False and len(vlan.tags) > 1:
        b.problem(vlan, "trunk", "several VLANs are a trunk", "write trunk='yes', or keep one <tag>")
    found = []
    for tag in vlan.tags:
        if not tag.id:
            b.problem(tag, "id", "a VLAN has a number between 1 and 4094", "write <tag id='42'/>")
            continue
        mode = tag.native_mode
        found.append(VlanUse(tag.id, mode is not None or not trunk, mode == "untagged" or not trunk))
    return tuple(found)


def _addresses(b: Build, x: Interface) -> tuple[tuple[AddressUse, ...], tuple[RouteUse, ...]]:
    source = x.source
    if source is None or not (source.ips or source.routes):
        return (), ()
    if x.type != "ethernet":
        field = "ips" if source.ips else "routes"
        b.refuse(source, field, "use type='ethernet'", text="the host's end has no address of its own")
        return (), ()
    return tuple(_address(b, ip) for ip in source.ips), tuple(_route(b, route) for route in source.routes)


def _address(b: Build, x: Ip) -> AddressUse:
    meaningless(x, "family")
    if x.address is None:
        b.problem(x, "address", "the address is missing", "write <ip address='192.168.7.1' prefix='24'/>")
        return AddressUse("0.0.0.0", 0)  # noqa: S104 - no address at all
    return AddressUse(x.address, _usual(x.address) if x.prefix is None else x.prefix, x.peer)


def _usual(address: str) -> int:
    """Bits of the network where nobody says how many: as classes had them."""
    found = ipaddress.ip_address(address)
    if found.version == 6:
        return 64
    first = found.packed[0]
    return 8 if first < 128 else 16 if first < 192 else 24


def _route(b: Build, x: Route) -> RouteUse:
    meaningless(x, "family")
    if x.address is None:
        b.problem(x, "address", "the network is missing", "write <route address='10.0.0.0' prefix='8' gateway='...'/>")
        return RouteUse("0.0.0.0/0")
    bits: str | int = x.prefix if x.prefix is not None else x.netmask or _usual(x.address)
    try:
        network = ipaddress.ip_network(f"{x.address}/{bits}", strict=False)
    except ValueError as error:
        b.problem(x, "address", f"this is no network: {error}", "write its address and its prefix")
        return RouteUse("0.0.0.0/0")
    return RouteUse(str(network), x.gateway, x.metric)


def _script(b: Build, x: Interface, field: str, path: str | None) -> str:
    if not path:
        return ""
    if x.type != "ethernet":
        b.refuse(x, field, "use type='ethernet'", text=f"no program is run for an interface of type {x.type}")
    if not os.path.isabs(path):
        b.problem(x, field, f"{path!r} is no absolute path", "start it with /")
    return path
