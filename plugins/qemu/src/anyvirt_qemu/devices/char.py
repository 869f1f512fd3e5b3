"""Serial ports, consoles and channels: back ends first, then what the guest sees."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Channel, CharDevice, CharSource, Console, Serial, meaningless, path_of

from anyvirt_qemu.build import Build
from anyvirt_qemu.devices.common import pci, usb, virtio_serial
from anyvirt_qemu.plan import ConsoleUse

NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
SOCKET_MAX: Final = 107
SERIALS: Final = {
    None: "isa-serial",
    "isa-serial": "isa-serial",
    "pci-serial": "pci-serial",
    "usb-serial": "usb-serial",
}


def serial(b: Build, x: Serial) -> None:
    """A serial port."""
    target = x.target
    kind = SERIALS.get(target.type if target else None, "")
    if not kind or (target and target.model not in {None, kind}):
        b.refuse(x, "target", "use isa-serial, pci-serial or usb-serial")
        return
    driver = b.has(x, "target", kind)
    backend = _backend(b, x, "serial")
    options: dict[str, Any] = {"driver": driver, "chardev": backend, "id": x.alias}
    if kind == "isa-serial":
        options["index"] = (target.port if target else None) or 0
    else:
        if target:
            meaningless(target, "port")
        options |= pci(b, x) if kind == "pci-serial" else usb(b, x)
    b.device(options)


def console(b: Build, x: Console) -> None:
    """A console; that of the first serial port is the serial port, and nothing of its own."""
    kind = x.target.type if x.target else None
    if x.target:
        meaningless(x.target, "port")
    if kind in {None, "serial"}:
        _same_as_serial(b, x)
    elif kind == "virtio":
        backend = _backend(b, x, "console")
        driver = b.has(x, "target", "virtconsole")
        b.device({"driver": driver, **virtio_serial(b, x), "chardev": backend, "id": x.alias})
    else:
        b.refuse(x, "target", "use serial or virtio")


def _same_as_serial(b: Build, x: Console) -> None:
    meaningless(x, "type", "tty", "protocol", "log", "log_append", "address")
    if x.alias and x.alias not in {serial.alias for serial in b.domain.serials}:
        b.refuse(x, "", "only the first console may be a serial port", text="there is no serial port for this console")
    for source in x.sources:
        meaningless(source)


def channel(b: Build, x: Channel) -> None:
    """A channel of virtio-serial."""
    target = x.target
    if target is None or target.type != "virtio":
        b.refuse(x, "target", "use a target of type virtio")
        return
    meaningless(target, "state")
    name = target.name or ""
    if not NAME.fullmatch(name):
        b.problem(target, "name", f"{name!r} is no name for a channel", "name it, such as org.qemu.guest_agent.0")
    backend = _backend(b, x, "channel")
    driver = b.has(x, "target", "virtserialport")
    b.device({"driver": driver, **virtio_serial(b, x), "chardev": backend, "id": x.alias, "name": name})


def _backend(b: Build, x: CharDevice, kind: str) -> str:
    """The host side; its id."""
    ident = f"char{x.alias}"
    source = x.sources[0] if x.sources else CharSource()
    meaningless(x, "tty")
    meaningless(source, "seclabels")
    logs = kind != "channel"
    log, append = "", None
    if x.log is not None:
        log, append = b.path(x, "log", x.log), x.log_append is True
    elif logs and x.type != "file":
        log, append = f"{b.paths.guest}/console-{x.alias}.log", True
    extra = {"id": ident, "logfile": log or None, "logappend": append}
    socket = ""
    match x.type or "pty":
        case "pty":
            meaningless(source, "path")
            b.options("-chardev", "pty", extra)
        case "null":
            b.options("-chardev", "null", extra)
        case "unix":
            socket = _unix(b, x, source, extra, kind)
        case "file":
            path = b.path(source, "path", source.path)
            log = log or path
            b.options("-chardev", "file", {**extra, "path": path, "append": source.append is True})
        case "tcp":
            _tcp(b, x, source, extra)
        case _:
            b.refuse(x, "type", "use pty, unix, file, tcp or null")
    b.consoles.append(ConsoleUse(x.alias or "", kind, str(x.type or "pty"), log, socket))
    return ident


def _unix(b: Build, x: CharDevice, source: CharSource, extra: dict[str, Any], kind: str) -> str:
    if source.mode in {"connect", "client"}:
        path = b.path(source, "path", source.path)
        again = (source.reconnect_timeout or 1) if source.reconnect else None
        b.options("-chardev", "socket", {**extra, "path": path, "reconnect": again})
        return ""
    if source.path is None:
        name = f"{kind}-{x.alias}"
        number = b.fd("socket", name)
    else:
        name = b.path(source, "path", source.path)
        if len(name.encode(errors="replace")) > SOCKET_MAX:
            b.problem(source, "path", f"a socket's path has at most {SOCKET_MAX} bytes", "choose a shorter one")
        number = b.fd("listen", name)
    b.options("-chardev", "socket", {**extra, "fd": number, "server": True, "wait": False})
    return name


def _tcp(b: Build, x: CharDevice, source: CharSource, extra: dict[str, Any]) -> None:
    if source.tls:
        b.refuse(source, "tls", "leave it out")
    telnet = x.protocol == "telnet"
    if x.protocol not in {None, "raw", "telnet"}:
        b.refuse(x, "protocol", "use raw or telnet")
    options = {**extra, "host": source.host or "127.0.0.1", "port": source.service or ""}
    if not source.service:
        b.problem(source, "service", "the port is missing", f"write service='4555' at {path_of(source)}")
    if source.mode in {"bind", "server"}:
        options |= {"server": True, "wait": False}
    else:
        options["reconnect"] = (source.reconnect_timeout or 1) if source.reconnect else None
    options["telnet"] = True if telnet else None
    b.options("-chardev", "socket", options)
