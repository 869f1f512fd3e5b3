"""Uploads where the place decides: file systems that share blocks, full ones, and devices."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Busy, Connection, Failed, Hole, Invalid, sparse
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle

MIB = 1 << 20
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file system is mounted"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")
        for tool in ("mkfs.ext4", "findmnt", "blkid")
    ),
]


@pytest.fixture
def mounted(storage: Connection, fs_xml: Callable[[str], str]) -> Iterator[Pool]:
    pool = storage.pool_define(fs_xml("mounted"))
    pool.start()
    yield pool
    pool.stop()


def made(storage: Connection, pool: Pool, size: int) -> Handle:
    words = f"<capacity>{size}</capacity><allocation>0</allocation>"
    return storage.volume(storage.volume_create(pool, f"<volume><name>disk</name>{words}</volume>").wait(20))


def used(path: Path) -> int:
    os.sync()
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@pytest.mark.parametrize("fs_kind", ["xfs", "btrfs"])
def test_what_an_upload_does_not_reach_is_shared_where_blocks_can_be(
    storage: Connection, mounted: Pool, fs_target: Path
) -> None:
    volume = made(storage, mounted, 32 * MIB)
    data = bytearray(os.urandom(32 * MIB))
    with storage.volume_upload(volume) as stream:
        stream.write(bytes(data))
    before = used(fs_target)
    for offset in (0, 5 * MIB + 123, 32 * MIB - 1):
        with storage.volume_upload(volume, offset=offset) as stream:
            stream.write(b"!")
        data[offset] = ord("!")
    assert (fs_target / "disk").read_bytes() == data
    assert used(fs_target) - before < 8 * MIB


@pytest.mark.parametrize("fs_kind", ["ext4"])
def test_a_full_place_keeps_the_old_content_and_what_came(storage: Connection, mounted: Pool, fs_target: Path) -> None:
    volume = made(storage, mounted, 24 * MIB)
    with storage.volume_upload(volume) as stream:
        stream.write(b"old" * 1000)
    room = os.statvfs(fs_target)
    filler = fs_target / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(room.f_bavail * room.f_frsize - 8 * MIB, 1))
    data = os.urandom(20 * MIB)
    with pytest.raises(Failed) as refused, storage.volume_upload(volume) as stream:
        stream.write(data)
    assert refused.value.code == "file.no-space"
    assert "resume" in refused.value.hint
    assert (fs_target / "disk").read_bytes()[:3000] == b"old" * 1000
    left = volume.unfinished()
    assert left is not None
    assert 0 < left.length < 20 * MIB
    filler.unlink()
    with storage.volume_upload(volume, resume=True) as stream:
        stream.write(data[left.length :])
    assert (fs_target / "disk").read_bytes() == data + bytes(4 * MIB)
    assert [one for one in os.listdir(fs_target) if one.startswith(".anyvirt")] == []


@pytest.fixture
def device(storage: Connection, pool: Pool, place: Path, tmp_path: Path) -> Iterator[Handle]:
    """A device of 8 MiB that is a volume of a folder."""
    backing = tmp_path / "backing"
    backing.write_bytes(b"x" * 8 * MIB)
    out = subprocess.run(["losetup", "--find", "--show", str(backing)], capture_output=True, text=True, check=False)
    if out.returncode:
        pytest.skip("no loop device can be mounted here: losetup refuses")
    loop = out.stdout.strip()
    try:
        os.mknod(place / "device", 0o600 | stat.S_IFBLK, os.stat(loop).st_rdev)
        yield storage.lookup_volume(pool, "device")
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def test_a_device_is_written_where_it_is(storage: Connection, device: Handle, place: Path) -> None:
    expected = bytearray(b"x" * 8 * MIB)
    parts: list[bytes | Hole] = [b"a" * 1000, Hole(3 * MIB + 77), b"b" * 5000, Hole(100)]
    plain = b"".join(bytes(one.length) if isinstance(one, Hole) else one for one in parts)
    with storage.volume_upload(device, offset=MIB + 13, sparse=True) as stream:
        stream.write(b"".join(sparse.encode(parts)))
        with pytest.raises(Busy, match="an upload"):
            storage.volume_upload(device)
    expected[MIB + 13 : MIB + 13 + len(plain)] = plain
    with storage.volume_download(device) as stream:
        assert b"".join(iter(stream.read, b"")) == expected
    with storage.volume_download(device, sparse=True) as stream:
        found = list(sparse.decode(iter(stream.read, b"")))
    assert b"".join(bytes(one.length) if isinstance(one, Hole) else one for one in found) == expected
    assert sum(one.length for one in found if isinstance(one, Hole)) >= 2 * MIB
    assert device.unfinished() is None
    with pytest.raises(Invalid):
        storage.volume_upload(device, length=8 * MIB + 1)
    with pytest.raises(Invalid), storage.volume_upload(device, offset=8 * MIB - 1) as stream:
        stream.write(b"12")
    assert [one.name for one in place.iterdir()] == ["device"]
