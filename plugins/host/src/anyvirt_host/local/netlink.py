"""Network devices of this host, changed through netlink: macvtap, addresses, limits, VLANs of a bridge's ports."""

from __future__ import annotations

import array
import errno
import fcntl
import ipaddress
import os
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Denied, Exists, Failed, NotFound, VirtError, current

if TYPE_CHECKING:
    from pyroute2.iproute.linux import IPRoute

MODES: Final = {"vepa": "vepa", "bridge": "bridge", "private": "private", "passthrough": "passthru"}
ROOT_HANDLE: Final = 0x10000  # 1:
CLASS: Final = 0x10001  # 1:1
LEAF_HANDLE: Final = 0x20000  # 2:
INGRESS: Final = 0xFFFF0000  # ffff:
INGRESS_PARENT: Final = 0xFFFFFFF1
ROOT_PARENT: Final = 0xFFFFFFFF
ALL_PROTOCOLS: Final = 3
PACKET_MAX: Final = 65536
ALL_MULTI: Final = 0x200  # IFF_ALLMULTI
BURST_MIN: Final = 2 * PACKET_MAX
SIOCETHTOOL, GET_COALESCE, SET_COALESCE = 0x8946, 0xE, 0xF
RX_FRAMES: Final = 2  # its place in struct ethtool_coalesce, of 23 numbers
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x2, 0x1000, 0x4000, 0x100
FAR: Final = 1 << 29  # the kernel counts indexes up from 1
APPEARS: Final = 5.0  # seconds within which udev makes a node


@dataclass(frozen=True, slots=True)
class Device:
    """A network device as the kernel has it.

    :param kind: such as ``macvtap``, ``tun`` or ``bridge``; empty for hardware.
    """

    index: int
    name: str
    mac: str
    kind: str = ""


def device(name: str) -> Device | None:
    """The device of this name; None where there is none."""
    with _netlink() as ip:
        found = ip.link_lookup(ifname=name)
        if not found:
            return None
        (link,) = ip.get_links(found[0])
    info = link.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info is not None else None
    return Device(found[0], name, link.get_attr("IFLA_ADDRESS") or "", kind or "")


def free(pattern: str) -> str:
    """The first name of a pattern with ``%d`` that no device has."""
    if "%d" not in pattern:
        return pattern
    with _netlink() as ip:
        taken = {link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
    return next(name for number in range(1 << 16) if (name := pattern.replace("%d", str(number))) not in taken)


def unused() -> int:
    """An index for a device to be made, by chance: the kernel is far from giving it to another by itself."""
    return FAR + secrets.randbelow(FAR)


def add_macvtap(name: str, parent: str, mode: str, mac: str, *, index: int | None = None) -> None:
    """Make a macvtap device beside a network card; it stays until it is removed.

    :param mode: ``vepa``, ``bridge``, ``private`` or ``passthrough``.
    :param index: what it is known by as long as it is there; the kernel's next one where it is None.
    :raises Exists: there is a device of this name, or of this index.
    :raises NotFound: there is no such card.
    :raises Denied: this user may not, or the card is taken (passthrough).
    """
    with _netlink() as ip, _told(name, f"making macvtap device {name} beside {parent}"):
        link = _index(ip, parent)
        words = {} if index is None else {"index": index}
        ip.link("add", ifname=name, kind="macvtap", link=link, macvtap_mode=MODES[mode], address=mac, **words)


def remove(name: str) -> None:
    """Remove a device; one that is gone is no error."""
    with _netlink() as ip, _told(name, f"removing device {name}", gone=True):
        ip.link("del", index=_index(ip, name))


def change(name: str, **what: Any) -> None:
    """Set a device's ``mac``, ``mtu``, or whether it is ``up`` or takes ``allmulti``.

    :raises Denied: this user may not.
    """
    words = {"address": what.get("mac"), "mtu": what.get("mtu")}
    if "up" in what:
        words["state"] = "up" if what["up"] else "down"
    words = {key: value for key, value in words.items() if value is not None}
    with _netlink() as ip, _told(name, f"setting up device {name}"):
        index = _index(ip, name)
        if words:
            ip.link("set", index=index, **words)
        if what.get("allmulti"):
            ip.link("set", index=index, flags=ALL_MULTI, change=ALL_MULTI)


def open_macvtap(name: str, *, queues: int = 1) -> tuple[int, ...]:
    """Descriptors of a macvtap device, one for each queue; the caller closes them.

    :raises Failed: its node did not appear within seconds.
    :raises Denied: this user may not open it.
    """
    found = device(name)
    if found is None:
        raise NotFound(name, "interface")
    node = f"/dev/tap{found.index}"
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if queues > 1 else 0)
    fds: list[int] = []
    try:
        for _ in range(queues):
            fds.append(_appeared(node))
            fcntl.ioctl(fds[-1], TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError as error:
        for fd in fds:
            os.close(fd)
        raise _refused(error.errno or 0, error.strerror or "", node, f"opening macvtap device {name}") from error
    return tuple(fds)


def _appeared(node: str) -> int:
    """The open node, once udev has made it, and made it accessible."""
    end = time.monotonic() + APPEARS
    while True:
        try:
            return os.open(node, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            current().check(f"waiting for {node}")
            if time.monotonic() > end:
                raise
        time.sleep(0.01)


def isolate(name: str) -> None:
    """Keep a bridge's port apart from its other isolated ports."""
    with _netlink() as ip, _told(name, f"isolating port {name} of its bridge"):
        ip.brport("set", index=_index(ip, name), isolated=1)


def put_in_vlan(name: str, number: int, *, native: bool, untagged: bool) -> None:
    """Let a bridge's port carry a VLAN."""
    flags = [word for word, wanted in (("pvid", native), ("untagged", untagged)) if wanted]
    with _netlink() as ip, _told(name, f"letting port {name} carry VLAN {number}"):
        ip.vlan_filter("add", index=_index(ip, name), vlan_info={"vid": number, "flags": flags})


def leave_vlan(name: str, number: int) -> None:
    """Take a VLAN from a bridge's port; one that it does not carry is no error."""
    with _netlink() as ip, _told(name, f"taking VLAN {number} from port {name}", gone=True):
        ip.vlan_filter("del", index=_index(ip, name), vlan_info={"vid": number})


def limit_sent(name: str, average: int, peak: int | None = None, burst: int | None = None) -> None:
    """Limit what a device sends: a queueing discipline, with fair queueing between connections where there is such.

    :param average: bytes a second in the long run; ``peak`` at most, ``burst`` bytes at peak.
    """
    words = {"rate": average, "ceil": peak or average} | ({"burst": burst} if burst else {})
    with _netlink() as ip, _told(name, f"limiting what {name} sends", module="sch_htb"):
        index = _index(ip, name)
        ip.tc("replace", "htb", index, handle=ROOT_HANDLE, default=1)
        ip.tc("replace-class", "htb", index, handle=CLASS, parent=ROOT_HANDLE, **words)
        with _tolerated(errno.ENOENT, errno.EOPNOTSUPP):
            ip.tc("replace", "sfq", index, handle=LEAF_HANDLE, parent=CLASS, perturb=10)


def limit_received(name: str, average: int, burst: int | None = None) -> None:
    """Drop what a device receives beyond ``average`` bytes a second, but for ``burst`` bytes at once.

    Where nobody says how many, that is as much as in a second, and enough for packets of any size.
    """
    burst = burst or max(average, BURST_MIN)
    with _netlink() as ip, _told(name, f"limiting what {name} receives", module="act_police, cls_u32"):
        index = _index(ip, name)
        with _tolerated(errno.EEXIST):
            ip.tc("add", "ingress", index, handle=INGRESS)
        what = {"rate": average, "burst": burst, "mtu": PACKET_MAX, "action": "drop"}
        whole = {"keys": ["0x0/0x0+0"], "target": 1, "protocol": ALL_PROTOCOLS, "prio": 1}
        ip.tc("add-filter", "u32", index, parent=INGRESS, **whole, **what)


def unlimit(name: str) -> None:
    """Take the limits from a device; one without, or that is gone, is no error."""
    for parent, handle in ((None, ROOT_HANDLE), (INGRESS_PARENT, INGRESS)):
        with _netlink() as ip, _told(name, f"taking the limits from {name}", gone=True):
            index = _index(ip, name)
            there = {(qdisc["handle"], qdisc["parent"]) for qdisc in ip.get_qdiscs(index)}
            if handle in {found for found, _ in there}:
                words = {} if parent is None else {"parent": parent}
                ip.tc("del", "htb" if parent is None else "ingress", index, handle=handle, **words)


def disciplines(name: str) -> list[str]:
    """Queueing disciplines that somebody has given a device, where our limits would be: ``root`` or ``ingress``."""
    with _netlink() as ip, _told(name, f"asking {name} for its queueing disciplines"):
        found = [qdisc for qdisc in ip.get_qdiscs(_index(ip, name)) if qdisc["handle"]]  # the kernel's own have none
    places = {ROOT_PARENT: "root", INGRESS_PARENT: "ingress"}
    return [places[qdisc["parent"]] for qdisc in found if qdisc["parent"] in places]


def has_address(name: str, address: str) -> bool:
    """Whether a device has this IP address."""
    with _netlink() as ip, _told(name, f"asking {name} for its addresses"):
        return any(
            address in {found.get_attr("IFA_LOCAL"), found.get_attr("IFA_ADDRESS")}
            for found in ip.get_addr(index=_index(ip, name))
        )


def add_address(name: str, address: str, prefix: int, peer: str | None = None) -> None:
    """Give a device an IP address; one that it has is no error."""
    words = {"local": address, "address": peer or address, "prefixlen": prefix}
    with _netlink() as ip, _told(name, f"giving {name} the address {address}"), _tolerated(errno.EEXIST):
        ip.addr("add", index=_index(ip, name), **words)


def remove_address(name: str, address: str, prefix: int, peer: str | None = None) -> None:
    """Take an IP address from a device; one that it does not have is no error."""
    words = {"local": address, "address": peer or address, "prefixlen": prefix}
    with _netlink() as ip, _told(name, f"taking the address {address} from {name}", gone=True):
        ip.addr("del", index=_index(ip, name), **words)


def has_route(name: str, network: str, gateway: str | None = None, metric: int | None = None) -> bool:
    """Whether a network's packets go through a device already, in just this way."""
    wanted = ipaddress.ip_network(network, strict=False)
    family = socket.AF_INET if wanted.version == 4 else socket.AF_INET6
    with _netlink() as ip, _told(name, f"asking for the routes through {name}"):
        for route in ip.get_routes(oif=_index(ip, name), family=family):
            to = f"{route.get_attr('RTA_DST') or wanted.network_address}/{route['dst_len']}"
            same = ipaddress.ip_network(to, strict=False) == wanted
            if same and route.get_attr("RTA_GATEWAY") == gateway and metric in {None, route.get_attr("RTA_PRIORITY")}:
                return True
    return False


def add_route(name: str, network: str, gateway: str | None = None, metric: int | None = None) -> None:
    """Send a network's packets through a device; where they go there already is no error."""
    action = f"sending packets for {network} through {name}"
    with _netlink() as ip, _told(name, action), _tolerated(errno.EEXIST):
        ip.route("add", oif=_index(ip, name), **_route(network, gateway, metric))


def remove_route(name: str, network: str, gateway: str | None = None, metric: int | None = None) -> None:
    """Take a route away; one that is not there is no error."""
    with _netlink() as ip, _told(name, f"taking the route to {network} from {name}", gone=True):
        ip.route("del", oif=_index(ip, name), **_route(network, gateway, metric))


def _route(network: str, gateway: str | None, metric: int | None) -> dict[str, Any]:
    words = {"dst": network, "gateway": gateway, "priority": metric}
    return {key: value for key, value in words.items() if value is not None}


def function(parent: str, number: int) -> tuple[str, int]:
    """MAC address and VLAN (0 for none) that a network card gives one of its virtual functions."""
    with _netlink() as ip, _told(parent, f"asking {parent} for its virtual function {number}"):
        (link,) = ip.get_links(_index(ip, parent), ext_mask=1)
    listed = link.get_attr("IFLA_VFINFO_LIST")
    for one in listed.get_attrs("IFLA_VF_INFO") if listed is not None else ():
        mac, vlan = one.get_attr("IFLA_VF_MAC"), one.get_attr("IFLA_VF_VLAN")
        if mac is not None and mac["vf"] == number:
            return mac["mac"][:17], vlan["vlan"] if vlan is not None else 0
    raise NotFound(f"virtual function {number} of {parent}", "interface")


def set_function(parent: str, number: int, mac: str, vlan: int) -> None:
    """Give a virtual function of a network card a MAC address and a VLAN; 0 for none."""
    with _netlink() as ip, _told(parent, f"setting up virtual function {number} of {parent}"):
        index = _index(ip, parent)
        ip.link("set", index=index, vf={"vf": number, "mac": mac})
        ip.link("set", index=index, vf={"vf": number, "vlan": vlan})


def coalescing(name: str) -> int:
    """How many packets a device collects before it tells of them.

    :raises Failed: it collects none.
    """
    numbers = array.array("I", [GET_COALESCE, *[0] * 22])
    _ethtool(name, numbers, f"asking how many packets {name} collects")
    return numbers[RX_FRAMES]


def coalesce(name: str, frames: int) -> None:
    """Let a device collect this many packets before it tells of them.

    :raises Failed: it collects none.
    """
    numbers = array.array("I", [GET_COALESCE, *[0] * 22])
    _ethtool(name, numbers, f"letting {name} collect {frames} packets")
    numbers[0], numbers[RX_FRAMES] = SET_COALESCE, frames
    _ethtool(name, numbers, f"letting {name} collect {frames} packets")


def _ethtool(name: str, numbers: array.array[int], action: str) -> None:
    request = struct.pack("16sP16x", name.encode(), numbers.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, SIOCETHTOOL, request)
        except OSError as error:
            raise _refused(error.errno or 0, error.strerror or "", name, action) from error


@contextmanager
def _netlink() -> Iterator[IPRoute]:
    from pyroute2.iproute.linux import IPRoute  # a tenth of a second

    with IPRoute() as ip:
        yield ip


def _index(ip: IPRoute, name: str) -> int:
    found = ip.link_lookup(ifname=name)
    if not found:
        raise NotFound(name, "interface", hint="ip link shows those there are")
    return int(found[0])


@contextmanager
def _tolerated(*codes: int) -> Iterator[None]:
    """What the kernel refuses for one of these reasons does not matter."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise


@contextmanager
def _told(name: str, action: str, *, gone: bool = False, module: str = "") -> Iterator[None]:
    """What the kernel refuses, with what was to be done; where ``gone``, what is not there is no error."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NotFound:
        if not gone:
            raise
    except NetlinkError as error:
        if gone and error.code in {errno.ENODEV, errno.ENOENT, errno.EADDRNOTAVAIL, errno.ESRCH}:
            return
        raise _refused(error.code, os.strerror(error.code), name, action, module) from error


def _refused(code: int, text: str, name: str, action: str, module: str = "") -> VirtError:
    native = {"errno": code, "text": text, "device": name}
    if code == errno.EEXIST:
        return Exists("interface", name, hint="choose another name")
    if code in {errno.EPERM, errno.EACCES}:
        hint = "use network type user, or qemu:///system as root"
        return Denied(f"{action}: {text} for user {os.geteuid()}", hint=hint, details=native)
    hint = "look at ip -d link"
    if code == errno.EBUSY:
        hint = "another device is passed through there, or its address changes only while it is down"
    elif code in {errno.ENOENT, errno.EOPNOTSUPP}:
        hint = f"this kernel may lack what it takes: modprobe {module}" if module else "this kernel cannot do that"
    return Failed(f"{action}: {text}", native=native, hint=hint)
