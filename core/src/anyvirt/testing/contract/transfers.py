"""The bytes of volumes: downloaded, uploaded, in ranges, without holes, and after an interruption."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from anyvirt.client._generated_sync import Connection, Pool, Volume
from anyvirt.errors import Busy, Invalid, NotFound, VirtError
from anyvirt.opening import open_async
from anyvirt.sparse import Hole, decode, encode
from anyvirt.testing.guests import Guests
from anyvirt.testing.killing import killed_upload
from anyvirt.testing.marks import needs, proves
from anyvirt.transport.stream import Stream

Xml = Callable[..., str]
MIB: Final = 1 << 20
CHUNK: Final = 65536
DATA: Final = random.Random(7).randbytes(MIB)


@pytest.fixture
def volume(
    connection: Connection,
    pool: Pool,
    volume_xml: Xml,
    volume_name: Callable[[int], str],
    cannot: Mapping[str, str],
    patience: float,
) -> Volume:
    """A raw volume of 8 MiB; where the pool takes none, the first that stands there."""
    if "volume_create" in connection.supports and "volume_create" not in cannot:
        return connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    found: Sequence[Volume] = pool.volumes()
    if not found:
        pytest.skip("the pool takes no volumes and has none")
    return found[0]


def put(volume: Volume, data: bytes, **range_: Any) -> None:
    """Upload all of it."""
    with volume.upload(**range_) as stream:
        for place in range(0, len(data), CHUNK):
            stream.write(data[place : place + CHUNK])


def got(volume: Volume, offset: int = 0, length: int | None = None, **wishes: Any) -> bytes:
    """Download it."""
    with volume.download(offset, length, **wishes) as stream:
        return b"".join(read(stream))


def read(stream: Stream) -> Iterator[bytes]:
    """Until the end."""
    while data := stream.read():
        yield data


@proves("volume_upload", "volume_download")
@needs("pool_define", "pool_start", "volume_info")
def test_what_was_uploaded_is_downloaded(volume: Volume) -> None:
    put(volume, DATA)
    whole = got(volume)
    assert len(whole) == volume.info().capacity
    assert whole[:MIB] == DATA


@proves("volume_upload.offset", "volume_upload.length", "volume_download.offset", "volume_download.length")
@needs("pool_define", "pool_start", "volume_info")
def test_a_range_is_uploaded_and_its_neighbours_stay(volume: Volume) -> None:
    capacity = volume.info().capacity or 0
    put(volume, DATA)
    put(volume, b"new" * 5, offset=1001, length=15)
    put(volume, b"last", offset=capacity - 4)
    assert got(volume, 1000, 17) == DATA[1000:1001] + b"new" * 5 + DATA[1016:1017]
    assert got(volume, 0, MIB) == DATA[:1001] + b"new" * 5 + DATA[1016:]
    assert got(volume, capacity - 4) == b"last"
    assert got(volume, capacity - 4, 100) == b"last"
    assert got(volume, 5, 0) == b""
    assert got(volume, capacity) == b""
    put(volume, b"", offset=capacity)


@proves("volume_upload.sparse", "volume_download.sparse")
@needs("pool_define", "pool_start", "volume_info")
def test_holes_take_no_bytes_on_their_way_and_are_zeros_in_the_end(volume: Volume) -> None:
    capacity = volume.info().capacity or 0
    put(volume, DATA)
    parts: list[bytes | Hole]
    parts = [DATA[:CHUNK], Hole(8 * CHUNK), DATA[:3], Hole(CHUNK - 3), DATA[: 2 * CHUNK], Hole(capacity - 12 * CHUNK)]
    put(volume, b"".join(encode(parts)), sparse=True)
    expected = DATA[:CHUNK] + bytes(8 * CHUNK) + DATA[:3] + bytes(CHUNK - 3) + DATA[: 2 * CHUNK]
    assert got(volume, 0, 12 * CHUNK) == expected
    carried = got(volume, sparse=True)
    assert _plain(carried) == got(volume)
    assert _plain(got(volume, 17, 3 * CHUNK, sparse=True)) == got(volume, 17, 3 * CHUNK)


@proves("volume_download.sparse")
@needs("pool_define", "pool_start", "volume_create", "volume_info")
def test_what_was_never_written_is_one_hole(
    connection: Connection,
    pool: Pool,
    volume_xml: Xml,
    volume_name: Callable[[int], str],
    cannot: Mapping[str, str],
    patience: float,
) -> None:
    if "volume_download.holes" in cannot:
        pytest.skip(f"no holes: {cannot['volume_download.holes']}")
    ref = connection.volume_create(pool, volume_xml(volume_name(1), 64, allocation=0)).wait(patience)
    carried = got(connection.volume(ref), sparse=True)
    assert len(carried) < MIB
    assert _plain(carried) == bytes(64 * MIB)


@proves("volume_upload.offset", "volume_upload.length", "volume_download.offset")
@needs("pool_define", "pool_start", "volume_info")
def test_a_range_that_is_not_in_the_volume_is_refused(volume: Volume) -> None:
    capacity = volume.info().capacity or 0
    put(volume, b"stays")
    for offset, length in ((capacity + 1, None), (-1, None), (0, -1)):
        for hook in (volume.upload, volume.download):
            with pytest.raises(Invalid):
                hook(offset, length).abort()
    for offset, length in ((0, capacity + 1), (capacity - 1, 2)):
        with pytest.raises(Invalid):
            volume.upload(offset, length).abort()
    assert got(volume, 0, 5) == b"stays"
    assert volume.info().capacity == capacity


@proves("volume_upload.length")
@needs("pool_define", "pool_start", "volume_download", "volume_info")
def test_more_than_there_is_room_for_changes_nothing(volume: Volume) -> None:
    capacity = volume.info().capacity or 0
    put(volume, b"stays", offset=capacity - 5)
    put(volume, b"stays")
    with pytest.raises(VirtError):
        put(volume, b"too much", offset=capacity - 5)
    with pytest.raises(VirtError):
        put(volume, b"too much", length=5)
    with pytest.raises(VirtError):
        put(volume, b"".join(encode([b"and", Hole(capacity)])), sparse=True)
    assert got(volume, capacity - 5) == b"stays"
    assert got(volume, 0, 5) == b"stays"


@proves("volume_upload.sparse")
@needs("pool_define", "pool_start", "volume_download")
@pytest.mark.parametrize(
    "records",
    [b"rubbish that is no record", b"D\0\0", b"D" + (9).to_bytes(8, "big") + b"short", b"H" + b"\xff" * 8],
    ids=["rubbish", "head", "data", "endless"],
)
def test_broken_records_change_nothing(volume: Volume, records: bytes) -> None:
    put(volume, b"stays" * 5)
    with pytest.raises(VirtError):
        put(volume, records, sparse=True)
    assert got(volume, 0, 25) == b"stays" * 5


@proves("volume_upload", "volume_unfinished", "volume_upload.resume")
@needs("pool_define", "pool_start", "volume_download")
@pytest.mark.parametrize("sparse", [False, True], ids=["plain", "sparse"])
def test_an_aborted_upload_changes_nothing_and_can_go_on(volume: Volume, sparse: bool) -> None:
    put(volume, bytes(2 * MIB))
    assert volume.unfinished() is None
    begun = volume.upload(offset=512, sparse=sparse)
    begun.write(b"".join(encode([DATA[:300000], Hole(100000)])) if sparse else DATA[:400000])
    begun.abort()
    assert got(volume, 0, 2 * MIB) == bytes(2 * MIB)
    kept = volume.unfinished()
    assert kept is not None
    assert (kept.offset, kept.since > 0) == (512, True)
    assert 0 < kept.length <= 400000
    expected = DATA[:300000] + bytes(100000) + DATA[400000:] if sparse else DATA
    rest = expected[kept.length :]
    put(volume, b"".join(encode([rest])) if sparse else rest, offset=512, sparse=sparse, resume=True)
    assert got(volume, 512, MIB) == expected
    assert volume.unfinished() is None


@proves("volume_upload.resume")
@needs("pool_define", "pool_start", "volume_download", "volume_unfinished")
def test_nothing_goes_on_that_was_not_begun_there(volume: Volume) -> None:
    with pytest.raises(NotFound) as refusal:
        volume.upload(resume=True).abort()
    assert refusal.value.code == "upload.not-found"
    begun = volume.upload(offset=512)
    begun.write(DATA[:CHUNK])
    begun.abort()
    with pytest.raises(VirtError):
        volume.upload(offset=513, resume=True).abort()
    assert volume.unfinished() is not None
    put(volume, b"anew")
    assert volume.unfinished() is None
    assert got(volume, 0, 4) == b"anew"


@proves("volume_upload")
@needs("pool_define", "pool_start", "volume_download")
def test_two_do_not_upload_to_one_volume_at_once(volume: Volume) -> None:
    first = volume.upload()
    first.write(DATA[:CHUNK])
    with pytest.raises(Busy):
        volume.upload().abort()
    first.close()
    assert got(volume, 0, CHUNK) == DATA[:CHUNK]
    volume.upload().abort()


@proves("volume_upload", "volume_upload.resume")
@needs("pool_define", "pool_start", "volume_download", "volume_unfinished")
def test_an_upload_whose_process_was_killed_changed_nothing_and_can_go_on(
    connection: Connection, volume: Volume, connection_uri: str, shared: bool
) -> None:
    if not shared:
        pytest.skip("no fixture shared: each connection has volumes of its own")
    put(volume, DATA)
    killed_upload(connection_uri, volume.ref, 8, offset=MIB // 2)
    connection.recover()
    assert connection.recover() == ()
    assert got(volume, 0, MIB) == DATA
    kept = volume.unfinished()
    assert kept is not None
    assert kept.offset == MIB // 2
    assert kept.length <= 8 * CHUNK
    put(volume, b"half" * ((MIB // 2 - kept.length) // 4), offset=MIB // 2, resume=True)
    assert got(volume, 0, MIB) == DATA[: MIB // 2] + b"half" * (MIB // 8)
    assert volume.unfinished() is None


@proves("volume_upload")
@needs("domain_define", "domain_start", "domain_destroy", "volume_create", "volume_path", "volume_download")
def test_nobody_uploads_to_a_volume_that_a_running_guest_has(guests: Guests, volume: Volume) -> None:
    put(volume, b"stays")
    domain = guests.running(disk=volume.path())
    with pytest.raises(Busy, match=domain.name):
        put(volume, b"other")
    assert got(volume, 0, 5) == b"stays"
    domain.destroy()
    put(volume, b"other")
    assert got(volume, 0, 5) == b"other"


@proves("volume_upload", "volume_download")
@needs("pool_define", "pool_start", "volume_info", "volume_config", "volume_unfinished")
@pytest.mark.parametrize("sparse", [False, True], ids=["plain", "sparse"])
def test_a_file_comes_and_goes_and_goes_on(volume: Volume, tmp_path: Path, sparse: bool, patience: float) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(DATA + bytes(MIB) + DATA)
    begun = volume.upload(sparse=sparse)
    begun.write(b"".join(encode([DATA[:CHUNK]])) if sparse else DATA[:CHUNK])
    begun.abort()
    kept = volume.unfinished()
    assert kept is not None
    assert volume.upload_file(str(there), sparse=sparse, resume=True).wait(patience) == 3 * MIB - kept.length
    assert volume.unfinished() is None
    assert volume.download_file(str(back), 0, 3 * MIB, sparse=sparse).wait(patience) == 3 * MIB
    assert back.read_bytes() == there.read_bytes()
    assert back.stat().st_mode & 0o777 == 0o600


@proves("volume_upload", "volume_download")
@needs("pool_define", "pool_start")
def test_bytes_come_and_go_under_asyncio(connection: Connection, volume: Volume, shared: bool) -> None:
    if not shared:
        pytest.skip("no fixture shared: each connection has volumes of its own")

    async def over_and_back() -> bytes:
        async with await open_async(connection.uri) as other:
            async with await other.volume_upload(volume.ref, offset=3) as stream:
                for place in range(0, MIB, CHUNK):
                    await stream.write(DATA[place : place + CHUNK])
            found = b""
            async with await other.volume_download(volume.ref, offset=3, length=MIB) as back:
                while data := await back.read():
                    found += data
            return found

    assert asyncio.run(over_and_back()) == DATA


@proves("volume_upload", "volume_download")
@needs("pool_define", "pool_start", "pool_stop")
def test_an_inactive_pools_volume_has_no_bytes(pool: Pool, volume: Volume) -> None:
    pool.stop()
    for hook in (volume.upload, volume.download):
        with pytest.raises(VirtError):
            hook().abort()


def _plain(carried: bytes) -> bytes:
    return b"".join(bytes(part.length) if isinstance(part, Hole) else part for part in decode([carried]))
