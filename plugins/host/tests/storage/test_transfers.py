from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyvirt.api import Busy, Connection, Hole, Interrupted, Invalid, NotFound, Stream, VirtError, sparse
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Make = Callable[..., Handle]
MIB = 1 << 20
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def everything(stream: Stream) -> bytes:
    with stream:
        return b"".join(iter(stream.read, b""))


def hidden(place: Path) -> list[str]:
    return sorted(one.name for one in place.iterdir() if one.name.startswith("."))


def test_what_was_uploaded_is_downloaded(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", 4 * MIB)
    data = os.urandom(4 * MIB)
    with storage.volume_upload(made) as stream:
        stream.write(data)
        assert (place / "disk").read_bytes() == bytes(4 * MIB)
    assert everything(storage.volume_download(made)) == data
    assert everything(storage.volume_download(made, offset=MIB + 7, length=1000)) == data[MIB + 7 : MIB + 1007]
    assert everything(storage.volume_download(made, offset=4 * MIB)) == b""
    assert hidden(place) == []
    assert made.unfinished() is None


def test_what_an_upload_does_not_reach_stays_as_it_was(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", 4 * MIB)
    before = bytearray(os.urandom(2 * MIB) + bytes(2 * MIB))
    (place / "disk").write_bytes(before)
    with (place / "disk").open("r+b") as file:
        file.truncate(0)
        file.write(before[: 2 * MIB])
        file.truncate(4 * MIB)
    taken = (place / "disk").stat().st_blocks
    for offset, data in [(0, b"head"), (MIB + 1, os.urandom(70_000)), (4 * MIB - 3, b"end")]:
        with storage.volume_upload(made, offset=offset) as stream:
            stream.write(data)
        before[offset : offset + len(data)] = data
        assert (place / "disk").read_bytes() == before
    assert (place / "disk").stat().st_blocks <= taken + 16


def test_mode_owner_and_attributes_of_a_volume_outlive_an_upload(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", MIB)
    (place / "disk").chmod(0o640)
    labels = has_attributes(place)
    if labels:
        os.setxattr(place / "disk", "user.note", b"kept")
    with storage.volume_upload(made) as stream:
        stream.write(b"y")
    assert (place / "disk").stat().st_mode & 0o7777 == 0o640
    assert not labels or os.getxattr(place / "disk", "user.note") == b"kept"


def has_attributes(place: Path) -> bool:
    (place / "probe").touch()
    try:
        os.setxattr(place / "probe", "user.note", b"x")
    except OSError:
        return False
    return True


def test_space_that_was_set_aside_stays_so(storage: Connection, pool: Pool, place: Path) -> None:
    ref = storage.volume_create(pool, f"<volume><name>disk</name><capacity>{4 * MIB}</capacity></volume>").wait(20)
    assert (place / "disk").stat().st_blocks * 512 == 4 * MIB
    with storage.volume_upload(ref) as stream:
        stream.write(b"x")
    assert (place / "disk").stat().st_blocks * 512 == 4 * MIB


@pytest.mark.parametrize(
    ("offset", "length", "data"),
    [(0, MIB + 1, 0), (MIB - 1, 2, 0), (MIB + 1, None, 0), (0, None, MIB + 1), (MIB - 1, None, 2), (8, 4, 5)],
)
def test_more_than_a_volume_holds_is_refused_and_nothing_is_written(
    storage: Connection, make: Make, place: Path, offset: int, length: int | None, data: int
) -> None:
    made = make("disk", MIB)
    with pytest.raises(Invalid), storage.volume_upload(made, offset=offset, length=length) as stream:
        stream.write(b"x" * data)
    assert (place / "disk").read_bytes() == bytes(MIB)
    assert hidden(place) == []


def test_a_writer_hears_at_once_why_no_more_is_taken(storage: Connection, make: Make) -> None:
    stream = storage.volume_upload(make("disk", MIB))
    with pytest.raises(Invalid, match="room for no more"):
        stream.write(bytes(64 * MIB))
    with pytest.raises(Invalid, match="room for no more"):
        stream.close()


@pytest.mark.parametrize("offset", [-1, 1 << 63])
def test_a_range_that_no_volume_has_is_refused(storage: Connection, make: Make, offset: int) -> None:
    made = make("disk", MIB)
    for hook in (storage.volume_download, storage.volume_upload):
        with pytest.raises(Invalid):
            hook(made, offset=offset)
        with pytest.raises(Invalid):
            hook(made, offset=2 * MIB)


def test_holes_are_told_and_stay_holes(storage: Connection, make: Make, place: Path) -> None:
    made, copy = make("disk", 64 * MIB), make("copy", 64 * MIB)
    with (place / "disk").open("r+b") as file:
        file.seek(16 * MIB)
        file.write(b"x" * MIB)
    stream = everything(storage.volume_download(made, sparse=True))
    found = list(sparse.decode([stream]))
    assert found[0] == Hole(16 * MIB)
    assert sum(len(part) for part in found if isinstance(part, bytes)) == MIB
    assert len(stream) < 2 * MIB
    with storage.volume_upload(copy, sparse=True) as writer:
        writer.write(stream)
    assert (place / "copy").read_bytes() == (place / "disk").read_bytes()
    assert (place / "copy").stat().st_blocks == (place / "disk").stat().st_blocks
    part = list(sparse.decode([everything(storage.volume_download(made, 17 * MIB - 5, 10, sparse=True))]))
    assert part == [b"x" * 5, Hole(5)]


def test_a_hole_makes_zeros_of_what_was_there(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", 4 * MIB)
    (place / "disk").write_bytes(b"x" * 4 * MIB)
    with storage.volume_upload(made, offset=MIB, sparse=True) as stream:
        stream.write(b"".join(sparse.encode([Hole(MIB), b"y" * 10, Hole(6)])))
    expected = b"x" * MIB + bytes(MIB) + b"y" * 10 + bytes(6) + b"x" * (2 * MIB - 16)
    assert (place / "disk").read_bytes() == expected


@pytest.mark.parametrize("records", [b"no records at all", sparse.hole(2 * MIB), sparse.data_head(10) + b"cut"])
def test_broken_records_change_nothing(storage: Connection, make: Make, place: Path, records: bytes) -> None:
    made = make("disk", MIB)
    with pytest.raises(Invalid), storage.volume_upload(made, sparse=True) as stream:
        stream.write(records)
    assert (place / "disk").read_bytes() == bytes(MIB)
    assert hidden(place) == []


def test_an_upload_that_broke_off_is_shown_and_resumed(
    storage: Connection, make: Make, pool: Pool, place: Path
) -> None:
    made = make("disk", 4 * MIB)
    data = os.urandom(3 * MIB)
    stream = storage.volume_upload(made, offset=MIB)
    stream.write(data[:MIB])
    with pytest.raises(Busy):
        storage.volume_upload(made)
    with pytest.raises(Busy):
        pool.stop()
    with pytest.raises(Busy, match="an upload"):
        made.delete()
    stream.abort()
    left = made.unfinished()
    assert left is not None
    assert (left.offset, left.length) == (MIB, MIB)
    assert "was not finished" in made.config().notes[0]
    assert "came of an upload" in pool.config().notes[0]
    assert (place / "disk").read_bytes() == bytes(4 * MIB)
    with pytest.raises(Invalid, match=f"began at byte {MIB}"):
        storage.volume_upload(made, resume=True)
    with storage.volume_upload(made, offset=MIB, resume=True) as stream:
        stream.write(data[left.length :])
    assert (place / "disk").read_bytes() == bytes(MIB) + data
    assert hidden(place) == []
    with pytest.raises(NotFound) as gone:
        storage.volume_upload(made, resume=True)
    assert gone.value.kind == "upload"


def test_what_is_kept_goes_when_another_upload_begins(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", MIB)
    for data in (b"one", b"other"):
        stream = storage.volume_upload(made)
        stream.write(data)
        stream.abort()
    left = made.unfinished()
    assert left is not None
    assert left.length == 5
    with storage.volume_upload(made):
        pass
    assert (place / "disk").read_bytes() == bytes(MIB)
    assert made.unfinished() is None
    assert hidden(place) == []


def test_what_is_kept_is_nothing_of_another_file_in_that_place(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", MIB)
    stream = storage.volume_upload(made)
    stream.write(b"for the first")
    stream.abort()
    (place / "other").write_bytes(bytes(MIB))
    (place / "other").rename(place / "disk")
    assert made.unfinished() is None
    with pytest.raises(NotFound):
        storage.volume_upload(made, resume=True)


def test_a_volume_that_is_replaced_while_bytes_come_keeps_its_content(
    storage: Connection, make: Make, place: Path
) -> None:
    made = make("disk", MIB)
    stream = storage.volume_upload(made)
    stream.write(b"late")
    (place / "other").write_bytes(b"z" * MIB)
    (place / "other").rename(place / "disk")
    with pytest.raises(Busy):
        stream.close()
    assert (place / "disk").read_bytes() == b"z" * MIB


@needs_qemu_img
def test_an_image_that_was_uploaded_is_of_the_declared_format_and_nothing_else(
    storage: Connection, make: Make, pool: Pool, place: Path, tmp_path: Path
) -> None:
    made = make("disk", MIB, "qcow2")
    local = tmp_path / "local"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(local), "96M"], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 4M", str(local)], check=True, stdout=subprocess.DEVNULL)
    with storage.volume_upload(made) as stream:
        stream.write(local.read_bytes())
    assert (place / "disk").read_bytes() == local.read_bytes()
    assert made.info().capacity == 96 * MIB
    raw = make("raw", 8 * MIB)
    with storage.volume_upload(raw) as stream:
        stream.write(local.read_bytes())
    assert raw.info().capacity == 8 * MIB
    target = raw.config().model.target
    assert target is not None
    assert str(target.format) == "raw"
    pool.refresh()
    assert made.info().capacity == 96 * MIB


def test_a_folder_has_no_bytes(storage: Connection, pool: Pool, place: Path) -> None:
    (place / "folder").mkdir()
    volume = storage.lookup_volume(pool, "folder")
    for hook in (storage.volume_download, storage.volume_upload):
        with pytest.raises(Invalid, match="folder"):
            hook(volume)
    assert volume.unfinished() is None


def test_closing_a_download_early_is_no_error(storage: Connection, make: Make) -> None:
    stream = storage.volume_download(make("disk", 64 * MIB))
    assert stream.read(10) == bytes(10)
    stream.close()


def test_a_volume_that_shrinks_while_it_is_read_is_an_error(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", 64 * MIB)
    stream = storage.volume_download(made)
    stream.read(1)
    os.truncate(place / "disk", MIB)
    with pytest.raises(Interrupted, match="smaller"):
        everything(stream)


@contextmanager
def opened_by_qemu(path: Path) -> Iterator[None]:
    words = ["qemu-io", "-f", "raw", str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"length\n")
        process.stdin.flush()
        while b"MiB" not in process.stdout.readline():
            assert process.poll() is None
        yield
        process.communicate(b"quit\n", timeout=20)


@pytest.mark.skipif(shutil.which("qemu-io") is None, reason="qemu-io is not installed")
def test_a_volume_that_qemu_has_open_takes_no_upload_whenever_it_came(
    storage: Connection, make: Make, place: Path
) -> None:
    made = make("disk", 4 * MIB)
    with opened_by_qemu(place / "disk"):
        with pytest.raises(Busy, match="qemu-io"):
            storage.volume_upload(made)
        assert everything(storage.volume_download(made)) == bytes(4 * MIB)
    stream = storage.volume_upload(made)
    stream.write(b"x")
    with opened_by_qemu(place / "disk"), pytest.raises(Busy, match="qemu-io"):
        stream.close()
    assert (place / "disk").read_bytes() == bytes(4 * MIB)
    with storage.volume_upload(made, resume=True):
        pass
    assert (place / "disk").read_bytes() == b"x" + bytes(4 * MIB - 1)


def test_whoever_carries_the_bytes_may_be_killed(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk", 4 * MIB)
    stream = storage.volume_upload(made)
    stream.write(b"x" * MIB)
    part = next(place.glob(".anyvirt-*.part"))
    pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal() and holds(one, part)]
    assert len(pids) == 1
    os.kill(pids[0], 9)
    with pytest.raises(VirtError):
        stream.close()
    assert (place / "disk").read_bytes() == bytes(4 * MIB)
    left = made.unfinished()
    assert left is not None
    with storage.volume_upload(made, resume=True) as stream:
        stream.write(b"x" * (MIB - left.length))
    assert (place / "disk").read_bytes() == b"x" * MIB + bytes(3 * MIB)


def holds(process: Path, path: Path) -> bool:
    try:
        return any(os.readlink(one) == str(path) for one in (process / "fd").iterdir())
    except OSError:
        return False


PIECES = st.lists(
    st.one_of(st.builds(Hole, st.integers(1, 200_000)), st.integers(1, 90_000).map(lambda size: b"\xa5" * size)),
    max_size=6,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=PIECES, offset=st.integers(0, 2 * MIB), cut=st.integers(0, 600_000))
def test_any_range_in_any_pieces_ends_as_it_would_in_memory(
    storage: Connection, make: Make, place: Path, pieces: list[bytes | Hole], offset: int, cut: int
) -> None:
    name = hashlib.sha256(repr((pieces, offset, cut)).encode()).hexdigest()[:20]
    if not (place / name).exists():
        make(name, 4 * MIB)
    path = place / name
    path.write_bytes(b"x" * MIB)
    os.truncate(path, 4 * MIB)
    expected = bytearray(path.read_bytes())
    plain = b"".join(bytes(one.length) if isinstance(one, Hole) else one for one in pieces)
    expected[offset : offset + len(plain)] = plain
    ref = next(one.ref for one in storage.lookup_pool("images").volumes() if one.name == name)
    stream = storage.volume_upload(ref, offset=offset, sparse=True)
    stream.write(b"".join(sparse.encode(pieces))[:cut])
    stream.abort()
    left = storage.volume_unfinished(ref)
    assert left is not None
    rest = plain[left.length :]
    with storage.volume_upload(ref, offset=offset, resume=True) as stream:
        stream.write(rest)
    assert path.read_bytes() == expected
    back = everything(storage.volume_download(ref, sparse=True))
    again = b"".join(bytes(one.length) if isinstance(one, Hole) else one for one in sparse.decode([back]))
    assert again == expected
