"""What a definition leaves open is filled in, visibly, and a second time changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anyvirt.api import Domain, Invalid, dump, parse
from anyvirt_qemu.inactive import inactive

Guest = Callable[..., str]
Complete = Callable[..., Domain]
NIC = "<interface type='user'><model type='virtio'/></interface>"


def test_the_least_definition_becomes_a_whole_one(complete: Complete, guest: Guest) -> None:
    domain = complete(guest())
    assert domain.uuid == "f5b16522-4a58-4791-9f6a-f1d8303e61cd"
    assert domain.os is not None
    assert (domain.os.machine, domain.os.arch, domain.os.type) == ("pc-q35-7.2", "x86_64", "hvm")
    assert domain.emulator == "/usr/bin/qemu-system-x86_64"
    assert (domain.vcpu, domain.current_memory) == (1, 64 << 20)
    assert (domain.on_poweroff, domain.on_reboot, domain.on_crash) == ("destroy", "restart", "destroy")
    assert domain.memballoon is not None
    assert domain.memballoon.model == "virtio"
    assert [(x.type, x.bus) for x in domain.inputs] == [("mouse", "ps2"), ("keyboard", "ps2")]
    kinds = [(x.type, x.model) for x in domain.controllers]
    assert kinds[:3] == [("usb", "qemu-xhci"), ("sata", None), ("pci", "pcie-root")]


def test_controllers_without_a_number_get_the_first_free_one(complete: Complete, guest: Guest) -> None:
    scsi = "<controller type='scsi' model='virtio-scsi'{}/>"
    domain = complete(
        guest(scsi.format("") + scsi.format(" index='0'") + "<controller type='pci' model='pci-bridge'/>")
    )
    assert [x.index for x in domain.controllers if x.type == "scsi"] == [0, 1]
    assert [x.index for x in domain.controllers if x.model == "pci-bridge"] == [1]


def test_machine_pc_gets_what_its_chipset_has(complete: Complete, guest: Guest) -> None:
    domain = complete(guest(machine="pc"))
    assert [(x.type, x.model) for x in domain.controllers] == [("usb", "piix3-uhci"), ("pci", "pci-root")]


def test_completing_twice_changes_nothing(document: Any, complete: Complete) -> None:
    once = complete(document.read_text())
    assert dump(complete(once)) == dump(once)
    assert dump(complete(dump(once))) == dump(once)


def test_a_mac_address_is_made_that_no_other_guest_has(complete: Complete, guest: Guest) -> None:
    class Sequence:
        """Random bytes that say the same address first."""

        def __init__(self) -> None:
            self._numbers: Iterator[int] = iter([0, 0, 1, 1, 2])

        def __call__(self, count: int) -> bytes:
            return bytes([0, 0, next(self._numbers)]) if count == 3 else bytes(count)

    domain = complete(guest(NIC * 2), random=Sequence(), taken={"52:54:00:00:00:00"})
    assert [x.mac for x in domain.interfaces] == ["52:54:00:00:00:01", "52:54:00:00:00:02"]


def test_a_disk_gets_bus_format_and_kind_from_what_is_said(complete: Complete, guest: Guest) -> None:
    text = guest(
        "<disk><source file='/a'/><target dev='vda'/></disk>"
        "<disk><source file='/b'/><target dev='sda'/></disk>"
        "<disk device='cdrom'><target dev='sdb' bus='sata'/></disk>"
    )
    first, second, third = complete(text).disks
    assert first.driver is not None
    assert (first.type, first.device, first.bus, first.driver.name, first.driver.type) == (
        "file", "disk", "virtio", "qemu", "raw",
    )  # fmt: skip
    assert second.bus == "scsi"
    assert third.readonly
    assert third.driver is not None
    assert third.driver.type == "raw"


def test_a_serial_port_and_the_first_console_imply_each_other(complete: Complete, guest: Guest) -> None:
    for devices in ("<serial type='pty'/>", "<console type='pty'/>", "<serial type='pty'/><console type='pty'/>"):
        domain = complete(guest(devices))
        assert [x.type for x in domain.serials] == ["pty"]
        assert [(x.type, x.target.type, x.target.port) for x in domain.consoles if x.target] == [("pty", "serial", 0)]
    virtio = complete(guest("<console type='pty'><target type='virtio'/></console>"))
    assert virtio.serials == ()
    assert [x.target.type for x in virtio.consoles if x.target] == ["virtio"]


def test_graphics_bring_a_video_card(complete: Complete, guest: Guest) -> None:
    assert complete(guest()).videos == ()
    (card,) = complete(guest("<graphics type='vnc'/>")).videos
    assert (card.model, card.vram, card.heads, card.primary) == ("cirrus", 16 << 20, 1, True)


def test_a_card_without_a_model_gets_the_best_that_this_qemu_has(
    complete: Complete, guest: Guest, caps: Callable[..., Any]
) -> None:
    text = guest("<interface type='user'/>")
    for lacking, model in (((), "rtl8139"), (("rtl8139",), "e1000"), (("rtl8139", "e1000"), "virtio")):
        domain = complete(text, caps=caps(lacking=frozenset(lacking)))
        assert domain.interfaces[0].model == model


def test_a_vsock_gets_the_first_free_address(complete: Complete, guest: Guest) -> None:
    domain = complete(guest("<vsock><cid auto='yes'/></vsock>"), cids={3, 4})
    assert domain.vsock is not None
    assert domain.vsock.cid == 5


def test_a_redefined_guest_keeps_its_addresses_and_macs(complete: Complete, guest: Guest) -> None:
    disk = "<disk><source file='/a'/><target dev='{}'/></disk>"
    old = complete(guest(disk.format("vdb") + NIC))
    new = complete(guest(disk.format("vda") + disk.format("vdb") + NIC), old=old, random=random.Random(2).randbytes)
    before = {x.target: x.address for x in old.disks}
    after = {x.target: x.address for x in new.disks}
    assert after["vdb"] == before["vdb"]
    assert after["vda"] not in before.values()
    assert new.interfaces == old.interfaces
    assert new.uuid == old.uuid
    assert new.memballoon == old.memballoon


def test_a_guest_on_another_machine_gets_new_addresses(complete: Complete, guest: Guest) -> None:
    old = complete(guest(NIC))
    new = complete(guest(NIC, machine="pc"), old=old)
    assert new.interfaces[0].address != old.interfaces[0].address


LIVE = """
<disk type='file'><source file='/a' index='2'/><backingStore type='file' index='3'><format type='raw'/>
<source file='/b'/></backingStore><target dev='vda'/><alias name='virtio-disk0'/></disk>
<interface type='user'><target dev='vnet3'/><model type='virtio'/><alias name='ua-mine'/></interface>
<serial type='pty' tty='/dev/pts/3'><source path='/dev/pts/3'/><alias name='serial0'/></serial>
<channel type='unix'><target type='virtio' name='x' state='connected'/></channel>
<graphics type='vnc' port='5901' autoport='yes'/>
"""


def test_what_is_so_only_at_run_time_is_not_defined(guest: Guest) -> None:
    domain = inactive(parse(guest(LIVE).replace("<domain", "<domain id='7'"), Domain))
    text = dump(domain)
    for word in ("id='7'", "index=", "vnet3", "/dev/pts", "connected", "5901", "virtio-disk0", "serial0"):
        assert word not in text, word
    assert "ua-mine" in text
    assert "/b" in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("machine='q35'", "machine='nonesuch'"), "no machine type nonesuch"),
        (("machine='q35'", "machine='microvm'"), "has no PCI"),
        (("arch='x86_64'", "arch='aarch64'"), "not aarch64"),
    ],
)
def test_what_this_qemu_does_not_run_is_refused(
    change: tuple[str, str], text: str, complete: Complete, guest: Guest
) -> None:
    with pytest.raises(Invalid, match=text):
        complete(guest().replace(*change))
