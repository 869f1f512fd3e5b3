"""Devices get names and places: the lowest that is free, and never one that somebody has."""

from __future__ import annotations

import pytest
from anyvirt.model.assign import (
    Clash,
    Names,
    Numbers,
    PciKind,
    PciSpace,
    Registers,
    Slot,
    Units,
    UsbPorts,
    bus_of,
    free_target,
    growth,
    put_forward,
    target_index,
    target_name,
)
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


def spaced(*buses: PciKind) -> PciSpace:
    space = PciSpace()
    for number, kind in enumerate(buses):
        space.add(number, kind)
    return space


CONVENTIONAL = PciKind(frozenset({"pci"}))
ROOT = PciKind(frozenset({"port"}), frozenset({"pcie"}))
PORT = PciKind(frozenset({"pcie"}), first=0, last=0)


def test_a_slot_is_given_only_when_all_its_functions_are_free() -> None:
    space = spaced(PciKind(frozenset({"pci"}), last=3))
    space.claim(Slot(0, 1, 3), "somebody")
    assert space.take("pci", "a") == Slot(0, 2)
    assert not space.full()
    assert space.take("pci", "b", function=7) == Slot(0, 3, 7)
    assert space.take("pci", "c") is None
    assert space.full()


def test_a_device_goes_only_where_its_kind_fits() -> None:
    space = spaced(ROOT, PORT)
    assert space.take("pcie", "a") == Slot(1, 0)
    assert space.take("pcie", "b") is None
    space.add(2, PORT)
    assert space.take("pcie", "b") == Slot(2, 0)
    assert space.takes("pcie")
    assert not space.takes("pci")


def test_buses_are_filled_from_the_lowest_whenever_they_came() -> None:
    space = PciSpace()
    space.add(3, PORT)
    space.add(1, PORT)
    assert space.buses == (1, 3)
    assert [space.take("pcie", "x") for _ in range(3)] == [Slot(1, 0), Slot(3, 0), None]


def test_ports_share_slots_with_their_own_kind_only() -> None:
    space = spaced(ROOT)
    space.claim(Slot(0, 1), "video", "pcie")
    space.claim(Slot(0, 2, 1), "port 0", "port", pack=True)
    given = [space.take("port", f"port {number}", pack=True) for number in range(8)]
    assert given == [*(Slot(0, 2, function) for function in range(8) if function != 1), Slot(0, 3)]
    assert space.shared(0, 2)
    assert not space.shared(0, 3)
    assert not space.shared(0, 1)


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
    space = spaced(PciKind(frozenset({"pci"}), last=30))
    space.claim(Slot(0, 1), "first")
    with pytest.raises(Clash, match=text):
        space.claim(slot, "second")
    assert not space.free(0, 1)


def test_a_kind_that_does_not_fit_a_bus_is_refused_and_one_that_is_only_allowed_is_not_given_a_place() -> None:
    space = spaced(ROOT)
    with pytest.raises(Clash, match="takes port, and this is pci"):
        space.claim(Slot(0, 1), "a", "pci")
    space.claim(Slot(0, 1), "a", "pcie")
    assert space.take("pcie", "b") is None


def test_what_is_tried_on_a_copy_changes_nothing() -> None:
    space = spaced(CONVENTIONAL)
    trial = space.copy()
    assert trial.take("pci", "a") == Slot(0, 1)
    assert space.take("pci", "b") == Slot(0, 1)


def test_a_topology_grows_by_what_devices_need() -> None:
    def grow(space: PciSpace, kind: str) -> list[tuple[int, str]]:
        number = max(space.buses) + 1
        if kind == "pcie":
            space.add(number, PORT)
            return [(number, "port")]
        space.add(number, PORT, takes=frozenset())
        space.add(number + 1, CONVENTIONAL)
        return [(number, "port"), (number + 1, "bridge")]

    added = growth(spaced(ROOT, PORT), ["pcie", "pci", "pci", "pcie"], grow)
    assert added == {2: "port", 3: "bridge", 4: "port"}


@given(st.lists(st.tuples(st.integers(1, 31), st.integers(0, 7)), unique=True), st.integers(0, 40))
def test_what_is_taken_was_free_and_the_same_each_time(claims: list[tuple[int, int]], wanted: int) -> None:
    def run() -> list[Slot | None]:
        space = spaced(CONVENTIONAL)
        for place, function in claims:
            space.claim(Slot(0, place, function), "first")
        return [space.take("pci", "second") for _ in range(wanted)]

    slots = [slot for slot in run() if slot is not None]
    assert len(set(slots)) == len(slots)
    assert not {slot.slot for slot in slots} & {place for place, _ in claims}
    assert run() == run()


def test_numbers_are_given_from_a_start_in_steps() -> None:
    registers = Registers([0x2000], step=0x1000)
    assert [registers.take(0x1000) for _ in range(3)] == [0x1000, 0x3000, 0x4000]
    slots = Registers([0], last=2)
    assert [slots.take() for _ in range(3)] == [1, 2, None]


@given(st.integers(0, 20000))
def test_the_number_of_a_disk_is_in_its_name(number: int) -> None:
    assert target_index(target_name("vd", number)) == number
    assert target_index(target_name("disk", number)) is None


def test_a_target_is_the_first_name_that_is_free_and_stands_for_a_bus() -> None:
    assert free_target("vd", {"vda", "vdc"}) == "vdb"
    assert target_index("sda1") == 0
    buses = {"hd": "ide", "vd": "virtio", "xvd": "xen"}
    assert [bus_of(name, buses) for name in ("vda", "xvda", "nvme0")] == ["virtio", "xen", None]


def test_units_are_given_in_the_order_of_disks() -> None:
    ide = Units([(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)])
    assert [ide.at(index) for index in (0, 3, 4)] == [(0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 0, 0)]


def test_usb_ports_are_those_of_controllers_and_then_of_hubs() -> None:
    ports = UsbPorts()
    ports.controller(0, 2)
    assert ports.claim(0, "1")
    ports.hub(0, "1", ports=2)
    assert [ports.take() for _ in range(4)] == [(0, "2"), (0, "1.1"), (0, "1.2"), None]
    assert ports.exists(0, "1.2")
    assert not ports.exists(0, "9")
    assert not ports.claim(0, "2")


def test_a_hub_at_the_end_of_the_longest_path_adds_no_ports() -> None:
    ports = UsbPorts()
    ports.controller(0, 1)
    path = "1"
    for _ in range(5):
        ports.hub(0, path, ports=1)
        path += ".1"
    assert ports.exists(0, "1.1.1.1")
    assert not ports.exists(0, "1.1.1.1.1")


@given(st.lists(st.tuples(st.sampled_from("abx"), st.integers(0, 9))))
def test_items_go_before_the_first_of_their_group_that_comes_after_them(items: list[tuple[str, int]]) -> None:
    expected: list[tuple[str, int]] = []
    for group, key in items:
        later = (n for n, (other, number) in enumerate(expected) if other == group != "x" and number > key)
        expected.insert(next(later, len(expected)), (group, key))
    assert put_forward(items, lambda item: None if item[0] == "x" else item) == expected
    assert put_forward(expected, lambda item: None if item[0] == "x" else item) == expected
