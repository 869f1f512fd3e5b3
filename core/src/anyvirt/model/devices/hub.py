"""USB hubs."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import at


class Hub(Device, tag="hub"):
    """A USB hub."""

    type: Literal["usb"] | None = at("@type", "Kind", default=None)
