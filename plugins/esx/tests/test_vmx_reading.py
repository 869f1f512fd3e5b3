from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from anyvirt.api import Domain, Invalid
from anyvirt_esx.vmx.reading import read
from anyvirt_esx.vmx.writing import write
from hypothesis import given, settings
from hypothesis import strategies as st

HEAD = 'config.version = "8"\nvirtualHW.version = "13"\ndisplayName = "web"\n'


def of(*lines: str) -> Domain:
    return read((HEAD + "\n".join(lines)).encode()).model


def notes(*lines: str) -> str:
    return "; ".join(read((HEAD + "\n".join(lines)).encode()).notes)


def refused(*lines: str, head: str = HEAD) -> list[tuple[str, str, int | None]]:
    with pytest.raises(Invalid) as caught:
        read((head + "\n".join(lines)).encode())
    return [(problem.code, problem.path, problem.line) for problem in caught.value.problems]


def device(name: str, **settings: str) -> list[str]:
    return [
        f'{name}.present = "TRUE"',
        *(f'{name}.{key.replace("_", ".")} = "{text}"' for key, text in settings.items()),
    ]


def test_a_small_file_is_a_whole_definition() -> None:
    x = of()
    assert (x.type, x.name, x.uuid, x.memory, x.vcpu) == ("vmware", "web", None, 32 << 20, 1)
    assert x.os is not None
    assert (x.os.type, x.os.arch, x.os.firmware) == ("hvm", "i686", None)
    assert [(video.model, video.vram) for video in x.videos] == [("vmvga", 4 << 20)]


def test_the_version_of_the_file_and_of_the_hardware_are_checked() -> None:
    assert refused(head="") == [("config.missing", "config.version", None)]
    assert refused(head='config.version = "9"\n') == [("config.invalid", "config.version", 1)]
    assert refused(head='config.version = "8"\nvirtualHW.version = "3"\n')[0][0] == "config.range"


def test_a_name_and_a_description_have_their_escapes_undone() -> None:
    x = of('displayName = "a%2fb|22c|7Cd%"', 'annotation = "one|0Atwo 50%25"')
    assert (x.name, x.description) == ('a/b"c|d%', "one\ntwo 50%25")


def test_a_machine_without_a_name_is_called_after_its_files() -> None:
    found = read(b'config.version = "8"\nnvram = "db.nvram"\n')
    assert found.model.name == "db"
    assert "displayName" in found.notes[0]
    assert read(b'config.version = "8"\n').model.name == "guest"


def test_uuids_and_generation_ids_are_read_as_bytes() -> None:
    x = of('uuid.bios = "56 4D 9b ef ac d9 b4 e0-c8 f0 ae a8 b9 10 35 15"', 'vm.genid = "-1"', 'vm.genidX = "255"')
    assert x.uuid == "564d9bef-acd9-b4e0-c8f0-aea8b9103515"
    assert x.genid == "ffffffff-ffff-ffff-0000-0000000000ff"
    assert refused('uuid.bios = "56 4d"') == [("config.invalid", "uuid.bios", 4)]


@pytest.mark.parametrize(
    ("system", "arch"),
    [("rhel7-64", "x86_64"), ("winXPPro", "i686"), ("arm-ubuntu-64", "aarch64"), ("OTHER-64", "x86_64")],
)
def test_the_guests_system_tells_the_architecture(system: str, arch: str) -> None:
    x = of(f'guestOS = "{system}"')
    assert x.os is not None
    assert x.os.arch == arch


def test_firmware_secure_boot_smbios_and_the_boot_order_are_read() -> None:
    os = of(
        'firmware = "EFI"', 'uefi.secureBoot.enabled = "TRUE"', 'smbios.reflectHost = "TRUE"',
        'bios.bootOrder = "allow:cdrom,hdd,ethernet1"',
    ).os  # fmt: skip
    assert os is not None
    assert (os.firmware, os.smbios) == ("efi", "host")
    assert [(one.name, one.enabled) for one in os.firmware_features] == [("secure-boot", True)]
    assert [boot.dev for boot in os.boots] == ["cdrom", "hd", "network"]
    assert notes('bios.bootOrder = "hdd,zip"') == "left out, of the boot order: zip"


def test_memory_and_its_limits_are_mebibytes() -> None:
    x = of('memsize = "1024"', 'sched.mem.max = "512"', 'sched.mem.minsize = "256"')
    assert (x.memory, x.current_memory) == (1 << 30, 512 << 20)
    assert x.memtune is not None
    assert x.memtune.min_guarantee == 256 << 20
    assert of('memsize = "64"', 'sched.mem.max = "unlimited"').current_memory == 64 << 20


def test_processors_have_sockets_shares_and_places() -> None:
    x = of(
        'numvcpus = "4"', 'cpuid.coresPerSocket = "2"', 'sched.cpu.shares = "high"', 'sched.cpu.affinity = "0,1,2,5"'
    )
    assert x.cpu is not None
    assert x.cpu.topology is not None
    assert x.cputune is not None
    assert (x.vcpu, x.cpu.topology.sockets, x.cpu.topology.cores) == (4, 2, 2)
    assert (x.cputune.shares, x.vcpu_cpuset) == (8000, frozenset({0, 1, 2, 5}))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('numvcpus = "0"', "numvcpus"),
        ('numvcpus = "two"', "numvcpus"),
        ('memsize = "99999999999999999999"', "memsize"),
        ('sched.cpu.affinity = "0,,1"', "sched.cpu.affinity"),
        ('sched.cpu.affinity = "99999999999"', "sched.cpu.affinity"),
        ('sched.cpu.shares = "some"', "sched.cpu.shares"),
        ('cpuid.coresPerSocket = "3"', "cpuid.coresPerSocket"),
        ('firmware = "coreboot"', "firmware"),
    ],
)
def test_wrong_values_are_told_by_key_and_line(line: str, key: str) -> None:
    assert [(path, number) for _, path, number in refused(line)] == [(key, 4)]


def test_disks_hang_from_their_controllers() -> None:
    x = of(
        *device("scsi1", virtualDev="pvscsi"), *device("scsi1:8", fileName="a.vmdk", deviceType="scsi-hardDisk"),
        *device("sata0"), *device("sata0:1", fileName="b.vmdk", mode="independent-nonpersistent"),
        *device("ide1:1", fileName="c.vmdk", writeThrough="TRUE"),
        *device("nvme0"), *device("nvme0:3", fileName="/vmfs/volumes/ds/d.vmdk"),
    )  # fmt: skip
    names = [(disk.target, disk.bus, disk.source.file) for disk in x.disks if disk.source]
    assert names == [
        ("sdw", "scsi", "a.vmdk"), ("sdb", "sata", "b.vmdk"), ("hdd", "ide", "c.vmdk"),
        ("nvme0n4", "nvme", "[ds] d.vmdk"),
    ]  # fmt: skip
    places: list[Any] = [disk.address for disk in x.disks]
    assert [(at.controller, at.bus, at.unit) for at in places] == [(1, 0, 8), (0, 0, 1), (0, 1, 1), (0, 0, 3)]
    assert [(one.type, one.index, one.model) for one in x.controllers] == [
        ("scsi", 1, "vmpvscsi"), ("sata", 0, None), ("ide", 0, None), ("nvme", 0, None)
    ]  # fmt: skip
    assert x.disks[1].transient
    assert x.disks[2].driver is not None
    assert x.disks[2].driver.cache == "writethrough"


def test_two_places_of_one_name_get_two_names() -> None:
    x = of(
        *device("scsi0"),
        *device("scsi1"),
        *device("scsi0:16", fileName="a.vmdk"),
        *device("scsi1:0", fileName="b.vmdk"),
    )
    names = [disk.target for disk in x.disks]
    assert names[0] == "sdp"
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    ("settings", "type_", "device_", "source"),
    [
        ({"deviceType": "cdrom-image", "fileName": "x.iso"}, "file", "cdrom", "x.iso"),
        ({"deviceType": "cdrom-image", "fileName": "emptyBackingString"}, "file", "cdrom", None),
        ({"fileName": "x.ISO"}, "file", "cdrom", "x.ISO"),
        ({"deviceType": "atapi-cdrom", "fileName": "/dev/sr0"}, "block", "cdrom", "/dev/sr0"),
        ({"deviceType": "atapi-cdrom"}, "block", "cdrom", None),
        ({"deviceType": "cdrom-raw", "fileName": "auto detect"}, "block", "lun", None),
        ({"deviceType": "scsi-passthru", "fileName": "/vmfs/devices/cdrom/m"}, "block", "lun", "/vmfs/devices/cdrom/m"),
    ],
)
def test_drives_are_images_devices_or_empty(settings: dict[str, str], type_: str, device_: str, source: Any) -> None:
    (disk,) = of(*device("ide0:0", **settings)).disks
    found = (disk.source.file or disk.source.dev) if disk.source is not None else None
    assert (disk.type, disk.device, found, disk.readonly) == (type_, device_, source, True)


def test_what_is_not_there_or_not_the_hosts_is_left_out_and_told() -> None:
    lines = [
        'scsi0:0.present = "TRUE"', 'scsi0:0.fileName = "a.vmdk"', *device("ide0:0", clientDevice="TRUE"),
        'floppy0.fileName = "x"', *device("scsi3", sharedBus="virtual"), *device("serial0", fileType="thinprint"),
        *device("usb"), 'guestOS = "rhel7-64"',
    ]  # fmt: skip
    x = of(*lines)
    assert (x.disks, x.controllers, x.serials) == ((), (), ())
    told = notes(*lines)
    assert all(word in told for word in ("ide0:0", "scsi3", "serial0", "usb.present", "rhel7-64"))


def test_what_a_conversion_changes_is_told() -> None:
    assert "beside this one" in notes(*device("ide0:0", fileName="a.vmdk"))
    assert "beside" not in notes(*device("ide0:0", fileName="/vmfs/volumes/ds/a.vmdk"))
    assert "version 21" in notes('virtualHW.version = "21"')


def test_disks_in_places_that_are_none_are_refused() -> None:
    for place in ("scsi0:7", "scsi0:64", "sata0:30", "ide2:0", "ide0:2"):
        code, path, _ = refused(*device(place.partition(":")[0]), *device(place, fileName="a.vmdk"))[0]
        assert (code, path) == ("config.range", f"{place}.present")
    assert refused(*device("ide0:0", fileName="a.qcow2"))[0][:2] == ("unsupported.config", "ide0:0.fileName")
    assert refused(*device("ide0:0"))[0][:2] == ("config.missing", "ide0:0.fileName")
    assert refused(*device("ide0:0", deviceType="tape"))[0][0] == "unsupported.config"


def test_floppies_are_images_or_devices() -> None:
    lines = [
        *device("floppy0", fileType="file", fileName="a.flp"),
        *device("floppy1", fileType="device", fileName="/dev/fd0"),
    ]
    first, second = of(*lines).disks
    assert first.source is not None
    assert second.source is not None
    assert (first.target, first.bus, first.source.file) == ("fda", "fdc", "a.flp")
    assert (second.target, second.type, second.source.dev) == ("fdb", "block", "/dev/fd0")


def test_cards_are_connected_to_what_they_name() -> None:
    x = of(
        *device("ethernet0", networkName="VM Network", virtualDev="vmxnet", features="15"),
        *device("ethernet1", connectionType="nat", startConnected="FALSE"),
        *device("ethernet2", connectionType="custom", vnet="vmnet7"),
        *device("ethernet3", connectionType="hostonly"),
        *device("ethernet4", connectionType="bridged", checkMACAddress="FALSE"),
        *device("ethernet5", networkName=""),
    )
    found = [(card.type, card.source.bridge if card.source else None, card.target) for card in x.interfaces]
    assert found == [
        ("bridge", "VM Network", None), ("user", None, None), ("bridge", "vmnet7", "vmnet7"),
        ("bridge", "vmnet1", "vmnet1"), ("bridge", "vmnet0", None), ("null", None, None),
    ]  # fmt: skip
    assert (x.interfaces[0].model, x.interfaces[1].link, x.interfaces[4].mac_check) == ("vmxnet2", "down", False)


@pytest.mark.parametrize(
    "settings",
    [
        {"addressType": "static", "address": "00:50:56:zz:00:00"},
        {"virtualDev": "ne2000"},
        {"connectionType": "pvn"},
        {"connectionType": "custom"},
        {"dvs_switchId": "50"},
        {"dvs_switchId": "50 34 26 b2 94 e9 3b 16-1d 68 87 bf ff 4a 54 40", "dvs_portId": "a b"},
    ],
)
def test_cards_that_make_no_sense_are_refused(settings: dict[str, str]) -> None:
    assert refused(*device("ethernet0", **settings))


def test_ports_are_devices_files_pipes_and_addresses() -> None:
    x = of(
        *device("serial0", fileName="/dev/ttyS0"),
        *device("serial1", fileType="file", fileName="/vmfs/volumes/ds/log"),
        *device("serial2", fileType="pipe", fileName="/tmp/p"),
        *device("serial3", fileType="network", fileName="tcp://[::1]:4000", network_endPoint="client"),
        *device("parallel0", fileType="file", fileName="out"),
    )
    sources = [port.sources[0] for port in x.serials]
    assert [(port.type, source.path) for port, source in zip(x.serials, sources, strict=True)] == [
        ("dev", "/dev/ttyS0"), ("file", "[ds] log"), ("pipe", "/tmp/p"), ("tcp", None)
    ]  # fmt: skip
    assert (sources[3].mode, sources[3].host, sources[3].service, x.serials[3].protocol) == (
        "connect",
        "::1",
        "4000",
        "raw",
    )
    assert [console.type for console in x.consoles] == ["dev"]
    assert x.parallels[0].sources[0].path == "out"


@pytest.mark.parametrize("name", ["", "telnet://", "ftp://h:1", "tcp://a b:1", "tcp://h", "tcp://h:1/x", "tcp://h:%20"])
def test_addresses_that_are_none_are_refused(name: str) -> None:
    assert refused(*device("serial0", fileType="network", fileName=name)) == [("config.invalid", "serial0.fileName", 6)]


def test_vnc_sound_and_shared_folders_are_read() -> None:
    x = of(
        'RemoteDisplay.vnc.enabled = "TRUE"', 'RemoteDisplay.vnc.port = "5907"', 'RemoteDisplay.vnc.ip = "10.0.0.1"',
        'RemoteDisplay.vnc.password = "secret"', *device("sound", virtualDev="hdaudio"), 'svga.numDisplays = "2"',
        'sharedFolder.maxNum = "1"', *device("sharedFolder0", hostPath="/srv", guestName="srv", writeAccess="TRUE"),
    )  # fmt: skip
    (screen,) = x.graphics
    assert (screen.type, screen.port, screen.autoport, screen.passwd) == ("vnc", 5907, False, "secret")
    assert screen.listens[0].address == "10.0.0.1"
    assert [sound.model for sound in x.sounds] == ["ich6"]
    assert [(share.source_dir, share.target, share.readonly) for share in x.filesystems] == [("/srv", "srv", False)]
    assert x.videos[0].heads == 2


def test_shared_folders_that_are_switched_off_are_none() -> None:
    lines = device("sharedFolder0", hostPath="/srv", guestName="srv")
    assert of('isolation.tools.hgfs.disable = "TRUE"', *lines).filesystems == ()


def test_every_problem_is_told_at_once() -> None:
    found = refused('memsize = "x"', 'numvcpus = "x"', *device("ide0:0", fileName="a.img"), 'displayName = "|"')
    assert len(found) == 4


def test_values_that_the_model_does_not_take_are_refused_by_its_path() -> None:
    found = refused('RemoteDisplay.vnc.enabled = "TRUE"', 'RemoteDisplay.vnc.keymap = "a b"')
    assert [(path, line) for _, path, line in found] == [("/devices/graphics[vnc]/@keymap", None)]


@pytest.mark.parametrize(
    "lines",
    [
        [f'scsi{number}:{unit}.{key} = "1"' for number in range(100) for unit in range(100) for key in "abc"],
        [f"ethernet0.k{number} = 1" for number in range(40_000)],
        [f'bios.bootOrder = "{"1" * 100_000}x"'],
        [f'displayName = "{"%4" * 50_000}"'],
        [f'annotation = "{"|41" * 40_000}"'],
        [f'ide0:0.fileName = "/vmfs/volumes/a{"/" * 100_000}"'],
        [f'uuid.bios = "{"-" * 100_000}"'],
        [" " * 100_000 + "x"],
    ],
)
def test_a_file_full_of_anything_is_read_or_refused_soon(lines: list[str]) -> None:
    begun = time.monotonic()
    with suppress(Invalid):
        of(*lines)
    assert time.monotonic() - begun < 10


WORDS = st.sampled_from([
    "scsi0", "scsi0:0", "ide0:1", "sata0", "sata0:0", "ethernet0", "serial0", "parallel0", "floppy0", "sharedFolder0",
    "sound", "RemoteDisplay.vnc", "svga", "sched.cpu", "sched.mem", "uuid", "vm",
])  # fmt: skip
KEYS = st.sampled_from([
    "present", "fileName", "deviceType", "fileType", "virtualDev", "connectionType", "networkName", "vnet", "address",
    "addressType", "network.endPoint", "enabled", "port", "ip", "vramSize", "shares", "affinity", "bios", "genid",
    "max", "hostPath", "guestName", "dvs.switchId", "clientDevice", "mode",
])  # fmt: skip
VALUES = st.sampled_from([
    "TRUE", "FALSE", "a.vmdk", "x.iso", "", "0", "-1", "99999999999", "device", "file", "pipe", "network", "bridged",
    "nat", "custom", "tcp://h:1", "pvscsi", "e1000", "static", "00:50:56:00:00:01", "|22", "|", "auto detect",
    "cdrom-raw", "server", "é", "all", "0,1",
]) | st.text(max_size=12)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(WORDS, KEYS, VALUES), max_size=30))
def test_any_settings_are_a_definition_that_can_be_written_or_refused_with_a_code(
    lines: list[tuple[str, str, str]],
) -> None:
    text = HEAD + "".join(f'{word}.{key} = "{value}"\n' for word, key, value in lines)
    try:
        found = read(text.encode()).model
    except Invalid:
        return
    assert read(write(found)).model == found
