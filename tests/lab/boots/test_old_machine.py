"""One i440fx machine that BIOS boots from a CD, with what machines had before PCI Express."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import guest as small_guest
import pytest
from anyvirt.api import State, WatchdogFired
from anyvirt.client._generated_sync import Connection
from boot_stage.definition import definition, image
from boot_stage.machine import Kinds, Machine

DAY = 86400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("old")
    (made / "floppy").write_bytes(b"from the floppy\n".ljust(1440 << 10, b"\0"))
    (made / "ide").write_bytes(b"from ide\n".ljust(4 << 20, b"\0"))
    return made


@pytest.fixture(scope="module")
def machine(connection: Connection, folder: Path, big_iso: Path, full: small_guest.Guest) -> Iterator[Machine]:
    devices = (
        image(big_iso, "<target dev='hdc' bus='ide'/><readonly/><boot order='1'/>", device="cdrom")
        + image(folder / "floppy", "<target dev='fda' bus='fdc'/>", device="floppy")
        + image(folder / "ide", "<target dev='hda' bus='ide'/><serial>IDE-1</serial><boot order='2'/>")
        + "<interface type='user'><mac address='52:54:00:00:02:01'/><model type='e1000'/></interface>"
        "<input type='tablet' bus='usb'/><sound model='ac97'/><audio id='1' type='none'/>"
        "<watchdog model='ib700' action='poweroff'/><memballoon model='virtio'/>"
        "<crypto model='virtio' type='qemu'><backend model='builtin' queues='1'/></crypto>"
        f"<parallel type='file'><source path='{folder}/paper'/></parallel>"
        "<video><model type='vga'/></video><graphics type='vnc'/>"
    )
    more = (
        f"<currentMemory unit='MiB'>256</currentMemory><clock offset='variable' adjustment='{DAY}'/>"
        "<cpu mode='custom'><model>Nehalem</model><topology sockets='1' dies='1' cores='1' threads='2'/></cpu>"
    )
    xml = definition("old", "", devices, machine="pc", memory=320, vcpus=2, more=more)
    with Machine(connection, xml, full) as made:
        made.booted().run("sh /etc/old")
        yield made


def test_bios_boots_a_cd(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("until [ -b /dev/sr0 ]; do usleep 100000; done; cat /sys/block/sr0/device/model")
    assert said.strip() == "QEMU DVD-ROM"
    kinds.note("BIOS from a CD", said, machine)


def test_a_floppy_and_an_ide_disk(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("head -c 16 /dev/fd0")
    assert said.strip() == "from the floppy"
    kinds.note("floppy", said, machine)
    said = machine.run(
        "until [ -b /dev/sda ]; do usleep 100000; done; head -c 9 /dev/sda; cat /sys/block/sda/device/wwid"
    )
    assert said.startswith("from ide\n")
    assert "IDE-1" in said
    kinds.note("IDE disk", said, machine)


def test_a_card_a_tablet_sound_and_a_parallel_port(machine: Machine, kinds: Kinds, folder: Path) -> None:
    said = machine.run("basename $(readlink /sys/class/net/eth0/device/driver); cat /sys/class/net/eth0/address")
    assert said.split() == ["e1000", "52:54:00:00:02:01"]
    kinds.note("e1000", said, machine)
    said = machine.run("until grep -o 'QEMU USB Tablet' /proc/bus/input/devices; do usleep 100000; done")
    kinds.note("USB tablet on UHCI", said, machine)
    said = machine.run("cat /proc/asound/cards")
    assert "82801AA" in said
    kinds.note("AC97 sound", said, machine)
    machine.run("echo on paper >/dev/lp0")
    assert (folder / "paper").read_bytes() == b"on paper\n"
    kinds.note("parallel port", "on paper", machine)


def test_threads_of_one_core_less_memory_and_a_clock_a_day_ahead(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("grep -h . /sys/devices/system/cpu/cpu?/topology/thread_siblings_list")
    assert said.split() == ["0-1", "0-1"]
    kinds.note("two threads of one core", said, machine)
    said = machine.run(
        "until [ $(grep -o -m1 '[0-9]\\+' /proc/meminfo) -lt 215000 ]; do usleep 100000; done; head -1 /proc/meminfo"
    )
    kinds.note("balloon", said, machine)
    ahead = int(machine.run("cat /sys/class/rtc/rtc0/since_epoch")) - time.time()
    assert abs(ahead - DAY) < 60
    kinds.note("clock ahead of the host's", f"{ahead:.0f} s", machine)


def test_a_crypto_device_has_its_driver(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("grep -m1 -A3 virtio_crypto_aes /proc/crypto | grep driver")
    assert "virtio_crypto_aes_cbc" in said
    kinds.note("crypto", said, machine)


def test_the_watchdog_ends_it(connection: Connection, machine: Machine, kinds: Kinds) -> None:
    said = machine.run("dmesg | grep -o -m1 'WDT driver for IB700.*'")
    with connection.events() as feed:
        machine.run("watchdog -T 2 -t 60 /dev/watchdog")
        while not isinstance(event := feed.get(timeout=machine.patience), WatchdogFired):
            continue
    assert (event.ref, event.action) == (machine.domain.ref, "poweroff")
    assert machine.off().state is State.SHUTOFF
    kinds.note("watchdog of ISA", f"{said} {event.action}", machine)
