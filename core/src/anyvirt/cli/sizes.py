"""Sizes and times as people type them."""

from __future__ import annotations

import re
from typing import Final

from anyvirt.cli.usage import Usage

_SHIFTS: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_SIZE: Final = re.compile(r"([+-]?)([0-9]+) ?([kmgtpe]?)(|b|ib)", re.IGNORECASE)
_TIME: Final = re.compile(r"([0-9]+) ?(|s|m|h|d|w)", re.IGNORECASE)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def in_bytes(text: str, *, signed: bool = False) -> int:
    """Bytes of ``1073741824``, ``1048576k``, ``1024M``, ``1G`` or ``1GiB``; ``GB`` counts in thousands, as in libvirt.

    :param signed: may be below 0.
    :raises Usage: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[1] and not signed):
        raise Usage(f"{text!r} is no size", hint="write 1073741824, 1048576k, 1024M or 1G")
    shift = _SHIFTS[found[3].lower()]
    number = int(found[2]) * (1000 ** (shift // 10) if found[4].lower() == "b" and shift else 1 << shift)
    return -number if found[1] == "-" else number


def in_seconds(text: str) -> int:
    """Seconds of ``90``, ``30m``, ``12h``, ``7d`` or ``2w``.

    :raises Usage: it is no time.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise Usage(f"{text!r} is no time", hint="write seconds, or 30m, 12h, 7d, 2w")
    return int(found[1]) * _SECONDS[found[2].lower()]
