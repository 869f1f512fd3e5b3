"""Devices get their places on q35 and pc: where firmware and guests expect them, and the same ones each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anyvirt.api import Domain, DriveAddress, Invalid, PciAddress, UsbAddress
from anyvirt_qemu.planning.naming import named
from hypothesis import given, settings
from hypothesis import strategies as st

Guest = Callable[..., str]
Complete = Callable[..., Domain]
NIC = "<interface type='user'><model type='virtio'/></interface>"


def place(x: Any) -> tuple[int, int, int]:
    assert isinstance(x.address, PciAddress)
    return x.address.bus or 0, x.address.slot or 0, x.address.function or 0


def unit(x: Any) -> tuple[int, int, int, int]:
    assert isinstance(x.address, DriveAddress)
    return x.address.controller or 0, x.address.bus or 0, x.address.target or 0, x.address.unit or 0


def ports(domain: Domain) -> list[Any]:
    return [x for x in domain.controllers if x.model == "pcie-root-port"]


def test_on_q35_each_device_sits_behind_a_port_of_its_own_and_four_are_spare(complete: Complete, guest: Guest) -> None:
    domain = complete(guest(NIC * 2))
    used = [place(x) for x in domain.interfaces]
    assert used == [(1, 0, 0), (2, 0, 0)]
    assert domain.memballoon is not None
    assert place(domain.memballoon) == (4, 0, 0)
    assert len(ports(domain)) == 4 + 4  # USB, two cards, balloon
    assert [place(x) for x in ports(domain)] == [(0, 1, function) for function in range(8)]
    assert [x.address.multifunction for x in ports(domain)] == [True, *[None] * 7]
    assert [(x.target.chassis, x.target.port) for x in ports(domain)][:2] == [(1, 0x8), (2, 0x9)]


def test_ports_that_the_definition_brings_are_used_and_none_are_added_to_them(complete: Complete, guest: Guest) -> None:
    port = "<controller type='pci' index='{}' model='pcie-root-port'/>"
    domain = complete(guest(NIC + "".join(port.format(index) for index in range(1, 6))))
    assert len(ports(domain)) == 5


def test_video_sound_and_disks_of_the_chipset_have_their_fixed_places(complete: Complete, guest: Guest) -> None:
    domain = complete(guest("<graphics type='vnc'/><sound model='ich9'/>"))
    assert place(domain.videos[0]) == (0, 1, 0)
    assert place(domain.sounds[0]) == (0, 0x1B, 0)
    assert {place(x) for x in domain.controllers if x.type == "sata"} == {(0, 0x1F, 2)}
    pc = complete(guest("<graphics type='vnc'/><disk><source file='/a'/><target dev='hda'/></disk>", machine="pc"))
    assert place(pc.videos[0]) == (0, 2, 0)
    assert {(x.type, place(x)) for x in pc.controllers if x.index == 0 and x.type != "pci"} == {
        ("ide", (0, 1, 1)),
        ("usb", (0, 1, 2)),
    }


def test_on_pc_devices_follow_one_another_on_the_root_bus(complete: Complete, guest: Guest) -> None:
    domain = complete(guest(NIC * 3, machine="pc"))
    assert [place(x) for x in domain.interfaces] == [(0, 2, 0), (0, 3, 0), (0, 4, 0)]


def test_conventional_cards_share_a_bridge_on_q35(complete: Complete, guest: Guest) -> None:
    domain = complete(guest("<interface type='user'><model type='e1000'/></interface>" * 2))
    (bridge,) = [x for x in domain.controllers if x.model == "pcie-to-pci-bridge"]
    assert [place(x) for x in domain.interfaces] == [(bridge.index, 1, 0), (bridge.index, 2, 0)]


def test_a_switch_sits_behind_a_port_and_its_ports_behind_it(complete: Complete, guest: Guest) -> None:
    models = ("pcie-root-port", "pcie-switch-upstream-port", "pcie-switch-downstream-port")
    domain = complete(guest("".join(f"<controller type='pci' model='{model}'/>" for model in models)))
    port, switch, out = (next(x for x in domain.controllers if x.model == model) for model in models)
    assert (port.index, switch.index, out.index) == (1, 2, 3)
    assert place(switch)[0] == port.index
    assert place(out) == (switch.index, 0, 0)


def test_many_devices_find_room(complete: Complete, guest: Guest) -> None:
    domain = complete(guest(NIC * 60))
    taken = [place(x) for x in domain.interfaces]
    assert len(set(taken)) == 60
    assert place(ports(domain)[8]) == (0, 2, 0)


def test_a_full_root_bus_gets_a_bridge_while_there_is_room_for_one(complete: Complete, guest: Guest) -> None:
    domain = complete(guest(NIC * 40, machine="pc"))
    (bridge,) = [x for x in domain.controllers if x.model == "pci-bridge"]
    assert bridge.target is not None
    assert (place(bridge), bridge.target.chassis_nr) == ((0, 2, 0), 1)
    assert len({place(x) for x in domain.interfaces}) == 40
    assert {place(x)[0] for x in domain.interfaces} == {0, 1}


def test_what_does_not_fit_is_refused(complete: Complete, guest: Guest) -> None:
    too_many = "".join(f"<disk><source file='/a'/><target dev='hd{letter}'/></disk>" for letter in "abcde")
    with pytest.raises(Invalid, match="no free unit"):
        complete(guest(too_many, machine="pc"))


def test_more_devices_than_any_guest_can_have_are_refused_one_by_one(complete: Complete, guest: Guest) -> None:
    for machine in ("pc", "q35"):
        with pytest.raises(Invalid, match="no free PCI slot") as caught:
            complete(guest(NIC * 9000, machine=machine))
        assert len(caught.value.problems) > 1000
    hubs = "<hub type='usb'/>" * 9000
    with pytest.raises(Invalid, match="no free USB port"):
        complete(guest(hubs))


def test_a_place_that_two_devices_want_is_told_with_the_holder(complete: Complete, guest: Guest) -> None:
    at = "<address type='pci' bus='0' slot='5'/>"
    card = f"<interface type='user'><mac address='{{}}'/><model type='virtio'/>{at}</interface>"
    with pytest.raises(Invalid) as caught:
        complete(guest(card.format("52:54:00:00:00:01") + card.format("52:54:00:00:00:02"), machine="pc"))
    (problem,) = caught.value.problems
    assert "taken by interface 52:54:00:00:00:01" in problem.text
    assert problem.path == "/devices/interface[1]/address"


@pytest.mark.parametrize(
    ("address", "text"),
    [("domain='1' slot='3'", "no controller provides"), ("bus='0' slot='1'", "taken by ISA bridge")],
)
def test_a_place_that_does_not_exist_or_is_the_chipsets_is_refused(
    address: str, text: str, complete: Complete, guest: Guest
) -> None:
    card = f"<interface type='user'><model type='virtio'/><address type='pci' {address}/></interface>"
    with pytest.raises(Invalid, match=text):
        complete(guest(card, machine="pc"))


def test_a_bus_that_is_spoken_of_gets_its_controller(complete: Complete, guest: Guest) -> None:
    card = "<interface type='user'><model type='{}'/><address type='pci' bus='{}' slot='{}'/></interface>"
    pc = complete(guest(card.format("virtio", 2, 5), machine="pc"))
    assert [(x.index, x.model, place(x)) for x in pc.controllers if x.type == "pci" and x.index] == [
        (1, "pci-bridge", (0, 2, 0)),
        (2, "pci-bridge", (0, 3, 0)),
    ]
    assert place(pc.interfaces[0]) == (2, 5, 0)
    q35 = complete(guest(card.format("virtio", 2, 0) + card.format("e1000", 3, 1)))
    models = {x.index: x.model for x in q35.controllers if x.type == "pci"}
    assert (models[1], models[2], models[3]) == ("pcie-root-port", "pcie-root-port", "pcie-to-pci-bridge")
    (bridge,) = [x for x in q35.controllers if x.index == 3 and x.type == "pci"]
    assert models[place(bridge)[0]] == "pcie-root-port"
    gap = complete(guest("<controller type='pci' index='2' model='pci-bridge'/>", machine="pc"))
    assert [x.index for x in gap.controllers if x.model == "pci-bridge"] == [1, 2]
    for made in (pc, q35, gap):
        assert complete(made) == made


def test_expanders_get_numbers_from_the_top_down(complete: Complete, guest: Guest) -> None:
    expander = "<controller type='pci' model='pcie-expander-bus'{}"
    made = complete(guest(expander.format("/>") + expander.format("><target busNr='200'/></controller>")))
    targets = [x.target for x in made.controllers if x.model == "pcie-expander-bus"]
    assert [target and target.bus_nr for target in targets] == [198, 200]


def test_disks_sit_where_their_names_say(complete: Complete, guest: Guest) -> None:
    disk = "<disk><source file='/a'/><target dev='{}' bus='{}'/></disk>"
    text = guest("".join(disk.format(*pair) for pair in (("sda", "sata"), ("sdc", "sata"), ("sdg", "sata"))))
    domain = complete(text)
    assert [unit(x) for x in domain.disks] == [(0, 0, 0, 0), (0, 0, 0, 2), (1, 0, 0, 0)]
    assert {x.index for x in domain.controllers if x.type == "sata"} == {0, 1}
    ide = complete(guest(disk.format("hdd", "ide"), machine="pc"))
    assert unit(ide.disks[0]) == (0, 1, 0, 1)
    scsi = complete(guest("<controller type='scsi' model='virtio-scsi'/>" + disk.format("sdj", "scsi")))
    assert unit(scsi.disks[0]) == (0, 0, 0, 10)  # unit 7 is the controller itself
    nvme = complete(guest(disk.format("nvme1n3", "nvme") + disk.format("other", "nvme")))
    assert [unit(x) for x in nvme.disks] == [(1, 2, 0, 0), (0, 0, 0, 0)]
    assert {x.index for x in nvme.controllers if x.type == "nvme"} == {0, 1}


def test_usb_devices_take_ports_in_turn_and_hubs_come_when_these_are_used_up(complete: Complete, guest: Guest) -> None:
    domain = complete(guest("<input type='tablet' bus='usb'/><input type='mouse' bus='usb'/>"))
    on_usb = [x.address for x in domain.inputs if x.bus == "usb"]
    assert on_usb == [UsbAddress(bus=0, port="1"), UsbAddress(bus=0, port="2")]
    many = complete(guest("<input type='tablet' bus='usb'/>" * 3, machine="pc"))
    assert [x.address for x in many.hubs] == [UsbAddress(bus=0, port="1")]
    assert [x.address.port for x in many.inputs if isinstance(x.address, UsbAddress)] == ["2", "1.1", "1.2"]
    with pytest.raises(Invalid, match="this guest has no USB"):
        complete(guest("<controller type='usb' model='none'/><input type='tablet' bus='usb'/>"))


ADDABLE = {
    "nic": NIC,
    "e1000": "<interface type='user'><model type='e1000'/></interface>",
    "rng": "<rng model='virtio'><backend model='builtin'/></rng>",
    "input": "<input type='tablet' bus='virtio'/>",
    "disk": "<disk><source file='/a'/><target dev='vd{}'/></disk>",
}


@settings(max_examples=40, deadline=None)
@given(kinds=st.lists(st.sampled_from(sorted(ADDABLE)), max_size=8), machine=st.sampled_from(["pc", "q35"]))
def test_a_device_that_is_added_moves_none(kinds: list[str], machine: str, complete: Complete, guest: Guest) -> None:
    devices = [ADDABLE[kind].format(chr(number)) for number, kind in enumerate(kinds, ord("a"))]
    old: Domain | None = None
    for count in range(len(devices) + 1):
        new = complete(guest("".join(devices[:count]), machine=machine), old=old)
        if old is not None:
            for field in ("disks", "interfaces", "rngs", "inputs"):
                before = [x.address for x in getattr(old, field)]
                after = [x.address for x in getattr(new, field)]
                assert after[: len(before)] == before or field == "inputs"
                assert {a for a in before if a} <= set(after)
            assert new.memballoon == old.memballoon
        old = new


def test_names_are_libvirts_and_a_users_own_is_kept(complete: Complete, guest: Guest) -> None:
    text = guest(
        "<disk><source file='/a'/><target dev='sda' bus='sata'/></disk>"
        "<disk><source file='/b'/><target dev='vdb'/></disk>"
        "<controller type='scsi' model='virtio-scsi'/><rng><backend model='builtin'/><alias name='ua-dice'/></rng>"
    )
    domain = named(complete(text))
    assert [x.alias for x in domain.disks] == ["sata0-0-0", "virtio-disk1"]
    assert domain.rngs[0].alias == "ua-dice"
    assert {x.alias for x in domain.controllers} >= {"pcie.0", "pci.1", "usb", "scsi0", "sata0"}
    assert named(domain) == domain


def test_a_name_given_twice_or_not_possible_is_refused(complete: Complete, guest: Guest) -> None:
    with pytest.raises(Invalid, match="no name for a device"):
        named(complete(guest("<rng><backend model='builtin'/><alias name='ua-a,b'/></rng>")))
    twice = "<rng><backend model='builtin'/><alias name='ua-x'/></rng>" * 2
    with pytest.raises(Invalid, match="two devices are named"):
        named(complete(guest(twice)))
