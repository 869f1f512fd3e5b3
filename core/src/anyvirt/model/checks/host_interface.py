"""Interfaces of the host, and its devices."""

from __future__ import annotations

from collections.abc import Iterator

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, duplicate, each, missing, outside
from anyvirt.model.element import line_of
from anyvirt.model.host_interface import HostBond, HostInterface, HostInterfaceType, HostPort, HostProtocol
from anyvirt.model.node_device import FcHost, NodeDevice, ScsiHostCapability


def host_interface(x: HostInterface) -> Iterator[Problem]:
    """An interface of the host."""
    line = line_of(x)
    if x.type is None:
        yield missing("/@type", line, "the type is missing", "such as type='ethernet'")
    if x.bridge is None and x.type == HostInterfaceType.BRIDGE:
        yield missing("/bridge", line, "a bridge needs the element bridge", "an empty one will do")
    yield from _kind(x, "")
    for path, port in each(x.bridge, "interfaces", "/bridge") if x.bridge else ():
        yield from _kind(port, path)
    families: set[str | None] = set()
    for path, protocol in each(x, "protocols"):
        if protocol.family in families:
            yield duplicate(path, line_of(protocol), f"{protocol.family} stands here twice", "keep one")
        families.add(protocol.family)
        yield from _protocol(protocol, path)


def _kind(x: HostPort, path: str) -> Iterator[Problem]:
    line = line_of(x)
    if not x.name and x.type != HostInterfaceType.VLAN:
        yield missing(f"{path}/@name", line, "the name is missing", "such as name='eth0'")
    if x.type == HostInterfaceType.VLAN:
        for name, value in (("@tag", x.vlan_tag), ("interface/@name", x.vlan_interface)):
            if value is None:
                hint = "such as <vlan tag='42'><interface name='eth0'/></vlan>"
                yield missing(f"{path}/vlan/{name}", line, "a VLAN needs a number and an interface", hint)
    if x.bond is not None:
        yield from _bond(x.bond, f"{path}/bond")
    elif x.type == HostInterfaceType.BOND:
        yield missing(f"{path}/bond", line, "a bond needs the element bond", "with the interfaces in it")


def _bond(x: HostBond, path: str) -> Iterator[Problem]:
    line = line_of(x)
    if not x.interfaces:
        yield missing(f"{path}/interface", line, "the bond has no interfaces", "name at least one")
    seen: set[str | None] = set()
    for here, interface in each(x, "interfaces", path):
        if not interface.name:
            yield missing(f"{here}/@name", line_of(interface), "the name is missing", "such as name='eth0'")
        elif interface.name in seen:
            yield duplicate(here, line_of(interface), f"{interface.name} stands here twice", "keep one")
        seen.add(interface.name)
    if x.arpmon_interval is not None and x.miimon_freq is not None:
        yield conflict(f"{path}/arpmon", line_of(x, "arpmon"), "arpmon stands beside miimon", "use one of both")
    if x.arpmon_interval is not None and x.arpmon_target is None:
        yield missing(f"{path}/arpmon/@target", line_of(x, "arpmon"), "nobody answers ARP", "give an address that does")


def _protocol(x: HostProtocol, path: str) -> Iterator[Problem]:
    line, six = line_of(x), x.family == "ipv6"
    if x.family is None:
        yield missing(f"{path}/@family", line, "the family is missing", "ipv4 or ipv6")
        return
    if x.autoconf and not six:
        yield conflict(f"{path}/autoconf", line, "IPv4 has no router advertisements", "use dhcp")
    for here, ip in each(x, "ips", path):
        if ip.address is None:
            yield missing(f"{here}/@address", line_of(ip), "the address is missing", "give one")
        elif (":" in ip.address) != six:
            yield conflict(f"{here}/@address", line_of(ip), f"{ip.address} is not of family {x.family}", "move it")
        if ip.prefix is not None and ip.prefix > 32 and not six:
            yield outside(f"{here}/@prefix", line_of(ip), f"a prefix of {ip.prefix} bits", "IPv4 has up to 32")
    if x.gateway is not None and (":" in x.gateway) != six:
        text = f"{x.gateway} is not of family {x.family}"
        yield conflict(f"{path}/route/@gateway", line_of(x, "route"), text, "move it")


def node_device(x: NodeDevice) -> Iterator[Problem]:
    """A device of the host, or one that is to be made."""
    if not x.capabilities:
        yield missing("/capability", line_of(x), "nothing says what it is", "such as <capability type='mdev'>")
    if (x.parent_wwnn is None) != (x.parent_wwpn is None):
        name = "wwnn" if x.parent_wwnn is None else "wwpn"
        yield missing(f"/parent/@{name}", line_of(x, "parent"), f"{name} is missing", "give both names of the parent")
    for path, capability in each(x, "capabilities"):
        if not isinstance(capability, ScsiHostCapability):
            continue
        for here, inner in each(capability, "capabilities", path):
            if isinstance(inner, FcHost) and (inner.wwnn is None) != (inner.wwpn is None):
                name = "wwnn" if inner.wwnn is None else "wwpn"
                yield missing(f"{here}/{name}", line_of(inner), f"{name} is missing", "give both names, or none")
