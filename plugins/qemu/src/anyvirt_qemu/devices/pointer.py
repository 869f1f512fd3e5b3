"""Keyboards, mice, tablets, and those of the host."""

from __future__ import annotations

from typing import Final

from anyvirt.api import Input

from anyvirt_qemu.devices.common import tuned, usb, virtio
from anyvirt_qemu.planning.build import Build

USB: Final = {"tablet": "usb-tablet", "mouse": "usb-mouse", "keyboard": "usb-kbd"}


def pointer(b: Build, x: Input) -> None:
    """An input device; those of PS/2 are part of the machine."""
    if x.type == "evdev":
        _shared(b, x)
    elif x.bus == "ps2":
        if x.type not in {"mouse", "keyboard"}:
            b.refuse(x, "bus", "put a tablet on usb or virtio")
    elif x.bus == "usb" and x.type in USB:
        b.device({"driver": b.has(x, "bus", USB[x.type]), **usb(b, x), "id": x.alias})
    elif x.bus == "virtio" and x.type in USB:
        b.device(virtio(b, x, f"virtio-{x.type}", x.model) | tuned(x.driver))
    elif x.bus == "virtio" and x.type == "passthrough":
        device = b.path(x, "evdev", x.evdev)
        b.device(virtio(b, x, "virtio-input-host", x.model) | tuned(x.driver) | {"evdev": device})
    else:
        b.refuse(x, "bus", "use a keyboard, mouse or tablet on ps2, usb or virtio")


def _shared(b: Build, x: Input) -> None:
    """A device of the host that host and guest use in turn."""
    if not b.caps.has_object("input-linux"):
        text = f"this QEMU ({b.caps.binary}) has no object input-linux"
        b.refuse(x, "type", "use passthrough on virtio", text=text)
    options = {
        "qom-type": "input-linux",
        "id": x.alias,
        "evdev": b.path(x, "dev", x.dev),
        "repeat": x.repeat,
        "grab_all": True if x.grab == "all" else None,
        "grab-toggle": x.grab_toggle,
    }
    b.qom(options)
