"""The host side of character devices: every kind of source, its log, and its encryption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from anyvirt.api import CharSource, meaningless, path_of

from anyvirt_qemu.devices.secret import private
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.plan import ConsoleUse

SOCKET_MAX: Final = 107
PORT_MAX: Final = 65535
LISTENING: Final = frozenset({"bind", "server"})
CONSOLES: Final = frozenset({"serial", "console", "channel"})  # what a user can attach to
LOGGED: Final = frozenset({"serial", "console"})  # what is logged without being asked for it
AGENTS: Final = {"channel": "vdagent", "redirdev": "usbredir", "smartcard": "smartcard"}
SECRETIVE: Final = frozenset({"telnets", "tls"})


class Sourced(Protocol):
    """A device that has a host side."""

    @property
    def alias(self) -> str | None: ...
    @property
    def sources(self) -> Sequence[CharSource]: ...
    @property
    def protocol(self) -> str | None: ...
    @property
    def log(self) -> str | None: ...
    @property
    def log_append(self) -> bool | None: ...


@dataclass(slots=True)
class Back:
    """A back end in the making.

    :param kind: what it is for: ``serial``, ``console``, ``channel``, ``parallel``, ``redirdev``, ``smartcard``,
        ``rng``, ``shmem``.
    """

    build: Build
    device: Sourced
    kind: str
    type: str
    named: str
    options: dict[str, Any] = field(default_factory=dict)
    socket: str = ""
    log: str = ""

    @property
    def source(self) -> CharSource:
        return self.device.sources[0] if self.device.sources else CharSource()


def backend(b: Build, x: Sourced, kind: str, of: str | None, *, named: str = "type") -> str:
    """The host side of a device; its id.

    :param of: its type; a pseudo terminal without it.
    :param named: field of the device that says so.
    """
    back = Back(b, x, kind, str(of or "pty"), named)
    ident = f"char{x.alias}"
    back.options = {"id": ident}
    for source in x.sources:
        meaningless(source, "seclabels", "tls_from_config")
    make = MAKERS.get(back.type)
    if make is None:
        b.refuse(x, named, f"use {', '.join(MAKERS)}")
        return ident
    if back.type != "tcp":
        meaningless(x, "protocol")
    word = make(back)
    _log(back)
    b.options("-chardev", word, back.options)
    if kind in CONSOLES:
        b.consoles.append(ConsoleUse(x.alias or "", kind, back.type, back.log, back.socket))
    return ident


def _log(back: Back) -> None:
    """Where everything is written that the guest writes; a console has a log in any case."""
    b, x = back.build, back.device
    if x.log is not None:
        path, append = b.path(x, "log", x.log), x.log_append is True
    elif back.kind in LOGGED and back.type != "file":
        path, append = f"{b.paths.guest}/console-{x.alias}.log", True
    else:
        return
    back.log = back.log or path
    back.options |= {"logfile": path, "logappend": append}


def _null(_back: Back) -> str:
    return "null"


def _vc(_back: Back) -> str:
    return "vc"


def _stdio(_back: Back) -> str:
    return "stdio"


def _pty(back: Back) -> str:
    meaningless(back.source, "path")
    return "pty"


def _dev(back: Back) -> str:
    back.options["path"] = back.build.path(back.source, "path", back.source.path)
    return "parallel" if back.kind == "parallel" else "serial"


def _file(back: Back) -> str:
    source = back.source
    back.log = back.build.path(source, "path", source.path)
    back.options |= {"path": back.log, "append": source.append is True}
    return "file"


def _pipe(back: Back) -> str:
    back.options["path"] = back.build.path(back.source, "path", back.source.path)
    return "pipe"


def _udp(back: Back) -> str:
    """To where it sends, and where it receives: one source each."""
    sent = next((one for one in back.device.sources if one.mode not in LISTENING), CharSource())
    heard = next((one for one in back.device.sources if one.mode in LISTENING), CharSource())
    back.options |= {
        "host": sent.host or "",
        "port": _port(back, sent, needed=True),
        "localaddr": heard.host or "",
        "localport": _port(back, heard) or "0",
    }
    return "udp"


def _tcp(back: Back) -> str:
    b, x, source = back.build, back.device, back.source
    if x.protocol not in {None, "raw", "telnet"}:
        encrypted = "write <source tls='yes'/>" if x.protocol in SECRETIVE else "use raw or telnet"
        b.refuse(x, "protocol", encrypted)
    back.options |= {"host": source.host or "127.0.0.1", "port": _port(back, source, needed=True)}
    back.options["telnet"] = True if x.protocol == "telnet" else None
    listens = source.mode in LISTENING
    if listens:
        back.options |= {"server": True, "wait": False}
    else:
        _reconnect(back)
    if source.tls if source.tls is not None else b.serving.chardev_tls:
        back.options["tls-creds"] = credentials(b, source, f"obj{back.options['id']}_tls0", listens=listens)
    return "socket"


def _unix(back: Back) -> str:
    b, source = back.build, back.source
    if source.mode in {"connect", "client"}:
        back.options["path"] = b.path(source, "path", source.path)
        _reconnect(back)
        return "socket"
    if source.path is None:
        back.socket = f"{back.kind}-{back.device.alias}"
        number = b.fd("socket", back.socket)
    else:
        back.socket = socket_path(b, source, "path", source.path)
        number = b.fd("listen", back.socket)
    back.options |= {"fd": number, "server": True, "wait": False}
    return "socket"


def _spicevmc(back: Back) -> str:
    _needs_spice(back)
    name = AGENTS.get(back.kind)
    if name is None:
        back.build.refuse(
            back.device, back.named, "use spiceport", text="spicevmc is for channels, USB and smart cards"
        )
    back.options["name"] = name
    return "spicevmc"


def _spiceport(back: Back) -> str:
    _needs_spice(back)
    source = back.source
    if not source.channel:
        back.build.problem(source, "channel", "the port has no name", "such as org.qemu.console.serial.0")
    back.options["name"] = source.channel
    return "spiceport"


def _vdagent(back: Back) -> str:
    source = back.source
    mouse = None if source.mouse is None else source.mouse == "client"
    back.options |= {"name": "vdagent", "clipboard": source.clipboard, "mouse": mouse}
    return "qemu-vdagent"


def _dbus(back: Back) -> str:
    if all(window.type != "dbus" for window in back.build.domain.graphics):
        text = "a D-Bus channel needs a screen that D-Bus shows"
        back.build.problem(back.device, back.named, text, "add <graphics type='dbus'/>")
    back.options["name"] = back.source.channel
    return "dbus"


MAKERS: Final = {
    "null": _null, "vc": _vc, "pty": _pty, "dev": _dev, "file": _file, "pipe": _pipe, "stdio": _stdio, "udp": _udp,
    "tcp": _tcp, "unix": _unix, "spicevmc": _spicevmc, "spiceport": _spiceport, "qemu-vdagent": _vdagent,
    "dbus": _dbus,
}  # fmt: skip


def _needs_spice(back: Back) -> None:
    if all(window.type != "spice" for window in back.build.domain.graphics):
        text = f"{back.type} needs a spice server"
        back.build.problem(back.device, back.named, text, "add <graphics type='spice'/>, or choose another type")


def _reconnect(back: Back) -> None:
    source = back.source
    if not source.reconnect:
        meaningless(source, "reconnect_timeout")
        return
    back.options |= again(back.build, source.reconnect_timeout)


def again(b: Build, seconds: int | None) -> dict[str, int]:
    """How long a socket waits until it connects anew, in the words of this QEMU."""
    if b.caps.has_feature("chardev.reconnect-ms"):
        return {"reconnect-ms": 1000 * (seconds or 1)}
    return {"reconnect": seconds or 1}


def _port(back: Back, source: CharSource, *, needed: bool = False) -> str:
    service = source.service or ""
    if service.isdecimal() and int(service) > PORT_MAX:
        back.build.problem(source, "service", f"a port is at most {PORT_MAX}", "choose another")
    elif service and not service.isdecimal():
        return back.build.token(source, "service", service)
    elif not service and needed:
        place = path_of(source) if source.mode else path_of(back.device)
        back.build.problem(back.device, "", f"{place}: the port is missing", "write <source service='4555'/>")
    return service


def socket_path(b: Build, x: object, named: str, value: str) -> str:
    """An absolute path that is short enough for a socket."""
    path = b.path(x, named, value)
    if len(path.encode(errors="replace")) > SOCKET_MAX:
        b.problem(x, named, f"a socket's path has at most {SOCKET_MAX} bytes", "choose a shorter one")
    return path


def credentials(b: Build, x: object, ident: str, *, listens: bool, service: str = "chardev") -> str:
    """What encrypts a connection, made of the certificates of a service; its id."""
    folder = b.serving.certificates.get(service)
    if folder is None:
        text = f"this host has no certificates for {service}"
        b.refuse(x, "tls" if service in {"chardev", "nbd"} else "", "leave encryption out", text=text)
        return ident
    options: dict[str, Any] = {"qom-type": "tls-creds-x509", "id": ident, "dir": folder}
    options |= {"endpoint": "server" if listens else "client", "verify-peer": True}
    key = b.serving.keys.get(service)
    if service in b.serving.locked:
        hint = "anyvirt secret set-value, for a secret of the use tls"
        b.refuse(x, "tls" if service in {"chardev", "nbd"} else "", hint, text=b.serving.locked[service])
    elif key is not None:
        options["passwordid"] = private(b, f"{ident}-secret0", key)
    b.qom(options)
    return ident


def connection(b: Build, ident: str, path: str, *, options: Sequence[tuple[str, Any]] = ()) -> str:
    """A socket of somebody else's, such as a helper's; its id."""
    b.options("-chardev", "socket", {"id": ident, "path": path, **dict(options)})
    return ident
