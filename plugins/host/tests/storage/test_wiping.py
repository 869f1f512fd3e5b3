"""Volumes that are wiped: every algorithm's passes on the bytes themselves, holes, formats, and what a kill leaves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Busy, Connection, Failed, Invalid
from anyvirt.client._generated_sync import Volume as Handle
from anyvirt.transport.run import LocalRun, Output
from anyvirt_host.storage.backend import Sight
from anyvirt_host.storage.images.scrubbing import PASSES, scrubbed
from anyvirt_host.storage.service import Alone, Service

Make = Callable[..., Handle]
pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
SIZE = 3 * 65536
SECRET = b"the secret of the guest"
LIBVIRTS = ("zero", "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "pfitzner33", "random")
COUNTS = {"zero": 1, "nnsa": 3, "dod": 3, "bsi": 9, "gutmann": 35, "schneier": 7, "pfitzner7": 7, "pfitzner33": 33}


def sight_of(path: Path) -> Sight:
    found = path.stat()
    return Sight("file", found.st_ino, found.st_blocks * 512, found.st_size, 0o600, 0, 0, (0, 0, 0))


@pytest.mark.parametrize("algorithm", LIBVIRTS)
def test_each_pass_is_on_the_disk_before_the_next_one(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "disk"
    path.write_bytes(SECRET * (SIZE // len(SECRET)))
    size = path.stat().st_size
    seen: list[bytes] = []

    def run(*argv: str, **rest: Any) -> Output:
        out = LocalRun()(*argv, **rest)
        if any(word.startswith("of=") for word in argv) and "count=0" not in argv:
            seen.append(path.read_bytes())
        return out

    steps = list(scrubbed(run, str(path), sight_of(path), algorithm))
    assert len(seen) == len(PASSES[algorithm]) == COUNTS.get(algorithm, 1)
    for pattern, found in zip(PASSES[algorithm], seen, strict=True):
        if pattern:
            assert found == (pattern * size)[:size]
        else:
            assert len(set(found)) > 200
            assert SECRET not in found
    assert (steps[-1].done, path.stat().st_size) == (steps[-1].total, size)


def test_the_passes_of_gutmann_are_his() -> None:
    patterns = [pattern.hex() for pattern in PASSES["gutmann"] if pattern]
    assert len(patterns) == 27
    assert sorted(patterns) == sorted(
        ["55", "aa", *["924924", "492492", "249249"] * 2, "6db6db", "b6db6d", "db6db6"]
        + [f"{value:x}" * 2 for value in range(16)]
    )


def test_what_reads_otherwise_than_it_was_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(SECRET * 1000)

    def run(*argv: str, **rest: Any) -> Output:
        if "count=0" in argv:  # between the last pass and reading back
            with path.open("r+b") as file:
                file.seek(4097)
                file.write(b"\1")
        return LocalRun()(*argv, **rest)

    for algorithm in ("nnsa", "dod"):
        with pytest.raises(Failed, match="reads otherwise"):
            list(scrubbed(run, str(path), sight_of(path), algorithm))


def test_a_wiped_raw_volume_is_the_same_one_and_its_holes_are_holes(make: Make, place: Path) -> None:
    made = make("disk", 1 << 30)
    with (place / "disk").open("r+b") as file:
        file.seek(512 << 20)
        file.write(SECRET)
    before = (place / "disk").stat()
    made.wipe().wait(20)
    with (place / "disk").open("rb") as file:
        file.seek(512 << 20)
        assert file.read(len(SECRET)) == bytes(len(SECRET))
    after = (place / "disk").stat()
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)
    made.wipe("trim").wait(20)
    assert ((place / "disk").stat().st_blocks, (place / "disk").stat().st_size) == (0, 1 << 30)


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vdi", "vhdx", "vpc", "qed"])
def test_a_wiped_image_is_an_empty_one_of_its_format_and_size(make: Make, place: Path, kind: str) -> None:
    made = make("disk", 8 << 20, kind)
    subprocess.run(["qemu-io", "-f", kind, "-c", "write -q -P 7 1M 1M", str(place / "disk")], check=True)
    inode = (place / "disk").stat().st_ino
    made.wipe("random").wait(30)
    assert (place / "disk").stat().st_ino == inode
    assert made.info().capacity == 8 << 20
    assert subprocess.check_output(["qemu-io", "-f", kind, "-c", "read -q -P 0 0 8M", str(place / "disk")]) == b""
    assert [one.name for one in place.iterdir()] == ["disk"]


def test_a_wiped_overlay_shows_again_what_is_below(make: Make, place: Path) -> None:
    make("base", 8 << 20, "qcow2")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 1 0 8M", str(place / "base")], check=True)
    base = (place / "base").read_bytes()
    top = make("top", None, "qcow2", below=place / "base")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 2 0 8M", str(place / "top")], check=True)
    top.wipe().wait(20)
    assert subprocess.check_output(["qemu-io", "-f", "qcow2", "-c", "read -q -P 1 0 8M", str(place / "top")]) == b""
    assert (place / "base").read_bytes() == base


def test_what_others_need_and_what_is_no_algorithm_is_refused(storage: Connection, make: Make, place: Path) -> None:
    base = make("base", 1 << 20, "qcow2")
    before = (place / "base").read_bytes()
    top = make("top", None, "qcow2", below=place / "base")
    with pytest.raises(Busy, match="top"):
        base.wipe().wait(20)
    with pytest.raises(Invalid, match="quickly"):
        top.wipe("quickly").wait(20)
    with pytest.raises(Invalid, match="folder"):
        make("folder", 0, "dir").wipe().wait(20)
    assert (place / "base").read_bytes() == before


VICTIM = """
import os, signal, sys
from pathlib import Path
from anyvirt.api import open
with open("storage:///session", state_dir=Path(sys.argv[1])) as connection:
    job = connection.lookup_volume(connection.lookup_pool("images"), "disk").wipe("gutmann")
    for progress in job:
        if progress.done:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_a_wipe_that_was_killed_leaves_a_volume_of_its_format_and_is_told_of(
    storage: Connection, make: Make, place: Path, tmp_path: Path, kind: str
) -> None:
    made = make("disk", 8 << 20, kind)
    subprocess.run(["qemu-io", "-f", kind, "-c", "write -q -P 7 0 1M", str(place / "disk")], check=True)
    argv = [sys.executable, "-c", VICTIM, str(tmp_path / "state")]
    assert subprocess.run(argv, check=False).returncode == -9
    assert [re.findall("cut short.*wipe it again", said) != [] for said in storage.recover()] == [True]
    assert storage.recover() == ()
    assert made.info().capacity == 8 << 20
    assert os.listdir(place) == ["disk"]
    assert b"\7" * 512 not in (place / "disk").read_bytes()


def test_an_image_that_cannot_be_made_anew_is_told_of(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", 8 << 20, "qcow2")
    service: Service = storage.session.driver.plugin

    def run(*argv: str, **rest: Any) -> Output:
        lost = Output(1, b"", b"cp: error writing: Input/output error\n", tool="cp")
        return lost if "cp" in argv else LocalRun()(*argv, **rest)

    with pytest.raises(Failed, match="Input/output"):
        list(Alone(lambda: replace(service.site, run=run)).volume_wipe(made.ref, "zero"))
    assert [one.name for one in place.iterdir()] == ["disk"]
