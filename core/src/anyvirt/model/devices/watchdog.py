"""Watchdogs."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import at


class WatchdogAction(StrEnum):
    """What happens when a guest stops feeding its watchdog."""

    RESET = "reset"
    SHUTDOWN = "shutdown"
    POWEROFF = "poweroff"
    PAUSE = "pause"
    NONE = "none"
    DUMP = "dump"
    INJECT_NMI = "inject-nmi"


class Watchdog(Device, tag="watchdog"):
    """A watchdog."""

    model: Literal["i6300esb", "ib700", "diag288", "itco"] | None = at("@model", "Model", default=None, key=True)
    action: WatchdogAction | None = at("@action", "What happens; reset without it", default=None)
