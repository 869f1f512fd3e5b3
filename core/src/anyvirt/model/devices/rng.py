"""Sources of random numbers."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.char import CharSource, CharType
from anyvirt.model.devices.device import Device, VirtioModel, VirtioOptions
from anyvirt.model.element import Many, at
from anyvirt.model.types import Count, OnOff


class Rng(Device, tag="rng"):
    """A source of random numbers."""

    model: VirtioModel | None = at("@model", "Model", default=None)
    rate_bytes: Count | None = at("rate/@bytes", "Bytes in a period at most", default=None)
    rate_period: Count | None = at("rate/@period", "Milliseconds of a period", default=None)
    backend: Literal["random", "egd", "builtin"] | None = at("backend/@model", "Where numbers come from", default=None)
    backend_type: CharType | None = at("backend/@type", "Connection to an entropy daemon", default=None)
    path: str | None = at("backend", "Host device, such as /dev/urandom", default=None)
    sources: Many[CharSource] = at("backend/source", "Entropy daemon", default=())
    protocol: Literal["raw", "telnet", "telnets", "tls"] | None = at(
        "backend/protocol/@type", "What is spoken on tcp", default=None
    )
    log: str | None = at("backend/log/@file", "File that gets all that is sent to the daemon", default=None)
    log_append: OnOff | None = at("backend/log/@append", "Add to the log instead of emptying it", default=None)
    driver: VirtioOptions | None = at("driver", "Virtio options", default=None)
