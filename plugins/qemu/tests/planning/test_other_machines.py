"""Machines of other architectures and of other kinds: their defaults, and the places that QEMU and libvirt give."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import CcwAddress, Domain, Invalid, MmioAddress, PciAddress, SpaprAddress, assign, parse
from anyvirt_qemu.planning import address, machines
from anyvirt_qemu.planning.plan import Machine, Plan
from anyvirt_qemu.probing import emulators

Caps = Callable[..., Any]
Complete = Callable[..., Domain]
Planned = Callable[..., Plan]
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
        ("virt", "loongarch64"): "riscv-virt",
        ("virt-7.2", "m68k"): "",
    }
    for (name, arch), family in families.items():
        bus: Any = "pcie" if family in {"q35", "virt", "riscv-virt"} else "pci" if family == "i440fx" else ""
        assert machines.family(Machine(name, bus), arch).name == family


GUEST = """<domain type='{kind}'><name>a</name><memory unit='MiB'>256</memory><vcpu>{vcpus}</vcpu>
<os{efi}><type arch='{arch}'>hvm</type></os>{extra}<devices>{devices}</devices></domain>"""


def guest_of(arch: str, devices: str = "", *, kind: str = "qemu", vcpus: int = 1, extra: str = "") -> str:
    return GUEST.format(arch=arch, devices=devices, kind=kind, vcpus=vcpus, extra=extra, efi="")


@pytest.mark.parametrize(
    ("arch", "machine", "cpu", "port", "panics", "balloon"),
    [
        ("aarch64", "virt-7.2", "cortex-a57", "pl011", 0, False),
        ("armv7l", "virt-7.2", "cortex-a15", "pl011", 0, False),
        ("riscv64", "virt", "rv64", "16550a", 0, True),
        ("ppc64le", "pseries-7.2", "POWER9", "spapr-vty", 1, True),
        ("s390x", "s390-ccw-virtio-7.2", "qemu", "sclpconsole", 1, True),
    ],
)
def test_what_every_guest_of_an_architecture_has(
    arch: str, machine: str, cpu: str, port: str, panics: int, balloon: bool, complete: Complete
) -> None:
    made = complete(guest_of(arch, "<serial type='pty'><target type='isa-serial'/></serial>"))
    assert made.os is not None
    assert (made.os.arch, made.os.machine) == (arch, machine)
    assert made.cpu is not None
    assert made.cpu.model == cpu
    assert made.serials[0].target is not None
    assert made.serials[0].target.model == port
    assert len(made.panics) == panics
    assert (made.memballoon is not None) == balloon
    assert complete(made) == made


@pytest.mark.parametrize(
    ("kind", "vcpus", "version", "planned_as"), [("qemu", 8, "2", "2"), ("qemu", 9, "3", "3"), ("kvm", 1, "host", "2")]
)
def test_the_interrupt_controller_of_arm_is_one_that_has_enough_cpus(
    kind: str, vcpus: int, version: str, planned_as: str, complete: Complete, planned: Planned
) -> None:
    text = guest_of("aarch64", kind=kind, vcpus=vcpus)
    made = complete(text)
    assert made.features is not None
    assert made.features.gic_version == version
    plan = planned(text, accelerator="tcg")
    assert f"gic-version={planned_as}," in plan.argv[plan.argv.index("-machine") + 1]
    assert any("interrupt controller of the host" in line for line in plan.warnings) == (kind == "kvm")


def test_the_cpu_under_kvm_is_the_hosts_where_there_is_no_other(complete: Complete) -> None:
    modes = {arch: complete(guest_of(arch, kind="kvm")).cpu for arch in ("aarch64", "s390x", "riscv64")}
    assert [x.mode for x in modes.values() if x is not None] == ["host-passthrough", "host-model", "custom"]


def test_a_cpu_like_the_hosts_is_the_best_emulated_one_for_another_architecture(planned: Planned) -> None:
    plan = planned(guest_of("s390x", extra="<cpu mode='host-model'/>"))
    assert plan.argv[plan.argv.index("-cpu") + 1] == "max"
    assert any("host-model needs KVM" in line for line in plan.warnings)


def test_firmware_of_arm_cannot_be_guarded_by_a_mode_that_there_is_not(planned: Planned) -> None:
    loader = "<loader readonly='yes' secure='yes' type='pflash'>/code.fd</loader><nvram>/vars.fd</nvram>"
    with pytest.raises(Invalid) as caught:
        planned(guest_of("aarch64").replace("</os>", f"{loader}</os>"))
    (problem,) = caught.value.problems
    assert (problem.path, "secure-boot" in problem.hint) == ("/os/loader/@secure", True)


def test_cores_of_pseries_come_whole(planned: Planned) -> None:
    text = guest_of("ppc64", vcpus=8, extra="<cpu><topology sockets='1' cores='2' threads='4'/></cpu>")
    part = text.replace("<vcpu>8", "<vcpu current='2'>8")
    for source, accelerator, path in (
        (text, "tcg", "/cpu/topology/@threads"),
        (part, "kvm", "/vcpu/@current"),
    ):
        with pytest.raises(Invalid) as caught:
            planned(source, accelerator=accelerator)
        assert [problem.path for problem in caught.value.problems] == [path]
    assert "8,sockets=1,cores=2,threads=4" in planned(text, accelerator="kvm").argv


def test_usb_is_there_for_those_that_need_it(complete: Complete) -> None:
    bare, used = complete(guest_of("aarch64")), complete(guest_of("aarch64", "<input type='tablet'/>"))
    assert [x.model for x in bare.controllers if x.type == "usb"] == []
    assert [x.model for x in used.controllers if x.type == "usb"] == ["qemu-xhci"]
    assert used.inputs[0].bus == "usb"


def test_a_guest_that_has_more_than_a_root_of_pseries_holds_gets_another_root(complete: Complete) -> None:
    cards = "<interface type='user'><model type='virtio'/></interface>" * 31
    made = complete(guest_of("ppc64", f"<controller type='usb' model='none'/>{cards}<memballoon model='none'/>"))
    assert {x.address.slot for x in made.interfaces if isinstance(x.address, PciAddress)} == set(range(1, 32))
    assert [x.index for x in made.controllers if x.type == "pci"] == [0]
    more = complete(guest_of("ppc64", f"<controller type='usb' model='none'/>{cards}"))
    assert [(x.model, x.target and x.target.index) for x in more.controllers if x.type == "pci"] == [
        ("pci-root", 0),
        ("pci-root", 1),
    ]
    assert more.memballoon is not None
    assert more.memballoon.address == PciAddress(domain=0, bus=1, slot=1, function=0)


CARD = "<interface type='user'><mac address='52:54:00:00:00:0{}'/><model type='virtio'/>{}</interface>"
ON_PCI = "<address type='pci'><zpci {}/></address>"
ON_CHANNEL = "<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0001'/>"
BLOCK = "<disk><source file='/a'/><target dev='{}' bus='{}'/></disk>"


@pytest.mark.parametrize(
    ("arch", "machine", "devices", "text"),
    [
        ("s390x", "", CARD.format(1, ON_PCI.format("uid='7'")) + CARD.format(2, ON_PCI.format("uid='7'")), "uid 0x7"),
        ("s390x", "", CARD.format(1, ON_PCI.format("uid='0'")), "nobody's"),
        ("s390x", "", CARD.format(1, ON_CHANNEL) + CARD.format(2, ON_CHANNEL), "this subchannel"),
        ("x86_64", "isapc", BLOCK.format("vda", "virtio"), "no place for virtio"),
    ],
)
def test_a_place_that_is_another_ones_or_none_is_refused(
    arch: str, machine: str, devices: str, text: str, complete: Complete, caps: Caps
) -> None:
    source = guest_of(arch, devices).replace("'>hvm", f"' machine='{machine}'>hvm" if machine else "'>hvm")
    with pytest.raises(Invalid, match=text):
        complete(source, **({"caps": caps(machines={machine: Machine(machine, "")})} if machine else {}))


@pytest.mark.parametrize(
    ("arch", "extra", "devices", "path"),
    [
        ("aarch64", "<features><acpi/></features>", "", "/features/acpi"),
        (
            "ppc64",
            "",
            BLOCK.format("fda", "fdc").replace("<disk>", "<disk device='floppy'>"),
            "/devices/controller[fdc",
        ),
        ("riscv64", "", "<iommu model='smmuv3'/>", "/devices/iommu/@model"),
        ("aarch64", "<pm><suspend-to-mem enabled='no'/></pm>", "", "/pm/suspend-to-mem/@enabled"),
        ("ppc64", "", "<panic model='s390'/>", "/devices/panic"),
        ("s390x", "<features><gic version='2'/></features>", "", "/features/gic"),
        ("aarch64", "", "<nvram/>", "/devices/nvram"),
        ("riscv64", "", "<serial type='pty'/>" * 2, "/devices/serial[1]/target/@type"),
        ("s390x", "", "<input type='mouse' bus='usb'/>", "/devices/input"),
        ("s390x", "<sysinfo type='fwcfg'><entry name='opt/a'>b</entry></sysinfo>", "", "/sysinfo"),
        ("x86_64", "", "<interface type='user'><boot order='1' loadparm='2'/></interface>", "/devices/interface"),
    ],
)
def test_what_a_machine_cannot_have_is_refused_by_its_path(
    arch: str, extra: str, devices: str, path: str, planned: Planned
) -> None:
    with pytest.raises(Invalid) as caught:
        planned(guest_of(arch, devices, extra=extra))
    assert any(problem.path.startswith(path) for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(("arch", "name"), [("armv7l", "vexpress-a15"), ("x86_64", "isapc")])
def test_a_board_without_pci_has_what_it_has_and_no_more(
    arch: str, name: str, complete: Complete, planned: Planned, caps: Caps
) -> None:
    qemu = caps(arch=arch, machines={name: Machine(name, "", ram="board.ram")})
    bus = "ide" if name == "isapc" else "virtio"
    source = guest_of(arch, BLOCK.format("vda" if bus == "virtio" else "hda", bus) + "<serial type='pty'/>")
    source = source.replace("'>hvm", f"' machine='{name}'>hvm")
    made = complete(source, caps=qemu)
    assert made.memballoon is None or isinstance(made.memballoon.address, MmioAddress)
    assert not any(x.type in {"pci", "usb"} for x in made.controllers)
    words = planned(source, caps=qemu).argv
    assert ("-serial" in words) == (name != "isapc")
    assert ("acpi=off" in words[words.index("-machine") + 1]) == (name == "isapc")
    disk = next(json.loads(word) for word in words if word.startswith("{") and '"drive"' in word)
    assert disk["driver"] == ("ide-hd" if name == "isapc" else "virtio-blk-device")


def test_an_emulator_is_found_by_the_architecture_of_its_guests(tmp_path: Path) -> None:
    for name in ("qemu-system-x86_64", "qemu-system-ppc64", "qemu-system-aarch64"):
        (tmp_path / name).touch(mode=0o755)
    place = str(tmp_path)
    assert emulators.found("ppc64le", place) == f"{place}/qemu-system-ppc64"
    assert emulators.found("i686", place) == f"{place}/qemu-system-x86_64"
    assert emulators.found("armv7l", place) == f"{place}/qemu-system-aarch64"
    assert emulators.found("s390x", place) is None
    assert emulators.runs("aarch64", "armv7l")
    assert not emulators.runs("armv7l", "aarch64")
    packages = {name: emulators.package(f"/usr/bin/qemu-system-{name}") for name in ("i386", "arm", "s390x", "ppc64le")}
    assert list(packages.values()) == ["qemu-system-x86", "qemu-system-arm", "qemu-system-misc", "qemu-system-ppc"]


def test_randomness_is_asked_for_only_where_something_is_made(complete: Any, guest: Any) -> None:
    once = complete(guest("<interface type='user'/>"), random=random.Random(1).randbytes)

    def none(_count: int) -> bytes:
        raise AssertionError

    assert complete(once, random=none) == once
