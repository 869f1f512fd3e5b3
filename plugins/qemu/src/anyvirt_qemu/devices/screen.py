"""Graphics, video, input and sound."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Graphics, Input, Listen, Sound, Video, meaningless

from anyvirt_qemu.build import Build
from anyvirt_qemu.devices import audio
from anyvirt_qemu.devices.common import pci, tuned, usb, virtio

LOWEST: Final = 5900
HIGHEST: Final = 65535
SOCKET_MAX: Final = 107
DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
CARDS: Final = {
    "vga": "VGA",
    "cirrus": "cirrus-vga",
    "vmvga": "vmware-svga",
    "bochs": "bochs-display",
    "ramfb": "ramfb",
}
SOUNDS: Final = {"ich6": "intel-hda", "ich7": "intel-hda", "ich9": "ich9-intel-hda", "ac97": "AC97", "es1370": "ES1370"}
USB_INPUTS: Final = {"tablet": "usb-tablet", "mouse": "usb-mouse", "keyboard": "usb-kbd"}


def graphics(b: Build, x: Graphics, number: int) -> None:
    """A VNC server: on a unix socket of the guest's own unless the definition asks for an address."""
    if x.type != "vnc":
        b.refuse(x, "type", "use vnc")
        return
    meaningless(x, "websocket_generated", "default_mode")
    listen = x.listens[0] if x.listens else Listen()
    if len(x.listens) > 1:
        b.refuse(x, "listens", "a VNC server listens at one place")
    meaningless(listen, "from_config", "auto_generated")
    place = _place(b, x, listen, number)
    options = {"vnc": place, "to": HIGHEST - LOWEST if place.endswith(":0") and _auto(x) else None, **_words(x)}
    if x.websocket is not None:
        options["websocket"] = True if x.websocket == -1 else x.websocket
    if x.keymap is not None:
        b.option("-k", b.token(x, "keymap", x.keymap))
    b.options("-vnc", "", options | {"audiodev": audio.chosen(b, b.domain, x)})
    if x.passwd is not None:
        _password(b, x)


def _auto(x: Graphics) -> bool:
    port, auto = x.port, x.autoport
    return auto is True or port in {None, -1}


def _words(x: Graphics) -> dict[str, Any]:
    return {
        "password": True if x.passwd is not None else None,
        "share": x.share_policy,
        "power-control": x.power_control,
    }


def _place(b: Build, x: Graphics, listen: Listen, number: int) -> str:
    kind = listen.type or ("address" if x.listen or (x.port or 0) > 0 else "socket")
    if x.socket or kind == "socket":
        if x.socket:
            path = b.path(x, "socket", x.socket)
            if listen.socket == x.socket:
                meaningless(listen, "socket")
        elif listen.socket:
            path = b.path(listen, "socket", listen.socket)
        else:
            path = f"vnc{number}.sock"
        if len(path.encode(errors="replace")) > SOCKET_MAX:
            b.problem(x, "socket", f"a socket's path has at most {SOCKET_MAX} bytes", "choose a shorter one")
        meaningless(x, "port", "autoport")
        b.sockets.append(path if path.startswith("/") else f"{b.paths.guest}/{path}")
        return f"unix:{path}"
    if kind == "none":
        meaningless(x, "port", "autoport")
        return "none"
    if kind != "address":
        b.refuse(listen, "type", "use address, socket or none")
    address = listen.address or x.listen or "127.0.0.1"
    meaningless(x, "listen")
    if not re.fullmatch(r"[0-9A-Za-z.:%_-]+", address):
        b.problem(x, "listen", f"{address!r} is no address", "write a host name or an IP address")
        address = "127.0.0.1"
    host = f"[{address}]" if ":" in address else address
    if _auto(x):
        return f"{host}:0"
    if (x.port or 0) < LOWEST:
        b.problem(x, "port", f"a VNC port is {LOWEST} to {HIGHEST}", "choose another, or autoport='yes'")
        return f"{host}:0"
    return f"{host}:{(x.port or LOWEST) - LOWEST}"


def _password(b: Build, x: Graphics) -> None:
    arguments = {"protocol": "vnc", "password": x.passwd}
    if x.connected is not None:
        arguments["connected"] = x.connected
    b.step("set_password", arguments)
    if x.passwd_valid_to is not None:
        if not DATE.fullmatch(x.passwd_valid_to):
            b.problem(x, "passwd_valid_to", "this is no time", "write it as 2030-01-31T12:00:00, in UTC")
            return
        from datetime import UTC, datetime

        end = datetime.fromisoformat(x.passwd_valid_to).replace(tzinfo=UTC)
        b.step("expire_password", {"protocol": "vnc", "time": str(int(end.timestamp()))})


def video(b: Build, x: Video, *, primary: bool) -> None:
    """A video card."""
    model = x.model or "vga"
    meaningless(x, "primary")
    if x.driver:
        meaningless(x.driver, "name" if x.driver.name == "qemu" else "vgaconf")
    if x.accel2d:
        b.refuse(x, "accel2d", "leave it out")
    if x.accel3d:
        b.refuse(x, "accel3d", "leave it out")
    meaningless(x, "accel2d", "accel3d")
    if x.heads in {None, 1}:
        meaningless(x, "heads")
    if model == "none":
        return
    options: dict[str, Any] = {"id": x.alias, "xres": x.resolution_x, "yres": x.resolution_y}
    if model == "virtio":
        vga = primary and b.caps.has_device("virtio-vga")
        options |= {"driver": b.has(x, "model", "virtio-vga" if vga else "virtio-gpu-pci"), **tuned(x.driver)}
        options["max_outputs"] = x.heads
        meaningless(x, "vram")
    elif model == "qxl":
        options |= {"driver": b.has(x, "model", "qxl-vga" if primary else "qxl"), "max_outputs": x.heads}
        options |= {
            "ram_size": x.ram,
            "vram_size": x.vram,
            "vram64_size_mb": _mib(x.vram64),
            "vgamem_mb": _mib(x.vgamem),
        }
    elif model in CARDS:
        options["driver"] = b.has(x, "model", CARDS[model])
        if model == "bochs":
            options["vgamem"] = x.vram
        elif model != "ramfb":
            options["vgamem_mb"] = _mib(x.vram)
    else:
        b.refuse(x, "model", f"use virtio, qxl, none, {', '.join(CARDS)}")
        return
    if model == "ramfb":
        options = {"driver": "ramfb", "id": x.alias}
    else:
        options |= pci(b, x)
    b.device(options)


def _mib(size: int | None) -> int | None:
    return None if size is None else max(1, size >> 20)


def pointer(b: Build, x: Input) -> None:
    """A keyboard, mouse or tablet; those of PS/2 are part of the machine."""
    if x.bus == "ps2":
        if x.type not in {"mouse", "keyboard"}:
            b.refuse(x, "bus", "put a tablet on usb or virtio")
    elif x.bus == "usb" and x.type in USB_INPUTS:
        b.device({"driver": b.has(x, "bus", USB_INPUTS[x.type]), **usb(b, x), "id": x.alias})
    elif x.bus == "virtio" and x.type in USB_INPUTS:
        b.device(virtio(b, x, f"virtio-{x.type}", x.model) | tuned(x.driver))
    elif x.bus == "virtio" and x.type == "passthrough":
        device = b.path(x, "evdev", x.evdev)
        b.device(virtio(b, x, "virtio-input-host", x.model) | tuned(x.driver) | {"evdev": device})
    else:
        b.refuse(x, "type" if x.type == "evdev" else "bus", "use a keyboard, mouse or tablet on ps2, usb or virtio")


def sound(b: Build, x: Sound) -> None:
    """A sound card."""
    model = x.model or "ich6"
    driver = SOUNDS.get(model)
    if driver is None:
        b.refuse(x, "model", f"use {', '.join(SOUNDS)}")
        return
    back: dict[str, Any] = {"audiodev": audio.chosen(b, b.domain, x)}
    if "hda" not in driver:
        b.device({"driver": b.has(x, "model", driver), **pci(b, x), "id": x.alias, **back})
        return
    b.device({"driver": b.has(x, "model", driver), **pci(b, x), "id": x.alias})
    codecs = [codec.type or "duplex" for codec in x.codecs] or ["duplex"]
    for number, kind in enumerate(codecs):
        name = b.has(x, "model", f"hda-{kind}")
        b.device({"driver": name, "id": f"{x.alias}-codec{number}", "bus": f"{x.alias}.0", "cad": number, **back})
