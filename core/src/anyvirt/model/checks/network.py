"""Virtual networks and their ports."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, duplicate, each, missing, outside, wrong
from anyvirt.model.checks.names import check_name
from anyvirt.model.devices.interface import Bandwidth, Vlan
from anyvirt.model.element import line_of
from anyvirt.model.network import Dhcp, Dns, Forward, ForwardMode, Network, NetworkIp, NetworkPort, PortGroup

OWN_BRIDGE: Final = (ForwardMode.NONE, ForwardMode.NAT, ForwardMode.ROUTE, ForwardMode.OPEN)
SERVICE_MAX: Final = 63
Subnet = IPv4Network | IPv6Network


def network(x: Network) -> Iterator[Problem]:
    """A virtual network."""
    yield from check_name(x.name or "", line_of(x, "name"))
    if x.title is not None and "\n" in x.title:
        yield wrong("/title", line_of(x, "title"), "the title holds a line break", "use the description")
    yield from _unicast("/mac/@address", x.mac, line_of(x, "mac"))
    yield from _mode(x)
    if x.forward is not None:
        yield from _forward(x.forward)
    if x.dns is not None:
        yield from _dns(x.dns)
    yield from _addresses(x)
    yield from _routes(x)
    yield from _portgroups(x)
    yield from _traffic(x, "")


def network_port(x: NetworkPort) -> Iterator[Problem]:
    """A port of a virtual network."""
    for name, value in (("owner/name", x.owner_name), ("owner/uuid", x.owner_uuid), ("mac/@address", x.mac)):
        if not value:
            yield missing(f"/{name}", line_of(x), f"{name.partition('/')[0]} is missing", "say whose port it is")
    yield from _unicast("/mac/@address", x.mac, line_of(x, "mac"))
    for name in ("bridge", "dev", "address"):
        if x.plug is not None and name in type(x.plug)._fields and not getattr(x.plug, name):
            place = "address" if name == "address" else f"@{name}"
            yield missing(f"/plug/{place}", line_of(x.plug), f"the plug needs {name}", "say what it is on")
    yield from _traffic(x, "")


def _unicast(path: str, mac: str | None, line: int | None) -> Iterator[Problem]:
    if mac and mac[1:2].lower() in tuple("13579bdf"):
        yield wrong(path, line, f"{mac} is a multicast address", "use an even first byte")


def _mode(x: Network) -> Iterator[Problem]:
    """What a mode of forwarding needs, and what it rules out."""
    forward = x.forward
    mode = ForwardMode.NONE if forward is None else forward.mode or ForwardMode.NAT
    line = line_of(forward) if forward is not None else line_of(x)
    if mode in (ForwardMode.NAT, ForwardMode.ROUTE) and not any(ip.address for ip in x.ips):
        hint = "such as <ip address='192.168.100.1' netmask='255.255.255.0'/>"
        yield missing("/ip", line, f"a network with mode {mode} needs an address", hint)
    if mode in OWN_BRIDGE:
        return
    for path, ip in each(x, "ips"):
        yield conflict(path, line_of(ip), f"a network with mode {mode} has no addresses", "remove them")
    served = x.dns is not None and (x.dns.txts or x.dns.srvs or x.dns.hosts)
    for tag, there in (("dns", served), ("domain", x.domain), ("mac", x.mac)):
        if there:
            where = line_of(x.dns) if tag == "dns" and x.dns else line_of(x, tag)
            yield conflict(f"/{tag}", where, f"a network with mode {mode} has no {tag}", "remove it")
    bridge = x.bridge
    if bridge is None:
        return
    if mode != ForwardMode.BRIDGE:
        text = f"a network with mode {mode} has no bridge"
        yield conflict("/bridge", line_of(bridge), text, "remove it, or use mode='bridge'")
        return
    if bridge.name and forward is not None and (forward.dev or forward.interfaces):
        yield conflict("/bridge/@name", line_of(bridge), "a bridge stands beside interfaces", "use one of both")
    for name in ("stp", "delay", "zone"):
        value = getattr(bridge, name)
        if value is not None and (name != "delay" or value):
            text = f"{name} of a bridge that is there already"
            yield conflict(f"/bridge/@{name}", line_of(bridge), text, "leave it out")


def _forward(x: Forward) -> Iterator[Problem]:
    line, mode = line_of(x), x.mode or ForwardMode.NAT
    kinds = [name for name, there in (("interface", x.interfaces), ("address", x.addresses), ("pf", x.pf)) if there]
    if len(kinds) > 1:
        hint = "use one of interface, address and pf"
        yield conflict(f"/forward/{kinds[1]}", line, f"{kinds[1]} stands beside {kinds[0]}", hint)
    if x.pf is not None and mode in OWN_BRIDGE:
        yield conflict("/forward/pf", line, f"mode {mode} uses no physical function", "use mode='hostdev'")
    if x.addresses and mode in OWN_BRIDGE:
        text = f"mode {mode} gives guests no PCI functions"
        yield conflict("/forward/address", line_of(x.addresses[0]), text, "use mode='hostdev'")
    seen: set[object] = set()
    for path, interface in each(x, "interfaces", "/forward"):
        if not interface.dev:
            yield missing(f"{path}/@dev", line_of(interface), "the interface has no name", "such as dev='eth0'")
        elif interface.dev in seen:
            yield duplicate(path, line_of(interface), f"{interface.dev} stands here twice", "keep one")
        seen.add(interface.dev)
    for path, address in each(x, "addresses", "/forward"):
        place = (address.domain or 0, address.bus or 0, address.slot or 0, address.function or 0)
        if place in seen:
            yield duplicate(path, line_of(address), "the same function stands here twice", "keep one")
        seen.add(place)
    if x.nat is None:
        return
    if mode != ForwardMode.NAT:
        yield conflict("/forward/nat", line_of(x.nat), f"mode {mode} translates no addresses", "use mode='nat'")
    for tag in ("address", "port"):
        first, last = getattr(x.nat, f"{tag}_start"), getattr(x.nat, f"{tag}_end")
        yield from _range(f"/forward/nat/{tag}", line_of(x.nat, tag), first, last)


def _range(path: str, line: int | None, first: str | int | None, last: str | int | None) -> Iterator[Problem]:
    """Both ends of a range, in this order."""
    for name, value in (("start", first), ("end", last)):
        if value is None and (first, last) != (None, None):
            yield missing(f"{path}/@{name}", line, f"the range has no {name}", "give both ends")
    low, high = _number(first), _number(last)
    if low is None or high is None:
        return
    if (":" in str(first)) != (":" in str(last)):
        yield conflict(f"{path}/@end", line, f"{first} and {last} are of two families", "use one")
    elif high < low:
        yield outside(f"{path}/@end", line, f"the range ends at {last} before it starts at {first}", "swap the ends")


def _number(value: str | int | None) -> int | None:
    """An address or a port as a number, None where it is none of both."""
    try:
        return int(ip_address(value)) if isinstance(value, str) else value
    except ValueError:
        return None


def _dns(x: Dns) -> Iterator[Problem]:
    for path, forwarder in each(x, "forwarders", "/dns"):
        if forwarder.addr is None and forwarder.domain is None:
            yield missing(f"{path}/@addr", line_of(forwarder), "a forwarder without address and domain", "give one")
    for path, txt in each(x, "txts", "/dns"):
        if not txt.name:
            yield missing(f"{path}/@name", line_of(txt), "the record has no name", "such as name='example'")
        elif " " in txt.name:
            yield wrong(f"{path}/@name", line_of(txt), f"{txt.name!r} holds a blank", "leave it out")
    for path, host in each(x, "hosts", "/dns"):
        if host.ip is None:
            yield missing(f"{path}/@ip", line_of(host), "the host has no address", "such as ip='192.168.100.5'")
        if not host.hostnames:
            yield missing(f"{path}/hostname", line_of(host), "the host has no name", "such as <hostname>web</hostname>")
    for path, srv in each(x, "srvs", "/dns"):
        for name in ("service", "protocol"):
            if not getattr(srv, name):
                yield missing(f"{path}/@{name}", line_of(srv), f"the record has no {name}", f"give the {name}")
        if srv.service and len(srv.service) > SERVICE_MAX:
            text = f"the service has {len(srv.service)} characters"
            yield outside(f"{path}/@service", line_of(srv), text, f"use at most {SERVICE_MAX}")


def _addresses(x: Network) -> Iterator[Problem]:
    served: dict[int, str] = {}
    for path, ip in each(x, "ips"):
        line = line_of(ip)
        yield from _subnet(ip, path)
        version = 6 if ip.family == "ipv6" else 4
        if ip.tftp_root is not None and version == 6:
            yield conflict(f"{path}/tftp", line, "TFTP is not served with IPv6", "move it to an IPv4 address")
        dhcp = ip.dhcp
        if dhcp is None or not (dhcp.ranges or dhcp.hosts):
            continue
        if version in served:
            text = f"{served[version]} has a DHCP server for IPv{version}, too"
            yield duplicate(f"{path}/dhcp", line_of(dhcp), text, "keep one of a family")
        served.setdefault(version, path)
        yield from _dhcp(dhcp, f"{path}/dhcp", version, _net(ip))


def _net(ip: NetworkIp) -> Subnet | None:
    """The network of an address, None where it does not say enough, or too much."""
    if ip.address is None or "%" in ip.address or (ip.prefix is None and ip.netmask is None):
        return None
    try:
        return ip_network(f"{ip.address}/{ip.netmask if ip.prefix is None else ip.prefix}", strict=False)
    except ValueError:
        return None


def _subnet(ip: NetworkIp, path: str) -> Iterator[Problem]:
    line, text = line_of(ip), ip.address or ""
    if text and (":" in text) != (ip.family == "ipv6"):
        hint = "say family='ipv6'" if ":" in text else "say family='ipv4', or nothing"
        yield conflict(f"{path}/@family", line, f"{text} is not of family {ip.family or 'ipv4'}", hint)
        return
    if ip.netmask is not None and ip.prefix is not None:
        yield conflict(f"{path}/@netmask", line, "netmask and prefix stand here", "use one of both")
    elif ip.netmask is not None and ip.family == "ipv6":
        yield conflict(f"{path}/@netmask", line, "IPv6 has no netmasks", "use prefix")
    elif ip.prefix is not None and ip.prefix > 32 and ip.family != "ipv6":
        yield outside(f"{path}/@prefix", line, f"a prefix of {ip.prefix} bits", "IPv4 has up to 32")
    elif text and ip.netmask is not None and _net(ip) is None:
        yield wrong(f"{path}/@netmask", line, f"{ip.netmask} is no mask", "such as 255.255.255.0")


def _dhcp(x: Dhcp, path: str, version: int, subnet: Subnet | None) -> Iterator[Problem]:
    for here, span in each(x, "ranges", path):
        line = line_of(span)
        yield from _range(here, line, span.start, span.end)
        for name in ("start", "end"):
            yield from _inside(f"{here}/@{name}", line, getattr(span, name), subnet)
    for here, host in each(x, "hosts", path):
        line = line_of(host)
        if host.ip is None:
            yield missing(f"{here}/@ip", line, "the guest has no address", "give one of the network")
        yield from _unicast(f"{here}/@mac", host.mac, line)
        if version == 4 and not (host.mac or host.name):
            yield missing(f"{here}/@mac", line, "nothing says which guest it is", "give its MAC address or name")
        if version == 6 and host.mac:
            yield conflict(f"{here}/@mac", line, "DHCPv6 does not know MAC addresses", "use id or name")


def _inside(path: str, line: int | None, address: str | None, subnet: Subnet | None) -> Iterator[Problem]:
    number = _number(address)
    if number is None or subnet is None:
        return
    if not int(subnet.network_address) <= number <= int(subnet.broadcast_address):
        yield outside(path, line, f"{address} is outside {subnet}", "use an address of the network")


def _routes(x: Network) -> Iterator[Problem]:
    for path, route in each(x, "routes"):
        line = line_of(route)
        for name in ("address", "gateway"):
            if not getattr(route, name):
                yield missing(f"{path}/@{name}", line, f"the route has no {name}", "give both ends of it")
        if not route.address or not route.gateway:
            continue
        family = 6 if route.family == "ipv6" else 4
        for name in ("address", "gateway"):
            if (6 if ":" in getattr(route, name) else 4) != family:
                hint = f"say family='ipv{10 - family}'"
                yield conflict(f"{path}/@{name}", line, f"{getattr(route, name)} is not of IPv{family}", hint)
        if route.netmask and route.prefix is not None:
            yield conflict(f"{path}/@netmask", line, "netmask and prefix stand here", "use one of both")


def _portgroups(x: Network) -> Iterator[Problem]:
    names: set[str] = set()
    default: PortGroup | None = None
    for path, group in each(x, "portgroups"):
        line = line_of(group)
        if not group.name:
            yield missing(f"{path}/@name", line, "the port group has no name", "give one, unique in the network")
        elif group.name in names:
            yield duplicate(f"{path}/@name", line, f"port group {group.name!r} stands here twice", "use another name")
        names.add(group.name or "")
        if group.default and default is not None:
            text = f"port group {default.name!r} is the default, too"
            yield duplicate(f"{path}/@default", line, text, "keep one default")
        default = default or (group if group.default else None)
        yield from _traffic(group, path)


def _traffic(x: Network | PortGroup | NetworkPort, path: str) -> Iterator[Problem]:
    """VLANs and limits of traffic."""
    if x.vlan is not None:
        yield from _vlan(x.vlan, f"{path}/vlan")
    if x.bandwidth is not None:
        yield from _bandwidth(x.bandwidth, f"{path}/bandwidth")


def _vlan(x: Vlan, path: str) -> Iterator[Problem]:
    if not x.tags:
        yield missing(f"{path}/tag", line_of(x), "there is no VLAN", "such as <tag id='42'/>")
    if len(x.tags) > 1 and x.trunk is False:
        yield conflict(f"{path}/@trunk", line_of(x), f"{len(x.tags)} VLANs are a trunk", "leave trunk='no' out")
    for here, tag in each(x, "tags", path):
        if tag.id is None:
            yield missing(f"{here}/@id", line_of(tag), "the VLAN has no number", "give one of 0 to 4095")
        elif tag.id > 4095:
            yield outside(f"{here}/@id", line_of(tag), f"there is no VLAN {tag.id}", "use 0 to 4095")
    native = [tag for tag in x.tags if tag.native_mode]
    if len(native) > 1:
        yield duplicate(f"{path}/tag/@nativeMode", line_of(native[1]), "two VLANs are native", "keep one")


def _bandwidth(x: Bandwidth, path: str) -> Iterator[Problem]:
    for name in ("inbound", "outbound"):
        rate = getattr(x, name)
        if rate is None:
            continue
        line = line_of(rate)
        if rate.average is None and (name == "outbound" or rate.floor is None):
            yield missing(f"{path}/{name}/@average", line, "the average is missing", "give it in KiB a second")
        if rate.average is None and (rate.peak is not None or rate.burst is not None):
            yield missing(f"{path}/{name}/@average", line, "peak and burst need an average", "give it, too")
        if name == "outbound" and rate.floor is not None:
            yield conflict(f"{path}/{name}/@floor", line, "only traffic to guests is guaranteed", "move it to inbound")
