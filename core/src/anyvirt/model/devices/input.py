"""Keyboards, mice and tablets."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.devices.device import Device, VirtioModel, VirtioOptions
from anyvirt.model.element import at
from anyvirt.model.types import OnOff


class InputType(StrEnum):
    """Kind of input device."""

    MOUSE = "mouse"
    TABLET = "tablet"
    KEYBOARD = "keyboard"
    PASSTHROUGH = "passthrough"
    EVDEV = "evdev"


class Input(Device, tag="input"):
    """An input device."""

    type: InputType | None = at("@type", "Kind", default=None, key=True)
    bus: Literal["ps2", "usb", "xen", "virtio", "parallels", "none"] | None = at("@bus", "Bus", default=None, key=True)
    model: VirtioModel | None = at("@model", "Variant of a virtio device", default=None)
    driver: VirtioOptions | None = at("driver", "Virtio options", default=None)
    evdev: str | None = at("source/@evdev", "Host device that is passed through", default=None)
    dev: str | None = at("source/@dev", "Host device that is shared", default=None)
    grab: Literal["all"] | None = at("source/@grab", "Take all input devices together", default=None)
    grab_toggle: Literal["ctrl-ctrl", "alt-alt", "shift-shift", "meta-meta", "scrolllock", "ctrl-scrolllock"] | None = (
        at("source/@grabToggle", "Keys that switch between host and guest", default=None)
    )
    repeat: OnOff | None = at("source/@repeat", "Keys repeat", default=None)
