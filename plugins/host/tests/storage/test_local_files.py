"""Volumes from and into files of this machine, by jobs of the connection."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Busy, Cancelled, Connection, Denied, Invalid, JobState, NotFound, VirtError, open_async
from anyvirt.client._generated_sync import Volume as Handle

Make = Callable[..., Handle]
MIB = 1 << 20


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A file of 24 MiB with a hole in it."""
    path = tmp_path / "local.img"
    with path.open("wb") as file:
        file.write(os.urandom(3 * MIB + 17))
        file.seek(20 * MIB)
        file.write(os.urandom(4 * MIB))
    return path


@pytest.mark.parametrize("sparse", [False, True])
def test_a_file_goes_up_and_comes_down_the_same(
    make: Make, place: Path, local: Path, tmp_path: Path, sparse: bool
) -> None:
    made = make("disk", 24 * MIB)
    job = made.upload_file(str(local), sparse=sparse)
    steps = [step.done for step in job]
    assert job.wait(30) == 24 * MIB
    assert (steps[-1], steps) == (24 * MIB, sorted(steps))
    assert (place / "disk").read_bytes() == local.read_bytes()
    back = tmp_path / "back.img"
    back.write_bytes(b"what was there")
    assert made.download_file(str(back), sparse=sparse).wait(30) == 24 * MIB
    assert back.read_bytes() == local.read_bytes()
    if sparse:
        assert (place / "disk").stat().st_blocks == back.stat().st_blocks == local.stat().st_blocks
    assert back.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in tmp_path.glob("back*")) == ["back.img"]


def test_a_part_goes_where_it_belongs(make: Make, place: Path, tmp_path: Path) -> None:
    made = make("disk", 4 * MIB)
    (tmp_path / "part").write_bytes(b"abc")
    made.upload_file(str(tmp_path / "part"), offset=MIB).wait(30)
    assert (place / "disk").read_bytes() == bytes(MIB) + b"abc" + bytes(3 * MIB - 3)
    assert made.download_file(str(tmp_path / "back"), offset=MIB - 1, length=5).wait(30) == 5
    assert (tmp_path / "back").read_bytes() == b"\0abc\0"


def test_a_cancelled_upload_is_resumed(make: Make, place: Path, local: Path, tmp_path: Path) -> None:
    made = make("disk", 24 * MIB)
    job = made.upload_file(str(local))
    for step in job:
        if step.done >= 5 * MIB:
            job.cancel()
            break
    with pytest.raises(Cancelled):
        job.wait(30)
    assert job.state is JobState.CANCELLED
    assert (place / "disk").read_bytes() == bytes(24 * MIB)
    left = made.unfinished()
    assert left is not None
    assert left.length >= 5 * MIB
    (tmp_path / "short").write_bytes(b"another file")
    with pytest.raises(Invalid, match="not of this file"):
        made.upload_file(str(tmp_path / "short"), resume=True).wait(30)
    assert made.upload_file(str(local), sparse=True, resume=True).wait(30) == 24 * MIB - left.length
    assert (place / "disk").read_bytes() == local.read_bytes()
    assert made.upload_file(str(local), resume=True).wait(30) == 24 * MIB


def test_a_cancelled_download_is_resumed_while_the_volume_is_the_same(make: Make, local: Path, tmp_path: Path) -> None:
    made = make("disk", 24 * MIB)
    made.upload_file(str(local)).wait(30)
    back = tmp_path / "back"

    def cut(at: int) -> int:
        job = made.download_file(str(back), sparse=True)
        for step in job:
            if step.done >= at:
                job.cancel()
                break
        with pytest.raises(Cancelled):
            job.wait(30)
        return (tmp_path / "back.part").stat().st_size

    assert cut(2 * MIB) >= 2 * MIB
    with (tmp_path / "back.part").open("r+b") as file:
        file.write(b"mark")  # what is there is not fetched again
    assert made.download_file(str(back), resume=True).wait(30) == 24 * MIB
    assert back.read_bytes() == b"mark" + local.read_bytes()[4:]
    back.unlink()
    assert cut(2 * MIB) >= 2 * MIB
    (tmp_path / "other").write_bytes(b"new")
    made.upload_file(str(tmp_path / "other")).wait(30)
    made.download_file(str(back), resume=True).wait(30)
    assert back.read_bytes() == b"new" + local.read_bytes()[3:]


def test_a_file_that_is_too_large_changes_nothing(make: Make, place: Path, local: Path) -> None:
    made = make("disk", 4 * MIB)
    with pytest.raises(Invalid, match="no more"):
        made.upload_file(str(local)).wait(30)
    with pytest.raises(Invalid):
        made.upload_file(str(local), offset=MIB).wait(30)
    assert (place / "disk").read_bytes() == bytes(4 * MIB)
    assert made.unfinished() is None


def test_files_that_cannot_be_are_coded_errors(make: Make, tmp_path: Path) -> None:
    made = make("disk")
    with pytest.raises(NotFound):
        made.upload_file(str(tmp_path / "gone")).wait(30)
    with pytest.raises(NotFound):
        made.download_file(str(tmp_path / "gone/file")).wait(30)
    with pytest.raises(VirtError):
        made.upload_file(str(tmp_path)).wait(30)
    (tmp_path / "held.part").touch()
    with (tmp_path / "held.part").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another download"):
            made.download_file(str(tmp_path / "held")).wait(30)


def test_a_read_only_connection_carries_nothing(storage: Connection, make: Make, local: Path, tmp_path: Path) -> None:
    made = make("disk", 24 * MIB)

    async def both() -> None:
        async with await open_async("storage:///session", state_dir=tmp_path / "state", readonly=True) as other:
            for job in (other.volume(made.ref).upload_file(str(local)), other.volume(made.ref).download_file("x")):
                with pytest.raises(Denied):
                    await job.wait(30)

    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        asyncio.run(both())
    finally:
        os.chdir(here)


def test_files_go_both_ways_under_asyncio(make: Make, local: Path, tmp_path: Path) -> None:
    made = make("disk", 24 * MIB)

    async def both() -> tuple[int, int]:
        async with await open_async("storage:///session", state_dir=tmp_path / "state") as other:
            volume = other.volume(made.ref)
            sent = await volume.upload_file(str(local), sparse=True).wait(30)
            job = volume.download_file(str(tmp_path / "back"), sparse=True)
            steps = [step.done async for step in job]
            assert steps[-1] == 24 * MIB
            return sent, await job.wait(30)

    assert asyncio.run(both()) == (24 * MIB, 24 * MIB)
    assert (tmp_path / "back").read_bytes() == local.read_bytes()
