"""The memory balloon."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device, VirtioOptions
from anyvirt.model.element import at
from anyvirt.model.types import Count, OnOff


class Memballoon(Device, tag="memballoon"):
    """Gives memory back to the host, and tells what the guest uses."""

    model: Literal["virtio", "virtio-transitional", "virtio-non-transitional", "xen", "none"] | None = at(
        "@model", "Model; none leaves it out", default=None
    )
    autodeflate: OnOff | None = at("@autodeflate", "Deflate before the guest runs out of memory", default=None)
    free_page_reporting: OnOff | None = at("@freePageReporting", "Give unused pages back", default=None)
    stats_period: Count | None = at("stats/@period", "Seconds between statistics", default=None)
    driver: VirtioOptions | None = at("driver", "Virtio options", default=None)
