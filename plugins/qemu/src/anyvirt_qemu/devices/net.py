"""Network cards and what they are connected to."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Interface, InterfaceDriver, Offloads, meaningless, plain

from anyvirt_qemu.devices import hostdev, link
from anyvirt_qemu.devices.common import bootindex, pci, register, rom, tuned, usb, virtio
from anyvirt_qemu.planning.build import Build

VIRTIO: Final = frozenset({"virtio", "virtio-transitional", "virtio-non-transitional"})
MODELS: Final = {
    name: name
    for name in (
        "e1000", "e1000-82544gc", "e1000-82545em", "e1000e", "igb", "rtl8139", "vmxnet3", "pcnet", "ne2k_pci", "tulip",
        "i82550", "i82551", "i82557a", "i82557b", "i82557c", "i82558a", "i82558b", "i82559a", "i82559b", "i82559c",
        "i82559er", "i82562", "i82801",
    )
}  # fmt: skip


def interface(b: Build, x: Interface) -> None:
    """One network card and its host side."""
    meaningless(x, "mac_type", "mac_check", "created")
    if x.type == "hostdev":
        hostdev.card(b, x)
        return
    wanted = x.driver.queues if x.driver and x.model in VIRTIO else None
    queues = max(1, wanted or 1)
    net = f"host{x.alias}"
    connected = link.host(b, x, net, queues)
    if x.mac is None:
        b.problem(x, "mac", "the interface has no MAC address", "define it again")
    model = _card(b, x)
    if queues > 1:
        model |= {"mq": True, "vectors": 2 * queues + 2}
    where = net if connected else None
    b.device({**model, "netdev": where, "mac": x.mac, "bootindex": bootindex(b, x, x.boot)})
    if x.link is not None:
        b.step("set_link", {"name": x.alias, "up": x.link == "up"})


def _card(b: Build, x: Interface) -> dict[str, Any]:
    model = x.model or "virtio"
    if model in VIRTIO:
        options = {**virtio(b, x, "virtio-net", model), **_offloads(x.driver), "host_mtu": x.mtu, **rom(b, x.rom)}
        if x.teaming is not None:
            options["failover"] = _failover(b, x)
        return options
    if x.mtu is not None:
        b.refuse(x, "mtu", "only a virtio card can be told its MTU")
    if x.driver is not None:
        if plain(x.driver) not in {InterfaceDriver(name="qemu"), InterfaceDriver(name="vhost")}:
            b.warnings.append(f"{x.alias}: only a virtio card has a driver to tune")
        meaningless(x.driver)
    if model == "spapr-vlan":
        return {"driver": b.has(x, "model", model), "id": x.alias, **register(b, x)}
    if model == "usb-net":
        return {"driver": b.has(x, "model", "usb-net"), **usb(b, x), "id": x.alias}
    if model not in MODELS:
        b.refuse(x, "model", f"use virtio, usb-net, {', '.join(MODELS)}")
        return {}
    return {"driver": b.has(x, "model", MODELS[model]), **pci(b, x), "id": x.alias, **rom(b, x.rom)}


def _failover(b: Build, x: Interface) -> bool | None:
    team = x.teaming
    if team is None or team.type != "persistent":
        b.refuse(x, "teaming", "only a host device can be the part that goes")
        return None
    return True


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
