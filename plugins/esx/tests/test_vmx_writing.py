from __future__ import annotations

from typing import Any

import pytest
from anyvirt.api import Domain, Invalid, convert, parse
from anyvirt_esx.config import config_export, config_import
from anyvirt_esx.vmx.disks import IDE, SATA, SCSI, Bus, target_of
from anyvirt_esx.vmx.identity import HARDWARE
from anyvirt_esx.vmx.parse import parse as settings_of
from anyvirt_esx.vmx.reading import read
from anyvirt_esx.vmx.writing import write
from hypothesis import given, settings
from hypothesis import strategies as st

HEAD = "<domain type='vmware'><name>web</name><memory>65536</memory>"
UUID = "564d9bef-acd9-b4e0-c8f0-aea8b9103515"


def domain(devices: str = "", beside: str = "") -> Domain:
    os = "" if "<os" in beside else "<os><type arch='x86_64'>hvm</type></os>"
    return parse(f"{HEAD}{beside}{os}<devices>{devices}</devices></domain>", Domain)


def written(devices: str = "", beside: str = "") -> dict[str, str]:
    lines = write(domain(devices, beside)).decode().splitlines()
    return {key: text.strip('"') for key, _, text in (line.partition(" = ") for line in lines)}


def refused(devices: str = "", beside: str = "") -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        write(domain(devices, beside))
    return [(problem.code, problem.path) for problem in caught.value.problems]


def test_a_small_definition_is_a_whole_file() -> None:
    found = written()
    head = {".encoding": "UTF-8", "config.version": "8", "virtualHW.version": str(HARDWARE), "guestOS": "other-64",
            "uuid.action": "create", "displayName": "web", "memsize": "64", "numvcpus": "1"}  # fmt: skip
    assert {key: found[key] for key in head} == head
    assert next(iter(found)) == ".encoding"
    assert (found["floppy0.present"], found["pciBridge7.functions"]) == ("false", "8")


def test_old_hardware_has_no_pci_express() -> None:
    v = settings_of(write(domain(), hardware=7))
    assert (v.text("pciBridge0.present"), v.text("vmci0.present")) == (None, "true")
    assert settings_of(write(domain(), hardware=4)).text("vmci0.present") is None


def test_quotes_bars_newlines_and_slashes_cannot_leave_their_value() -> None:
    text = 'a"\nuuid.bios = "|22'
    found = parse(f"{HEAD}<description>x</description></domain>", Domain).replace(name=f"{text}/%\\", description=text)
    data = write(found)
    assert data.count(b"\n") == write(found.replace(name="x", description="x")).count(b"\n")
    again = read(data).model
    assert again.description == text
    assert again.name == f"{text}/%\\".replace("\n", " ")


def test_memory_is_rounded_up_to_four_mebibytes() -> None:
    found = settings_of(write(domain().replace(memory=(65 << 20) + 1, current_memory=33 << 20)))
    assert (found.text("memsize"), found.text("sched.mem.max")) == ("68", "36")


@pytest.mark.parametrize(("target", "place"), [("sda", "0:0"), ("sdh", "0:8"), ("sdp", "1:0"), ("sdbh", "3:15")])
def test_places_on_scsi_follow_from_names(target: str, place: str) -> None:
    found = written(f"<disk type='file'><source file='[ds] a.vmdk'/><target dev='{target}' bus='scsi'/></disk>")
    assert found[f"scsi{place}.fileName"] == "/vmfs/volumes/ds/a.vmdk"


@pytest.mark.parametrize("bus", [SCSI, SATA, IDE])
def test_names_of_disks_and_their_places_agree(bus: Bus) -> None:
    for number in range(bus.controllers):
        for unit in range(min(bus.units, 16)):
            if bus is SCSI and unit == 7:
                continue
            name = target_of(bus, number, unit)
            disk = f"<disk type='file'><source file='a.vmdk'/><target dev='{name}' bus='{bus.name}'/></disk>"
            assert written(disk)[f"{bus.name}{number}:{unit}.present"] == "true"


DISK = "<disk type='file'><source file='a.vmdk'/><target dev='sda' bus='scsi'/>%s</disk>"
REFUSED = [
    ("<disk><source file='a.qcow2'/><target dev='sda' bus='scsi'/></disk>", "/devices/disk[sda]/source/@file"),
    ("<disk type='file'><target dev='sda' bus='scsi'/></disk>", "/devices/disk[sda]/source"),
    ("<disk type='block'><source dev='/dev/x'/><target dev='sda' bus='scsi'/></disk>", "/devices/disk[sda]/@type"),
    ("<disk><source file='a.vmdk'/><target dev='vda' bus='virtio'/></disk>", "/devices/disk[vda]/target/@bus"),
    ("<disk type='file'><source file='a.vmdk'/><target dev='hde' bus='ide'/></disk>", "/devices/disk[hde]/target/@dev"),
    ("<disk type='file'><source file='a.vmdk'/><target dev='x1' bus='scsi'/></disk>", "/devices/disk[x1]/target/@dev"),
    (DISK % "<driver cache='none'/>", "/devices/disk[sda]/driver/@cache"),
    (DISK % "<driver type='qcow2'/>", "/devices/disk[sda]/driver/@type"),
    (DISK % "<driver name='qemu'/>", "/devices/disk[sda]/driver/@name"),
    (DISK % "<serial>1</serial>", "/devices/disk[sda]/serial"),
    (DISK % "<address type='drive' controller='0' bus='0' target='1' unit='0'/>", "/devices/disk[sda]/address/@target"),
    (DISK % "<address type='drive' controller='0' bus='0' target='0' unit='7'/>", "/devices/disk[sda]/target/@dev"),
    (DISK % "" + DISK.replace("sda", "sdb") % "<address type='drive' unit='0'/>", "/devices/disk[sdb]/target/@dev"),
    ("<controller type='scsi' index='0' model='virtio-scsi'/>", "/devices/controller[scsi,0]/@model"),
    ("<controller type='scsi' index='4'/>", "/devices/controller[scsi,4]/@index"),
    ("<interface type='network'><source network='default'/></interface>", "/devices/interface[0]/@type"),
    ("<interface type='user'><model type='virtio'/></interface>", "/devices/interface[0]/model/@type"),
    ("<interface type='bridge'/>", "/devices/interface[0]/source"),
    ("<serial type='pty'/>", "/devices/serial[0]/@type"),
    ("<serial type='dev'/>", "/devices/serial[0]/source"),
    ("<serial type='dev'><source path='/x'/><target port='4'/></serial>", "/devices/serial[0]/target"),
    ("<parallel type='pipe'><source path='/x'/></parallel>", "/devices/parallel[0]/@type"),
    ("<video><model type='qxl'/></video>", "/devices/video[0]/model/@type"),
    ("<graphics type='spice'/>", "/devices/graphics[spice]/@type"),
    ("<sound model='ac97'/>", "/devices/sound[0]/@model"),
    ("<filesystem type='ram'><target dir='/x'/></filesystem>", "/devices/filesystem[/x]/@type"),
    ("<rng model='virtio'><backend model='random'>/dev/random</backend></rng>", "/devices/rng"),
    ("<console type='pty'><target type='virtio'/></console>", "/devices/console[0]/target"),
]  # fmt: skip


@pytest.mark.parametrize(("devices", "path"), REFUSED)
def test_what_the_format_cannot_say_is_refused_by_path(devices: str, path: str) -> None:
    found = refused(devices)
    assert path in [where for _, where in found], found


@pytest.mark.parametrize(
    ("beside", "path"),
    [
        ("<os><type arch='s390x'>hvm</type></os>", "/os/type/@arch"),
        ("<os><type>xen</type></os>", "/os/type"),
        ("<os><type>hvm</type><kernel>/vmlinuz</kernel></os>", "/os/kernel"),
        ("<vcpu cpuset='0'>2</vcpu>", "/vcpu/@cpuset"),
        ("<vcpu current='1'>2</vcpu>", "/vcpu/@current"),
        ("<vcpu>2</vcpu><cpu><topology sockets='2' cores='2' threads='1'/></cpu>", "/cpu/topology/@sockets"),
        ("<cpu><topology sockets='1' cores='1' threads='2'/></cpu>", "/cpu/topology/@threads"),
        ("<cpu mode='host-passthrough'/>", "/cpu/@mode"),
        ("<clock offset='localtime'/>", "/clock/@offset"),
        ("<on_crash>preserve</on_crash>", "/on_crash"),
        ("<genid/>", "/genid"),
    ],
)
def test_what_no_machine_can_be_is_refused_by_path(beside: str, path: str) -> None:
    assert path in [where for _, where in refused(beside=beside)]


def test_a_definition_of_another_hypervisor_is_refused_by_its_type() -> None:
    with pytest.raises(Invalid) as caught:
        write(domain().replace(type=parse("<domain type='kvm'><name>x</name></domain>", Domain).type))
    assert caught.value.problems[0].path == "/@type"


def test_places_of_devices_in_the_boot_order_become_its_steps() -> None:
    found = written(
        "<disk type='file'><source file='a.vmdk'/><target dev='sda' bus='scsi'/><boot order='2'/></disk>"
        "<disk type='file' device='cdrom'><source file='a.iso'/><target dev='hda' bus='ide'/><boot order='1'/></disk>"
        "<interface type='user'><boot order='3'/></interface>"
    )
    assert found["bios.bootOrder"] == "cdrom,hdd,ethernet0"


@pytest.mark.parametrize(
    ("mac", "kind", "key"),
    [
        ("00:0c:29:00:00:01", "generated", "generatedAddress"),
        ("00:50:56:3f:00:01", "static", "address"),
        ("00:50:56:80:00:01", "vpx", "generatedAddress"),
        ("00:50:56:c0:00:01", "static", "address"),
        ("52:54:00:00:00:01", "static", "address"),
    ],
)
def test_addresses_of_cards_tell_who_made_them(mac: str, kind: str, key: str) -> None:
    found = written(f"<interface type='user'><mac address='{mac}'/></interface>")
    assert (found["ethernet0.addressType"], found[f"ethernet0.{key}"]) == (kind, mac)
    checked = mac.startswith("00:50:56:3f") or kind != "static"
    assert found.get("ethernet0.checkMACAddress") == (None if checked else "false")


def test_a_console_alone_is_a_serial_port() -> None:
    found = written("<console type='dev'><source path='/dev/ttyS0'/><target type='serial' port='0'/></console>")
    assert (found["serial0.fileType"], found["serial0.fileName"]) == ("device", "/dev/ttyS0")


NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff"), min_size=1)
WORD = st.text("abz09_-", min_size=1, max_size=8)
END = "</serial>"
HEX = "0123456789abcdef"
MACS = st.sampled_from(["00:0c:29", "00:50:56", "52:54:00"]).flatmap(
    lambda head: st.lists(st.text(HEX, min_size=2, max_size=2), min_size=3, max_size=3).map(
        lambda rest: ":".join([head, *rest])
    )
)


@st.composite
def disks(draw: Any) -> list[str]:
    """Disks and drives in places of their own."""
    places = draw(
        st.sets(st.sampled_from([(SCSI, 0, 0), (SCSI, 1, 8), (SATA, 0, 4), (SATA, 3, 29), (IDE, 0, 0), (IDE, 1, 1)]))
    )
    found = []
    for bus, number, unit in sorted(places, key=lambda place: (place[0].prefix, place[0].name, place[1:])):
        target = f"<target dev='{target_of(bus, number, unit)}' bus='{bus.name}'/>"
        name = draw(WORD)
        found.append(draw(st.sampled_from([
            f"<disk type='file' device='disk'><source file='[ds] {name}.vmdk'/>{target}</disk>",
            f"<disk type='file' device='disk'><driver cache='writethrough'/><source file='/x.vmdk'/>{target}</disk>",
            f"<disk type='file' device='disk'><source file='x.vmdk'/>{target}<transient/></disk>",
            f"<disk type='file' device='cdrom'><source file='{name}.iso'/>{target}<readonly/></disk>",
            f"<disk type='file' device='cdrom'>{target}<readonly/></disk>",
            f"<disk type='block' device='cdrom'><source dev='/dev/{name}'/>{target}<readonly/></disk>",
            f"<disk type='block' device='lun'><source startupPolicy='optional'/>{target}<readonly/></disk>",
        ])))  # fmt: skip
    return found


@st.composite
def cards(draw: Any) -> str:
    """A network card."""
    joined = draw(st.sampled_from([
        "<interface type='bridge'><source bridge='VM Network'/>",
        "<interface type='bridge'><source bridge='x'/><target dev='vmnet7'/>",
        "<interface type='user'>", "<interface type='null'>",
        f"<interface type='vds'><source switchid='{UUID}' portid='5' portgroupid='pg-1' connectionid='3'/>",
    ]))  # fmt: skip
    model = draw(st.sampled_from(["", "<model type='vmxnet2'/>", "<model type='e1000e'/>", "<model type='vmxnet3'/>"]))
    link = draw(st.sampled_from(["", "<link state='down'/>"]))
    return f"{joined}<mac address='{draw(MACS)}'/>{model}{link}</interface>"


@st.composite
def domains(draw: Any) -> Domain:
    """Definitions that the format can say."""
    vcpus, cores = draw(st.sampled_from([(1, 1), (2, 1), (4, 2), (6, 3)]))
    memory = draw(st.integers(1, 1 << 16)) * 4096
    ports = draw(st.sampled_from([
        "", "<serial type='dev'><source path='/dev/ttyS0'/><target port='0'/></serial>",
        "<serial type='tcp'><source mode='bind' host='::' service='9'/><protocol type='tls'/><target port='2'/>" + END,
        "<parallel type='file'><source path='[ds] out'/><target port='1'/></parallel>",
    ]))  # fmt: skip
    topology = f"<cpu><topology sockets='{vcpus // cores}' dies='1' cores='{cores}' threads='1'/></cpu>"
    text = f"""<domain type='vmware'><name>x</name><uuid>{UUID}</uuid><memory>{memory}</memory>
        <currentMemory>{memory - memory % 8192 or memory}</currentMemory>
        <vcpu placement='static'{draw(st.sampled_from(["", " cpuset='0-5'"]))}>{vcpus}</vcpu>
        <cputune><shares>{draw(st.sampled_from([500, 1000, 2000, 7]))}</shares></cputune>
        <os firmware='efi'><type arch='x86_64'>hvm</type><boot dev='hd'/><boot dev='network'/></os>
        {topology if cores > 1 else ""}<clock offset='utc'/>
        <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
        <devices>{"".join(draw(disks()))}{"".join(draw(st.lists(cards(), max_size=3)))}{ports}
        <video><model type='vmvga' vram='8192' primary='yes'/></video></devices></domain>"""
    return parse(text, Domain).replace(name=draw(NAMES), description=draw(st.none() | NAMES))


def essence(x: Domain) -> Domain:
    """A definition without what is filled in when a file is read."""
    named: Any = {"mac_type": None, "mac_check": None}
    bare = [disk.replace(address=None) for disk in x.disks]
    order = sorted(bare, key=lambda disk: disk.target or "")
    return x.replace(
        disks=tuple(order),
        controllers=(),
        consoles=(),
        interfaces=tuple(card.replace(**named) for card in x.interfaces),
    )


@settings(max_examples=40, deadline=None)
@given(domains())
def test_definitions_come_back_from_their_files(x: Domain) -> None:
    once = read(write(x)).model
    assert essence(once) == essence(x.replace(name=x.name if x.name.strip() else once.name))
    assert read(write(once)).model == once


def test_the_format_is_read_and_written_by_its_name() -> None:
    text = f"{HEAD}<os><type>hvm</type></os><devices><interface type='user'/></devices></domain>"
    data = convert(text.encode(), target="vmware-vmx")
    assert b'displayName = "web"' in data
    assert b"<interface type='user'/>" in convert(data, source="vmware-vmx")


def test_the_datacenter_of_a_machine_is_said_in_the_namespace_of_libvirt() -> None:
    found = read(write(domain()), datacenter_path="a/b")
    assert ">a/b</vmware:datacenterpath>" in found.text
    assert write(parse(found.text, Domain)) == write(domain().replace(videos=found.model.videos))


def test_the_hooks_give_documents_and_bytes() -> None:
    document = config_import(data=config_export(config=read(write(domain()))))
    assert document.model.name == "web"
