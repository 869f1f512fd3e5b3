"""Non-volatile memory of pseries machines."""

from __future__ import annotations

from anyvirt.model.devices.device import Device


class Nvram(Device, tag="nvram"):
    """Non-volatile memory of a pseries machine, at an address of its virtual I/O."""
