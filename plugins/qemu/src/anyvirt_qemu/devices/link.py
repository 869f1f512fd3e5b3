"""What a network card is connected to on the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

from anyvirt.api import Interface, InterfaceSource, PortForward, meaningless, path_of

from anyvirt_qemu.devices import ends
from anyvirt_qemu.devices.chardev import again, socket_path
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.cabling import MacvtapUse, TapUse

PATTERN: Final = "anyv%d"
MACVTAP: Final = "macvtap%d"
GENERATED: Final = ("vnet", "anyv", "macvtap", "macvlan")
VHOST_NET: Final = "/dev/vhost-net"
ON_HOST: Final = frozenset({"bridge", "ethernet", "direct"})
PORTS_MAX: Final = 256  # forwarded one by one
# what this driver cannot do on the host yet, and why
LATER: Final = {
    "network": ("the bridge of a virtual network is not looked up here", "name it: type='bridge' and <source bridge=>"),
    "internal": ("QEMU has no internal networks", "use type='bridge'"),
    "vds": ("distributed switches are VMware's", "use type='bridge'"),
}


def host(b: Build, x: Interface, net: str, queues: int) -> bool:
    """The host side; False where the card is connected to nothing."""
    kind = x.type or "ethernet"
    if kind in LATER:
        text, hint = LATER[kind]
        b.refuse(x, "type", hint, text=text)
        meaningless(x)
        return False
    if kind not in ON_HOST:
        ends.elsewhere(b, x)
    if kind == "null":
        _single(b, x, queues)
        return False
    make = MAKERS[kind]
    b.netdev({**make(b, x, net, queues), "id": net})
    return True


def _single(b: Build, x: Interface, queues: int) -> None:
    """No tap, no vhost: one queue, which QEMU moves."""
    if queues > 1 and x.driver:
        b.refuse(x.driver, "queues", "use type bridge or ethernet for that")
    if x.driver is not None:
        if x.driver.name == "vhost":
            b.warnings.append(f"{x.alias}: the kernel moves no packets of type {x.type}; QEMU does")
        elif x.driver.name not in {None, "qemu"}:
            b.refuse(x.driver, "name", "use qemu")
    meaningless(x, "target", "target_managed")


def _user(b: Build, x: Interface, _net: str, queues: int) -> dict[str, Any]:
    _single(b, x, queues)
    if x.source is not None:
        meaningless(x.source, "bridge", "network")
    if x.backend_type == "passt":
        from anyvirt_qemu.devices.passt import passt

        return passt(b, x)
    found: dict[str, Any] = {"type": "user"}
    for ip in x.ips:
        address = ipaddress.ip_address(ip.address or "0.0.0.0")  # noqa: S104 - no address at all
        if ip.peer is not None:
            b.refuse(ip, "peer", "QEMU chooses the address of its own end")
        if address.version == 4:
            found["net"] = f"{address}/{24 if ip.prefix is None else ip.prefix}"
        else:
            found |= {"ipv6-prefix": str(address), "ipv6-prefixlen": ip.prefix}
        meaningless(ip, "family")
    forwards = [{"str": word} for forward in x.port_forwards for word in _forwarded(b, forward)]
    if forwards and not b.caps.json_netdev:
        text = f"this QEMU ({b.caps.binary}) takes no network in JSON"
        b.refuse(x, "port_forwards", "use type='bridge'", text=text)
    return found | ({"hostfwd": forwards} if forwards else {})


def _forwarded(b: Build, x: PortForward) -> list[str]:
    """Each port on its own: ``tcp:127.0.0.1:2222-:22``."""
    if x.dev is not None:
        b.refuse(x, "dev", "name the host's address instead")
    address = x.address or ""
    if ":" in address:
        b.refuse(x, "address", "use an address of IPv4, or backend passt")
    found = []
    out = {port for one in x.ranges if one.exclude for port in range(one.start or 0, (one.end or one.start or 0) + 1)}
    for one in x.ranges:
        if one.exclude:
            continue
        first, last = one.start or 0, one.end or one.start or 0
        to = first if one.to is None else one.to
        if not first or last < first:
            b.problem(one, "start", "this is no range of ports", "write start='2222' to='22'")
        elif last - first >= PORTS_MAX:
            b.refuse(one, "end", f"forward at most {PORTS_MAX} ports, or use backend passt")
        else:
            ports = [port for port in range(first, last + 1) if port not in out]
            found += [f"{x.proto or 'tcp'}:{address}:{port}-:{port - first + to}" for port in ports]
    if not x.ranges:
        b.problem(x, "ranges", "no ports are named", "write <range start='2222' to='22'/>")
    return found


def _tap(b: Build, x: Interface, _net: str, queues: int) -> dict[str, Any]:
    """A tap device, whose descriptors QEMU inherits: it opens none itself and runs no script."""
    bridge = x.source.bridge if x.source and x.type == "bridge" else None
    if x.type == "bridge" and not bridge:
        b.problem(x, "source", "the bridge is not named", "write <source bridge='br0'/>")
    managed = x.target_managed is not False
    name = x.target or PATTERN
    if managed and name.startswith(GENERATED):
        name = PATTERN
    elif not managed and x.target is None:
        b.problem(
            x, "target", "the device that is there already is not named", "write <target dev='tap7' managed='no'/>"
        )
    node = b.path(x, "backend_tap", x.backend_tap) if x.backend_tap else ""
    end, port = ends.ends(b, x), ends.switch(b, x)
    b.taps.append(TapUse(x.alias or "", x.mac or "", name, bridge, x.mtu, queues, managed, node, end, path_of(x), port))
    return _moved(b, x, queues)


def _direct(b: Build, x: Interface, _net: str, queues: int) -> dict[str, Any]:
    """A macvtap device: the guest is on the network of one of the host's cards, beside the host."""
    source = _source(x)
    mode = source.mode or "vepa"
    if not source.dev:
        b.problem(x, "source", "the host's network card is not named", "write <source dev='eth0' mode='bridge'/>")
    if mode in {"client", "server"}:
        b.problem(source, "mode", f"{mode} is no mode of a macvtap", "use vepa, bridge, private or passthrough")
    meaningless(source, "bridge", "network")
    meaningless(x, "target_managed", "backend_tap")
    name = x.target if x.target and not x.target.startswith(GENERATED) else MACVTAP
    parent, end = source.dev or "", ends.ends(b, x)
    b.macvtaps.append(MacvtapUse(x.alias or "", x.mac or "", name, parent, mode, x.mtu, queues, end, path_of(x)))
    return _moved(b, x, queues)


def _moved(b: Build, x: Interface, queues: int) -> dict[str, Any]:
    """The descriptors of a device, one for each queue; QEMU moves its packets, or the kernel does."""
    fds = [str(b.fd("tap", x.alias or "")) for _ in range(queues)]
    found: dict[str, Any] = {"type": "tap", "fds" if queues > 1 else "fd": ":".join(fds)}
    device = _vhost(b, x)
    if device:
        hosts = [str(b.fd("open", device)) for _ in range(queues)]
        found |= {"vhost": True, "vhostfds" if queues > 1 else "vhostfd": ":".join(hosts)}
    if x.sndbuf is not None:
        found["sndbuf"] = x.sndbuf
    return found


def _vhost(b: Build, x: Interface) -> str:
    """The device with which the kernel moves packets: where it is asked for, and under KVM where it is there."""
    name = x.driver.name if x.driver else None
    named = b.path(x, "backend_vhost", x.backend_vhost) if x.backend_vhost is not None else ""
    if name not in {None, "qemu", "vhost"} and x.driver:
        b.refuse(x.driver, "name", "use qemu or vhost")
    if name == "vhost":
        return named or VHOST_NET
    alone = name == "qemu" or b.accelerator != "kvm" or not (x.model or "").startswith("virtio")
    return "" if alone else named or b.paths.vhost_net


def _vhost_user(b: Build, x: Interface, _net: str, queues: int) -> dict[str, Any]:
    """A switch in another program, which reads the guest's memory."""
    source = _source(x)
    meaningless(x, "target", "target_managed")
    meaningless(source, "type")
    if not (x.model or "virtio").startswith("virtio"):
        b.refuse(x, "model", "use virtio", text="vhost-user is for virtio cards")
    path = socket_path(b, source, "path", source.path or "")
    options: dict[str, Any] = {"id": f"char{x.alias}", "path": path}
    if source.mode == "server":
        options["server"] = True  # QEMU waits until the switch has connected
        b.sockets.append(path)
    elif source.reconnect:
        options |= again(b, source.reconnect_timeout)
    else:
        meaningless(source, "reconnect_timeout")
    b.options("-chardev", "socket", options)
    _vhost_driver(b, x)
    return {"type": "vhost-user", "chardev": f"char{x.alias}", "queues": queues if queues > 1 else None}


def _vdpa(b: Build, x: Interface, _net: str, queues: int) -> dict[str, Any]:
    """A device that speaks virtio, behind the kernel's vhost interface."""
    source = _source(x)
    meaningless(x, "target", "target_managed")
    if not b.caps.has_feature("netdev.vhost-vdpa"):
        text = f"this QEMU ({b.caps.binary}) has no netdev vhost-vdpa"
        b.refuse(x, "type", "use type='bridge'", text=text)
    place = b.fdset("open", b.path(source, "dev", source.dev))
    _vhost_driver(b, x)
    return {"type": "vhost-vdpa", "vhostdev": place, "queues": queues if queues > 1 else None}


def _vhost_driver(b: Build, x: Interface) -> None:
    if x.driver is not None and x.driver.name not in {None, "vhost", "qemu"}:
        b.refuse(x.driver, "name", "leave it out")


def _socket(b: Build, x: Interface, _net: str, queues: int) -> dict[str, Any]:
    """A socket that carries Ethernet frames to another QEMU."""
    _single(b, x, queues)
    source = _source(x)
    found: dict[str, Any] = {"type": "socket"}
    place = _endpoint(b, x, source.address, source.port)
    match x.type:
        case "server":
            found["listen"] = place
        case "client":
            found["connect"] = place
        case "mcast":
            found["mcast"] = place
        case _:
            found |= {"udp": place, "localaddr": _endpoint(b, x, source.local_address, source.local_port)}
    return found


def _endpoint(b: Build, x: Interface, address: str | None, port: int | None) -> str:
    if not port:
        b.problem(x, "source", "the port is missing", "write <source address='127.0.0.1' port='5555'/>")
    if ":" in (address or ""):
        b.refuse(x, "source", "use an address of IPv4")
    return f"{address or '127.0.0.1'}:{port or 0}"


def _source(x: Interface) -> InterfaceSource:
    return x.source or InterfaceSource()


Maker = Callable[[Build, Interface, str, int], dict[str, Any]]
MAKERS: Final[dict[str, Maker]] = {
    "user": _user, "bridge": _tap, "ethernet": _tap, "direct": _direct, "vhostuser": _vhost_user, "vdpa": _vdpa,
    "server": _socket, "client": _socket, "mcast": _socket, "udp": _socket,
}  # fmt: skip
