"""An image that another QEMU has is told before a start, with the name of who has it: on real QEMUs and their locks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyvirt_qemu.planning.plan import Plan
from anyvirt_qemu.readiness import occupied

Guest = Callable[..., str]
Planned = Callable[..., Plan]
QEMU = shutil.which("qemu-system-x86_64")
IMG = shutil.which("qemu-img")
needs_qemu = pytest.mark.skipif(not QEMU, reason="QEMU is not installed")

DISK = "<disk type='file'><driver type='{}'/><source file='{}'/><target dev='{}' bus='virtio'/>{}</disk>"


@contextmanager
def running(path: Path, form: str, *words: str, more: str = "", name: str = "a,b") -> Iterator[int]:
    """A QEMU that has the image."""
    assert QEMU is not None
    node = f"driver={form},node-name=d,file.driver=file,file.filename={path}{more}"
    argv = [QEMU, "-name", f"guest={name.replace(',', ',,')},debug-threads=on", "-S", "-nodefaults", "-display", "none"]
    argv += ["-machine", "q35,accel=tcg", "-blockdev", node, "-device", "virtio-blk-pci,drive=d" + "".join(words)]
    argv += ["-uuid", UUID, "-qmp", "stdio"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"execute":"qmp_capabilities"}')
        process.stdin.flush()
        process.stdout.readline()
        assert b"return" in process.stdout.readline()  # its devices are there
        yield process.pid
    finally:
        process.kill()
        process.communicate()


UUID = "8a5f3c5e-2f4e-4c59-a2a8-7f3a4c6f0d11"


def found(planned: Planned, text: str) -> dict[str, Any]:
    plan = planned(text)
    return {problem.path: problem for problem in occupied.blockers(plan.domain, plan)}


@needs_qemu
def test_an_image_of_a_running_guest_is_told_with_its_name(planned: Planned, guest: Guest, tmp_path: Path) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(bytes(1 << 20))
    place = "/devices/disk[vda]/source/@file"
    text = guest(DISK.format("raw", image, "vda", ""))
    assert found(planned, text) == {}
    with running(image, "raw") as pid:
        problem = found(planned, text)[place]
        assert problem.code == "resource.busy"
        assert f"in use by the guest a,b (QEMU, process {pid})" in problem.text
        assert set(found(planned, guest(DISK.format("raw", image, "vda", "<readonly/>")))) == {place}
        assert set(found(planned, guest(DISK.format("raw", image, "vda", "<shareable/>")))) == {place}
        own = text.replace("<name>", f"<uuid>{UUID}</uuid><name>")
        assert found(planned, own) == {}, "a guest is in nobody's way but its own"
    assert found(planned, text) == {}


@needs_qemu
def test_what_qemu_itself_would_allow_is_no_blocker(planned: Planned, guest: Guest, tmp_path: Path) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(bytes(1 << 20))
    with running(image, "raw", ",share-rw=on"):
        assert found(planned, guest(DISK.format("raw", image, "vda", "<shareable/>"))) == {}
        assert found(planned, guest(DISK.format("raw", image, "vda", ""))) != {}
    with running(image, "raw", more=",read-only=on"):
        assert found(planned, guest(DISK.format("raw", image, "vda", "<readonly/>"))) == {}
        assert found(planned, guest(DISK.format("raw", image, "vda", ""))) != {}


@needs_qemu
def test_what_another_guest_stands_on_may_only_be_read(planned: Planned, guest: Guest, tmp_path: Path) -> None:
    if IMG is None:
        pytest.skip("qemu-img is not installed")
    base, top, other = tmp_path / "base", tmp_path / "top", tmp_path / "other"
    subprocess.run([IMG, "create", "-q", "-f", "qcow2", base, "1M"], check=True)
    for path in (top, other):
        subprocess.run([IMG, "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path], check=True)
    below = f"<backingStore type='file'><format type='qcow2'/><source file='{base}'/><backingStore/></backingStore>"
    with running(top, "qcow2"):
        assert found(planned, guest(DISK.format("qcow2", other, "vda", below))) == {}
        assert set(found(planned, guest(DISK.format("qcow2", base, "vda", "<backingStore/>")))) == {
            "/devices/disk[vda]/source/@file"
        }
    with running(base, "qcow2"):
        assert set(found(planned, guest(DISK.format("qcow2", other, "vda", below)))) == {
            "/devices/disk[vda]/backingStore"
        }


def test_a_block_device_that_is_mounted_is_told_with_its_place(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("36 35 8:1 / /srv/data rw,noatime master:1 - ext4 /dev/sda1 rw\n", encoding="utf-8")
    result = list(os.stat(tmp_path))
    one = os.stat_result([*result, *([0] * (18 - len(result)))], {"st_rdev": os.makedev(8, 1)})
    assert "mounted on this host, at /srv/data" in occupied.mounted("/dev/sda1", one, table)
    other = os.stat_result([*result, *([0] * (18 - len(result)))], {"st_rdev": os.makedev(8, 2)})
    assert occupied.mounted("/dev/sda2", other, table) == ""
