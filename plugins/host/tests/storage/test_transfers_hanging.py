"""Bytes of volumes whose storage does not answer: the server of a FUSE file system is stopped meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyvirt.api import Connection, Deadline, Interrupted, Stream, VirtError, within
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle

MIB = 1 << 20
SLACK = 8.0
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file system is mounted"),
    pytest.mark.skipif(shutil.which("fuse2fs") is None, reason="fuse2fs is not installed"),
]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder on a FUSE file system, and the process that serves it."""
    image, place = tmp_path / "ext4.img", tmp_path / "served"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    place.mkdir()
    process = subprocess.Popen(["fuse2fs", "-f", str(image), str(place)], stdout=-3, stderr=-3)
    end = time.monotonic() + 20
    while not os.path.ismount(place):
        assert time.monotonic() < end
        time.sleep(0.02)
    yield place, process.pid
    subprocess.run(["umount", "-l", str(place)], check=True)
    process.terminate()
    process.wait(20)


@pytest.fixture
def volume(storage: Connection, served: tuple[Path, int], pool_xml: Callable[[str, Path], str]) -> Handle:
    pool = storage.pool_define(pool_xml("slow", served[0]))
    pool.start()
    words = f"<volume><name>disk</name><capacity>{24 * MIB}</capacity><allocation>0</allocation></volume>"
    return storage.volume(storage.volume_create(pool, words).wait(20))


def everything(stream: Stream) -> bytes:
    return b"".join(iter(stream.read, b""))


def test_a_download_ends_at_its_deadline_and_holds_nobody(
    storage: Connection, volume: Handle, served: tuple[Path, int], pool: Pool
) -> None:
    stream = storage.volume_download(volume)
    begun = time.monotonic()
    with stopped(served[1]):
        with pytest.raises(Interrupted), within(Deadline(1.0)):
            everything(stream)
        assert pool.volumes() == ()
        stream.abort()
        with pytest.raises(VirtError):
            storage.volume_download(volume, timeout=1.0)
        assert pool.info().active
        assert time.monotonic() - begun < 3 * SLACK
    with storage.volume_download(volume) as again:
        assert len(everything(again)) == 24 * MIB


def test_an_upload_waits_on_when_its_storage_answers_again(
    storage: Connection, volume: Handle, served: tuple[Path, int], pool: Pool
) -> None:
    place, server = served
    stream = storage.volume_upload(volume)
    stream.write(b"late" * 1000)
    with stopped(server):
        with pytest.raises(Interrupted) as late, within(Deadline(1.0)):
            stream.close()
        assert late.value.reason == "deadline"
        assert pool.volumes() == ()
    with within(Deadline(20.0)):
        stream.close()
    assert (place / "disk").read_bytes()[:4000] == b"late" * 1000
    assert volume.unfinished() is None


def test_what_came_before_storage_hung_is_kept(storage: Connection, volume: Handle, served: tuple[Path, int]) -> None:
    place, server = served
    stream = storage.volume_upload(volume)
    stream.write(b"x" * MIB)
    with stopped(server):
        with pytest.raises(Interrupted), within(Deadline(1.0)):
            stream.write(b"y" * 16 * MIB)
        begun = time.monotonic()
        stream.abort()
        assert time.monotonic() - begun < SLACK
    assert set((place / "disk").read_bytes()) == {0}
    left = volume.unfinished()
    assert left is not None
    with storage.volume_upload(volume, resume=True) as stream:
        stream.write(b"z" * (24 * MIB - left.length))
    assert set((place / "disk").read_bytes()) <= set(b"xyz")
