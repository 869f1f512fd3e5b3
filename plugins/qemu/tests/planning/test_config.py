"""Definitions become command lines, word by word, and a real QEMU takes each of them.

``ANYVIRT_GOLDEN=write`` rewrites the command lines in ``plans``; a reviewed diff.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Domain, Invalid, parse
from anyvirt_qemu.planning.plan import FIRST_FD, Plan
from anyvirt_qemu.planning.tuning import Tuning
from anyvirt_qemu.run_dir import MONITORS

Guest = Callable[..., str]
Planned = Callable[..., Plan]


def lines(plan: Plan) -> list[str]:
    """The command line, an option with its value on each line."""
    made: list[str] = []
    for word in plan.argv[1:]:
        if (word.startswith("-") and word != "-S") or not made or " " in made[-1]:
            made.append(word)
        else:
            made[-1] = f"{made[-1]} {word}"
    return made


def told(plan: Plan, frame: list[str]) -> str:
    """What a definition adds to the frame of every guest, and what comes beside the command line."""
    text = [line for line in lines(plan) if line not in frame]
    text += [f"# env {key}={value}" for key, value in plan.env.items()]
    text += [f"# fd {use.number} {use.kind} {use.target}" for use in plan.fds[len(MONITORS) :]]
    text += [
        f"# {use}" for use in (*plan.taps, *plan.macvtaps, *plan.assigned, *plan.copies, *plan.consoles, *plan.disks)
    ]
    text += [f"# socket {path}" for path in plan.sockets]
    text += [f"# {line}" for line in tuned(plan.tuning)]
    text += [f"# qmp {step.command} {json.dumps(step.arguments)}" for step in plan.steps]
    text += [f"# warning: {line}" for line in plan.warnings]
    return "\n".join(text) + "\n"


def tuned(tuning: Tuning) -> list[str]:
    """What the host does beside QEMU; nothing where nothing is asked."""
    text = [str(use) for use in (*tuning.pins, *tuning.schedules, *tuning.limits, *tuning.caches)]
    text += [f"cpus {sorted(tuning.cpus)}"] if tuning.cpus else []
    return text + ([f"group below {tuning.partition or 'the usual one'} {tuning.appid}"] if tuning.grouped else [])


def test_a_definition_gives_its_command_line(document: Path, planned: Planned, guest: Guest) -> None:
    text = document.read_text()
    accelerator = "kvm" if "type='kvm'" in text else "tcg"
    frame = lines(planned(guest()))
    frame = [line for line in frame if not line.startswith(("-device", "-machine", "-m ", "-name", "-uuid"))]
    got = told(planned(text, accelerator=accelerator), frame)
    golden = document.with_suffix(".args")
    if os.environ.get("ANYVIRT_GOLDEN") == "write":
        golden.write_text(got)
    assert got == golden.read_text()


def test_the_frame_of_every_guest_is_this(planned: Planned, guest: Guest) -> None:
    plan = planned(guest())
    assert plan.argv[0] == "/usr/bin/qemu-system-x86_64"
    words = lines(plan)
    for line in (
        "-S",
        "-no-user-config",
        "-nodefaults",
        "-display none",
        "-chardev socket,id=mon-ctl,fd=10,server=on,wait=off",
        "-mon chardev=mon-ctl,mode=control",
        "-chardev pipe,id=ev,path=/run/q/ev",
        "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-boot strict=on",
    ):
        assert line in words
    assert plan.cwd == "/run/q"
    assert [use.number for use in plan.fds] == list(range(FIRST_FD, FIRST_FD + len(MONITORS)))
    assert [use.target for use in plan.fds] == list(MONITORS)


def test_the_same_definition_gives_the_same_plan(document: Path, planned: Planned) -> None:
    text = document.read_text()
    assert planned(text) == planned(text)


def test_every_device_has_a_name_and_every_pci_device_a_place(document: Path, planned: Planned) -> None:
    words = planned(document.read_text()).argv
    devices = [json.loads(value) for flag, value in pairwise(words) if flag == "-device"]
    names = [device["id"] for device in devices if device["driver"] != "isa-fdc"]
    assert len(set(names)) == len(names)
    places = [(device["bus"], device["addr"]) for device in devices if "addr" in device]
    assert len(set(places)) == len(places)
    free = {"isa-serial", "pvpanic", "ramfb", "ib700", "hda-duplex", "pc-dimm", "nvdimm", "intel-iommu", "isa-fdc"}
    free |= {"sga", "vmcoreinfo", "vmgenid", "isa-debugcon", "isa-parallel", "sb16", "floppy"}
    free |= {"sclpconsole", "sclplmconsole", "diag288", "zpci", "spapr-pci-host-bridge"}
    free |= {"tpm-tis", "tpm-crb"}
    placed = {"bus", "devno", "reg"}  # and what is mapped to memory has no place
    wild = [device for device in devices if not device["driver"].endswith("-device")]
    assert all(placed & device.keys() for device in wild if device["driver"] not in free)


def test_a_qemu_without_json_gets_the_same_devices_in_the_comma_form(
    planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    text = guest("<disk><source file='/a,b'/><target dev='vda'/></disk><interface type='user'/>")
    words = planned(text, caps=caps(json_device=False, json_netdev=False)).argv
    assert "user,id=hostnet0" in words
    assert any(word.startswith("virtio-blk-pci,id=virtio-disk0,bus=pci.") for word in words)
    assert not any(word.startswith('{"driver":"virtio') for word in words)


def test_a_qemu_without_seccomp_is_not_asked_for_it(planned: Planned, guest: Guest, caps: Callable[..., Any]) -> None:
    assert "-sandbox" not in planned(guest(), caps=caps(sandbox=False)).argv


def test_kvm_that_does_not_run_guests_is_told_with_the_reason(planned: Planned, guest: Guest) -> None:
    plan = planned(guest(kind="kvm"), accelerator="tcg", why="the boot sector took 9 s")
    assert plan.argv[plan.argv.index("-accel") + 1] == "tcg"
    cost = "often 10 times slower or more"
    assert plan.warnings == (f"the guest asks for KVM and is emulated instead (TCG), {cost}: the boot sector took 9 s",)
    assert planned(guest(kind="kvm"), accelerator="kvm").warnings == ()


def test_a_password_is_on_no_command_line_and_in_no_text(planned: Planned, guest: Guest) -> None:
    plan = planned(guest("<graphics type='vnc' passwd='hunter2' passwdValidTo='2030-01-31T12:00:00'/>"))
    assert not any("hunter2" in word for word in plan.argv)
    assert "hunter2" not in repr(plan.steps)
    assert [(step.command, dict(step.arguments)) for step in plan.steps] == [
        ("set_password", {"protocol": "vnc", "password": "hunter2"}),
        ("expire_password", {"protocol": "vnc", "time": "1896091200"}),
    ]


def test_a_chain_that_was_found_is_used_and_one_that_was_not_looked_at_is_refused(
    planned: Planned, guest: Guest
) -> None:
    from anyvirt_qemu.planning.plan import NodeUse

    text = guest("<disk type='file'><driver type='qcow2'/><source file='/top'/><target dev='vda'/></disk>")
    found = (NodeUse("", "file", "/top", "qcow2"), NodeUse("", "file", "/below", "raw"))
    plan = planned(text, chains={"vda": found})
    assert [node.path for node in plan.disks[0].nodes] == ["/top", "/below"]
    nodes = [json.loads(word) for word in plan.argv if word.startswith('{"driver":"qcow2"')]
    assert [node["backing"] for node in nodes] == ["n1-fmt"]
    with pytest.raises(Invalid, match="nobody has looked"):
        planned(text)


def test_the_end_of_a_chain_is_always_said(planned: Planned, guest: Guest) -> None:
    text = guest(
        "<disk type='file'><driver type='qcow2'/><source file='/top'/><backingStore/><target dev='vda'/></disk>"
    )
    words = [word for word in planned(text).argv if '"driver":"qcow2"' in word]
    assert json.loads(words[0])["backing"] is None


DISK = "<disk type='file'><source file='/a'/><target dev='vda'/>{}</disk>"
UNHONOURED = {
    DISK.format("<wwn>5000c50015ea71ad</wwn>"): "/devices/disk[vda]/wwn",
    DISK.format("<transient/>"): "/devices/disk[vda]/transient",
    "<interface type='network'><source network='default'/></interface>": "/devices/interface[{mac}]/@type",
    "<interface type='bridge'><source bridge='br0'/><bandwidth><inbound floor='9'/></bandwidth></interface>": (
        "/devices/interface[{mac}]/bandwidth/inbound/@floor"
    ),
    "<interface type='ethernet'><vlan><tag id='42'/></vlan></interface>": "/devices/interface[{mac}]/vlan",
    "<interface type='ethernet'><port isolated='yes'/></interface>": "/devices/interface[{mac}]/port/@isolated",
    "<interface type='bridge'><source bridge='br0'/><script path='/etc/up'/></interface>": (
        "/devices/interface[{mac}]/script/@path"
    ),
    "<interface type='bridge'><source bridge='br0'/><filterref filter='clean-traffic'/></interface>": (
        "/devices/interface[{mac}]/filterref/@filter"
    ),
    "<interface type='bridge'><source bridge='br0'/><virtualport type='midonet'/></interface>": (
        "/devices/interface[{mac}]/virtualport"
    ),
    "<interface type='direct'><source dev='eth0'/><virtualport type='802.1Qbh'/></interface>": (
        "/devices/interface[{mac}]/virtualport"
    ),
    "<interface type='ethernet'><route address='10.0.0.0' prefix='8' gateway='10.0.0.1'/></interface>": (
        "/devices/interface[{mac}]/route[10.0.0.0,8]"
    ),
    "<interface type='bridge'><source bridge='br0'><ip address='10.0.0.1'/></source></interface>": (
        "/devices/interface[{mac}]/source/ip"
    ),
    "<interface type='user'><coalesce><rx><frames max='7'/></rx></coalesce></interface>": (
        "/devices/interface[{mac}]/coalesce/rx/frames/@max"
    ),
    "<interface type='user'><model type='virtio'/><driver queues='2'/></interface>": (
        "/devices/interface[{mac}]/driver/@queues"
    ),
    "<interface type='user'><portForward proto='tcp' dev='eth0'><range start='2222' to='22'/></portForward>"
    "</interface>": "/devices/interface[{mac}]/portForward[0]/@dev",
    "<interface type='user'><model type='lan9118'/></interface>": "/devices/interface[{mac}]/model/@type",
    "<tpm model='spapr-tpm-proxy'><backend type='passthrough'/></tpm>": "/devices/tpm[0]/@model",
    "<graphics type='rdp'/>": "/devices/graphics[rdp]/@type",
    "<graphics type='vnc'><listen type='network' network='default'/></graphics>": (
        "/devices/graphics[vnc]/listen[0]/@network"
    ),
    "<graphics type='spice' tlsPort='5999'/>": "/devices/graphics[spice]/@tlsPort",
    "<video><model type='vga' heads='2'/></video>": "/devices/video[0]/model/@heads",
    "<video><model type='cirrus'><acceleration accel3d='yes'/></model></video>": (
        "/devices/video[0]/model/acceleration/@accel3d"
    ),
    "<video><model type='xen'/></video>": "/devices/video[0]/model/@type",
    "<parallel type='nmdm'/>": "/devices/parallel[0]/@type",
    "<serial type='spicevmc'/><graphics type='spice'/>": "/devices/serial[0]/@type",
    "<serial type='tcp'><source mode='connect' host='h' service='1' tls='yes'/></serial>": (
        "/devices/serial[0]/source[0]/@tls"
    ),
    "<channel type='unix'><target type='xen' name='x'/></channel>": "/devices/channel[0]/target",
    "<input type='tablet' bus='xen'/>": "/devices/input[tablet,xen]/@bus",
    "<watchdog model='diag288'/>": "/devices/watchdog[diag288]/@model",
    "<crypto model='virtio' type='qemu'><backend model='lkcf'/></crypto>": "/devices/crypto[0]/backend/@model",
}


@pytest.mark.parametrize("devices", UNHONOURED)
def test_a_setting_that_is_not_honoured_is_refused_by_its_path(
    devices: str, planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    with pytest.raises(Invalid) as caught:
        planned(guest(devices), caps=caps(lacking=frozenset({"cryptodev-backend-lkcf"})))
    path = UNHONOURED[devices].format(mac="52:54:00:bb:86:c3")
    found = {problem.path: problem for problem in caught.value.problems}
    assert path in found, list(found)
    assert found[path].code == "unsupported.config"
    assert found[path].hint


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ("<vcpu placement='auto'>1</vcpu>", "/vcpu/@placement"),
        ("<memtune><min_guarantee unit='GiB'>1</min_guarantee></memtune>", "/memtune/min_guarantee"),
        ("<launchSecurity type='sev'><policy>1</policy></launchSecurity>", "/launchSecurity/cbitpos"),
        ("<cpu mode='host-model'/>", "/cpu/@mode"),
        ("<cpu mode='custom'><model>NoSuchModel</model></cpu>", "/cpu/model"),
        ("<numatune><memory mode='strict' placement='auto'/></numatune>", "/numatune/memory/@placement"),
        ("<keywrap><cipher name='aes' state='on'/></keywrap>", "/keywrap/cipher"),
        ("<on_crash>coredump-restart</on_crash>", "/on_crash"),
        ("<on_poweroff>restart</on_poweroff>", "/on_poweroff"),
        ("<on_reboot>rename-restart</on_reboot>", "/on_reboot"),
        ("<on_lockfailure>pause</on_lockfailure>", "/on_lockfailure"),
        ("<clock offset='utc'><timer name='rtc' tickpolicy='merge'/></clock>", "/clock/timer[rtc]/@tickpolicy"),
        ("<clock offset='utc'><timer name='rtc' track='boot'/></clock>", "/clock/timer[rtc]/@track"),
    ],
)
def test_a_setting_outside_devices_is_refused_by_its_path(
    extra: str, path: str, planned: Planned, guest: Guest
) -> None:
    with pytest.raises(Invalid) as caught:
        planned(guest(extra=extra))
    assert path in {problem.path for problem in caught.value.problems}


def test_all_that_is_wrong_is_listed_at_once_with_lines(planned: Planned, guest: Guest) -> None:
    text = guest(DISK.format("<wwn>5000c50015ea71ad</wwn>") + "\n<graphics type='rdp'/>\n<tpm/>")
    with pytest.raises(Invalid) as caught:
        planned(text)
    found = {problem.path: problem.line for problem in caught.value.problems}
    assert {path: found.get(path) for path in ("/devices/disk[vda]/wwn", "/devices/graphics[rdp]/@type")} == {
        "/devices/disk[vda]/wwn": 7,
        "/devices/graphics[rdp]/@type": 8,
    }
    assert len(found) >= 3


@pytest.mark.parametrize(
    ("devices", "extra", "text"),
    [
        ("<disk type='file'><source file='relative'/><target dev='vda'/></disk>", "", "no absolute path"),
        ("<disk type='file'><target dev='vda'/></disk>", "", "no image"),
        ("<graphics type='vnc' port='80' autoport='no'/>", "", "a VNC port"),
        ("<serial type='unix'><source mode='bind' path='/" + "x" * 120 + "'/></serial>", "", "107 bytes"),
        ("<graphics type='vnc' socket='/" + "x" * 120 + "'/>", "", "107 bytes"),
        ("<memballoon model='none'/>", "<currentMemory unit='MiB'>32</currentMemory>", "without a balloon"),
        ("", "<vcpu>4</vcpu><cpu><topology sockets='1' cores='1' threads='1'/></cpu>", "is not 4"),
        ("", "<vcpu>400</vcpu>", "at most 288"),
        ("<vsock><cid address='1'/></vsock>", "", "3 or more"),
        ("<watchdog model='i6300esb' action='reset'/><watchdog model='ib700' action='none'/>", "", "do the same"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_reason(
    devices: str, extra: str, text: str, planned: Planned, guest: Guest
) -> None:
    with pytest.raises(Invalid) as caught:
        planned(guest(devices, extra=extra))
    assert any(text in problem.text for problem in caught.value.problems), caught.value.problems


def test_a_device_that_this_qemu_lacks_is_refused_by_name(
    planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    with pytest.raises(Invalid, match="has no device e1000e"):
        planned(
            guest("<interface type='user'><model type='e1000e'/></interface>"), caps=caps(lacking=frozenset({"e1000e"}))
        )


def test_an_unknown_machine_is_refused_before_anything_else(planned: Planned, guest: Guest) -> None:
    with pytest.raises(Invalid, match="no machine type"):
        planned(guest(machine="pc-q35-99.0"))


@pytest.fixture
def two_hours_ahead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host whose clocks are two hours ahead of the world's."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EET-2")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("clock", "base"),
    [
        ("offset='variable' adjustment='3600'", "1970-01-01T01:00:10"),
        ("offset='variable' adjustment='0'", "utc"),
        ("offset='variable' adjustment='0' basis='localtime'", "localtime"),
        ("offset='variable' adjustment='60' basis='localtime'", "1970-01-01T02:01:10"),
        ("offset='utc' adjustment='60'", "1970-01-01T00:01:10"),
        ("offset='utc' adjustment='reset'", "utc"),
        ("offset='absolute' start='86400'", "1970-01-02T00:00:00"),
        ("offset='localtime'", "localtime"),
        ("offset='timezone' timezone='Europe/Paris'", "localtime"),
    ],
)
@pytest.mark.usefixtures("two_hours_ahead")
def test_a_clock_starts_where_it_is_told(clock: str, base: str, planned: Planned, guest: Guest) -> None:
    plan = planned(guest(extra=f"<clock {clock}/>"), now=10)
    assert plan.argv[plan.argv.index("-rtc") + 1] == f"base={base}"
    assert plan.env == ({"TZ": "Europe/Paris"} if "Paris" in clock else {})


def test_a_legacy_boot_order_becomes_an_order_of_devices(planned: Planned, guest: Guest) -> None:
    text = guest(
        "<disk><source file='/a'/><target dev='vda'/></disk><disk><source file='/b'/><target dev='vdb'/></disk>"
        "<interface type='user'><model type='virtio'/></interface>"
    ).replace("</os>", "<boot dev='network'/><boot dev='hd'/></os>")
    words = planned(text).argv
    devices = [json.loads(word) for word in words if word.startswith("{") and '"bootindex"' in word]
    assert {device["id"]: device["bootindex"] for device in devices} == {"net0": 1, "virtio-disk0": 2}


def test_two_kinds_of_boot_order_do_not_mix(planned: Planned, guest: Guest) -> None:
    text = guest("<disk><source file='/a'/><target dev='vda'/><boot order='1'/></disk>")
    with pytest.raises(Invalid, match="given by device, too"):
        planned(text.replace("</os>", "<boot dev='hd'/></os>"))


def test_the_live_definition_has_all_aliases_and_keeps_those_of_the_user(planned: Planned, guest: Guest) -> None:
    text = guest(
        "<disk><source file='/a'/><target dev='vdc'/></disk>"
        "<disk><source file='/b'/><target dev='vda'/><alias name='ua-mine'/></disk><serial type='pty'/>"
    )
    live = planned(text).domain
    assert [disk.alias for disk in live.disks] == ["ua-mine", "virtio-disk2"]
    assert live.serials[0].alias == live.consoles[0].alias == "serial0"
    assert {x.alias for x in live.controllers} >= {"pcie.0", "pci.1", "usb", "sata0"}


def test_a_document_without_a_definition_of_ours_is_not_planned_as_another_kind(planned: Planned) -> None:
    domain = parse("<domain type='xen'><name>x</name><memory>65536</memory><os><type>hvm</type></os></domain>", Domain)
    with pytest.raises(Invalid) as caught:
        planned(domain)
    assert "/@type" in {problem.path for problem in caught.value.problems}


NAMESPACE = "<qemu:{0} xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>{1}</qemu:{0}>"
OVERRIDE = "<qemu:device alias='{}'><qemu:frontend><qemu:property name='x' {}/></qemu:frontend></qemu:device>"


@pytest.mark.parametrize(
    ("element", "text"),
    [
        (NAMESPACE.format("override", OVERRIDE.format("ua-none", "type='bool' value='true'")), "no device of QEMU"),
        (NAMESPACE.format("override", OVERRIDE.format("balloon0", "type='bool' value='yes'")), "is no bool"),
        (NAMESPACE.format("override", OVERRIDE.format("balloon0", "type='unsigned' value='-1'")), "is no unsigned"),
        (NAMESPACE.format("override", OVERRIDE.format("balloon0", "type='signed' value='1x'")), "is no signed"),
    ],
)
def test_an_override_that_cannot_be_is_refused(element: str, text: str, planned: Planned, guest: Guest) -> None:
    with pytest.raises(Invalid) as caught:
        planned(guest().replace("</domain>", f"{element}</domain>"))
    assert any(text in problem.text for problem in caught.value.problems), caught.value.problems
