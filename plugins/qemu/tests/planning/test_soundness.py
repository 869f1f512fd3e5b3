"""An image that QEMU would not open is told before a start; on images as qemu-img makes and breaks them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from anyvirt.api import Domain, Problem, parse
from anyvirt_qemu.planning.plan import NodeUse
from anyvirt_qemu.readiness import soundness

IMG = shutil.which("qemu-img")
needs_img = pytest.mark.skipif(not IMG, reason="qemu-img is not installed")
SECRET = "<encryption format='luks'><secret type='passphrase' usage='secret-1'/></encryption>"


def image(path: Path, form: str, *options: str) -> Path:
    assert IMG is not None
    words = [IMG, "create", "-q", "-f", form, *options, str(path), "1M"]
    subprocess.run(words, check=True)
    return path


def found(path: Path, form: str, *, encryption: str = "", writes: bool = True) -> list[Problem]:
    """What is wrong with the image of a disk; QEMU must be of the same opinion."""
    text = f"<domain><name>x</name><devices><disk type='file'><driver type='{form}'/><source file='{path}'>"
    text += f"{encryption}</source><target dev='vda'/></disk></devices></domain>"
    (disk,) = parse(text, Domain).disks
    return list(soundness.blockers("/here", NodeUse("n", "file", str(path), form), disk, writes=writes, top=True))


def opens(path: Path, form: str) -> bool:
    """Whether QEMU opens it for writing."""
    io = shutil.which("qemu-io") or pytest.skip("qemu-img is not installed")
    return subprocess.run([io, "-f", form, "-c", "write 0 512", path], capture_output=True, check=False).returncode == 0


@needs_img
def test_a_sound_image_is_none_to_talk_about(tmp_path: Path) -> None:
    for form in ("raw", "qcow2"):
        path = image(tmp_path / form, form)
        assert opens(path, form)
        assert found(path, form) == []


@needs_img
def test_an_image_that_is_marked_as_corrupt_is_told_with_what_repairs_it(tmp_path: Path) -> None:
    path = image(tmp_path / "a", "qcow2")
    with path.open("r+b") as out:
        out.seek(79)
        out.write(b"\2")
    assert not opens(path, "qcow2")
    (problem,) = found(path, "qcow2")
    assert "qemu-img check -r all" in problem.hint
    assert found(path, "qcow2", writes=False) == []


@needs_img
def test_an_image_that_is_cut_off_or_of_another_kind_is_told(tmp_path: Path) -> None:
    path = image(tmp_path / "a", "qcow2")
    os.truncate(path, 1 << 16)
    assert "cut off" in found(path, "qcow2")[0].text
    assert not opens(path, "qcow2")
    strange = image(tmp_path / "b", "qcow2")
    with strange.open("r+b") as out:
        out.seek(72)
        out.write(b"\x40")
    assert not opens(strange, "qcow2")
    assert "not known here (0x4000000000000000)" in found(strange, "qcow2")[0].text


@needs_img
def test_encryption_and_the_secret_for_it_belong_together(tmp_path: Path) -> None:
    luks, qcow2 = image(tmp_path / "l", "raw"), image(tmp_path / "q", "qcow2")
    for path, at, text in ((luks, 0, b"LUKS\xba\xbe\0\1"), (qcow2, 35, b"\2")):
        with path.open("r+b") as out:
            out.seek(at)
            out.write(text)
    assert found(luks, "raw", encryption=SECRET) == found(qcow2, "qcow2", encryption=SECRET) == []
    assert not opens(qcow2, "qcow2")
    assert found(qcow2, "qcow2")[0].code == "config.missing"
    plain = image(tmp_path / "p", "raw")
    assert "no LUKS volume" in found(plain, "raw", encryption=SECRET)[0].text
    assert "not encrypted" in found(image(tmp_path / "o", "qcow2"), "qcow2", encryption=SECRET)[0].text


SEALED = """
import subprocess, sys
from pathlib import Path
from anyvirt.api import Disk, DiskDriver
from anyvirt_qemu.readiness import soundness
from anyvirt_qemu.planning.plan import NodeUse
place = Path(sys.argv[1])
for words in (["-t", "tmpfs", "none", place], ["-o", "remount,ro", place]):
    if words[0] == "-o":
        (place / "a").write_bytes(b"")
    subprocess.run(["mount", *words], check=True)
disk = Disk(target="vda", driver=DiskDriver(type="raw"))
node = NodeUse("n", "file", str(place / "a"), "raw")
for writes in (True, False):
    print([one.text for one in soundness.blockers("/here", node, disk, writes=writes, top=True)])
"""


def test_a_file_system_that_takes_no_changes_is_told_by_that_name(tmp_path: Path) -> None:
    words = ["unshare", "-m", sys.executable, "-c", SEALED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if os.geteuid() or "Operation not permitted" in done.stderr:
        pytest.skip("mounting a small file system is refused here")
    written, read = done.stdout.splitlines()
    assert f"{tmp_path}/a is on a file system that is mounted read-only" in written
    assert read == "[]"
