"""Slots and functions of PCI buses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

FUNCTIONS: Final = 8


class Slot(NamedTuple):
    """A place on a PCI bus; ``bus`` is the index of the bus's controller."""

    bus: int
    slot: int
    function: int = 0
    domain: int = 0

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function}"


@dataclass(frozen=True, slots=True)
class PciKind:
    """What a bus takes; the words for devices are the driver's.

    :param takes: kinds of devices that are given slots here.
    :param allows: kinds that fit besides, where a definition asks for this very place.
    :param first: the lowest slot.
    """

    takes: frozenset[str]
    allows: frozenset[str] = frozenset()
    first: int = 1
    last: int = 31


class Clash(Exception):
    """A place is taken or does not exist; the text says by whom, or why."""


@dataclass(slots=True)
class _Bus:
    kind: PciKind
    takes: frozenset[str]
    slots: list[int] = field(default_factory=lambda: [0] * 32)  # a bit for each function in use
    packs: dict[int, str] = field(default_factory=dict)  # slot -> the kind that fills its functions


class PciSpace:
    """All buses of a guest and who sits where.

    What has a place claims it first, in any order; then the rest takes places in a fixed order: the same
    devices get the same places, and a device that is added later moves none.

    :param called: gives the name of what was passed as ``who``, for messages.
    """

    def __init__(self, called: Callable[[Any], str] = str) -> None:
        self._buses: dict[int, _Bus] = {}
        self._order: list[int] = []
        self._who: dict[tuple[int, int, int], Any] = {}
        self._from: dict[str, int] = {}
        self._called = called

    @property
    def buses(self) -> tuple[int, ...]:
        """Numbers of the buses, from the lowest."""
        return tuple(self._order)

    def add(self, number: int, kind: PciKind, *, takes: frozenset[str] | None = None) -> None:
        """Add a bus, which a controller has just brought.

        :param takes: what it takes instead, where it was added for one kind of device and is to be kept for that.
        """
        if number not in self._buses:
            self._order.append(number)
            if len(self._order) > 1 and self._order[-2] > number:
                self._order.sort()
                self._from.clear()
        self._buses[number] = _Bus(kind, kind.takes if takes is None else takes)

    def takes(self, kind: str) -> bool:
        """Whether any bus takes this kind, free or not."""
        return any(kind in bus.takes for bus in self._buses.values())

    def free(self, bus: int, slot: int) -> bool:
        """Whether no function of the slot is in use."""
        return not self._buses[bus].slots[slot]

    def shared(self, bus: int, slot: int) -> bool:
        """Whether functions of the slot besides 0 are in use."""
        return bus in self._buses and self._buses[bus].slots[slot] > 1

    def room(self, kind: str) -> int:
        """How many slots with no function in use there are for this kind."""
        return sum(x.slots[x.kind.first : x.kind.last + 1].count(0) for x in self._buses.values() if kind in x.takes)

    def firsts(self) -> list[Any]:
        """Who has function 0 of slots with more functions in use."""
        return [
            self._who[number, slot, 0]
            for number, bus in self._buses.items()
            for slot, used in enumerate(bus.slots)
            if used & 1 and used > 1
        ]

    def full(self) -> bool:
        """Whether each slot of each bus is in use."""
        return all(all(x.slots[x.kind.first : x.kind.last + 1]) for x in self._buses.values())

    def copy(self) -> PciSpace:
        """The same places, taken by the same devices, to try something on."""
        new = PciSpace(self._called)
        new._order, new._who, new._from = self._order.copy(), self._who.copy(), self._from.copy()
        new._buses = {n: _Bus(x.kind, x.takes, x.slots.copy(), x.packs.copy()) for n, x in self._buses.items()}
        return new

    def claim(self, slot: Slot, who: Any, kind: str = "", *, pack: bool = False) -> None:
        """Take this very place.

        :param kind: what the device is, to be checked against the bus; ``""`` fits everywhere.
        :param pack: others of its kind may have the other functions of the slot.
        :raises Clash: no such bus or slot, the wrong kind of bus, or somebody else sits there.
        """
        bus = self._buses.get(slot.bus)
        if bus is None or slot.domain:
            raise Clash(f"{slot} is on bus {slot.bus} of domain {slot.domain}, which no controller provides")
        if kind and kind not in bus.kind.takes and kind not in bus.kind.allows:
            what = " or ".join(sorted(bus.kind.takes)) or "nothing"
            raise Clash(f"{slot} is on bus {slot.bus}, which takes {what}, and this is {kind}")
        if not bus.kind.first <= slot.slot <= bus.kind.last or not 0 <= slot.function < FUNCTIONS:
            raise Clash(f"{slot} is outside slots {bus.kind.first}..{bus.kind.last} of bus {slot.bus}")
        bit = 1 << slot.function
        if bus.slots[slot.slot] & bit:
            raise Clash(f"{slot} is taken by {self._called(self._who[slot.bus, slot.slot, slot.function])}")
        if pack and not bus.slots[slot.slot]:
            bus.packs[slot.slot] = kind
        bus.slots[slot.slot] |= bit
        self._who[slot.bus, slot.slot, slot.function] = who

    def take(self, kind: str, who: Any, *, pack: bool = False, function: int = 0) -> Slot | None:
        """The first slot with no function in use, on the lowest bus that takes this kind; None where all are full.

        :param pack: a free function of a slot that others of its kind have begun will do, too.
        :param function: the function of the slot to be taken.
        """
        buses, start = self._buses, self._from.get(kind, 0)
        for place in range(start, len(self._order)):
            number = self._order[place]
            bus = buses[number]
            if kind not in bus.takes:
                continue
            for slot in range(bus.kind.first, bus.kind.last + 1):
                used = bus.slots[slot]
                chosen = function
                if used:
                    if not pack or bus.packs.get(slot) != kind or used == 0xFF:
                        continue
                    chosen = (~used & (used + 1)).bit_length() - 1
                elif pack:
                    bus.packs[slot] = kind
                self._from[kind] = place
                bus.slots[slot] = used | 1 << chosen
                self._who[number, slot, chosen] = who
                return Slot(number, slot, chosen)
        self._from[kind] = len(self._order)
        return None


Grow = Callable[[PciSpace, str], Iterable[tuple[int, str]]]


def growth(space: PciSpace, kinds: Iterable[str], grow: Grow, *, pack: frozenset[str] = frozenset()) -> dict[int, str]:
    """Which buses must be added so that devices of all these kinds find a slot, in this order; by number.

    :param space: it is used up; pass a copy.
    :param grow: adds what brings a slot for a kind to the space and says what: number and model of each new bus.
    :param pack: kinds that share slots.
    """
    added: dict[int, str] = {}
    hopeless: set[str] = set()
    for kind in kinds:
        if kind not in hopeless and space.take(kind, None, pack=kind in pack) is None:
            new = dict(grow(space, kind))
            added |= new
            if not new:
                hopeless.add(kind)
            space.take(kind, None, pack=kind in pack)
    return added
