"""Who makes something, written down in a few letters, so that another process can tell whether it is still at it."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Final

_MACHINE: Final = "/etc/machine-id"
_BOOT: Final = "/proc/sys/kernel/random/boot_id"


def maker() -> str:
    """This process: its machine, the boot of that, its number, and when it began."""
    return f"{_short(_MACHINE)}{_short(_BOOT)}.{os.getpid():x}.{_began(os.getpid()):x}"


def alive(who: str) -> bool | None:
    """Whether it lives; None for a process of another machine, of which nothing is known here."""
    try:
        where, pid, began = who.split(".")
        number, start = int(pid, 16), int(began, 16)
    except ValueError:
        return None
    if where[:8] != _short(_MACHINE):
        return None
    return where[8:] == _short(_BOOT) and _began(number) == start


def _began(pid: int) -> int:
    """Ticks after the boot; -1 for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return -1
    return int(words[19])


def _short(path: str) -> str:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        text = b""
    return sha256(text).hexdigest()[:8]
