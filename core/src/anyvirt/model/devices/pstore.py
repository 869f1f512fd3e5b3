"""Memory that keeps what a crashed kernel wrote."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import at
from anyvirt.model.types import Size


class Pstore(Device, tag="pstore"):
    """Memory that keeps what a crashed kernel wrote, since libvirt 10.8."""

    backend: Literal["acpi-erst"] | None = at("@backend", "Interface that the guest sees", default=None)
    path: str | None = at("path", "File on the host that holds it", default=None)
    size: Size | None = at("size", "Size", default=None)
