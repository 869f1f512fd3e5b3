"""A partition table as ``sfdisk --json`` tells of it, and where in it another partition fits; no I/O."""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from anyvirt.api import Failed, Invalid, Problem

from anyvirt_host.storage.faults import full

ALIGN: Final = 1 << 20  # bytes; what partitions begin at, whatever the disk is made of
LABELS: Final = ("gpt", "dos")
PRIMARY: Final = 4  # how many of those a table of the kind dos has room for
_SECTORS: Final = 512
_LONGEST: Final = (1 << 32) - 1  # sectors that a table of the kind dos can count
# Bytes at the end of a disk that are the second copy of a gpt.
_BACKUP: Final = 33 * 512
# What libvirt calls a kind of partition, in each table; the first of several codes is the one that is written.
KINDS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "dos": {
        "linux": ("83",),
        "none": ("83",),
        "fat16": ("6", "4", "e"),
        "fat32": ("c", "b"),
        "linux-swap": ("82",),
        "linux-lvm": ("8e",),
        "linux-raid": ("fd",),
        "extended": ("5", "f", "85"),
    },
    "gpt": {
        "linux": ("0FC63DAF-8483-4772-8E79-3D69D8477DE4",),
        "none": ("0FC63DAF-8483-4772-8E79-3D69D8477DE4",),
        "fat16": ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",),
        "fat32": ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",),
        "linux-swap": ("0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",),
        "linux-lvm": ("E6D6D379-F507-44C2-A23C-238F2A3DF928",),
        "linux-raid": ("A19D880F-05FC-4D3B-A006-743F0F84911E",),
    },
}


class Span(NamedTuple):
    """Bytes of a disk: the first, and the one behind the last."""

    start: int
    end: int


class Part(NamedTuple):
    """A partition.

    :param start: its first byte, and its length.
    :param kind: libvirt's word for what it is for; ``unknown`` where there is none.
    """

    number: int
    start: int
    size: int
    kind: str

    @property
    def end(self) -> int:
        """The byte behind its last one."""
        return self.start + self.size


class Table(NamedTuple):
    """A partition table.

    :param label: its kind; empty where the disk has none.
    :param sector: bytes of a sector of the disk.
    :param usable: what of the disk partitions may be in.
    """

    label: str
    sector: int
    usable: Span
    parts: tuple[Part, ...] = ()

    @property
    def extended(self) -> Part | None:
        """The partition that logical ones are in."""
        return next((part for part in self.parts if part.kind == "extended"), None)

    def logical(self, part: Part) -> bool:
        """Whether it is inside of the extended one."""
        return self.label == "dos" and part.number > PRIMARY

    def find(self, number: int) -> Part | None:
        """The partition of a number."""
        return next((part for part in self.parts if part.number == number), None)


def read(text: str, size: int) -> Table:
    """The table that ``sfdisk --json`` told of; partitions in the order of their numbers.

    :param size: bytes of the disk.
    :raises Failed: that is no such text.
    """
    try:
        told = json.loads(text)["partitiontable"]
        sector = int(told.get("sectorsize", _SECTORS))
        label = str(told["label"])
        parts = [_part(row, label, sector) for row in told.get("partitions", ())]
        if label == "gpt":
            usable = Span(int(told["firstlba"]) * sector, (int(told["lastlba"]) + 1) * sector)
        else:
            usable = Span(ALIGN, min(size, _LONGEST * sector))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Failed("sfdisk told of a partition table in words that nobody knows", native={"text": text}) from error
    return Table(label, sector, usable, tuple(sorted(parts)))


def free(table: Table) -> list[Span]:
    """What is free between the partitions, aligned at its start; inside of an extended one, too."""
    outer = [part for part in table.parts if not table.logical(part)]
    found = _between(table.usable, outer, 0)
    extended = table.extended
    if extended:
        inner = [part for part in table.parts if table.logical(part)]
        found += _between(Span(extended.start, extended.end), inner, ALIGN)
    return sorted(found)


def fitting(table: Table, size: int, kind: str) -> tuple[int, Span]:
    """The number that a new partition gets, and where it will be.

    :raises Invalid: the table can have none of that kind, or no more.
    :raises Failed: (``file.no-space``) nothing free is long enough.
    """
    if kind not in KINDS[table.label]:
        text = f"a table of the kind {table.label} has no partitions of the format {kind!r}"
        raise Invalid([Problem("unsupported.config", "/target/format/@type", None, text, _kinds(table.label))])
    length = -(-size // table.sector) * table.sector
    number, spans = _numbered(table, kind)
    start = next((span.start for span in sorted(spans, key=_length) if _length(span) >= length), None)
    if start is None:
        longest = max(map(_length, spans), default=0)
        text = f"{length} bytes are free nowhere on the disk in one piece, the longest has {longest}"
        raise full(text, "choose a smaller size, or delete a volume")
    return number, Span(start, start + length)


def room_behind(table: Table, part: Part) -> int:
    """The bytes that a partition can be long at most, where it begins."""
    inside = table.logical(part)
    extended = table.extended
    limit = extended.end if inside and extended else table.usable.end
    later = [
        one.start - (ALIGN if inside else 0)
        for one in table.parts
        if one.start > part.start and table.logical(one) == inside
    ]
    return min([limit, *later]) - part.start


def number_of(name: str, device: str) -> int:
    """The number in the name of a partition of the disk of that name; 0 where it is none.

    >>> number_of("sda2", "sda"), number_of("loop0p12", "loop0"), number_of("sdb1", "sda")
    (2, 12, 0)
    """
    found = re.fullmatch(r"(?:p|-part)?([1-9][0-9]{0,3})", name.removeprefix(device)) if name != device else None
    return int(found[1]) if found and name.startswith(device) else 0


def _part(row: dict[str, object], label: str, sector: int) -> Part:
    number = re.search(r"[0-9]+$", str(row["node"]))
    code = str(row["type"])
    words = KINDS.get(label, {})
    kind = next((word for word, codes in words.items() if code.lower() in map(str.lower, codes)), "unknown")
    if number is None:
        raise ValueError(row["node"])
    return Part(int(number[0]), int(str(row["start"])) * sector, int(str(row["size"])) * sector, kind)


def _between(whole: Span, parts: list[Part], ahead: int) -> list[Span]:
    """What no partition takes; ``ahead`` of a logical one there is its own little table."""
    found, at = [], whole.start
    for part in [*sorted(parts, key=lambda part: part.start), Part(0, whole.end + ahead, 0, "")]:
        start = -(-(at + ahead) // ALIGN) * ALIGN
        if part.start - ahead > start:
            found.append(Span(start, min(part.start - ahead, whole.end)))
        at = max(at, part.end)
    return found


def _numbered(table: Table, kind: str) -> tuple[int, list[Span]]:
    """The number that a new partition of a kind gets, and what is free for it."""
    taken = {part.number for part in table.parts}
    extended = table.extended
    inside = [span for span in free(table) if extended and extended.start <= span.start < extended.end]
    outside = [span for span in free(table) if span not in inside]
    if table.label == "gpt":
        return next(number for number in range(1, len(taken) + 2) if number not in taken), outside
    number = next((number for number in range(1, PRIMARY + 1) if number not in taken), 0)
    if kind == "extended" and (extended or not number):
        text = "there is an extended partition already" if extended else "all four primary partitions are taken"
        raise Invalid([Problem("config.invalid", "/target/format/@type", None, text, "make a linux one")])
    if number:
        return number, outside
    if extended is None:
        text = "all four primary partitions are taken, and none is extended"
        raise Invalid([Problem("config.invalid", "/name", None, text, "delete one, and make an extended one first")])
    return max(taken | {PRIMARY}) + 1, inside


def _kinds(label: str) -> str:
    return f"there are {', '.join(KINDS[label])}"


def _length(span: Span) -> int:
    return span.end - span.start
