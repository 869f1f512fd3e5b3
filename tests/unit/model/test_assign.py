"""Devices get names and places: the lowest that is free, and never one that somebody has."""

from __future__ import annotations

import pytest
from anyvirt.model.assign import Clash, Names, Numbers, PciBus, PciSpace, Slot, UsbPorts
from hypothesis import given
from hypothesis import strategies as st


def test_a_name_is_the_prefix_with_the_lowest_free_number() -> None:
    names = Names(["net1", "other"])
    assert [names.take("net") for _ in range(3)] == ["net0", "net2", "net3"]
    assert names.take("disk") == "disk0"


def test_a_claimed_name_is_not_given_again() -> None:
    names = Names()
    assert names.claim("net0")
    assert not names.claim("net0")
    assert names.take("net") == "net1"


def test_places_are_given_controller_by_controller() -> None:
    units = Numbers([(0, 0), (0, 1)], taken=[(0, 0, 1)])
    assert [units.take(range(2)) for _ in range(4)] == [(0, 0, 0), (1, 0, 0), (1, 0, 1), None]
    assert not units.claim((1, 0, 0))
    assert units.fits((7, 0, 1))
    assert not units.fits((7, 0, 2))
    assert (0, 0, 1) in units.taken


def test_a_slot_is_given_only_when_all_its_functions_are_free() -> None:
    space = PciSpace([PciBus(0, frozenset({"pci"}), first=1, last=3)])
    space.claim(Slot(0, 1, 3), "somebody")
    assert space.take("pci", "a") == Slot(0, 2)
    assert space.take("pci", "b") == Slot(0, 3)
    assert space.take("pci", "c") is None


def test_a_device_goes_only_where_its_kind_fits() -> None:
    space = PciSpace([PciBus(0, frozenset({"root"})), PciBus(1, frozenset({"pcie"}), first=0, last=0)])
    assert space.take("pcie", "a") == Slot(1, 0)
    assert space.take("pcie", "b") is None
    space.add(PciBus(2, frozenset({"pcie"}), first=0, last=0))
    assert space.take("pcie", "b") == Slot(2, 0)


def test_ports_share_slots_with_their_own_kind_only() -> None:
    space = PciSpace([PciBus(0, frozenset({"root"}))])
    space.claim(Slot(0, 2), "video")
    given = [space.take_function("root", f"port {number}", "port", start=2) for number in range(9)]
    assert given == [*(Slot(0, 3, function) for function in range(8)), Slot(0, 4)]
    assert space.shared(Slot(0, 3))
    assert not space.shared(Slot(0, 4))


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (Slot(0, 1), "taken by first"),
        (Slot(5, 1), "no controller provides"),
        (Slot(0, 1, domain=1), "no controller provides"),
        (Slot(0, 31), "outside slots"),
        (Slot(0, 2, 8), "outside slots"),
    ],
)
def test_a_place_that_cannot_be_had_is_refused_with_the_reason(slot: Slot, text: str) -> None:
    space = PciSpace([PciBus(0, frozenset({"pci"}), last=30)])
    space.claim(Slot(0, 1), "first")
    with pytest.raises(Clash, match=text):
        space.claim(slot, "second")
    assert space.holder(Slot(0, 1)) == "first"


def test_a_kind_that_does_not_fit_a_bus_is_refused() -> None:
    space = PciSpace([PciBus(0, frozenset({"pci"}))])
    with pytest.raises(Clash, match="takes pci"):
        space.claim(Slot(0, 1), "a", "pcie")


@given(st.lists(st.tuples(st.integers(0, 31), st.integers(0, 7)), unique=True), st.integers(0, 40))
def test_what_is_taken_was_free_and_the_same_each_time(claims: list[tuple[int, int]], wanted: int) -> None:
    def run() -> list[Slot | None]:
        space = PciSpace([PciBus(0, frozenset({"pci"}))])
        for place, function in claims:
            space.claim(Slot(0, place, function), "first")
        return [space.take("pci", "second") for _ in range(wanted)]

    slots = [slot for slot in run() if slot is not None]
    assert len(set(slots)) == len(slots)
    assert not {slot.slot for slot in slots} & {place for place, _ in claims}
    assert run() == run()


def test_usb_ports_are_those_of_controllers_and_then_of_hubs() -> None:
    ports = UsbPorts()
    ports.controller(0, 2)
    assert ports.claim(0, "1")
    ports.hub(0, "1", ports=2)
    assert [ports.take() for _ in range(4)] == [(0, "2"), (0, "1.1"), (0, "1.2"), None]
    assert ports.exists(0, "1.2")
    assert not ports.exists(0, "9")
    assert not ports.claim(0, "2")
