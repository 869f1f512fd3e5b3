"""The guest's clock and timers."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Count, Seconds, Unsigned, YesNo


class ClockOffset(StrEnum):
    """What the guest's clock shows."""

    UTC = "utc"
    LOCALTIME = "localtime"
    TIMEZONE = "timezone"
    VARIABLE = "variable"
    ABSOLUTE = "absolute"


class TimerName(StrEnum):
    """A source of time."""

    PLATFORM = "platform"
    PIT = "pit"
    RTC = "rtc"
    HPET = "hpet"
    TSC = "tsc"
    KVMCLOCK = "kvmclock"
    HYPERVCLOCK = "hypervclock"
    ARMVTIMER = "armvtimer"


class Timer(Element, tag="timer"):
    """A source of time for the guest."""

    name: TimerName | None = at("@name", "Which one", default=None, key=True)
    present: YesNo | None = at("@present", "The guest has it", default=None)
    tickpolicy: Literal["delay", "catchup", "merge", "discard"] | None = at(
        "@tickpolicy", "What happens to ticks that were missed", default=None
    )
    track: Literal["boot", "guest", "wall", "realtime"] | None = at("@track", "What the timer follows", default=None)
    frequency: Unsigned | None = at("@frequency", "Frequency in Hz", default=None)
    mode: Literal["auto", "native", "emulate", "paravirt", "smpsafe"] | None = at(
        "@mode", "How the time stamp counter is offered", default=None
    )
    catchup_threshold: Count | None = at("catchup/@threshold", "Ticks missed before catching up", default=None)
    catchup_slew: Count | None = at("catchup/@slew", "How fast it catches up", default=None)
    catchup_limit: Count | None = at("catchup/@limit", "Most ticks that are caught up", default=None)


class Clock(Element, tag="clock"):
    """What the guest's clock shows."""

    offset: ClockOffset | None = at("@offset", "What it shows; utc without it", default=None)
    adjustment: Seconds | None = at("@adjustment", "Seconds to add, or reset", default=None)
    basis: Literal["utc", "localtime"] | None = at("@basis", "What a variable offset starts from", default=None)
    timezone: str | None = at("@timezone", "Zone, such as Europe/Paris", default=None)
    start: Unsigned | None = at("@start", "Seconds since 1970 at boot, for absolute", default=None)
    timers: Many[Timer] = at("timer", "Sources of time", default=())
