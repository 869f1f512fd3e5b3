"""How the screen is shown: VNC and spice servers, windows, D-Bus."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Domain, Graphics, Listen, meaningless

from anyvirt_qemu.devices import audio
from anyvirt_qemu.devices.chardev import credentials, socket_path
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.options import jsonstr, optstr

LOWEST: Final = 5900
HIGHEST: Final = 65535
DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
ADDRESS: Final = re.compile(r"[0-9A-Za-z.:%_-]+", re.ASCII)
WINDOWS: Final = ("sdl", "egl-headless", "dbus")
SPICE: Final = {
    "image_compression": "image-compression",
    "jpeg_compression": "jpeg-wan-compression",
    "zlib_compression": "zlib-glz-wan-compression",
    "playback_compression": "playback-compression",
    "streaming": "streaming-video",
}
SECURITY: Final = {"secure": "tls-channel", "insecure": "plaintext-channel"}


def graphics(b: Build, x: Graphics) -> None:
    """A way to see the screen; windows are options of the display, which ``display`` has written."""
    number = next((n for n, other in enumerate(b.domain.graphics) if other is x), 0)
    if x.type == "vnc":
        _vnc(b, x, number)
    elif x.type == "spice":
        _spice(b, x, number)
    elif x.type not in WINDOWS:
        b.refuse(x, "type", f"use vnc, spice, {', '.join(WINDOWS)}")


def display(b: Build, domain: Domain) -> None:
    """Where QEMU itself shows the screen: nowhere, unless that is asked for."""
    shown = [x for x in domain.graphics if x.type in WINDOWS]
    if not shown:
        b.option("-display", "none")
        return
    for other in shown[1:]:
        b.refuse(other, "type", "keep one of them", text=f"the screen is shown by {shown[0].type} already")
        meaningless(other)
    x = shown[0]
    kind = str(x.type)
    if not b.caps.has_feature(f"display.{kind}"):
        text = f"this QEMU ({b.caps.binary}) has no display {kind}"
        b.refuse(x, "type", "use vnc, or install the QEMU package that has it", text=text)
    options: dict[str, Any] = {"type": kind}
    if kind == "sdl":
        options |= _sdl(b, x)
    else:
        options["rendernode"] = b.path(x, "gl_rendernode", x.gl_rendernode) if x.gl_rendernode is not None else None
        if kind == "dbus":
            options |= _dbus(b, x)
        else:
            meaningless(x, "gl")
    b.option("-display", jsonstr(options))


def _sdl(b: Build, x: Graphics) -> dict[str, Any]:
    if x.display is not None:
        b.env["DISPLAY"] = x.display
    if x.xauth is not None:
        b.env["XAUTHORITY"] = b.path(x, "xauth", x.xauth)
    return {"full-screen": x.fullscreen, "gl": _onoff(x.gl)}


def _dbus(b: Build, x: Graphics) -> dict[str, Any]:
    if x.p2p and x.address:
        b.problem(x, "address", "without a bus there is no address", "leave one of the two out")
    back = audio.chosen(b, b.domain, x) if x.audio is not None else None
    address = x.address if x.p2p or x.address else _own_bus(b, x)
    return {"p2p": x.p2p, "addr": address, "gl": _onoff(x.gl), "audiodev": back}


def _own_bus(b: Build, x: Graphics) -> str:
    from anyvirt_qemu.devices.bus import bus

    return bus(b, x)


def _onoff(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"


def _listen(b: Build, x: Graphics) -> Listen:
    listen = x.listens[0] if x.listens else Listen()
    if len(x.listens) > 1:
        b.refuse(x, "listens", f"a {x.type} server listens at one place")
        meaningless(x.listens[1])
    meaningless(listen, "from_config", "auto_generated")
    return listen


def _private(b: Build, x: Graphics, listen: Listen) -> bool:
    """Whether nobody has named an address, and this host's servers are on sockets then."""
    named = listen.type not in {None, "address"} or listen.address or x.listen
    return not named and x.type in b.serving.sockets


def _socket(b: Build, x: Graphics, listen: Listen, name: str) -> str:
    """The path of a server's unix socket: one that is given, or one of the guest's own."""
    meaningless(x, "port", "autoport", "listen")
    if x.socket:
        path = socket_path(b, x, "socket", x.socket)
        if listen.socket == x.socket:
            meaningless(listen, "socket")
    elif listen.socket:
        path = socket_path(b, listen, "socket", listen.socket)
    else:
        path = name
    b.sockets.append(path if path.startswith("/") else f"{b.paths.guest}/{path}")
    return path


def _address(b: Build, x: Graphics, listen: Listen) -> str:
    """The address that a server listens at; this host alone, where none is given."""
    if listen.type == "network":
        if listen.address is None:
            text = f"the address of network {listen.network} is not known here"
            b.refuse(listen, "network", "write the address itself: <listen type='address' address=...>", text=text)
        meaningless(listen, "network")
    elif listen.type not in {None, "address"}:
        b.refuse(listen, "type", "use address, socket, network or none")
    address = listen.address or x.listen or "127.0.0.1"
    meaningless(x, "listen")
    if not ADDRESS.fullmatch(address):
        b.problem(x, "listen", f"{address!r} is no address", "write a host name or an IP address")
        return "127.0.0.1"
    return address


def _auto(x: Graphics) -> bool:
    port, auto = x.port, x.autoport
    return auto is True or port in {None, -1}


def _vnc(b: Build, x: Graphics, number: int) -> None:
    """A VNC server: on a unix socket of the guest's own unless the definition asks for an address."""
    meaningless(x, "websocket_generated", "default_mode")
    place = _place(b, x, number)
    password = x.passwd if x.passwd is not None else b.serving.passwords.get("vnc")
    options: dict[str, Any] = {
        "vnc": place,
        "to": HIGHEST - LOWEST if place.endswith(":0") and _auto(x) else None,
        "password": True if password is not None else None,
        "tls-creds": credentials(b, x, "vnc-tls-creds0", listens=True, service="vnc") if b.serving.vnc_tls else None,
        "sasl": True if b.serving.vnc_sasl else None,
        "share": x.share_policy,
        "power-control": x.power_control,
        "audiodev": audio.chosen(b, b.domain, x),
    }
    if x.websocket is not None:
        options["websocket"] = True if x.websocket == -1 else x.websocket
    if x.power_control is not None and not b.caps.has_option("vnc", "power-control"):
        text = f"this QEMU ({b.caps.binary}) has no power-control for VNC"
        b.refuse(x, "power_control", "leave it out", text=text)
    if x.keymap is not None:
        b.option("-k", b.token(x, "keymap", x.keymap))
    b.options("-vnc", "", options)
    if password is not None:
        _password(b, x, "vnc", password)


def _place(b: Build, x: Graphics, number: int) -> str:
    listen = _listen(b, x)
    kind = listen.type or ("address" if x.listen or (x.port or 0) > 0 else "socket")
    if x.socket or kind == "socket" or _private(b, x, listen):
        return f"unix:{_socket(b, x, listen, f'vnc{number}.sock')}"
    if kind == "none":
        meaningless(x, "port", "autoport")
        return "none"
    address = _address(b, x, listen)
    host = f"[{address}]" if ":" in address else address
    if _auto(x):
        return f"{host}:0"
    if (x.port or 0) < LOWEST:
        b.problem(x, "port", f"a VNC port is {LOWEST} to {HIGHEST}", "choose another, or autoport='yes'")
        return f"{host}:0"
    return f"{host}:{(x.port or LOWEST) - LOWEST}"


def _password(b: Build, x: Graphics, protocol: str, password: str) -> None:
    arguments = {"protocol": protocol, "password": password}
    if x.connected is not None:
        arguments["connected"] = x.connected
    b.step("set_password", arguments)
    if x.passwd_valid_to is not None:
        if not DATE.fullmatch(x.passwd_valid_to):
            b.problem(x, "passwd_valid_to", "this is no time", "write it as 2030-01-31T12:00:00, in UTC")
            return
        from datetime import UTC, datetime

        end = datetime.fromisoformat(x.passwd_valid_to).replace(tzinfo=UTC)
        b.step("expire_password", {"protocol": protocol, "time": str(int(end.timestamp()))})


def _spice(b: Build, x: Graphics, number: int) -> None:
    """A spice server."""
    if not b.caps.has_feature("spice"):
        text = f"this QEMU ({b.caps.binary}) has no spice"
        b.refuse(x, "type", "use vnc, or install QEMU's spice module (qemu-system-modules-spice)", text=text)
        meaningless(x)
        return
    options = _ports(b, x, number)
    password = x.passwd if x.passwd is not None else b.serving.passwords.get("spice")
    options |= {
        "sasl": True if b.serving.spice_sasl else None,
        "agent-mouse": None if x.mouse is None else x.mouse == "client",
        "disable-ticketing": True if password is None else None,
    }
    if options.get("tls-port"):
        folder = b.serving.certificates.get("spice")
        if folder is None:
            b.refuse(x, "tls_port", "leave it out", text="this host has no certificates for spice")
        options["x509-dir"] = folder
    options |= {option: getattr(x, field) for field, option in SPICE.items()}
    options |= {
        "disable-copy-paste": True if x.clipboard is False else None,
        "disable-agent-file-xfer": True if x.filetransfer is False else None,
        "gl": True if x.gl else None,
        "rendernode": b.path(x, "gl_rendernode", x.gl_rendernode) if x.gl_rendernode is not None else None,
        "seamless-migration": True,
    }
    if x.keymap is not None:
        b.option("-k", b.token(x, "keymap", x.keymap))
    channels = _channels(b, x, tls=bool(options.get("tls-port")), plain=_open(options))
    b.option("-spice", ",".join(optstr("", part) for part in (options, *channels)))
    if password is not None:
        _password(b, x, "spice", password)


def _open(options: dict[str, Any]) -> bool:
    """Whether there is a way in without encryption."""
    return "unix" in options or options.get("port") is not None


def _ports(b: Build, x: Graphics, number: int) -> dict[str, Any]:
    listen = _listen(b, x)
    kind = listen.type or ("socket" if x.socket else "address" if x.listen or x.port or x.tls_port else "none")
    if kind == "socket" or _private(b, x, listen):
        meaningless(x, "tls_port")
        return {"unix": True, "addr": _socket(b, x, listen, f"spice{number}.sock")}
    if kind == "none":
        meaningless(x, "port", "tls_port", "autoport", "listen")
        return {"port": 0}
    address = _address(b, x, listen)
    secure = "spice" in b.serving.certificates
    port, tls = x.port or None, x.tls_port or None
    if port == -1 or (x.autoport and x.default_mode != "secure"):
        port = b.port(x, "port")
    if tls == -1 or (x.autoport and secure and x.default_mode != "insecure"):
        tls = b.port(x, "tls_port")
    if port is None and tls is None:
        b.problem(x, "port", "the server has no port", "choose one, or write autoport='yes'")
    return {"port": port, "tls-port": tls, "addr": address}


def _channels(b: Build, x: Graphics, *, tls: bool, plain: bool) -> list[dict[str, Any]]:
    """Which channels are encrypted: options that come once for each."""
    found: list[dict[str, Any]] = []
    rows = [("default", x.default_mode, x, "default_mode"), *((one.name, one.mode, one, "mode") for one in x.channels)]
    for name, mode, element, place in rows:
        option = SECURITY.get(mode or "any")
        if option is None:
            continue
        if mode == "secure" and not tls:
            b.problem(element, place, "nothing is encrypted without a TLS port", "add tlsPort, or autoport='yes'")
        if mode == "insecure" and not plain:
            b.problem(element, place, "there is no port without encryption", "add port, or autoport='yes'")
        found.append({option: name})
    return found
