"""What is changed in drafts is seen at once; controllers, consoles and what is made at random follow their rules."""

from __future__ import annotations

import random
from typing import Literal

from anyvirt.model.assign import Draft, Drafts, controllers, fresh, pairing
from anyvirt.model.devices.char import CharType, Console, ConsoleTarget, Serial, SerialTarget
from anyvirt.model.devices.controller import Controller, ControllerType
from anyvirt.model.devices.disk import Disk, DiskBus
from anyvirt.model.devices.memballoon import Memballoon
from anyvirt.model.domain import Domain
from hypothesis import given
from hypothesis import strategies as st


def test_nothing_set_leaves_the_very_same_document() -> None:
    domain = Domain(name="a", disks=(Disk(target="vda"),), memballoon=Memballoon(model="none"))
    drafts = Drafts(domain)
    drafts.name = "a"
    assert drafts.disks[0].target == "vda"
    assert drafts.many("memballoon")[0].model == "none"
    assert drafts.done() is domain


def test_what_was_set_and_added_is_in_the_new_document() -> None:
    drafts = Drafts(Domain(name="a", disks=(Disk(target="vda"), Disk(target="vdb"))))
    drafts.vcpu = 2
    drafts.disks[1].bus = "virtio"
    drafts.add("disks", Disk(target="vdc")).serial = "x"
    drafts.add("disks", Disk(target="first"), 0)
    drafts.memballoon = Memballoon(model="virtio")
    drafts.many("memballoon")[0].model = "none"
    made = drafts.done()
    assert made == Domain(
        name="a",
        vcpu=2,
        disks=(
            Disk(target="first"),
            Disk(target="vda"),
            Disk(target="vdb", bus=DiskBus.VIRTIO),
            Disk(target="vdc", serial="x"),
        ),
        memballoon=Memballoon(model="none"),
    )


def usb(model: str, index: int | None = None) -> Draft:
    return Draft(Controller(type=ControllerType.USB, model=model, index=index))


def test_controllers_get_the_first_free_number_of_their_kind() -> None:
    found = [Draft(Controller(type=ControllerType.SCSI, index=n)) for n in (None, 0, None)]
    controllers.number(found)
    assert [x.index for x in found] == [1, 0, 2]
    bridges = [Draft(Controller(type=ControllerType.PCI, model=model)) for model in ("pci-root", "pci-bridge")]
    controllers.number(bridges, lambda x: 0 if x.model == "pci-root" else 1)
    assert [x.index for x in bridges] == [0, 1]


def test_parts_of_a_usb2_controller_have_one_number_until_one_comes_again() -> None:
    models = ["ich9-ehci1", "ich9-uhci1", "ich9-uhci1", "ich9-ehci1", "nec-xhci", "ich9-uhci1"]
    found = [usb(model) for model in models]
    controllers.number(found)
    assert [x.index for x in found] == [0, 0, 1, 1, 2, 3]


def test_a_master_stands_before_its_companions_and_low_numbers_before_high_ones() -> None:
    found = [usb("ich9-uhci1", 0), usb("nec-xhci", 1), usb("ich9-ehci1", 0)]
    pci = Draft(Controller(type=ControllerType.PCI, index=0))
    found.insert(1, pci)
    controllers.companions(found)
    controllers.ordered(found)
    assert [x.model for x in found] == ["ich9-ehci1", "ich9-uhci1", None, "nec-xhci"]
    assert found[1].master == 0
    before = list(found)
    controllers.ordered(found)
    assert found == before


def test_controllers_that_devices_need_come_behind_those_there_are() -> None:
    drafts = Drafts(Domain(name="a", controllers=(Controller(type=ControllerType.SCSI, index=1),)))
    controllers.imply(drafts, {ControllerType.SCSI: range(3), ControllerType.FDC: [0]})
    assert [(x.type, x.index) for x in drafts.controllers] == [("scsi", 1), ("scsi", 0), ("scsi", 2), ("fdc", 0)]
    assert controllers.ensure(drafts, ControllerType.FDC, 0) is drafts.controllers[3]


def consoles(*kinds: Literal["serial", "virtio"]) -> tuple[Console, ...]:
    return tuple(Console(type=CharType.PTY, target=ConsoleTarget(type=kind)) for kind in kinds)


def test_a_serial_port_and_the_first_console_imply_each_other() -> None:
    port = Serial(type=CharType.FILE, target=SerialTarget(port=0))
    for given_serials, given_consoles, kinds in (
        ((port,), (), ["serial"]),
        ((), consoles("serial"), ["serial"]),
        ((port,), consoles("serial", "virtio"), ["serial", "virtio"]),
        ((port,), consoles("virtio"), ["serial", "virtio"]),
        ((), consoles("virtio"), ["virtio"]),
        ((Serial(target=SerialTarget(type="isa-debug")),), (), []),
    ):
        drafts = Drafts(Domain(name="a", serials=given_serials, consoles=given_consoles))
        pairing.pair(drafts)
        pairing.same_place(drafts)
        made = drafts.done()
        assert [x.target.type for x in made.consoles] == kinds
        assert bool(made.serials) == (kinds != ["virtio"])
        if given_serials and kinds:
            assert made.consoles[0].type == "file"


@given(st.sets(st.integers(0, 255), max_size=200), st.integers(0, 2**32))
def test_a_mac_that_is_made_is_nobodys_and_has_the_prefix(used: set[int], seed: int) -> None:
    taken = {f"52:54:00:00:00:{number:02x}" for number in used}
    source = random.Random(seed)

    def last_octet(count: int) -> bytes:
        return bytes(count - 1) + bytes([source.randrange(256)])

    made = fresh.mac(last_octet, bytes((0x52, 0x54, 0)), taken)
    assert made not in taken
    assert made.startswith("52:54:00:")


def test_a_uuid_and_a_name_that_are_made_are_nobodys() -> None:
    source = random.Random(1).randbytes
    first = fresh.uuid(random.Random(1).randbytes)
    assert first[14] == "4"
    assert fresh.uuid(source, {first}) != first
    assert fresh.name("a", set()) == "a"
    assert fresh.name("a", {"a", "a-2"}) == "a-3"
