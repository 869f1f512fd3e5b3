"""What is made at random and must not be there yet: UUIDs, MAC addresses, names."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count

Random = Callable[[int], bytes]


def uuid(random: Random, taken: Collection[str] = ()) -> str:
    """A random UUID, version 4, that is none of those taken.

    :param random: gives that many random bytes.
    """
    while True:
        octets = bytearray(random(16))
        octets[6] = octets[6] & 0x0F | 0x40
        octets[8] = octets[8] & 0x3F | 0x80
        text = octets.hex()
        made = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        if made not in taken:
            return made


def mac(random: Random, prefix: bytes, taken: Collection[str] = ()) -> str:
    """A MAC address that begins with the hypervisor's three bytes and is none of those taken.

    :param taken: in lower case.
    """
    while True:
        made = (prefix + random(6 - len(prefix))).hex(":")
        if made not in taken:
            return made


def name(wanted: str, taken: Collection[str]) -> str:
    """The name, or the name with the first number behind it that makes it free: ``guest-2``."""
    if wanted not in taken:
        return wanted
    return next(made for n in count(2) if (made := f"{wanted}-{n}") not in taken)
