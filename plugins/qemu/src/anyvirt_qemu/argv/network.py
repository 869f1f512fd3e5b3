"""Network cards: devices with their ``-netdev``, and the short ways of ``-nic`` and ``-net``."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

from anyvirt.api import Interface, InterfaceDriver, InterfaceSource, Ip, PortForward, PortRange

from anyvirt_qemu.argv.draft import Draft, made, tuned, variant
from anyvirt_qemu.argv.given import Given, number, on, words_of
from anyvirt_qemu.argv.parts import seat

CARDS: Final = {
    "virtio-net": "virtio", "e1000": "e1000", "e1000-82540em": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139",
    "ne2k_pci": "ne2k_pci", "pcnet": "pcnet", "i82551": "i82551", "i82557b": "i82557b", "i82559er": "i82559er",
    "vmxnet3": "vmxnet3", "usb-net": "usb-net", "igb": "igb", "spapr-vlan": "spapr-vlan",
}  # fmt: skip
MAC: Final = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
FORWARD: Final = re.compile(r"(tcp|udp)?:([^:]*):(\d+)-([^:]*):(\d+)")
# keys of back ends that are heeded, or say nothing of the guest
HEEDED: Final = {
    "user": frozenset({"id", "type", "hostfwd", "net", "ipv6-prefix", "ipv6-prefixlen"}),
    "bridge": frozenset({"id", "type", "br", "helper"}),
    "tap": frozenset({
        "id", "type", "ifname", "script", "downscript", "br", "helper", "vhost", "queues", "fd", "fds", "vhostfd",
        "vhostfds", "sndbuf",
    }),
    "vhost-user": frozenset({"id", "type", "chardev", "queues", "vhostforce"}),
    "socket": frozenset({"id", "type", "listen", "connect", "mcast", "udp", "localaddr"}),
    "vhost-vdpa": frozenset({"id", "type", "vhostdev"}),
}  # fmt: skip


def cards(d: Draft) -> None:
    """Every network card of the line; one of the user's network where there would be one without asking."""
    asked = bool(d.every("nic", "net", "netdev"))
    for given in d.every("device"):
        base, model = variant(str(given.options.get("driver", "")))
        if base in CARDS:
            _device(d, given, CARDS[base] if model is None else model)
    for given in d.every("nic"):
        _nic(d, given)
    _net(d)
    if not asked and not d.fields.get("nodefaults") and d.machine != "none":
        d.add("interfaces", Interface(type="user", model=_usual(d)))  # type: ignore[arg-type]


def _usual(d: Draft) -> str:
    return "e1000e" if d.q35 else "e1000" if d.arch in {"x86_64", "i686"} else "virtio"


def _device(d: Draft, given: Given, model: str) -> None:
    name = given.options.get("netdev")
    back = d.back("netdev", name) if name is not None else None
    x = _connected(d, back) if back is not None else Interface(type="null") if name is None else None  # type: ignore[arg-type]
    if x is None:
        return
    given.take("netdev")
    if back is not None:
        back.done = True
    driver: dict[str, Any] = {
        "ioeventfd": given.switch("ioeventfd"),
        "event_idx": given.switch("event_idx"),
        "rx_queue_size": given.number("rx_queue_size"),
        "tx_queue_size": given.number("tx_queue_size"),
        "rss": given.switch("rss"),
        "rss_hash_report": given.switch("hash"),
        **tuned(given),
    }
    if words_of(given.options.get("tx")) in {"bh", "timer"}:
        driver["txmode"] = "iothread" if given.take("tx") == "bh" else "timer"
    if x.driver is not None and x.driver.queues is not None:
        given.take("mq", "vectors")
    own = {key: value for key, value in driver.items() if value is not None}
    mac = str(given.options.get("mac", ""))
    changes: dict[str, Any] = {"model": model, "boot": d.boot(given), "mtu": given.number("host_mtu")}
    if MAC.fullmatch(mac):
        given.take("mac")
        changes["mac"] = mac.lower()
    if own:
        changes["driver"] = (x.driver or InterfaceDriver()).replace(**own)
    x = x.replace(**{key: value for key, value in changes.items() if value is not None})
    d.add("interfaces", x.replace(address=seat(d, given) if model == "usb-net" else d.place(given)), given)


def _connected(d: Draft, back: Given) -> Interface | None:
    """The host's side of a card; None where no definition can have it."""
    kind = str(back.options.get("type", ""))
    o = back.options
    found: Interface | None = None
    driver: dict[str, Any] = {"queues": number(o.get("queues"))}
    if kind == "user":
        found = made(Interface, type="user", port_forwards=_forwards(d, o), ips=_own(o))
    elif kind == "bridge" or (kind == "tap" and o.get("br") is not None):
        found = Interface(type="bridge", source=InterfaceSource(bridge=str(o.get("br", "br0"))))  # type: ignore[arg-type]
    elif kind == "tap":
        found = _tap(d, back)
    elif kind == "vhost-user":
        found = _vhost_user(d, back)
    elif kind == "socket":
        found = _socket(o)
    elif kind == "vhost-vdpa":
        found = Interface(type="vdpa", source=InterfaceSource(dev=str(o.get("vhostdev", ""))))  # type: ignore[arg-type]
    if found is None:
        return None
    if on(o.get("vhost")):
        driver["name"] = "vhost"
    moved = {key: value for key, value in driver.items() if value is not None}
    left = [key for key in o if key not in HEEDED.get(kind, ())]
    if left:
        d.note(f"left out: {', '.join(left)} of -{back.flag} {back.text} (a network card has no word for it)")
    return found.replace(driver=InterfaceDriver(**moved)) if moved else found


def _own(o: dict[str, Any]) -> tuple[Ip, ...]:
    """The guest's networks, where they are other than QEMU's."""
    found = []
    rows = [("ipv4", str(o.get("net", ""))), ("ipv6", f"{o.get('ipv6-prefix', '')}/{o.get('ipv6-prefixlen', 64)}")]
    for family, text in rows:
        address, _, bits = text.partition("/")
        if address and bits.isdecimal():
            found.append(made(Ip, family=family, address=address, prefix=int(bits)))
    return tuple(found)


def _tap(d: Draft, back: Given) -> Interface:
    o = back.options
    scripts = {}
    for key, field in (("script", "script"), ("downscript", "downscript")):
        path = o.get(key)
        if path not in {None, "no", ""}:
            scripts[field] = str(path)
    if o.get("fd") is not None or o.get("fds") is not None:
        d.note(f"the tap device of {back.id} was opened by somebody else: it is made anew, on no bridge")
    name = o.get("ifname")
    x = Interface(type="ethernet", target=None if name is None else str(name), **scripts)  # type: ignore[arg-type]
    return x.replace(target_managed=False) if name is not None and words_of(o.get("script")) in {"no", ""} else x


def _vhost_user(d: Draft, back: Given) -> Interface | None:
    chardev = d.back("chardev", back.options.get("chardev"))
    path = chardev.options.get("path") if chardev is not None else None
    if chardev is None or path is None:
        return None
    chardev.done = True
    mode: Any = "server" if on(chardev.options.get("server")) else "client"
    return Interface(type="vhostuser", source=InterfaceSource(type="unix", path=str(path), mode=mode))  # type: ignore[arg-type]


def _socket(o: dict[str, Any]) -> Interface | None:
    for key, kind in (("listen", "server"), ("connect", "client"), ("mcast", "mcast"), ("udp", "udp")):
        if key in o:
            host, _, port = str(o[key]).rpartition(":")
            source = InterfaceSource(address=host or None, port=number(port))
            if kind == "udp":
                near, _, local = str(o.get("localaddr", "")).rpartition(":")
                source = source.replace(local_address=near or None, local_port=number(local))
            return Interface(type=kind, source=source)  # type: ignore[arg-type]
    return None


def _forwards(d: Draft, o: dict[str, Any]) -> tuple[PortForward, ...]:
    """Ports of the host that reach the guest."""
    rows = o.get("hostfwd")
    texts = rows if isinstance(rows, list) else [] if rows is None else [rows]
    own = []
    for row in texts:
        text = words_of(row.get("str", row) if isinstance(row, dict) else row)
        found = FORWARD.fullmatch(text)
        if found is None:
            d.note(f"left out: hostfwd={text} (no port of the host is told)")
            continue
        if found[4]:
            d.note(f"hostfwd={text}: the guest is reached at whatever address it has")
        address: str | None = found[2] or None
        try:
            if address is not None:
                address = str(ipaddress.ip_address(address))
        except ValueError:
            d.note(f"hostfwd={text}: {address} is no address, and is left out")
            address = None
        ports = PortRange(start=int(found[3]), to=int(found[5]) if found[3] != found[5] else None)
        own.append(PortForward(proto=found[1] or "tcp", address=address, ranges=(ports,)))  # type: ignore[arg-type]
    return tuple(own)


def _nic(d: Draft, given: Given) -> None:
    kind = str(given.options.get("type", ""))
    if kind == "none":
        given.done = True
        return
    card = {key: given.take(key) for key in ("model", "mac", "macaddr")}
    x = _connected(d, given)
    if x is not None:
        given.done = True
        d.add("interfaces", _named(d, x, card))


def _named(d: Draft, x: Interface, card: dict[str, Any]) -> Interface:
    base, variety = variant(str(card.get("model") or _usual(d)))
    mac = str(card.get("mac") or card.get("macaddr") or "")
    x = x.replace(model=variety or CARDS.get(base, base))
    return x.replace(mac=mac.lower()) if MAC.fullmatch(mac) else x


def _net(d: Draft) -> None:
    """``-net nic -net user``: cards and back ends on one hub, taken in pairs."""
    found = d.every("net")
    cards = [one for one in found if one.options.get("type") == "nic"]
    backs = [one for one in found if words_of(one.options.get("type")) not in {"nic", "none"}]
    for one in found:
        if one.options.get("type") == "none":
            one.done = True
    for given, back in zip(cards, backs, strict=False):
        name = given.options.get("netdev")
        back = (d.back("netdev", name) if name is not None else None) or back  # noqa: PLW2901
        x = _connected(d, back)
        if x is not None:
            given.done = back.done = True
            d.add("interfaces", _named(d, x, given.options))
    for given in cards[len(backs) :]:
        named = d.back("netdev", given.options.get("netdev"))
        x = _connected(d, named) if named is not None else Interface(type="user")  # type: ignore[arg-type]
        if x is not None:
            given.done = True
            if named is not None:
                named.done = True
            d.add("interfaces", _named(d, x, given.options))
    for back in backs[len(cards) :]:
        x = _connected(d, back)
        if x is not None and not cards:
            back.done = True
            d.add("interfaces", x.replace(model=_usual(d)))
