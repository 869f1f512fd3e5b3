"""Serial ports, parallel ports, consoles and channels: what the guest sees of character devices."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Channel, ChannelTarget, Console, IsaAddress, Parallel, Serial, meaningless, plain

from anyvirt_qemu.devices.chardev import backend
from anyvirt_qemu.devices.common import Located, pci, register, usb, virtio_serial
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.options import jsonstr

NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
SERIALS: Final = {
    None: "isa-serial",
    "isa-serial": "isa-serial",
    "pci-serial": "pci-serial",
    "usb-serial": "usb-serial",
    "isa-debug": "isa-debugcon",
    "spapr-vio-serial": "spapr-vty",
    "sclp-serial": "sclpconsole",
}
# kinds of ports that are part of the machine, and are only connected
BUILT_IN: Final = "system-serial"
SCLP: Final = {"sclp": "sclpconsole", "sclplm": "sclplmconsole"}
AGENT: Final = "com.redhat.spice.0"
AGENTS: Final = frozenset({"spicevmc", "qemu-vdagent"})


def serial(b: Build, x: Serial) -> None:
    """A serial port."""
    target = x.target
    if target is not None and target.type == BUILT_IN:
        meaningless(target, "port", "model")
        first = next(one.alias for one in plain(b.domain).serials if one.target and one.target.type == BUILT_IN)
        if x.alias != first and b.machine.bus:
            hint = "use pci-serial, usb-serial, or a console of type virtio"
            b.refuse(target, "type", hint, text=f"machine {b.machine.name} has one such port")
        b.text("-serial", f"chardev:{backend(b, x, 'serial', x.type)}")
        return
    kind = SERIALS.get(target.type if target else None, "")
    if kind == "sclpconsole" and target and target.model == "sclplmconsole":
        kind = target.model
    if not kind or (target and target.model not in {None, kind}):
        b.refuse(x, "target", f"use system-serial, {', '.join(key for key in SERIALS if key)}")
        return
    driver = b.has(x, "target", kind)
    options: dict[str, Any] = {"driver": driver, "chardev": backend(b, x, "serial", x.type), "id": x.alias}
    if kind == "isa-serial":
        options["index"] = (target.port if target else None) or 0
    elif target:
        meaningless(target, "port")
    if kind.startswith("isa"):
        options |= _isa(b, x)
        if kind == "isa-debugcon":
            options.pop("irq", None)
    elif kind == "spapr-vty":
        options |= register(b, x)
    elif not kind.startswith("sclp"):
        options |= pci(b, x) if kind == "pci-serial" else usb(b, x)
    b.device(options)


def parallel(b: Build, x: Parallel) -> None:
    """A parallel port."""
    target = x.target
    if target is not None:
        meaningless(target, "port")
        if target.type is not None or target.model is not None:
            b.refuse(x, "target", "leave type and model out")
    driver = b.has(x, "", "isa-parallel")
    back = backend(b, x, "parallel", x.type)
    b.device({"driver": driver, "chardev": back, "id": x.alias, **_isa(b, x)})


def _isa(b: Build, x: Located) -> dict[str, Any]:
    """I/O ports and interrupt, where they are given."""
    at = x.address
    if at is None:
        return {}
    if not isinstance(at, IsaAddress):
        b.problem(x, "address", "the device needs an ISA address", "leave the address out")
        return {}
    return {"iobase": at.iobase, "irq": at.irq}


def console(b: Build, x: Console) -> None:
    """A console; that of the first serial port is the serial port, and nothing of its own."""
    kind = x.target.type if x.target else None
    if x.target:
        meaningless(x.target, "port")
    if kind in {None, "serial"}:
        _same_as_serial(b, x)
    elif kind == "virtio":
        back = backend(b, x, "console", x.type)
        driver = b.has(x, "target", "virtconsole")
        b.device({"driver": driver, **virtio_serial(b, x), "chardev": back, "id": x.alias})
    elif kind in SCLP:
        back = backend(b, x, "console", x.type)
        b.device({"driver": b.has(x, "target", SCLP[kind]), "chardev": back, "id": x.alias})
    else:
        b.refuse(x, "target", f"use serial, virtio, {', '.join(SCLP)}")


def _same_as_serial(b: Build, x: Console) -> None:
    meaningless(x, "type", "tty", "protocol", "log", "log_append", "address")
    if x.target:
        meaningless(x.target, "model")
    if x.alias and x.alias not in {serial.alias for serial in b.domain.serials}:
        b.refuse(x, "", "only the first console may be a serial port", text="there is no serial port for this console")
    for part in (*x.sources, x.address):
        if part is not None:
            meaningless(part)


def channel(b: Build, x: Channel) -> None:
    """A channel of virtio-serial, or an address in the guest's own network."""
    target = x.target
    if target is not None and target.type == "virtio":
        _port(b, x, target)
    elif target is not None and target.type == "guestfwd":
        _forwarded(b, x, target)
    else:
        b.refuse(x, "target", "use a target of type virtio or guestfwd")


def _port(b: Build, x: Channel, target: ChannelTarget) -> None:
    meaningless(target, "state")
    name = target.name or (AGENT if x.type in AGENTS else None)
    if name is not None and not NAME.fullmatch(name):
        b.problem(target, "name", f"{name!r} is no name for a channel", "name it, such as org.qemu.guest_agent.0")
    back = backend(b, x, "channel", x.type)
    driver = b.has(x, "target", "virtserialport")
    b.device({"driver": driver, **virtio_serial(b, x), "chardev": back, "id": x.alias, "name": name})


def _forwarded(b: Build, x: Channel, target: ChannelTarget) -> None:
    """What the guest sends to an address goes to the channel; the network exists for that alone."""
    meaningless(target, "name", "state")
    back = backend(b, x, "channel", x.type)
    if not target.address or not target.port:
        b.problem(x, "target", "address and port are missing", "write <target type='guestfwd' address= port=/>")
    if not b.caps.json_netdev:
        b.refuse(x, "target", "use virtio", text=f"this QEMU ({b.caps.binary}) takes no network in JSON")
    place = {"str": f"tcp:{target.address}:{target.port}-chardev:{back}"}
    b.option("-netdev", jsonstr({"type": "user", "guestfwd": [place], "id": x.alias}))
