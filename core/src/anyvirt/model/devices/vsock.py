"""Sockets between host and guest."""

from __future__ import annotations

from anyvirt.model.devices.device import Device, VirtioModel, VirtioOptions
from anyvirt.model.element import at
from anyvirt.model.types import Count, YesNo


class Vsock(Device, tag="vsock"):
    """Sockets between host and guest without a network."""

    model: VirtioModel | None = at("@model", "Model", default=None)
    cid_auto: YesNo | None = at("cid/@auto", "The driver chooses the address", default=None)
    cid: Count | None = at("cid/@address", "Address of the guest, from 3", default=None)
    driver: VirtioOptions | None = at("driver", "Virtio options", default=None)
