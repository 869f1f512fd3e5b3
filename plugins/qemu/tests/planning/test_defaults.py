"""What a definition leaves open is filled in, visibly, and a second time changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anyvirt.api import Domain, Invalid, dump, parse
from anyvirt_qemu.planning.inactive import inactive

Caps = Callable[..., Any]
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


def test_a_controller_of_another_model_takes_the_place_of_the_old_one(complete: Complete, guest: Guest) -> None:
    old = complete(guest())
    new = complete(guest("<controller type='usb' index='0' model='ich9-ehci1'/>"), old=old)
    assert [x.model for x in new.controllers if x.type == "usb"] == ["ich9-ehci1"]


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


# what a definition says -> what it says when it is complete
UUID = "53764d0e-85a0-42b4-af5c-2046b460b1dc"
FILLED = [
    ("<clock offset='variable'/>", "<clock offset='variable' adjustment='0' basis='utc'/>"),
    ("<clock offset='localtime' adjustment='60'/>", "<clock offset='variable' adjustment='60' basis='localtime'/>"),
    ("<clock offset='utc' adjustment='reset'/>", "<clock offset='utc' adjustment='reset'/>"),
    ("<features><hyperv><relaxed state='on'/></hyperv></features>", "<hyperv mode='custom'>"),
    (
        "<cpu><topology sockets='1' cores='1' threads='1'/></cpu>",
        "<topology sockets='1' dies='1' cores='1' threads='1'/>",
    ),
    ("<cpu mode='host-passthrough'/>", "<cpu mode='host-passthrough' check='none' migratable='on'/>"),
    ("<cpu mode='host-model'/>", "<cpu mode='host-model' check='partial'/>"),
    ("<cpu><model>Nehalem</model></cpu>", "<cpu mode='custom' match='exact' check='partial'>"),
    ("<cpu><model>Nehalem</model><feature name='vmx'/></cpu>", "<feature policy='require' name='vmx'/>"),
    ("<numatune><memory nodeset='0'/></numatune>", "<memory mode='strict' nodeset='0'/>"),
    ("<numatune><memory placement='auto'/></numatune>", "<vcpu placement='auto'>1</vcpu>"),
    ("<vcpu placement='auto'>1</vcpu>", "<memory mode='strict' placement='auto'/>"),
    ("<seclabel type='dynamic' model='dac'/>", "<seclabel type='dynamic' model='dac' relabel='yes'/>"),
    ("<seclabel type='static' model='dac'/>", "<seclabel type='static' model='dac' relabel='no'/>"),
]
FITTED = [
    ("<graphics type='vnc'/>", "<listen type='socket'/>"),
    ("<graphics type='vnc' autoport='yes'/>", "<graphics type='vnc' port='-1' autoport='yes'>"),
    ("<graphics type='vnc' port='5903'/>", "<graphics type='vnc' port='5903' autoport='no'>"),
    (
        "<graphics type='vnc' port='5903' listen='::1'/>",
        "<graphics type='vnc' port='5903' autoport='no' listen='::1'>",
    ),
    ("<graphics type='vnc' socket='/s'/>", "<listen type='socket' socket='/s'/>"),
    ("<graphics type='spice'/>", "<listen type='none'/>"),
    ("<graphics type='spice' port='5903' tlsPort='-1' autoport='yes'/>", "<graphics type='spice' autoport='yes'>"),
    ("<graphics type='spice'/>", "<audio id='1' type='spice'/>"),
    ("<graphics type='egl-headless'/>", "<model type='cirrus' vram='16384' heads='1' primary='yes'/>"),
    ("<video><model type='qxl'/></video>", "ram='65536' vram='65536' vgamem='16384' heads='1' primary='yes'"),
    ("<interface type='direct'><source dev='eth0'/></interface>", "<source dev='eth0' mode='vepa'/>"),
    ("<interface type='user'><model type='Virtio'/></interface>", "<model type='virtio'/>"),
    ("<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>", "<model type='virtio'/>"),
    ("<rng model='virtio'><backend model='random'/></rng>", "<backend model='random'>/dev/urandom</backend>"),
    ("<tpm><backend type='emulator'/></tpm>", "<backend type='emulator' version='2.0'/>"),
    ("<tpm><backend type='passthrough'/></tpm>", "<device path='/dev/tpm0'/>"),
    ("<panic/>", "<panic model='isa'/>"),
    ("<panic><address type='isa'/></panic>", "<address type='isa' iobase='0x505'/>"),
    ("<watchdog model='ib700'/>", "<watchdog model='ib700' action='reset'/>"),
    ("<shmem name='a'/>", "<model type='ivshmem-plain'/>"),
    (
        "<channel type='spicevmc'><target type='virtio'/></channel>",
        "<target type='virtio' name='com.redhat.spice.0'/>",
    ),
    ("<redirdev type='spicevmc'/>", "<redirdev bus='usb' type='spicevmc'>"),
    ("<smartcard mode='host'/>", "<address type='ccid' controller='0' slot='0'/>"),
    (
        f"<hostdev type='mdev' model='vfio-pci'><source><address uuid='{UUID}'/></source></hostdev>",
        "<hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>",
    ),
    ("<memory model='dimm'><target><size>1024</size></target></memory>", "<address type='dimm' slot='0'/>"),
    (
        (
            "<disk type='network'><source protocol='nbd'><host name='a' transport='tcp'/></source>"
            "<target dev='vda'/></disk>"
        ),
        "<host name='a' port='10809'/>",
    ),
    ("<disk device='floppy'><source file='/a'/><target dev='fda'/></disk>", "<controller type='fdc' index='0'/>"),
]


@pytest.mark.parametrize(("given", "filled"), [*FILLED, *FITTED])
def test_what_is_left_open_is_filled_in(given: str, filled: str, complete: Complete, guest: Guest) -> None:
    text = guest() if (given, filled) in FILLED else guest(given)
    if (given, filled) in FILLED:
        kept = "" if given.startswith("<features") else "<features><acpi/></features>"
        text = text.replace("<features><acpi/></features>", kept + given)
    made = complete(text)
    assert filled in dump(made)
    assert complete(made) == made


def test_a_limit_that_is_none_is_left_out(complete: Complete, guest: Guest) -> None:
    limit = "<memtune><hard_limit>9007199254740991</hard_limit>{}</memtune>"
    assert complete(guest(extra=limit.format(""))).memtune is None
    some = complete(guest(extra=limit.format("<soft_limit>1024</soft_limit>"))).memtune
    assert some is not None
    assert (some.hard_limit, some.soft_limit) == (None, 1 << 20)


def test_memory_is_that_of_all_cells_and_modules(complete: Complete, guest: Guest) -> None:
    cells = "<vcpu>3</vcpu><cpu><numa><cell id='0' cpus='0' memory='1024'/><cell cpus='1' memory='2048'/></numa></cpu>"
    module = "<memory model='dimm'><target><size>1024</size><node>0</node></target></memory>"
    made = complete(guest(module, extra=cells))
    assert made.memory == 4 << 20
    assert made.cpu is not None
    assert [(cell.id, cell.cpus) for cell in made.cpu.cells] == [(0, frozenset({0, 2})), (1, frozenset({1}))]
    assert complete(guest(module, extra=cells), stored=True).memory == 64 << 20


def test_disks_of_one_bus_stand_in_the_order_of_their_names(complete: Complete, guest: Guest) -> None:
    disk = "<disk><source file='/a'/><target dev='{}'/></disk>"
    made = complete(guest("".join(disk.format(name) for name in ("vdc", "sda", "vda", "vdb"))))
    assert [x.target for x in made.disks] == ["vda", "vdb", "vdc", "sda"]


def test_an_empty_generation_id_gets_a_value(complete: Complete, guest: Guest) -> None:
    made = complete(guest(extra="<genid/>"))
    assert made.genid
    assert complete(made).genid == made.genid


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("machine='q35'", "machine='nonesuch'"), "no machine type nonesuch"),
        (("arch='x86_64'", "arch='aarch64'"), "not aarch64"),
    ],
)
def test_what_this_qemu_does_not_run_is_refused(
    change: tuple[str, str], text: str, complete: Complete, guest: Guest, caps: Caps
) -> None:
    with pytest.raises(Invalid, match=text):
        complete(guest().replace(*change), caps=caps())
