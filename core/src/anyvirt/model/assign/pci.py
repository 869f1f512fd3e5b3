"""Slots and functions of PCI buses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

FUNCTIONS = 8


class Slot(NamedTuple):
    """A place on a PCI bus; ``bus`` is the index of the bus's controller."""

    bus: int
    slot: int
    function: int = 0
    domain: int = 0

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function}"


@dataclass(frozen=True, slots=True)
class PciBus:
    """A bus: its number, what may sit on it, and its slots.

    :param takes: kinds of devices that fit; the words are the driver's.
    :param first: lowest slot that is given out; lower ones can be claimed down to ``lowest``.
    """

    number: int
    takes: frozenset[str]
    first: int = 1
    last: int = 31
    lowest: int = 0


class Clash(Exception):
    """A place is taken or does not exist; the text says by whom, or why."""


class PciSpace:
    """All buses of a guest and who sits where.

    What has a place claims it first, in any order; then the rest takes places in a fixed order: the same
    devices get the same places, and a device that is added later moves none.
    """

    def __init__(self, buses: Iterable[PciBus] = ()) -> None:
        self._buses: dict[int, PciBus] = {}
        self._held: dict[Slot, str] = {}
        self._shared: set[tuple[int, int]] = set()
        for bus in buses:
            self.add(bus)

    def add(self, bus: PciBus) -> None:
        """Add a bus, which a controller has just brought."""
        self._buses[bus.number] = bus

    def holder(self, slot: Slot) -> str | None:
        """Who sits there."""
        return self._held.get(slot)

    def claim(self, slot: Slot, who: str, kind: str = "", *, multifunction: bool = False) -> None:
        """Take this very place.

        :param kind: what the device is, to be checked against the bus; ``""`` fits everywhere.
        :param multifunction: the device says that its slot has further functions.
        :raises Clash: no such bus or slot, the wrong kind of bus, or somebody else sits there.
        """
        bus = self._buses.get(slot.bus)
        if bus is None or slot.domain:
            raise Clash(f"{slot} is on bus {slot.bus} of domain {slot.domain}, which no controller provides")
        if kind and kind not in bus.takes:
            raise Clash(f"{slot} is on bus {slot.bus}, which takes {' or '.join(sorted(bus.takes)) or 'nothing'}")
        if not bus.lowest <= slot.slot <= bus.last or not 0 <= slot.function < FUNCTIONS:
            raise Clash(f"{slot} is outside slots {bus.lowest}..{bus.last} of bus {slot.bus}")
        if slot in self._held:
            raise Clash(f"{slot} is taken by {self._held[slot]}")
        self._held[slot] = who
        if multifunction or slot.function:
            self._shared.add((slot.bus, slot.slot))

    def take(self, kind: str, who: str) -> Slot | None:
        """The first slot with no function in use, on the lowest bus that takes this kind; None where all are full."""
        for number in sorted(self._buses):
            bus = self._buses[number]
            if kind in bus.takes:
                for place in range(bus.first, bus.last + 1):
                    if self._empty(number, place):
                        slot = Slot(number, place)
                        self._held[slot] = who
                        return slot
        return None

    def take_function(self, kind: str, who: str, pack: str, start: int = 1) -> Slot | None:
        """The next function of a slot that ``pack`` fills already, or function 0 of a new slot from ``start`` on.

        :param pack: name of the group; only its own slots are shared.
        """
        for number in sorted(self._buses):
            bus = self._buses[number]
            if kind not in bus.takes:
                continue
            for place in range(max(bus.first, start), bus.last + 1):
                first = self._held.get(Slot(number, place))
                if first is not None and not first.startswith(pack):
                    continue
                if first is None and not self._empty(number, place):
                    continue
                for function in range(FUNCTIONS):
                    slot = Slot(number, place, function)
                    if slot not in self._held:
                        self._held[slot] = who
                        if function:
                            self._shared.add((number, place))
                        return slot
        return None

    def shared(self, slot: Slot) -> bool:
        """Whether a slot has more than function 0 in use, or is said to."""
        return (slot.bus, slot.slot) in self._shared

    def _empty(self, bus: int, place: int) -> bool:
        return not any(Slot(bus, place, function) in self._held for function in range(FUNCTIONS))
