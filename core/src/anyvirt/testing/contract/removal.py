"""Taking volumes away: with care, for a while, and what is said of images that were found."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from anyvirt.client._generated_sync import Connection, Pool, Volume
from anyvirt.errors import Busy, Exists, Invalid, NotFound, VirtError
from anyvirt.testing.contract.transfers import got, put
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import needs, proves

Xml = Callable[..., str]
Name = Callable[[int], str]
HOUR: Final = 3600


@pytest.fixture
def linked(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> tuple[Volume, Volume]:
    """A raw volume, and one that stands on it."""
    base = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    xml = volume_xml(volume_name(2), format="qcow2", below=(base.path(), "raw"))
    return base, connection.volume(connection.volume_create(pool, xml).wait(patience))


@proves("volume_delete")
@needs("pool_define", "pool_start", "volume_create", "pool_volumes", "volume_info")
def test_a_deleted_volume_is_gone(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    for number in (1, 2):
        connection.volume_create(pool, volume_xml(volume_name(number))).wait(patience)
    one = pool.lookup_volume(volume_name(1))
    connection.volume_delete(one)
    assert [volume.name for volume in pool.volumes()] == [volume_name(2)]
    with pytest.raises(NotFound):
        one.info()
    with pytest.raises(NotFound):
        connection.volume_delete(one)


@proves("volume_delete")
@needs("pool_define", "pool_start", "volume_create", "volume_upload", "volume_download")
def test_a_later_volume_of_that_name_has_nothing_of_the_deleted_one(
    connection: Connection,
    pool: Pool,
    volume_xml: Xml,
    volume_name: Name,
    cannot: dict[str, str],
    patience: float,
) -> None:
    if "volume_download.holes" in cannot:
        pytest.skip(f"no holes: {cannot['volume_download.holes']}")
    first = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    put(first, b"private")
    begun = first.upload(offset=4096)
    begun.write(b"unfinished")
    begun.abort()
    first.delete()
    later = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    assert got(later, 0, 8192) == bytes(8192)
    assert later.unfinished() is None


@proves("volume_losses")
@needs("pool_define", "pool_start", "volume_path", "volume_info")
def test_what_a_delete_would_take_away_is_told_and_nothing_is_done(volume: Volume) -> None:
    losses = volume.losses()
    assert [loss for loss in losses if loss.path == volume.path()]
    assert not [loss for loss in losses if loss.user]
    assert all(loss.why for loss in losses)
    assert volume.info().capacity


@proves("volume_delete.force", "volume_losses.force")
@needs("pool_define", "pool_start", "volume_create.config=qcow2", "volume_info", "pool_volumes")
def test_a_backing_file_is_not_deleted_unless_by_force(pool: Pool, linked: tuple[Volume, Volume]) -> None:
    base, over = linked
    assert any(over.name in loss.user for loss in base.losses())
    assert not any(loss.user for loss in over.losses())
    with pytest.raises(Busy) as refusal:
        base.delete()
    assert over.name in str(refusal.value)
    assert refusal.value.hint
    with pytest.raises(Busy):
        base.delete(trash=HOUR)
    assert base.info().capacity
    assert base.losses(force=True)
    base.delete(force=True)
    assert [volume.ref for volume in pool.volumes()] == [over.ref]
    assert over.chain()[-1].note
    over.delete()


@proves("volume_delete")
@needs("pool_define", "pool_start", "volume_create.config=qcow2", "pool_volumes")
def test_what_stands_on_nobody_is_deleted_from_the_top(pool: Pool, linked: tuple[Volume, Volume]) -> None:
    base, over = linked
    over.delete()
    base.delete()
    assert pool.volumes() == ()


@proves("volume_delete.force")
@needs("domain_define", "domain_start", "domain_destroy", "volume_create", "volume_path", "volume_losses")
def test_a_volume_that_a_running_guest_has_is_not_deleted(pool: Pool, guests: Guests, volume: Volume) -> None:
    domain = guests.running(disk=volume.path())
    assert any(domain.name in loss.user for loss in volume.losses())
    for trash in (0, HOUR):
        with pytest.raises(Busy, match=domain.name):
            volume.delete(trash=trash)
    assert volume.ref in {one.ref for one in pool.volumes()}
    domain.destroy()
    volume.delete(force=True)
    assert volume.ref not in {one.ref for one in pool.volumes()}


@proves("volume_delete.zeroed")
@needs("pool_define", "pool_start", "volume_create", "pool_volumes", "volume_upload")
def test_a_volume_is_overwritten_before_it_is_gone(pool: Pool, volume: Volume) -> None:
    put(volume, b"private" * 1000)
    volume.delete(zeroed=True)
    assert pool.volumes() == ()


@proves("volume_delete.trash", "pool_trash", "volume_restore")
@needs(
    "pool_define", "pool_start", "volume_create", "pool_volumes", "volume_upload", "volume_download", "volume_config"
)
def test_a_deleted_volume_is_kept_and_brought_back(connection: Connection, pool: Pool, volume: Volume) -> None:
    put(volume, b"kept" * 100)
    before = time.time()
    volume.delete(trash=HOUR)
    assert pool.volumes() == ()
    with pytest.raises(NotFound):
        volume.info()
    (kept,) = pool.trash()
    assert kept.name == volume.name
    assert before - 1 <= kept.deleted_at <= time.time() + 1
    assert HOUR - 1 <= kept.until - kept.deleted_at <= HOUR + 1
    back = connection.volume_restore(pool, volume.name)
    assert back.ref == volume.ref
    assert got(back, 0, 400) == b"kept" * 100
    assert pool.trash() == ()
    with pytest.raises(NotFound):
        connection.volume_restore(pool, volume.name)


@proves("volume_restore")
@needs("pool_define", "pool_start", "volume_create", "volume_delete", "pool_trash", "volume_upload", "volume_download")
def test_of_several_that_were_deleted_the_last_comes_back_first(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    name = volume_name(1)
    for content in (b"first", b"later"):
        made = connection.volume(connection.volume_create(pool, volume_xml(name)).wait(patience))
        put(made, content)
        made.delete(trash=HOUR)
    assert [kept.name for kept in pool.trash()] == [name] * 2
    for content in (b"later", b"first"):
        back = connection.volume_restore(pool, name)
        assert got(back, 0, 5) == content
        back.delete()


@proves("volume_restore")
@needs("pool_define", "pool_start", "volume_create", "volume_delete", "pool_trash", "pool_volumes")
def test_a_volume_is_not_brought_back_over_another(
    connection: Connection, pool: Pool, volume: Volume, volume_xml: Xml, patience: float
) -> None:
    volume.delete(trash=HOUR)
    connection.volume_create(pool, volume_xml(volume.name)).wait(patience)
    with pytest.raises(Exists):
        connection.volume_restore(pool, volume.name)
    assert len(pool.trash()) == 1
    for wrong in ("never-was", "../" + volume.name, ""):
        with pytest.raises(VirtError):
            connection.volume_restore(pool, wrong)


@proves("volume_delete.trash", "pool_trash")
@needs("pool_define", "pool_start", "volume_create", "pool_refresh", "volume_restore")
def test_what_was_kept_long_enough_is_gone(connection: Connection, pool: Pool, volume: Volume) -> None:
    volume.delete(trash=1)
    time.sleep(1.1)
    pool.refresh()
    assert pool.trash() == ()
    with pytest.raises(NotFound):
        connection.volume_restore(pool, volume.name)


@proves("volume_delete.trash")
@needs("pool_define", "pool_start", "volume_create", "volume_info", "pool_trash")
def test_a_time_that_is_none_keeps_the_volume_where_it_is(pool: Pool, volume: Volume) -> None:
    with pytest.raises(Invalid):
        volume.delete(trash=-1)
    with pytest.raises(Invalid):
        volume.delete(trash=HOUR, zeroed=True)
    assert volume.info().capacity
    assert pool.trash() == ()


@proves("volume_declare")
@needs("pool_define", "pool_start", "volume_create.config=qcow2", "volume_upload", "volume_config", "volume_info")
def test_an_image_is_what_was_said_of_it_and_not_what_is_in_it(volume: Volume, volume_xml: Xml) -> None:
    has = volume.info().capacity
    put(volume, qcow2(64 << 20))
    assert _format(volume) == "raw"
    assert volume.info().capacity == has
    volume.declare(volume_xml(volume.name, format="qcow2"))
    assert _format(volume) == "qcow2"
    assert volume.info().capacity == 64 << 20
    volume.declare(volume_xml(volume.name))
    assert _format(volume) == "raw"
    assert volume.info().capacity == has


@proves("volume_declare", "volume_chain")
@needs("pool_define", "pool_start", "volume_create.config=qcow2", "volume_upload", "volume_config", "volume_path")
def test_a_backing_file_counts_when_it_was_declared(
    connection: Connection, pool: Pool, volume: Volume, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    base = connection.volume(connection.volume_create(pool, volume_xml(volume_name(2))).wait(patience))
    put(volume, qcow2(8 << 20, base.path()))
    with pytest.raises(Invalid):
        volume.declare(volume_xml(volume.name, format="qcow2", below=("/etc/hostname", "raw")))
    base.losses()
    assert _format(volume) == "raw"
    assert [link.path for link in volume.chain()] == [volume.path()]
    volume.declare(volume_xml(volume.name, format="qcow2", below=(base.path(), "raw")))
    assert [(link.path, link.format, link.declared) for link in volume.chain()] == [
        (volume.path(), "qcow2", True),
        (base.path(), "raw", True),
    ]
    with pytest.raises(Busy, match=volume.name):
        base.delete()


@proves("volume_declare")
@needs("pool_define", "pool_start", "volume_create.config=qcow2", "volume_upload", "volume_config")
def test_an_image_is_not_declared_to_be_what_it_is_not(volume: Volume, volume_xml: Xml) -> None:
    put(volume, b"no image" * 100)
    with pytest.raises(Invalid):
        volume.declare(volume_xml(volume.name, format="qcow2"))
    assert _format(volume) == "raw"


def qcow2(size: int, below: str = "") -> bytes:
    """An empty image of version 2: header, reference counts of its four clusters, an empty table."""
    cluster, name = 65536, below.encode()
    entries = -(-size // (cluster * cluster // 8))
    place = 72 if name else 0
    head = [b"QFI\xfb", _number(2, 4), _number(place, 8), _number(len(name), 4), _number(16, 4), _number(size, 8)]
    head += [_number(0, 4), _number(entries, 4), _number(3 * cluster, 8), _number(cluster, 8), _number(1, 4)]
    head += [_number(0, 4), _number(0, 8), name]
    counts = _number(2 * cluster, 8)
    parts = (b"".join(head), counts, _number(1, 2) * 4, bytes(entries * 8))
    return b"".join(part.ljust(cluster, b"\0") for part in parts)


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def _format(volume: Volume) -> str:
    target = volume.config().model.target
    return str(target.format) if target and target.format else "raw"
