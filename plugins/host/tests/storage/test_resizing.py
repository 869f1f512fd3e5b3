"""Volumes that become larger or smaller: at every step, on a full disk, after a kill."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Busy, Cancelled, Connection, Event, Failed, Invalid, Unsupported
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle
from anyvirt_host.storage.service import Service

Make = Callable[..., Handle]
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
KINDS = [pytest.param("raw"), *(pytest.param(kind, marks=needs_qemu_img) for kind in ("qcow2", "qed"))]
MIB = 1 << 20


def told(path: Path, kind: str) -> int:
    """The size that a guest sees."""
    argv = ["qemu-img", "info", "-f", kind, "--output=json", str(path)]
    return int(json.loads(subprocess.check_output(argv))["virtual-size"])


def used(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("kind", KINDS)
def test_a_volume_grows_to_a_size_or_by_one_and_keeps_its_content(make: Make, place: Path, kind: str) -> None:
    made = make("disk", 8 * MIB, kind)
    subprocess.run(["qemu-io", "-f", kind, "-c", "write -q -P 7 7M 1M", str(place / "disk")], check=True)
    made.resize(16 * MIB).wait(20)
    made.resize(4 * MIB, delta=True).wait(20)
    assert made.info().capacity == 20 * MIB == told(place / "disk", kind)
    read = ["qemu-io", "-f", kind, "-c", "read -q -P 7 7M 1M", "-c", "read -q -P 0 8M 12M", str(place / "disk")]
    assert subprocess.check_output(read) == b""


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_volume_shrinks_only_where_that_is_said(make: Make, place: Path, kind: str) -> None:
    made = make("disk", 8 * MIB, kind)
    for size, delta in ((4 * MIB, False), (-4 * MIB, True)):
        with pytest.raises(Invalid, match="lost"):
            made.resize(size, delta=delta).wait(20)
    assert made.info().capacity == 8 * MIB
    made.resize(-4 * MIB, delta=True, shrink=True).wait(20)
    assert made.info().capacity == 4 * MIB == told(place / "disk", kind)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_new_space_is_taken_at_once_where_that_is_asked(make: Make, place: Path, kind: str) -> None:
    made = make("disk", 2 * MIB, kind)
    before = used(place / "disk")
    made.resize(10 * MIB, allocate=True).wait(20)
    assert used(place / "disk") >= before + 8 * MIB
    assert made.info().capacity == 10 * MIB


def test_what_has_no_such_size_is_refused(make: Make, place: Path, storage: Connection, pool: Pool) -> None:
    raw, folder = make("disk", MIB), make("folder", 0, "dir")
    for volume, size in ((folder, MIB), (raw, -1), (raw, 1 << 63), (raw, (1 << 63) - 1)):
        with pytest.raises(Invalid):
            volume.resize(size, shrink=True).wait(20)
    assert raw.info().capacity == MIB


@needs_qemu_img
def test_what_its_format_or_its_users_forbid_is_refused_by_name(make: Make, place: Path) -> None:
    with pytest.raises(Unsupported, match="vdi"):
        make("vdi", MIB, "vdi").resize(2 * MIB).wait(20)
    base = make("base", 8 * MIB, "qcow2")
    top = make("top", None, "qcow2", below=place / "base")
    with pytest.raises(Busy, match="top"):
        base.resize(4 * MIB, shrink=True).wait(20)
    top.resize(16 * MIB).wait(20)
    assert (base.info().capacity, top.info().capacity) == (8 * MIB, 16 * MIB)
    subprocess.run(["qemu-img", "snapshot", "-c", "one", str(place / "top")], check=True)
    with pytest.raises(Invalid, match="snapshot"):
        top.resize(8 * MIB, shrink=True).wait(20)
    top.resize(17 * MIB).wait(20)
    assert top.info().capacity == 17 * MIB


@needs_qemu_img
def test_what_seems_to_be_an_image_is_resized_when_somebody_says_what_it_is(
    storage: Connection, pool: Pool, place: Path
) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(place / "found"), "8M"], check=True)
    before = (place / "found").read_bytes()
    found = storage.lookup_volume(pool, "found")
    with pytest.raises(Invalid, match="looks like qcow2"):
        found.resize(4 * MIB, shrink=True).wait(20)
    assert (place / "found").read_bytes() == before
    found.declare("<volume><name>found</name><capacity>1</capacity><target><format type='qcow2'/></target></volume>")
    found.resize(16 * MIB).wait(20)
    assert told(place / "found", "qcow2") == 16 * MIB


@needs_qemu_img
def test_an_overlay_that_grows_past_what_is_below_shows_nothing_of_that(make: Make, place: Path) -> None:
    base = make("base", 8 * MIB, "qcow2")
    top = make("top", None, "qcow2", below=place / "base")
    top.resize(4 * MIB, shrink=True).wait(20)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 9 0 8M", str(place / "base")], check=True)
    top.resize(8 * MIB).wait(20)
    read = ["qemu-io", "-f", "qcow2", "-c", "read -q -P 9 0 4M", "-c", "read -q -P 0 4M 4M", str(place / "top")]
    assert subprocess.check_output(read) == b""
    assert base.info().capacity == 8 * MIB


@needs_qemu_img
def test_a_volume_that_a_guest_has_open_is_not_resized(make: Make, place: Path) -> None:
    made = make("disk", MIB, "qcow2")
    argv = ["qemu-io", "-f", "qcow2", str(place / "disk")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guest:
        assert guest.stdin
        assert guest.stdout
        guest.stdin.write(b"length\n")
        guest.stdin.flush()
        guest.stdout.readline()
        with pytest.raises(Busy, match="qemu-io"):
            made.resize(2 * MIB).wait(20)
        guest.communicate(b"quit\n")
    made.resize(2 * MIB).wait(20)


def test_a_resize_is_told_to_whoever_follows(storage: Connection, make: Make) -> None:
    made = make("disk", MIB)
    seen: list[Event] = []
    with storage.events() as events:
        made.resize(2 * MIB).wait(20)
        for event in events:
            seen.append(event)
            if str(getattr(event, "change", "")).endswith("RESIZED"):
                break
    assert seen[-1].ref == made.ref


@pytest.fixture
def small(place: Path) -> Iterator[Path]:
    """A file system of four mebibytes."""
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system is refused here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_full_disk_leaves_the_old_size_and_takes_nothing(small: Path, make: Make, kind: str) -> None:
    made = make("disk", MIB, kind)
    before = used(small / "disk")
    with pytest.raises(Failed) as failed:
        made.resize(16 * MIB, allocate=True).wait(20)
    assert failed.value.code == "file.no-space"
    assert made.info().capacity == MIB
    assert used(small / "disk") <= before + (256 << 10)
    if kind == "qcow2":
        subprocess.run(["qemu-img", "check", "-q", "-f", kind, str(small / "disk")], check=True)


def test_a_resize_that_is_cancelled_at_any_step_leaves_the_old_size(
    storage: Connection, make: Make, place: Path
) -> None:
    service: Service = storage.session.driver.plugin
    made = make("disk", MIB)
    ended = 0
    for step in range(1, 10):
        work = service.volume_resize(made.ref, 1 << 30, allocate=True, delta=False, shrink=False)
        for _ in range(step):
            next(work)
        if (place / "disk").stat().st_size == 1 << 30:
            break
        with pytest.raises(Cancelled):
            work.throw(Cancelled("a test"))
        ended += 1
        assert (made.info().capacity, used(place / "disk")) == (MIB, 0)
    assert ended == 4


VICTIM = """
import os, signal, sys
from pathlib import Path
from anyvirt.api import open
with open("storage:///session", state_dir=Path(sys.argv[1])) as connection:
    volume = connection.lookup_volume(connection.lookup_pool("images"), "disk")
    job = volume.resize(int(sys.argv[2]), allocate=True)
    for progress in job:
        if progress.phase == sys.argv[3] and progress.done:
            os.kill(os.getpid(), signal.SIGKILL)
    job.wait(30)
"""


def test_recovery_resizes_no_file_that_took_the_place_since(
    storage: Connection, make: Make, place: Path, tmp_path: Path
) -> None:
    make("disk", MIB)
    argv: list[Any] = [sys.executable, "-c", VICTIM, tmp_path / "state", str(2 << 30), "allocating"]
    assert subprocess.run(argv, check=False).returncode == -9
    (place / "other").write_bytes(b"kept" * MIB)
    (place / "other").replace(place / "disk")
    (said,) = storage.recover()
    assert "another one now" in said
    assert (place / "disk").read_bytes() == b"kept" * MIB


@pytest.mark.parametrize("phase", ["allocating", "resizing"])
def test_a_resize_that_was_killed_is_settled_by_recovery(
    storage: Connection, make: Make, place: Path, tmp_path: Path, phase: str
) -> None:
    made = make("disk", MIB)
    argv: list[Any] = [sys.executable, "-c", VICTIM, tmp_path / "state", str(2 << 30), phase]
    assert subprocess.run(argv, check=False).returncode == -9
    whole = phase == "resizing"
    said = storage.recover()
    assert [("had been resized" in one, str(place / "disk") in one) for one in said] in ([(whole, True)], [])
    assert storage.recover() == ()
    assert made.info().capacity == (2 << 30 if whole else MIB)
    assert used(place / "disk") >= (2 << 30) - MIB if whole else used(place / "disk") == 0
    assert os.listdir(place) == ["disk"]
