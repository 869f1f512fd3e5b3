"""Volumes with the content of another: bytes, holes, formats, chains, and what is left when it ends early."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Busy, Cancelled, Connection, Document, Exists, Failed, Invalid, Unsupported, Volume
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle
from anyvirt.transport.run import LocalRun
from anyvirt_host.storage.service import Alone, Service

Make = Callable[..., Handle]
Describe = Callable[..., Document[Volume]]
pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
SIZE = 8 << 20


def pattern(path: Path, kind: str = "raw", at: int = 1 << 20, count: int = 1 << 20, byte: int = 7) -> None:
    """Write bytes into an image as a guest would."""
    subprocess.run(["qemu-io", "-f", kind, "-c", f"write -q -P {byte} {at} {count}", str(path)], check=True)


def content(path: Path, kind: str, place: Path) -> bytes:
    """What a guest would read."""
    flat = place.parent / "flat"
    subprocess.run(["qemu-img", "convert", "-f", kind, "-O", "raw", str(path), str(flat)], check=True)
    return flat.read_bytes()


def copied(storage: Connection, pool: Pool, config: Document[Volume], source: Handle, **rest: Any) -> Handle:
    return storage.volume(storage.volume_create_from(pool, config, source, **rest).wait(30))


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk", "vdi", "vpc"])
def test_a_copy_has_the_bytes_in_its_own_format_and_the_rest_is_empty(
    storage: Connection, pool: Pool, make: Make, described: Describe, place: Path, kind: str
) -> None:
    source = make("source", SIZE)
    pattern(place / "source")
    made = copied(storage, pool, described("copy", SIZE + (1 << 20), kind), source)
    assert made.info().capacity == SIZE + (1 << 20)
    assert content(place / "copy", kind, place) == (place / "source").read_bytes() + bytes(1 << 20)
    assert (place / "copy").stat().st_blocks * 512 <= 2 << 20  # its holes are holes still


def test_a_copy_is_never_smaller_than_its_source_and_may_go_to_another_pool(
    storage: Connection,
    make: Make,
    described: Describe,
    tmp_path: Path,
    pool_xml: Callable[[str, Path], str],
    place: Path,
) -> None:
    source = make("source", SIZE, "qcow2")
    pattern(place / "source", "qcow2")
    (tmp_path / "others").mkdir()
    other = storage.pool_define(pool_xml("others", tmp_path / "others"))
    other.start()
    made = copied(storage, other, described("copy", 1), source)
    assert made.info().capacity == SIZE
    assert (tmp_path / "others/copy").read_bytes() == content(place / "source", "qcow2", place)


def test_a_copy_of_a_chain_that_was_declared_stands_on_nothing(
    storage: Connection, pool: Pool, make: Make, described: Describe, place: Path
) -> None:
    make("base", SIZE, "qcow2")
    pattern(place / "base", "qcow2", byte=1)
    top = make("top", None, "qcow2", below=place / "base")
    pattern(place / "top", "qcow2", at=4 << 20, byte=2)
    made = copied(storage, pool, described("copy", 1, "qcow2"), top)
    assert made.config().model.backing_store is None
    found = content(place / "copy", "qcow2", place)
    assert (found[1 << 20], found[4 << 20], len(found)) == (1, 2, SIZE)


def test_what_a_header_names_by_its_own_word_is_not_copied(
    storage: Connection, pool: Pool, make: Make, described: Describe, place: Path, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    hidden.write_bytes(b"secret" * 1000)
    source = make("source", SIZE, "qcow2")
    data = ["-o", f"data_file={hidden},data_file_raw=on"]
    for words in (["-b", str(hidden), "-F", "raw"], data):
        kept = (place / "source").stat().st_ino
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", *words, str(place / "source"), str(SIZE)]
        subprocess.run(argv, check=True)
        assert (place / "source").stat().st_ino == kept
        with pytest.raises(Invalid, match=r"own word|nobody else"):
            copied(storage, pool, described("copy", 1), source)
        assert [one.name for one in place.iterdir()] == ["source"]


def test_a_chain_that_goes_round_or_on_and_on_is_not_copied(
    storage: Connection, pool: Pool, make: Make, described: Describe, place: Path
) -> None:
    service: Service = storage.session.driver.plugin
    make("one", SIZE, "qcow2")
    top = make("two", None, "qcow2", below=place / "one")
    rebase = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", str(place / "two"), "-F", "qcow2", str(place / "one")]
    subprocess.run(rebase, check=True)
    (said,) = [said for said in service.site.all_declared() if said.path.endswith("one")]
    service.site.declare(said._replace(backing=str(place / "two"), backing_format="qcow2"))
    with pytest.raises(Invalid, match="more than 200"):
        copied(storage, pool, described("copy", 1), top)
    assert {one.name for one in place.iterdir()} == {"one", "two"}


def test_a_found_file_with_a_header_is_copied_as_the_bytes_that_it_is(
    storage: Connection, pool: Pool, described: Describe, place: Path
) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(place / "found"), "1G"], check=True)
    copied(storage, pool, described("copy", 1), storage.lookup_volume(pool, "found"))
    assert (place / "copy").read_bytes() == (place / "found").read_bytes()


def test_what_cannot_be_copied_is_refused_before_anything_is_made(
    storage: Connection, pool: Pool, make: Make, described: Describe, place: Path
) -> None:
    source = make("source", SIZE, "qcow2")
    folder = make("folder", 0, "dir")
    with pytest.raises(Invalid, match="is a dir"):
        copied(storage, pool, described("copy", 1), folder)
    with pytest.raises(Invalid, match="stands on nothing"):
        copied(storage, pool, described("copy", 1, "qcow2", place / "source"), source)
    with pytest.raises(Exists):
        copied(storage, pool, described("folder", 1), source)
    with pytest.raises(Invalid, match="format"):
        copied(storage, pool, described("copy", 1, "dir"), source)
    assert {one.name for one in place.iterdir()} == {"source", "folder"}


def test_what_somebody_writes_to_is_not_copied_and_what_somebody_reads_is(
    storage: Connection, pool: Pool, make: Make, described: Describe, place: Path
) -> None:
    source = make("source", SIZE, "qcow2")
    for words, name in (([], ""), (["-r"], "copy")):
        argv = ["qemu-io", *words, "-f", "qcow2", str(place / "source")]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guest:
            assert guest.stdin
            assert guest.stdout
            guest.stdin.write(b"length\n")
            guest.stdin.flush()
            guest.stdout.readline()
            if name:
                copied(storage, pool, described(name, 1), source)
            else:
                with pytest.raises(Busy, match="qemu-io"):
                    copied(storage, pool, described("copy", 1), source)
            guest.communicate(b"quit\n")
    assert {one.name for one in place.iterdir()} == {"source", "copy"}


def test_blocks_are_shared_only_where_the_file_system_can(
    storage: Connection, pool: Pool, make: Make, described: Describe, place: Path
) -> None:
    source = make("source", SIZE)
    with pytest.raises(Unsupported, match="format"):
        copied(storage, pool, described("copy", 1, "qcow2"), source, reflink=True)
    assert [one.name for one in place.iterdir()] == ["source"]


def test_a_copy_without_shared_blocks_is_not_made_where_they_were_asked_for(
    small: Path, storage: Connection, pool: Pool, make: Make, described: Describe
) -> None:
    source = make("source", 1 << 20)
    with pytest.raises(Unsupported, match="file system"):
        copied(storage, pool, described("copy", 1), source, reflink=True)
    assert [one.name for one in small.iterdir()] == ["source"]


@pytest.fixture
def btrfs(tmp_path: Path, place: Path) -> Iterator[Path]:
    """A file system that shares blocks."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a file system is mounted")
    if shutil.which("mkfs.btrfs") is None:
        pytest.skip("mkfs.btrfs is not installed")
    image = tmp_path / "fs.img"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=False, capture_output=True).returncode:
        pytest.skip("an image with a file system: none can be mounted here: mount refuses")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_a_copy_that_shares_its_blocks_takes_none_and_may_be_larger(
    btrfs: Path, storage: Connection, pool: Pool, make: Make, described: Describe, kind: str
) -> None:
    source = make("source", 64 << 20, kind)
    pattern(btrfs / "source", kind, count=48 << 20)
    before = pool.info().available or 0
    made = copied(storage, pool, described("copy", 80 << 20, kind), source, reflink=True)
    os.sync()
    assert made.info().capacity == 80 << 20
    assert before - (pool.info().available or 0) < 8 << 20
    assert content(btrfs / "copy", kind, btrfs)[: 64 << 20] == content(btrfs / "source", kind, btrfs)


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_an_image_without_copy_on_write_has_that_mark(btrfs: Path, storage: Connection, pool: Pool, kind: str) -> None:
    for name, mark in (("with", "<nocow/>"), ("without", "")):
        target = f"<target><format type='{kind}'/>{mark}</target>"
        xml = f"<volume><name>{name}</name><capacity>{SIZE}</capacity><allocation>0</allocation>{target}</volume>"
        storage.volume_create(pool, xml).wait(20)
        flags = subprocess.check_output(["lsattr", str(btrfs / name)], text=True).split()[0]
        assert ("C" in flags) == bool(mark)


@pytest.fixture
def small(place: Path) -> Iterator[Path]:
    """A file system of four mebibytes."""
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system is refused here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vdi"])
def test_a_copy_that_finds_a_full_disk_leaves_nothing(
    small: Path, storage: Connection, pool: Pool, make: Make, described: Describe, kind: str
) -> None:
    source = make("source", SIZE)
    pattern(small / "source", count=2560 << 10)
    with pytest.raises(Failed) as failed:
        copied(storage, pool, described("copy", 1, kind), source)
    assert failed.value.code == "file.no-space"
    assert [one.name for one in small.iterdir()] == ["source"]


def test_a_copy_that_takes_long_tells_how_far_it_is_and_ends_with_its_tool(
    storage: Connection, pool: Pool, described: Describe, place: Path
) -> None:
    def slow(*argv: str, **rest: Any) -> Any:
        at = argv.index("convert") + 1 if "convert" in argv else 0
        return LocalRun()(*argv[:at], *(["-r", "8M"] if at else []), *argv[at:], **rest)

    with (place / "source").open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
    service: Service = storage.session.driver.plugin
    making = Alone(lambda: replace(service.site, run=slow)).volume_create_from(
        pool.ref, described("copy", 1, "qcow2"), storage.lookup_volume(pool, "source").ref, False, False
    )
    seen = [next(making)]
    while not (seen[-1].phase == "copying" and seen[-1].done):
        seen.append(next(making))
    (hidden,) = place.glob(".anyvirt-*.new")
    pid = until(hidden / "pid")
    with pytest.raises(Cancelled):
        making.throw(Cancelled("a test"))
    assert 0 < seen[-1].done < (seen[-1].total or 0) == 64 << 20
    assert [one.name for one in place.iterdir()] == ["source"]
    assert not Path(f"/proc/{pid}/cwd").exists()


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_a_copy_whose_maker_was_killed_is_whole_or_not_there(
    storage: Connection, pool: Pool, make: Make, described: Describe, place: Path, tmp_path: Path, kind: str
) -> None:
    source = make("source", SIZE)
    pattern(place / "source")
    moments = ["make", "making", "copying", "publish"]
    for number, moment in enumerate(moments):
        name = f"copy-{number}"
        xml = described(name, 1, kind).text
        argv = [sys.executable, "-c", VICTIM, str(tmp_path / "state"), moment, xml]
        assert subprocess.run(argv, check=False).returncode == -9, moment
        storage.recover()
        assert storage.recover() == ()
        there = {str(volume.name) for volume in pool.volumes()}
        assert {one.name for one in place.iterdir()} == there
        assert "source" in there
        if name in there:
            assert content(place / name, kind, place) == (place / "source").read_bytes()
        copied(storage, pool, described(f"again-{number}", 1, kind), source)


VICTIM = """
import os, signal, sys
from pathlib import Path
from anyvirt.api import open
with open("storage:///session", state_dir=Path(sys.argv[1])) as connection:
    moment, pool = sys.argv[2], connection.lookup_pool("images")
    book = connection.session.host.jobs
    class Book:
        drop, all = book.drop, book.all
        def write(self, record):
            book.write(record)
            if record.phase == moment:
                os.kill(os.getpid(), signal.SIGKILL)
    connection.session.host.jobs = Book()
    job = connection.volume_create_from(pool, sys.argv[3], connection.lookup_volume(pool, "source"))
    for progress in job:
        if progress.phase == moment:
            os.kill(os.getpid(), signal.SIGKILL)
    job.wait(30)
"""


def until(path: Path) -> str:
    """What is written there soon; empty where the tool was done before."""
    for _ in range(200):
        try:
            if text := path.read_text().strip():
                return text
        except FileNotFoundError:
            if not path.parent.exists():
                break
        time.sleep(0.01)
    return ""


def test_a_tool_that_a_killed_process_left_at_work_is_ended_by_recovery(
    storage: Connection, pool: Pool, place: Path
) -> None:
    hidden = place / ".anyvirt-00ff.new"
    hidden.mkdir()
    script = "echo $$ >pid; exec sleep 60"
    with subprocess.Popen(["sh", "-c", script], cwd=hidden) as left, subprocess.Popen(["sleep", "60"]) as other:
        until(hidden / "pid")
        assert [str(hidden) in said for said in storage.recover()] == [True]
        assert left.wait(10) == -9
        hidden.mkdir()
        (hidden / "pid").write_text(str(other.pid))  # a number that somebody else has by now
        storage.recover()
        assert other.poll() is None
        other.kill()
    assert list(place.iterdir()) == []
    assert json.dumps(pool.config().notes) == "[]"
