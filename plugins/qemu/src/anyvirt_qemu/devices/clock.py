"""The guest's clock and its timers."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Clock, Timer, meaningless

from anyvirt_qemu.planning.build import Build

ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)


def clock(b: Build, x: Clock) -> None:
    """What the guest's clock starts with, and how it keeps up."""
    options: dict[str, Any] = {"base": "utc"}
    match x.offset or "utc":
        case "utc":
            if x.adjustment not in {None, "reset"}:
                options["base"] = _variable(b, x, local=False)
        case "localtime":
            options["base"] = "localtime"
            if x.adjustment not in {None, "reset"}:
                options["base"] = _variable(b, x, local=True)
        case "timezone":
            options["base"] = "localtime"
            if not ZONE.fullmatch(x.timezone or ""):
                b.problem(x, "timezone", f"{x.timezone!r} is no time zone", "write it as Europe/Paris")
            b.env["TZ"] = x.timezone or "UTC"
        case "variable":
            options["base"] = _variable(b, x, local=x.basis == "localtime")
        case "absolute":
            options["base"] = _instant(x.start or 0)
    for timer in x.timers:
        _timer(b, timer, options)
    b.options("-rtc", "", options)


def _variable(b: Build, x: Clock, *, local: bool) -> str:
    """What the clock starts with: ahead or behind by some seconds, of the world's time or the host's own."""
    seconds = x.adjustment or 0
    if not isinstance(seconds, int) or abs(seconds) >= 10**12:
        b.problem(x, "adjustment", f"{seconds!r} is no number of seconds", "write a number")
        return "utc"
    if local:
        from datetime import datetime

        ahead = datetime.fromtimestamp(b.now).astimezone().utcoffset()
        return _instant(b.now + seconds + int(ahead.total_seconds() if ahead else 0)) if seconds else "localtime"
    return _instant(b.now + seconds) if seconds else "utc"


def _instant(seconds: int) -> str:
    from datetime import UTC, datetime, timedelta

    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=max(-(2**34), min(seconds, 2**37)))
    return instant.strftime("%Y-%m-%dT%H:%M:%S")


def _timer(b: Build, x: Timer, rtc: dict[str, Any]) -> None:
    match x.name:
        case "rtc":
            policy = x.tickpolicy
            if policy == "catchup":
                rtc["driftfix"] = "slew"
            elif policy not in {None, "delay"}:
                b.refuse(x, "tickpolicy", "use catchup or delay")
            if x.track == "boot":
                b.refuse(x, "track", "use guest, wall or realtime")
            elif x.track is not None:
                rtc["clock"] = {"guest": "vm", "wall": "host", "realtime": "rt"}[x.track]
            meaningless(x, "present")
        case "pit":
            if x.tickpolicy in {"delay", "discard"}:
                b.option("-global", f"kvm-pit.lost_tick_policy={x.tickpolicy}")
            elif x.tickpolicy is not None:
                b.refuse(x, "tickpolicy", "use delay or discard")
            meaningless(x, "present")
        case "hpet" | "kvmclock" | "hypervclock":
            meaningless(x, "present")
        case "armvtimer":
            if b.caps.arch not in {"aarch64", "armv7l"}:
                b.refuse(x, "name", "take it out", text=f"guests of {b.caps.arch} have no such timer")
            elif x.tickpolicy not in {None, "delay", "discard"}:
                b.refuse(x, "tickpolicy", "use delay or discard")
            elif b.accelerator != "kvm":
                b.warnings.append("without KVM the timer of an Arm guest always stands while the guest does")
            meaningless(x, "present")
        case "tsc":
            meaningless(x, "present", "frequency")
        case _:
            b.refuse(x, "name", "use rtc, pit, hpet, tsc, kvmclock or hypervclock")
