"""Places of disks on controllers: the number that a target's name stands for, or the first that is free."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from anyvirt.model.assign.number import Place

_TARGET: Final = re.compile(r"(?:fd|hd|vd|sd|xvd|ubd)([a-z]{1,6})(?:[0-9]*)")
_NAMESPACE: Final = re.compile(r"nvme([0-9]{1,4})n([1-9][0-9]{0,3})")
_LETTERS: Final = 26


def target_index(target: str) -> int | None:
    """Number of a disk among those of its letters: ``vda`` is 0, ``sdaa`` 26; None for other names.

    A number behind the letters, that of a partition, does not count.
    """
    found = _TARGET.fullmatch(target)
    if found is None:
        return None
    number = 0
    for letter in found[1]:
        number = number * _LETTERS + ord(letter) - 96
    return number - 1


def namespace(target: str) -> tuple[int, int] | None:
    """Controller and number of an NVMe namespace, both from 0: ``nvme0n1`` is (0, 0); None for other names."""
    found = _NAMESPACE.fullmatch(target)
    return None if found is None else (int(found[1]), int(found[2]) - 1)


def target_name(prefix: str, index: int) -> str:
    """The name of the disk with this number: ``("vd", 26)`` is ``vdaa``."""
    letters, rest = "", index + 1
    while rest:
        rest, digit = divmod(rest - 1, _LETTERS)
        letters = chr(97 + digit) + letters
    return prefix + letters


def free_target(prefix: str, taken: Collection[str]) -> str:
    """The first name with this prefix that no disk has."""
    index = 0
    while target_name(prefix, index) in taken:
        index += 1
    return target_name(prefix, index)


def bus_of(target: str, buses: Mapping[str, str]) -> str | None:
    """The bus that a target's name stands for, by the longest prefix in the table."""
    found = max((prefix for prefix in buses if target.startswith(prefix)), key=len, default=None)
    return None if found is None else buses[found]


@dataclass(frozen=True, slots=True)
class Units:
    """The places on one controller of a kind, in the order of the disks' numbers: bus, target, unit of each."""

    places: Sequence[Place]

    def at(self, index: int) -> Place:
        """The place of the disk with this number, controller first."""
        controller, rest = divmod(index, len(self.places))
        return (controller, *self.places[rest])
