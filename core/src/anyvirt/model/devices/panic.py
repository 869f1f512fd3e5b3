"""Panic notifiers."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import at


class Panic(Device, tag="panic"):
    """Lets the guest tell that its kernel panicked."""

    model: Literal["isa", "pseries", "hyperv", "s390", "pvpanic"] | None = at("@model", "Model", default=None, key=True)
