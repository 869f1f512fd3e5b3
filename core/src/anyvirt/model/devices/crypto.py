"""Cryptographic accelerators."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device, VirtioOptions
from anyvirt.model.element import at
from anyvirt.model.types import Count


class Crypto(Device, tag="crypto"):
    """A cryptographic accelerator, since libvirt 9.0."""

    model: Literal["virtio"] | None = at("@model", "Model", default=None)
    type: Literal["qemu"] | None = at("@type", "Who serves it", default=None)
    backend: Literal["builtin", "lkcf"] | None = at("backend/@model", "What computes", default=None)
    queues: Count | None = at("backend/@queues", "Number of virtqueues", default=None)
    driver: VirtioOptions | None = at("driver", "Virtio options", default=None)
