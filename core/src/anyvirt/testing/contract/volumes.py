"""Volumes: made, cloned, resized, wiped, found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest

from anyvirt.client._generated_sync import Connection, Pool, Volume
from anyvirt.errors import Cancelled, Exists, Invalid, NotFound, Unsupported, VirtError
from anyvirt.jobs import JobState
from anyvirt.progress import Progress
from anyvirt.testing.contract.storage import GONE
from anyvirt.testing.contract.transfers import got, put
from anyvirt.testing.guests import Guests
from anyvirt.testing.killing import PHASES, killed_at_phase
from anyvirt.testing.marks import needs, proves

Xml = Callable[..., str]
Name = Callable[[int], str]
MIB: Final = 1 << 20
ALGORITHMS: Final = (
    "zero", "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "pfitzner33", "random", "trim",
)  # fmt: skip


@proves("volume_create", "pool_volumes", "volume_info", "volume_path", "volume_config")
@needs("pool_define", "pool_start", "volume_delete")
def test_a_volume_is_made_with_its_sizes(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    sizes = {volume_name(1): 8, volume_name(2): 12}
    refs = {name: connection.volume_create(pool, volume_xml(name, size)).wait(patience) for name, size in sizes.items()}
    assert {volume.ref for volume in pool.volumes()} == set(refs.values())
    for name, size in sizes.items():
        volume = pool.lookup_volume(name)
        assert volume.ref == refs[name]
        assert volume.info().capacity == size << 20
        assert volume.path().endswith(f"/{name}")
        assert volume.config().model.name == name
        assert volume.pool().ref == pool.ref


@proves("volume_info", "volume_config")
@needs("pool_define", "pool_start", "volume_create")
def test_sizes_are_the_same_in_info_and_description(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    ref = connection.volume_create(pool, volume_xml(volume_name(1), allocation=0)).wait(patience)
    info, model = connection.volume(ref).info(), connection.volume(ref).config().model
    assert (model.capacity, model.allocation) == (info.capacity, info.allocation)
    assert model.physical in (None, info.physical)
    assert info.allocation is not None
    assert info.physical is not None
    assert model.target is not None
    assert model.target.path == connection.volume(ref).path()


@proves("volume_create")
@needs("pool_define", "pool_start", "pool_volumes")
def test_a_taken_volume_name_is_refused(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience)
    with pytest.raises(Exists):
        connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience)
    assert len(pool.volumes()) == 1


@proves("volume_create")
@needs("pool_define", "pool_start", "pool_volumes")
@pytest.mark.parametrize("name", ["", "..", "a/b", "a\nb", "x" * 300])
def test_a_name_that_is_none_makes_no_volume(
    connection: Connection, pool: Pool, volume_xml: Xml, name: str, patience: float
) -> None:
    with pytest.raises(Invalid):
        connection.volume_create(pool, volume_xml(name)).wait(patience)
    assert pool.volumes() == ()


@proves("volume_create")
@needs("pool_define", "pool_start", "pool_volumes")
def test_a_volume_whose_making_was_cancelled_is_not_there(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    job = connection.volume_create(pool, volume_xml(volume_name(1)))
    job.cancel()
    with suppress(Cancelled):
        job.wait(patience)
        pytest.skip("the volume was made before it could be cancelled")
    assert pool.volumes() == ()
    connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience)


@proves("volume_create", "job_recover")
@needs("pool_define", "pool_start", "pool_volumes", "volume_delete")
def test_a_volume_whose_maker_was_killed_is_whole_or_not_there(
    connection: Connection,
    pool: Pool,
    volume_xml: Xml,
    volume_name: Name,
    connection_uri: str,
    shared: bool,
    patience: float,
) -> None:
    _together(shared)
    name = volume_name(1)
    for phase in range(1, PHASES):
        if not killed_at_phase(connection_uri, phase, "volume_create", pool.name, volume_xml(name)):
            assert phase > 1, "the job never wrote down what it was about to do"
            break
        connection.recover()
        assert connection.recover() == ()
        if name not in {volume.name for volume in pool.volumes()}:
            connection.volume_create(pool, volume_xml(name)).wait(patience)
        volume = pool.lookup_volume(name)
        assert volume.info().capacity == 8 << 20
        volume.delete()


@proves("volume_create.preallocate")
@needs("pool_define", "pool_start", "volume_info", "volume_create.config=qcow2")
def test_preallocated_metadata_takes_room(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    taken = []
    for number, preallocate in enumerate((False, True), 1):
        xml = volume_xml(volume_name(number), 256, format="qcow2")
        ref = connection.volume_create(pool, xml, preallocate=preallocate).wait(patience)
        taken.append(connection.volume(ref).info().allocation or 0)
    assert taken[0] < taken[1] < 256 * MIB


@proves("volume_create")
def test_a_pool_that_is_gone_takes_no_volume(connection: Connection, volume_xml: Xml, patience: float) -> None:
    with pytest.raises(NotFound):
        connection.volume_create(GONE, volume_xml("one")).wait(patience)


@proves("volume_create", "volume_chain")
@needs("pool_define", "pool_start", "volume_path", "volume_config", "volume_create.config=qcow2")
def test_a_volume_stands_on_its_backing_file(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    base, over = _linked(connection, pool, volume_xml, volume_name, patience)
    assert over.info().capacity == base.info().capacity
    below = over.config().model.backing_store
    assert below is not None
    assert (below.path, below.format) == (base.path(), "raw")
    links = over.chain()
    assert [(link.path, link.format, link.declared) for link in links] == [
        (over.path(), "qcow2", True),
        (base.path(), "raw", True),
    ]
    assert [link.capacity for link in links] == [base.info().capacity] * 2
    assert [link.path for link in base.chain()] == [base.path()]
    assert not any(link.note for link in links)


@proves("volume_create")
@needs("pool_define", "pool_start", "pool_volumes", "volume_path", "volume_create.config=qcow2")
def test_a_backing_file_whose_format_nobody_says_or_that_is_not_there_is_refused(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    base = connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience)
    path = connection.volume(base).path()
    unsaid = volume_xml(volume_name(2), format="qcow2", below=(path, "raw")).replace(
        f"<path>{path}</path><format type='raw'/>", f"<path>{path}</path>"
    )
    gone = volume_xml(volume_name(2), format="qcow2", below=(f"{path}-never-was", "raw"))
    for xml in (unsaid, gone):
        with pytest.raises(VirtError):
            connection.volume_create(pool, xml).wait(patience)
    assert [volume.ref for volume in pool.volumes()] == [base]


@proves("volume_create_from")
@needs("pool_define", "pool_start", "volume_create", "volume_upload", "volume_download", "volume_info")
def test_a_clone_has_the_content_and_is_its_own(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    source = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    put(source, b"first" * 1000, offset=4096)
    job = connection.volume_create_from(pool, volume_xml(volume_name(2)), source)
    clone = connection.volume(job.wait(patience))
    assert clone.ref != source.ref
    assert clone.info().capacity == source.info().capacity
    put(source, b"later", offset=4096)
    assert got(clone, 4096, 5000) == b"first" * 1000


@proves("volume_create_from.config", "volume_create_from.preallocate")
@needs("pool_define", "pool_start", "volume_create", "volume_upload", "volume_config", "volume_create.config=qcow2")
def test_a_clone_may_have_another_format(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    source = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    put(source, b"content" * 99, offset=65536)
    into = volume_xml(volume_name(2), format="qcow2")
    middle = connection.volume(connection.volume_create_from(pool, into, source, preallocate=True).wait(patience))
    target = middle.config().model.target
    assert target is not None
    assert target.format == "qcow2"
    back = connection.volume_create_from(pool, volume_xml(volume_name(3)), middle).wait(patience)
    assert got(connection.volume(back), 65536, 7 * 99) == b"content" * 99


@proves("volume_create_from.reflink")
@needs("pool_define", "pool_start", "pool_volumes", "volume_create", "volume_upload", "volume_download")
def test_a_clone_that_shares_blocks_is_whole_or_refused(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    source = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    put(source, b"shared" * 1000)
    try:
        clone = connection.volume_create_from(pool, volume_xml(volume_name(2)), source, reflink=True).wait(patience)
    except Unsupported:
        assert [volume.ref for volume in pool.volumes()] == [source.ref]
    else:
        assert got(connection.volume(clone), 0, 6000) == b"shared" * 1000


@proves("volume_create_from")
@needs("pool_define", "pool_start", "pool_volumes", "volume_create")
def test_a_clone_of_nothing_or_under_a_taken_name_is_refused(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    source = connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience)
    with pytest.raises(Exists):
        connection.volume_create_from(pool, volume_xml(volume_name(1)), source).wait(patience)
    connection.volume_delete(source)
    with pytest.raises(NotFound):
        connection.volume_create_from(pool, volume_xml(volume_name(2)), source).wait(patience)
    assert pool.volumes() == ()


@proves("volume_create_from")
@needs("pool_define", "pool_start", "pool_volumes", "volume_create")
def test_a_cancelled_clone_is_not_there(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    source = connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience)
    job = connection.volume_create_from(pool, volume_xml(volume_name(2)), source)
    job.cancel()
    with suppress(Cancelled):
        job.wait(patience)
        pytest.skip("the volume was made before it could be cancelled")
    assert [volume.ref for volume in pool.volumes()] == [source]


@proves("volume_create_from", "job_recover")
@needs("pool_define", "pool_start", "pool_volumes", "volume_create", "volume_upload", "volume_download")
def test_a_clone_whose_maker_was_killed_is_whole_or_not_there(
    connection: Connection,
    pool: Pool,
    volume_xml: Xml,
    volume_name: Name,
    connection_uri: str,
    shared: bool,
    patience: float,
) -> None:
    _together(shared)
    source = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    put(source, b"whole" * 999)
    xml, name = volume_xml(volume_name(2)), volume_name(2)
    for phase in range(1, PHASES):
        if not killed_at_phase(connection_uri, phase, "volume_create_from", pool.ref, xml, source.ref):
            assert phase > 1, "the job never wrote down what it was about to do"
            break
        connection.recover()
        assert connection.recover() == ()
        if name not in {volume.name for volume in pool.volumes()}:
            connection.volume_create_from(pool, xml, source).wait(patience)
        clone = pool.lookup_volume(name)
        assert got(clone, 0, 4995) == b"whole" * 999
        clone.delete()


@proves("volume_resize", "volume_resize.delta", "volume_resize.shrink")
@needs("pool_define", "pool_start", "volume_info", "volume_config")
def test_a_volume_grows_and_shrinks_when_it_is_asked_to(volume: Volume, patience: float) -> None:
    has = volume.info().capacity or 0
    job = volume.resize(has + 8 * MIB)
    seen = list(job)
    assert job.wait(patience) is None
    assert job.state is JobState.DONE
    assert all(isinstance(step, Progress) for step in seen)
    assert volume.info().capacity == has + 8 * MIB
    assert volume.config().model.capacity == has + 8 * MIB
    volume.resize(4 * MIB, delta=True).wait(patience)
    assert volume.info().capacity == has + 12 * MIB
    volume.resize(has, shrink=True).wait(patience)
    assert volume.info().capacity == has
    volume.resize(-4 * MIB, delta=True, shrink=True).wait(patience)
    assert volume.info().capacity == has - 4 * MIB
    volume.resize(has).wait(patience)


@proves("volume_resize", "volume_resize.shrink")
@needs("pool_define", "pool_start", "volume_info")
def test_a_volume_does_not_shrink_unasked_or_below_nothing(volume: Volume, patience: float) -> None:
    has = volume.info().capacity or 0
    with pytest.raises(Invalid) as refusal:
        volume.resize(has - MIB).wait(patience)
    assert "shrink" in f"{refusal.value} {refusal.value.hint}"
    with pytest.raises(Invalid):
        volume.resize(-MIB, delta=True).wait(patience)
    for wrong in (-1, -(1 << 63), 1 << 63, 1 << 70):
        with pytest.raises(VirtError):
            volume.resize(wrong, shrink=True).wait(patience)
    with pytest.raises(Invalid):
        volume.resize(-has - MIB, delta=True, shrink=True).wait(patience)
    assert volume.info().capacity == has


@proves("volume_resize")
@needs("pool_define", "pool_start", "volume_info", "volume_upload", "volume_download")
def test_what_is_in_a_volume_outlives_another_size(volume: Volume, patience: float) -> None:
    has = volume.info().capacity or 0
    put(volume, b"inside" * 100, offset=MIB)
    volume.resize(has + 4 * MIB).wait(patience)
    assert got(volume, MIB, 600) == b"inside" * 100
    volume.resize(has, shrink=True).wait(patience)
    assert got(volume, MIB, 600) == b"inside" * 100


@proves("volume_resize.allocate")
@needs("pool_define", "pool_start", "volume_create", "volume_info")
def test_new_space_is_taken_at_once_where_that_is_asked_for(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> None:
    xml = volume_xml(volume_name(1), allocation=0)
    volume = connection.volume(connection.volume_create(pool, xml).wait(patience))
    volume.resize(16 * MIB, allocate=True).wait(patience)
    info = volume.info()
    assert info.capacity == 16 * MIB
    assert (info.allocation or 0) >= 8 * MIB


@proves("volume_resize")
@needs("pool_define", "pool_start", "volume_info")
def test_a_cancelled_resize_leaves_the_old_size_or_the_new_one(volume: Volume, patience: float) -> None:
    has = volume.info().capacity or 0
    job = volume.resize(has + 8 * MIB)
    job.cancel()
    with suppress(Cancelled):
        job.wait(patience)
    assert volume.info().capacity in (has, has + 8 * MIB)
    volume.resize(has, shrink=True).wait(patience)


@proves("volume_resize", "job_recover")
@needs("pool_define", "pool_start", "volume_info", "volume_upload", "volume_download")
def test_a_volume_whose_resize_was_killed_has_one_size_or_the_other(
    connection: Connection, volume: Volume, connection_uri: str, shared: bool, patience: float
) -> None:
    _together(shared)
    has = volume.info().capacity or 0
    put(volume, b"stays")
    for phase in range(1, PHASES):
        if not killed_at_phase(connection_uri, phase, "volume_resize", volume.ref, capacity=has + 8 * MIB):
            assert phase > 1, "the job never wrote down what it was about to do"
            break
        connection.recover()
        assert connection.recover() == ()
        assert volume.info().capacity in (has, has + 8 * MIB)
        volume.resize(has, shrink=True).wait(patience)
        assert got(volume, 0, 5) == b"stays"
    assert volume.info().capacity == has + 8 * MIB


@proves("volume_wipe", "volume_wipe.algorithm")
@needs("pool_define", "pool_start", "volume_info", "volume_upload", "volume_download")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_is_left_in_a_wiped_volume(volume: Volume, algorithm: str, patience: float) -> None:
    before = volume.info().capacity
    put(volume, b"private " * 8192)
    try:
        job = volume.wipe(algorithm)
        seen = list(job)
        job.wait(patience)
    except Unsupported as lacking:
        assert lacking.hint  # noqa: PT017 - a host without the tool for it says so
        return
    assert all(isinstance(step, Progress) for step in seen)
    assert b"private" not in got(volume, 0, 65536)
    assert volume.info().capacity == before
    if algorithm == "zero":
        assert got(volume, 0, 65536) == bytes(65536)


@proves("volume_wipe.algorithm")
@needs("pool_define", "pool_start", "volume_upload", "volume_download")
@pytest.mark.parametrize("algorithm", ["", "no-such", "ZERO", "--version", "zero,random"])
def test_a_wipe_in_a_way_that_there_is_not_is_refused(volume: Volume, algorithm: str, patience: float) -> None:
    put(volume, b"stays")
    with pytest.raises(Invalid):
        volume.wipe(algorithm).wait(patience)
    assert got(volume, 0, 5) == b"stays"


@proves("volume_wipe")
@needs("pool_define", "pool_start", "volume_info")
def test_a_cancelled_wipe_leaves_a_volume(volume: Volume, patience: float) -> None:
    before = volume.info().capacity
    job = volume.wipe("random")
    job.cancel()
    with suppress(Cancelled, Unsupported):
        job.wait(patience)
    assert volume.info().capacity == before


@proves("volume_wipe", "job_recover")
@needs("pool_define", "pool_start", "volume_info", "volume_upload", "volume_download")
def test_a_volume_whose_wipe_was_killed_is_wiped_again(
    connection: Connection, volume: Volume, connection_uri: str, shared: bool, patience: float
) -> None:
    _together(shared)
    before = volume.info().capacity
    put(volume, b"private " * 8192)
    for phase in range(1, PHASES):
        if not killed_at_phase(connection_uri, phase, "volume_wipe", volume.ref):
            assert phase > 1, "the job never wrote down what it was about to do"
            break
        connection.recover()
        assert connection.recover() == ()
        assert volume.info().capacity == before
    volume.wipe().wait(patience)
    assert got(volume, 0, 65536) == bytes(65536)


@proves("volume_find")
@needs("pool_define", "pool_start", "pool_stop", "volume_path", "volume_config")
def test_a_volume_is_found_by_key_and_by_path_in_any_active_pool(
    connection: Connection, pool: Pool, volume: Volume
) -> None:
    path, key = volume.path(), volume.config().model.key
    assert connection.volume_find(path).ref == volume.ref
    assert connection.volume_find(volume.ref.key).ref == volume.ref
    if key:
        assert connection.volume_find(key).ref == volume.ref
    for wrong in (f"{path}-never-was", "", "/", volume.name, "../" + volume.name):
        with pytest.raises(NotFound):
            connection.volume_find(wrong)
    connection.pool_stop(pool)
    with pytest.raises(NotFound):
        connection.volume_find(path)


@proves("volume_resize", "volume_wipe")
@needs("domain_define", "domain_start", "domain_destroy", "volume_create", "volume_info", "volume_path")
def test_a_volume_that_a_running_guest_has_is_neither_resized_nor_wiped(
    guests: Guests, volume: Volume, patience: float
) -> None:
    has = volume.info().capacity or 0
    domain = guests.running(disk=volume.path())
    for job in (volume.resize(has + MIB), volume.wipe()):
        with pytest.raises(VirtError) as refusal:
            job.wait(patience)
        assert refusal.value.code == "resource.busy"
        assert domain.name in str(refusal.value)
    assert volume.info().capacity == has
    domain.destroy()
    volume.wipe().wait(patience)


def _linked(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Name, patience: float
) -> tuple[Volume, Volume]:
    """A raw volume and one above it."""
    base = connection.volume(connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience))
    xml = volume_xml(volume_name(2), format="qcow2", below=(base.path(), "raw"))
    return base, connection.volume(connection.volume_create(pool, xml).wait(patience))


def _together(shared: bool) -> None:
    if not shared:
        pytest.skip("no fixture shared: each connection has volumes of its own")
