"""One q35 machine with every device that this host can emulate: what the guest itself finds of each."""

from __future__ import annotations

import os
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import guest as small_guest
import pytest
from anyvirt.api import Reason, State
from anyvirt.client._generated_sync import Connection
from boot_stage.definition import definition, image
from boot_stage.machine import Kinds, Machine

VIRTIOFSD = shutil.which("virtiofsd", path="/usr/libexec:/usr/lib/qemu")
SWTPM = shutil.which("swtpm")
HOSTILE = 'a,b=c "q" <x> %s ,id=evil'
START = 1000000000
SHARED = f"anyvirt-boots-{os.getpid()}"
MACS = ("52:54:00:00:01:01", "52:54:00:00:01:02")


def table() -> bytes:
    """An ACPI table as firmware has it, with its checksum."""
    body = b"in an ACPI table"
    made = bytearray(
        struct.pack("<4sIBB6s8sI4sI", b"SLIC", 36 + len(body), 1, 0, b"ANYVRT", b"LABTABLE", 1, b"LABS", 1)
    )
    made += body
    made[9] = -sum(made) & 0xFF
    return bytes(made)


def told(folder: Path) -> str:
    """What firmware tells: SMBIOS, items of the configuration."""
    hostile = escape(HOSTILE)
    return (
        f"<sysinfo type='smbios'><bios><entry name='vendor'>{hostile}</entry></bios><system>"
        f"<entry name='manufacturer'>{hostile}</entry><entry name='serial'>s,,er=ial</entry></system>"
        f"<baseBoard><entry name='product'>board, one</entry></baseBoard><chassis><entry name='asset'>tag=1</entry>"
        "</chassis><oemStrings><entry>one,two=three</entry><entry>four</entry></oemStrings></sysinfo>"
        "<sysinfo type='fwcfg'><entry name='opt/org.anyvirt/text'>a,b=c</entry>"
        f"<entry name='opt/org.anyvirt/file' file='{folder}/item'/></sysinfo>"
    )


def devices(folder: Path) -> str:
    """All of them; images say which they are."""
    for name in ("sata", "blk", "fixed", "scsi", "usb"):
        (folder / name).write_bytes(f"from {name}\n".encode().ljust(4 << 20, b"\0"))
    iothread = " queues='2' iothread='1' discard='unmap'"
    identity = "<vendor>ANYVIRT</vendor><product>a LAB disk</product>"
    more = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>" if SWTPM else ""
    if VIRTIOFSD:
        more += (
            f"<filesystem type='mount'><driver type='virtiofs'/><source dir='{folder}/shared'/>"
            "<target dir='a share'/></filesystem>"
        )
    return (
        f"{more}<controller type='scsi' model='virtio-scsi'/><controller type='usb' model='qemu-xhci'/>"
        + image(folder / "sata", "<target dev='sda' bus='sata'/><serial>SATA-1</serial><wwn>5000c50015ea71ac</wwn>")
        + image(folder / "blk", "<target dev='vda' bus='virtio'/><serial>blk serial</serial>", driver=iothread)
        + image(folder / "fixed", "<target dev='vdb' bus='virtio'/><readonly/>")
        + image(
            folder / "scsi", f"<target dev='sdb' bus='scsi'/><serial>S-1</serial><wwn>5000c50015ea71ad</wwn>{identity}"
        )
        + image(folder / "usb", "<target dev='sdc' bus='usb'/><serial>USB-1</serial>")
        + f"<filesystem type='mount' accessmode='mapped'><source dir='{folder}/nine'/><target dir='nine'/></filesystem>"
        + f"<interface type='user'><mac address='{MACS[0]}'/><model type='virtio'/></interface>"
        + f"<interface type='user'><mac address='{MACS[1]}'/><model type='e1000e'/></interface>"
        "<input type='tablet' bus='usb'/><input type='keyboard' bus='usb'/><input type='mouse' bus='virtio'/>"
        "<sound model='ich9'/><audio id='1' type='none'/><watchdog model='i6300esb' action='pause'/>"
        "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><panic model='isa'/>"
        f"<serial type='file'><source path='{folder}/second'/><target port='1'/></serial>"
        f"<console type='file'><source path='{folder}/console'/><target type='virtio'/></console>"
        f"<channel type='file'><source path='{folder}/channel'/><target type='virtio' name='org.anyvirt.lab'/>"
        "</channel>"
        "<memory model='virtio-mem'><target><size unit='MiB'>512</size><node>0</node><block unit='MiB'>2</block>"
        "<requested unit='MiB'>256</requested></target></memory>"
        "<memory model='dimm'><target><size unit='MiB'>128</size><node>1</node></target></memory>"
        f"<shmem name='{SHARED}'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("devices")
    for name in ("nine", "shared"):
        (made / name).mkdir()
        (made / name / "hello").write_text("from the host\n")
    (made / "item").write_bytes(b"an item of bytes\n")
    (made / "slic").write_bytes(table())
    return made


@pytest.fixture(scope="module")
def machine(connection: Connection, folder: Path, full: small_guest.Guest) -> Iterator[Machine]:
    os_ = (
        f"<kernel>{full.kernel}</kernel><initrd>{full.initrd}</initrd>"
        f"<cmdline>{full.cmdline} memhp_default_state=online</cmdline>"
        f"<acpi><table type='slic'>{folder}/slic</table></acpi><smbios mode='sysinfo'/>"
    )
    more = (
        f"<maxMemory slots='4' unit='MiB'>2048</maxMemory><iothreads>1</iothreads>{told(folder)}"
        "<cpu mode='custom'><model>qemu64</model><topology sockets='2' dies='1' cores='1' threads='1'/><numa>"
        "<cell id='0' cpus='0' memory='192' unit='MiB'/><cell id='1' cpus='1' memory='192' unit='MiB'/></numa></cpu>"
        "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
        f"<clock offset='absolute' start='{START}'/><on_crash>preserve</on_crash>"
    )
    xml = definition("every", os_, devices(folder), memory=384, vcpus=2, more=more)
    with Machine(connection, xml, full) as made:
        yield made.booted()
    (Path("/dev/shm") / SHARED).unlink()  # which is everybody's, and stays when the guest has ended


def disk_of(machine: Machine, content: str) -> str:
    """The name that the guest has given to the disk with that content."""
    found = machine.run(
        f"for b in /sys/block/[sv]d?; do head -c 16 /dev/${{b##*/}} | grep -q 'from {content}' && echo $b; done"
    )
    assert found.startswith("/sys/block/"), found
    return found.strip()


def test_direct_kernel_boot_with_a_command_line(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("cat /proc/cmdline")
    assert said.strip().endswith("memhp_default_state=online")
    kinds.note("direct kernel", said, machine)


def test_disks_have_their_serials_names_queues_and_rights(machine: Machine, kinds: Kinds) -> None:
    blk, sata, scsi = (disk_of(machine, name) for name in ("blk", "sata", "scsi"))
    assert machine.run(f"cat {blk}/serial; echo").strip() == "blk serial"
    assert machine.run(f"ls {blk}/mq").split() == ["0", "1"]
    kinds.note("virtio-blk, two queues on an I/O thread", machine.run(f"cat {blk}/serial; echo; ls {blk}/mq"), machine)
    assert machine.run(f"cat {sata}/device/wwid").strip() == "naa.5000c50015ea71ac"
    assert "SATA-1" in machine.run(f"tail -c +5 {sata}/device/vpd_pg80; echo")
    kinds.note("SATA disk", machine.run(f"cat {sata}/device/model {sata}/device/wwid"), machine)
    said = machine.run(f"cat {scsi}/device/vendor {scsi}/device/model {scsi}/device/wwid")
    assert said.split() == ["ANYVIRT", "a", "LAB", "disk", "naa.5000c50015ea71ad"]
    kinds.note("virtio-scsi disk", said, machine)
    fixed = disk_of(machine, "fixed")
    assert machine.run(f"cat {fixed}/ro").strip() == "1"
    kinds.note("read-only disk", machine.run(f"echo no >/dev/{fixed[-3:]}"), machine)
    assert int(machine.run(f"cat {blk}/queue/discard_max_bytes")) > 0


def test_what_a_guest_discards_is_given_back_to_the_host(machine: Machine, kinds: Kinds, folder: Path) -> None:
    name = disk_of(machine, "blk")[-3:]
    machine.run(f"dd if=/dev/urandom of=/dev/{name} bs=1M seek=1 count=3 conv=fsync 2>/dev/null")
    before = (folder / "blk").stat().st_blocks
    said = machine.run(f"blkdiscard -o 1048576 /dev/{name} && echo given back")
    assert said.strip() == "given back"
    assert (folder / "blk").stat().st_blocks <= before - (2 << 20) // 512
    kinds.note("discard", said, machine)


def test_a_usb_disk_a_tablet_and_a_keyboard(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("until grep -h . /sys/bus/usb/devices/*/serial | grep USB-1; do usleep 100000; done")
    assert said.strip() == "USB-1"
    kinds.note("USB disk", said, machine)
    said = machine.run("grep -o 'QEMU .*[a-z]' /proc/bus/input/devices")
    for name in ("QEMU USB Tablet", "QEMU USB Keyboard", "QEMU Virtio Mouse"):
        assert name in said
    kinds.note("input", said, machine)


def test_a_folder_of_the_host_by_9p_is_read_and_written(machine: Machine, kinds: Kinds, folder: Path) -> None:
    said = machine.run("mkdir /mnt/nine; mount -t 9p -o trans=virtio nine /mnt/nine && cat /mnt/nine/hello")
    assert said.strip() == "from the host"
    machine.run("echo from the guest >/mnt/nine/back; sync")
    assert (folder / "nine" / "back").read_text() == "from the guest\n"
    kinds.note("9p", said, machine)


def test_a_folder_of_the_host_by_virtiofs_is_read_and_written(machine: Machine, kinds: Kinds, folder: Path) -> None:
    if not VIRTIOFSD:
        pytest.skip("virtiofsd is not installed")
    said = machine.run("mkdir /mnt/shared; mount -t virtiofs 'a share' /mnt/shared && cat /mnt/shared/hello")
    assert said.strip() == "from the host"
    machine.run("echo from the guest >/mnt/shared/back; sync")
    assert (folder / "shared" / "back").read_text() == "from the guest\n"
    kinds.note("virtiofs", said, machine)


def test_a_tpm_of_version_2(machine: Machine, kinds: Kinds) -> None:
    if not SWTPM:
        pytest.skip("swtpm is not installed")
    said = machine.run("cat /sys/class/tpm/tpm0/tpm_version_major")
    assert said.strip() == "2"
    kinds.note("TPM", f"version {said}", machine)


def test_two_cards_each_with_an_address_by_dhcp(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("cat /sys/class/net/eth?/address")
    assert said.split() == list(MACS)
    for card in ("eth0", "eth1"):
        assert "10.0.2.15" in machine.run(f"until ip -4 addr show {card} | grep -o 10.0.2.15; do usleep 100000; done")
    drivers = machine.run("for c in /sys/class/net/eth?; do basename $(readlink $c/device/driver); done")
    assert drivers.split() == ["virtio_net", "e1000e"]
    kinds.note("two network cards", f"{said} {drivers}", machine)


def test_memory_in_cells_with_a_module_and_grown_by_virtio_mem(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("grep -h MemTotal /sys/devices/system/node/node?/meminfo")
    first, second = (int(size) >> 10 for size in re.findall(r"(\d+) kB", said))
    assert 192 + 256 - 100 < first <= 192 + 256
    assert 192 < second <= 192 + 128
    kinds.note("NUMA cells, memory module, virtio-mem", said, machine)
    assert machine.run("cat /sys/devices/system/node/node?/cpulist").split() == ["0", "1"]
    assert machine.run("grep 'physical id' /proc/cpuinfo").split()[3::4] == ["0", "1"]


def test_what_the_firmware_tells_arrives_whole(machine: Machine, kinds: Kinds) -> None:
    said = machine.run(
        "cd /sys/class/dmi/id; cat sys_vendor bios_vendor product_serial board_name chassis_asset_tag; cd"
    )
    assert said.splitlines() == [HOSTILE, HOSTILE, "s,,er=ial", "board, one", "tag=1"]
    kinds.note("SMBIOS", said, machine)
    strings = machine.run("strings /sys/firmware/dmi/tables/DMI")
    assert {"one,two=three", "four"} <= set(strings.splitlines())
    said = machine.run("cd /sys/firmware/qemu_fw_cfg/by_name/opt/org.anyvirt; cat file/raw text/raw; echo; cd")
    assert said.splitlines() == ["an item of bytes", "a,b=c"]
    kinds.note("fw_cfg", said, machine)
    said = machine.run("tail -c +37 /sys/firmware/acpi/tables/SLIC; echo")
    assert said.strip() == "in an ACPI table"
    kinds.note("ACPI table", said, machine)


def test_ports_for_devices_that_come_later(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("ls -d /sys/bus/pci/drivers/pcieport/0000:* | wc -l; ls /sys/bus/pci/slots | wc -l")
    ports, slots = map(int, said.split())
    empty = machine.run(
        "for p in /sys/bus/pci/drivers/pcieport/0000:*; do ls -d $p/0000:??:??.? >/dev/null 2>&1 || echo $p; done"
    )
    assert len(empty.splitlines()) == 4
    assert slots >= ports
    kinds.note("hotplug-ready root ports", f"{ports} ports, {len(empty.splitlines())} empty", machine)


def test_serial_ports_consoles_and_channels_reach_their_files(machine: Machine, kinds: Kinds, folder: Path) -> None:
    said = machine.run("for p in ttyS1 hvc0; do echo by $p >/dev/$p; done; cat /sys/class/virtio-ports/*/name")
    assert said.split() == ["org.anyvirt.lab"]
    machine.run("for p in /dev/vport*p1; do echo by channel >$p; done")
    assert (folder / "second").read_bytes() == b"by ttyS1\r\n"
    assert (folder / "console").read_bytes() == b"by hvc0\r\n"
    assert (folder / "channel").read_bytes() == b"by channel\n"
    kinds.note("serial port, virtio console, channel", said, machine)


def test_sound_entropy_shared_memory_and_clock(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("cat /proc/asound/cards")
    assert "HDA Intel" in said
    kinds.note("sound", said, machine)
    said = machine.run("cat /sys/class/misc/hw_random/rng_current")
    assert said.strip() == "virtio_rng.0"
    kinds.note("rng", said, machine)
    said = machine.run("grep -l 0x1110 /sys/bus/pci/devices/*/device")
    assert said.count("\n") == 1
    kinds.note("shared memory", said, machine)
    since = int(machine.run("cat /sys/class/rtc/rtc0/since_epoch")) - START
    assert 0 <= since < 300
    kinds.note("clock from a time of its own", f"{since} s", machine)


def test_the_watchdog_pauses_and_a_panic_is_told(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("cat /sys/class/watchdog/watchdog0/identity")
    assert said.strip() == "i6300ESB timer"
    machine.run("watchdog -T 1 -t 60 /dev/watchdog")
    status = machine.domain.wait_for([State.PAUSED], timeout=30)
    assert status.reason is Reason.WATCHDOG
    kinds.note("watchdog", f"{said} {status.reason.value}", machine)
    machine.domain.resume()
    machine.type("echo c >/proc/sysrq-trigger")
    status = machine.domain.wait_for([State.CRASHED], timeout=30)
    kinds.note("panic", f"{status.state.value} ({status.reason.value})", machine)
