"""A guest that is a boot sector, and what tests of several kinds want to do with it.

It prints ``up`` on the first serial port and then obeys single letters typed there: ``q`` powers off,
``r`` resets, ``w`` writes 64 sectors at 1 MiB to the disk that is second in the boot order and says
``W`` (``E`` where the disk refused), ``d`` prints 65,536 letters; everything else is echoed.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from anyvirt.api import Deadline, Event, Interrupted, State, within

SECTOR = bytes.fromhex(
    "31c08ed88ed0bc007cfbbe7e7cac84c07405e85a00ebf6bafd03eca80174fbbaf803ec3c7174113c7274173c77741b3c6474"
    "2ce83900ebdfba0406b80020eff4ebfdbaf90cb006eeebf5be837cb80043b281cd13b0577302b045e81200ebb831c988c824"
    "0f0461e805004975f4eba850bafd03eca82074fb58baf803eec375700d0a0010004000007c00000008000000000000"
)
UP = b"up\r\n"


def boot_disk(path: Path) -> Path:
    """A disk with the boot sector, of 1 MiB."""
    path.write_bytes(SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512))
    return path


def sector_xml(
    disk: Path, name: str = "one", more: str = "", serial: str = "<serial type='pty'/>", vcpus: int = 1
) -> str:
    """A guest that boots the sector."""
    return (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>{vcpus}</vcpu>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><devices>"
        f"<disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/>"
        f"<readonly/><boot order='1'/></disk>{more}{serial}</devices></domain>"
    )


def read_until(stream: Any, end: bytes, seconds: float = 20.0) -> bytes:
    """What a console shows up to and with ``end``."""
    seen = b""
    with within(Deadline(seconds)):
        while end not in seen:
            try:
                piece = stream.read()
            except Interrupted:
                raise AssertionError(f"{end!r} did not come; seen: {seen[-300:]!r}") from None
            assert piece, f"the console ended before {end!r}; seen: {seen[-300:]!r}"
            seen += piece
    return seen


def words(feed: Any, last: str, seconds: float = 10.0) -> list[str]:
    """What a feed tells, in words (``stopped.shutdown``, ``reboot``), up to and with ``last``."""
    told: list[str] = []
    while last not in told:
        try:
            told.append(word(feed.get(seconds)))
        except Interrupted:
            raise AssertionError(f"{last} did not come after {told}") from None
    return told


def word(event: Event) -> str:
    """An event in a word or two."""
    change = getattr(event, "change", None)
    return event.kind if change is None else f"{change.value}.{event.detail}"  # type: ignore[attr-defined]


def quiet(feed: Any, seconds: float = 0.3) -> list[str]:
    """What a feed tells in that time."""
    told = []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        with suppress(Interrupted):
            told.append(word(feed.get(left)))
    return told


def until_state(domain: Any, state: State, seconds: float = 10.0) -> None:
    """Wait until a domain is in that state, asking again and again."""
    end = time.monotonic() + seconds
    while domain.state().state is not state:
        assert time.monotonic() < end, f"{domain.state()} instead of {state}"
        time.sleep(0.02)
