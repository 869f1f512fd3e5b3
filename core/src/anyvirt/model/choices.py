"""What callers choose from: which definition, which way to shut down, which figures."""

from __future__ import annotations

from enum import Enum
from typing import Final

# of statistics
GROUPS: Final = ("state", "cpu", "vcpu", "balloon", "interface", "block")


class Which(Enum):
    """Which definition of a domain is meant."""

    CONFIG = "config"
    LIVE = "live"
    EFFECTIVE = "effective"


class ShutdownMode(Enum):
    """How the guest is asked to shut down or reboot; a driver takes its own best way when none is named."""

    ACPI = "acpi"
    AGENT = "agent"
    INITCTL = "initctl"
    SIGNAL = "signal"
    PARAVIRT = "paravirt"
