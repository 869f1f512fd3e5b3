"""Machines that BIOS boots from every kind of storage: NBD below a qcow2 image, LUKS, SCSI, NVMe, USB."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import guest as small_guest
import pytest
from anyvirt.api import Failed, Invalid
from anyvirt.client._generated_sync import Connection
from boot_stage.definition import definition, image
from boot_stage.machine import Kinds, Machine
from sector_stage import boot_disk

Serve = Callable[..., None]
PATIENCE = 30.0
SECTORS = "dd of=/dev/{} bs=512 count=1 conv=sync,fsync,notrunc 2>/dev/null"
MIB = 1 << 20


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve an image over NBD until the test ends; some words of it say where."""
    with ExitStack() as running:

        def start(path: Path, name: str, *words: str) -> None:
            ready = tmp_path / f"{name}.pid"
            argv = ["qemu-nbd", "--persistent", "--format=raw", f"--pid-file={ready}", f"--export-name={name}"]
            server = running.enter_context(subprocess.Popen([*argv, *words, str(path)]))
            running.callback(server.terminate)
            end = time.monotonic() + PATIENCE
            while not ready.exists():
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.01)

        yield start


def lock(*words: str | Path) -> None:
    """Have qemu-img make something that is encrypted; at times it cannot time its own hashing, and gives up."""
    for last in (*[False] * 29, True):
        if subprocess.run(["qemu-img", *words], check=last).returncode == 0:
            break


def create(path: Path, *words: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", *words[:-1], path, words[-1]], check=True)
    return path


def test_bios_boots_a_qcow2_image_whose_backing_file_is_on_nbd(
    connection: Connection, kinds: Kinds, iso: Path, small: small_guest.Guest, tmp_path: Path, serve: Serve, port: int
) -> None:
    socket = tmp_path / "base.sock"
    serve(iso, "base", "--read-only", "--shared=4", f"--socket={socket}")
    other = tmp_path / "other.img"
    other.write_bytes(b"over TCP".ljust(MIB))
    serve(other, "a,b=c", "--bind=127.0.0.1", f"--port={port}")
    base = f"nbd+unix:///base?socket={socket}"
    top = create(tmp_path / "top.qcow2", "-f", "qcow2", "-u", "-F", "raw", "-b", base, str(iso.stat().st_size))
    below = (
        "<backingStore type='network'><format type='raw'/><source protocol='nbd' name='base'>"
        f"<host transport='unix' socket='{socket}'/></source><backingStore/></backingStore>"
    )
    disks = image(top, f"{below}<target dev='vda' bus='virtio'/><boot order='1'/>", form="qcow2") + (
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
        f"<source protocol='nbd' name='a,b=c'><host name='127.0.0.1' port='{port}'/></source>"
        "<target dev='vdb' bus='virtio'/></disk>"
    )
    with Machine(connection, definition("nbd", "", disks), small) as machine:
        machine.booted()
        said = machine.run("head -c 8 /dev/vdb; echo")
        assert said.strip() == "over TCP"
        kinds.note("disk on NBD over TCP", said, machine)
        machine.run("printf 'from the guest' | " + SECTORS.format("vdb"))
        assert other.read_bytes().startswith(b"from the guest")
        said = machine.run("printf 'from above' | " + SECTORS.format("vda") + "; head -c 10 /dev/vda; echo")
        assert said.strip() == "from above"
        kinds.note("BIOS from qcow2, backing file on NBD", said, machine)
    assert b"from above" not in iso.read_bytes()[:512]


UUID = "5d25a5ca-1f5a-4a8b-9b57-0000000000aa"


def locked(path: Path, form: str, usage: str) -> str:
    number = "a" if form == "raw" else "b"
    inside = (
        f"<source file='{path}'><encryption format='luks'><secret type='passphrase' {usage}/></encryption></source>"
        f"<target dev='vd{number}' bus='virtio'/>" + ("<boot order='1'/>" if form == "raw" else "")
    )
    return f"<disk type='file' device='disk'><driver name='qemu' type='{form}'/>{inside}</disk>"


def test_bios_boots_a_luks_volume_with_the_secret_that_it_names(
    unlocking: Callable[[dict[str, bytes]], Connection],
    kinds: Kinds,
    iso: Path,
    small: small_guest.Guest,
    tmp_path: Path,
) -> None:
    volume, second = tmp_path / "volume.luks", tmp_path / "second.qcow2"
    key = ["--object", "secret,id=key,data=a,,b=c", "-O", "luks", "-o", "key-secret=key,iter-time=10"]
    lock("convert", *key, iso, volume)
    options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"
    lock("create", "-q", *key[:2], "-f", "qcow2", "-o", options, second, "4M")
    disks = locked(volume, "raw", f"uuid='{UUID}'") + locked(second, "qcow2", "usage='the second'")
    values = {UUID: b"a,b=c", "the second": b"a,b=c"}
    with Machine(unlocking(values), definition("luks", "", disks), small) as machine:
        machine.booted()
        said = machine.run("printf 'a secret of the guest' | " + SECTORS.format("vdb") + "; head -c 2 /dev/vda | od -c")
        assert said.split() == ["0000000", "3", "355", "0000002"]  # it is the ISO, decrypted
        kinds.note("BIOS from a LUKS volume", said, machine)
    assert b"a secret of the guest" not in second.read_bytes()
    for values, error, words in (
        ({}, Invalid, "no value is known here for the secret"),
        ({UUID: b"wrong", "the second": b"a,b=c"}, Failed, "Invalid password"),
    ):
        with Machine(unlocking(values), definition("luks", "", disks), small) as machine:
            with pytest.raises(error, match=words) as refusal:
                machine.domain.start()
            assert "wrong" not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "target", "controller", "look", "shown"),
    [
        ("NVMe", "<target dev='nvme0n1' bus='nvme'/>", "<controller type='nvme'><serial>N 1</serial></controller>",
         "cat /sys/class/nvme/nvme0/model /sys/class/nvme/nvme0/serial", "QEMU NVMe Ctrl N 1"),
        ("virtio-scsi", "<target dev='sda' bus='scsi'/><vendor>ANYVIRT</vendor><product>a LAB disk</product>",
         "<controller type='scsi' model='virtio-scsi'/>",
         "cat /sys/block/sda/device/vendor /sys/block/sda/device/model", "ANYVIRT a LAB disk"),
        ("USB", "<target dev='sda' bus='usb'/><serial>U-1</serial>", "<controller type='usb' model='qemu-xhci'/>",
         "until grep -h U-1 /sys/bus/usb/devices/*/serial; do usleep 100000; done", "U-1"),
    ],
    ids=["nvme", "virtio-scsi", "usb"],
)  # fmt: skip
def test_bios_boots_the_first_disk_in_the_boot_order(
    connection: Connection,
    kinds: Kinds,
    big_iso: Path,
    full: small_guest.Guest,
    tmp_path: Path,
    kind: str,
    target: str,
    controller: str,
    look: str,
    shown: str,
) -> None:
    second = image(boot_disk(tmp_path / "second"), "<target dev='vda' bus='virtio'/><readonly/><boot order='2'/>")
    first = image(big_iso, f"{target}<boot order='1'/>")
    with Machine(connection, definition("disk", "", second + first + controller), full) as machine:
        machine.booted()
        said = machine.run(look)
        assert said.split() == shown.split()
        kinds.note(f"BIOS from {kind}", said, machine)
