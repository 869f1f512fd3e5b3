"""Network cards and what they are connected to."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Interface, InterfaceDriver, Offloads, meaningless

from anyvirt_qemu.build import Build
from anyvirt_qemu.devices.common import bootindex, pci, rom, tuned, usb, virtio
from anyvirt_qemu.plan import TapUse

PATTERN: Final = "anyv%d"
GENERATED: Final = ("vnet", "anyv", "macvtap", "macvlan")
MODELS: Final = {
    "e1000": "e1000",
    "e1000e": "e1000e",
    "igb": "igb",
    "rtl8139": "rtl8139",
    "vmxnet3": "vmxnet3",
    "pcnet": "pcnet",
    "ne2k_pci": "ne2k_pci",
}


def interface(b: Build, x: Interface) -> None:
    """One network card and its host side."""
    meaningless(x, "mac_type", "mac_check")
    net = f"host{x.alias}"
    wanted = x.driver.queues if x.driver and x.model in {"virtio", "virtio-non-transitional"} else None
    queues = max(1, wanted or 1)
    if x.type == "user":
        if x.backend_type == "passt":
            b.refuse(x, "backend_type", "use the default back end")
        b.netdev({"type": "user", "id": net})
        if x.driver and (queues > 1 or x.driver.name not in {None, "qemu"}):
            b.refuse(x.driver, "queues" if queues > 1 else "name", "use type bridge or ethernet for that")
    elif x.type in {"bridge", "ethernet"}:
        b.netdev({"type": "tap", "id": net, **_tap(b, x, queues)})
    else:
        b.refuse(x, "type", "use user, bridge or ethernet")
    if x.mac is None:
        b.problem(x, "mac", "the interface has no MAC address", "define it again")
    model = _card(b, x)
    if queues > 1:
        model |= {"mq": True, "vectors": 2 * queues + 2}
    b.device({**model, "netdev": net, "mac": x.mac, "bootindex": bootindex(b, x, x.boot)})
    if x.link is not None:
        b.step("set_link", {"name": x.alias, "up": x.link == "up"})


def _card(b: Build, x: Interface) -> dict[str, Any]:
    model = x.model or "virtio"
    if model == "usb-net":
        return {"driver": b.has(x, "model", "usb-net"), **usb(b, x), "id": x.alias}
    if model in {"virtio", "virtio-transitional", "virtio-non-transitional"}:
        return {**virtio(b, x, "virtio-net", model), **_offloads(x.driver), "host_mtu": x.mtu, **rom(b, x.rom)}
    if model not in MODELS:
        b.refuse(x, "model", f"use virtio, usb-net, {', '.join(MODELS)}")
        return {}
    if x.mtu is not None:
        b.refuse(x, "mtu", "only a virtio card can be told its MTU")
    return {"driver": b.has(x, "model", MODELS[model]), **pci(b, x), "id": x.alias, **rom(b, x.rom)}


def _offloads(driver: InterfaceDriver | None) -> dict[str, Any]:
    if driver is None:
        return {}
    found: dict[str, Any] = {
        **tuned(driver),
        "tx": {"iothread": "bh", "timer": "timer"}.get(driver.txmode or ""),
        "ioeventfd": driver.ioeventfd,
        "event_idx": driver.event_idx,
        "rx_queue_size": driver.rx_queue_size,
        "tx_queue_size": driver.tx_queue_size,
        "rss": driver.rss,
        "hash": driver.rss_hash_report,
    }
    if driver.host:
        found |= {"gso": driver.host.gso, "mrg_rxbuf": driver.host.mrg_rxbuf, **_ends(driver.host, "host_")}
        found["csum"] = driver.host.csum
    if driver.guest:
        found |= {"guest_csum": driver.guest.csum, **_ends(driver.guest, "guest_")}
    return found


def _ends(x: Offloads, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": getattr(x, name) for name in ("tso4", "tso6", "ecn", "ufo")}


def _tap(b: Build, x: Interface, queues: int) -> dict[str, Any]:
    """A tap device, whose descriptors QEMU inherits: it opens none itself and runs no script."""
    bridge = x.source.bridge if x.source and x.type == "bridge" else None
    if x.type == "bridge" and not bridge:
        b.problem(x, "source", "the bridge is not named", "write <source bridge='br0'/>")
    name = x.target or PATTERN
    if name.startswith(GENERATED):
        name = PATTERN
    managed = x.target_managed is not False
    b.taps.append(TapUse(x.alias or "", x.mac or "", name, bridge, x.mtu, queues, managed))
    fds = [str(b.fd("tap", x.alias or "")) for _ in range(queues)]
    found: dict[str, Any] = {"fds" if queues > 1 else "fd": ":".join(fds)}
    if x.driver and x.driver.name == "vhost":
        hosts = [str(b.fd("open", "/dev/vhost-net")) for _ in range(queues)]
        found |= {"vhost": True, "vhostfds" if queues > 1 else "vhostfd": ":".join(hosts)}
    elif x.driver and x.driver.name not in {None, "qemu"}:
        b.refuse(x.driver, "name", "use qemu or vhost")
    if x.sndbuf is not None:
        found["sndbuf"] = x.sndbuf
    return found
