"""Tables of machines that this driver does not start yet: their devices get the places that QEMU and libvirt give."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from anyvirt.api import CcwAddress, Domain, PciAddress, SpaprAddress, assign, parse
from anyvirt_qemu import address, machines
from anyvirt_qemu.plan import Machine

Caps = Callable[..., Any]
DEVICES = """
<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>
<disk type='file'><source file='/b'/><target dev='vdb' bus='virtio'/><address type='ccw' cssid='0xfe' ssid='0x0'
devno='0x0001'/></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
<memballoon model='virtio'/>
"""


def placed(machine: Machine, arch: str, devices: str, caps: Caps) -> Domain:
    text = f"<domain type='qemu'><name>a</name><memory>1024</memory><devices>{devices}</devices></domain>"
    drafts = assign.Drafts(parse(text, Domain))
    qemu = caps(arch=arch)
    family = machines.family(machine, arch)
    address.place(drafts, qemu, machine, family)
    made = drafts.done()
    again = assign.Drafts(made)
    address.place(again, qemu, machine, family)
    assert again.done() == made
    assert isinstance(made, Domain)
    return made


def test_devices_of_s390_get_subchannels_in_a_fixed_order(caps: Caps) -> None:
    made = placed(Machine("s390-ccw-virtio-7.2", ""), "s390x", DEVICES, caps)
    found = [made.disks[0], made.disks[1], made.interfaces[0], made.memballoon]
    assert [x.address for x in found if x is not None] == [
        CcwAddress(cssid=0xFE, ssid=0, devno=number) for number in (0, 1, 2, 3)
    ]


def test_virtual_io_of_pseries_gets_registers_from_where_qemu_begins(caps: Caps) -> None:
    devices = (
        "<controller type='pci' index='0' model='pci-root'/>"
        "<controller type='scsi' model='ibmvscsi'/><controller type='scsi' index='1' model='ibmvscsi'/>"
        "<interface type='user'><model type='spapr-vlan'/></interface>"
        "<serial type='pty'><target type='spapr-vio-serial'/></serial><nvram/>"
        "<interface type='user'><model type='virtio'/></interface>"
    )
    made = placed(Machine("pseries-7.2", "pci"), "ppc64", devices, caps)
    assert [x.address for x in made.controllers if x.type == "scsi"] == [
        SpaprAddress(reg=0x2000),
        SpaprAddress(reg=0x3000),
    ]
    assert made.interfaces[0].address == SpaprAddress(reg=0x1000)
    assert made.serials[0].address == SpaprAddress(reg=0x30000000)
    assert made.nvram is not None
    assert made.nvram.address == SpaprAddress(reg=0x4000)
    assert made.interfaces[1].address == PciAddress(domain=0, bus=0, slot=1, function=0)


def test_machine_types_belong_to_families() -> None:
    families = {
        ("pc", "x86_64"): "i440fx",
        ("pc-i440fx-7.2", "x86_64"): "i440fx",
        ("pc-1.0", "x86_64"): "i440fx",
        ("q35", "x86_64"): "q35",
        ("pc-q35-7.2", "x86_64"): "q35",
        ("isapc", "x86_64"): "isapc",
        ("virt-7.2", "aarch64"): "virt",
        ("virt", "riscv64"): "riscv-virt",
        ("pseries-7.2", "ppc64"): "pseries",
        ("s390-ccw-virtio-7.2", "s390x"): "s390-ccw",
        ("microvm", "x86_64"): "microvm",
        ("vexpress-a15", "armv7l"): "",
    }
    for (name, arch), family in families.items():
        bus: Any = "pcie" if family in {"q35", "virt", "riscv-virt"} else "pci" if family == "i440fx" else ""
        assert machines.family(Machine(name, bus), arch).name == family


def test_randomness_is_asked_for_only_where_something_is_made(complete: Any, guest: Any) -> None:
    once = complete(guest("<interface type='user'/>"), random=random.Random(1).randbytes)

    def none(_count: int) -> bytes:
        raise AssertionError

    assert complete(once, random=none) == once
