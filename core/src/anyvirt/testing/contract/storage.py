"""Pools and volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from anyvirt.client._generated_sync import Connection, Pool
from anyvirt.errors import Cancelled, Exists, Invalid, NotFound, VirtError, WrongState
from anyvirt.ref import Ref
from anyvirt.testing.guests import PREFIX
from anyvirt.testing.killing import PHASES, killed_at_phase
from anyvirt.testing.marks import each, needs, proves

Xml = Callable[..., str]
GONE = Ref("pool", "00000000-dead-4000-8000-000000000000", name="never-was")


@pytest.fixture
def pool(connection: Connection, pool_xml: Xml, tmp_path: Path) -> Iterator[Pool]:
    """An active pool with nothing in it; removed in the end."""
    made = connection.pool_define(pool_xml(PREFIX + tmp_path.name))
    connection.pool_start(made)
    yield made
    with suppress(VirtError):
        for volume in connection.pool_volumes(made):
            connection.volume_delete(volume)
    for hook in (connection.pool_stop, connection.pool_undefine):
        with suppress(VirtError):
            hook(made)


@proves("pool_define", "pool_list", "pool_undefine")
@needs("pool_info", "pool_config")
def test_a_defined_pool_is_there_inactive_until_it_is_undefined(connection: Connection, pool_xml: Xml) -> None:
    name = PREFIX + "defined"
    made = connection.pool_define(pool_xml(name))
    assert made.ref in {one.ref for one in connection.pool_list()}
    assert connection.lookup_pool(name).ref == made.ref
    assert not made.info().active
    assert made.config().model.name == name
    for pool in connection.pool_list():
        assert pool.config().model.name == pool.name
    connection.pool_undefine(made)
    assert made.ref not in {one.ref for one in connection.pool_list()}
    with pytest.raises(NotFound):
        made.info()
    with pytest.raises(NotFound):
        connection.lookup_pool(name)


@proves("pool_define")
@needs("pool_undefine", "pool_list")
def test_a_taken_pool_name_is_refused(connection: Connection, pool: Pool, pool_xml: Xml) -> None:
    before = len(connection.pool_list())
    other = pool_xml(pool.name).replace("<name>", "<uuid>00000000-1111-4000-8000-000000000000</uuid><name>")
    with pytest.raises(Exists):
        connection.pool_define(other)
    with pytest.raises(Invalid):
        connection.pool_define("<pool")
    assert len(connection.pool_list()) == before


@proves("pool_start", "pool_stop", "pool_info")
@needs("pool_define", "pool_undefine")
def test_a_pool_is_active_between_start_and_stop(connection: Connection, pool: Pool) -> None:
    info = pool.info()
    assert info.active
    assert info.capacity is not None
    assert info.available is not None
    with pytest.raises(WrongState):
        connection.pool_start(pool)
    with pytest.raises(WrongState):
        connection.pool_undefine(pool)
    connection.pool_stop(pool)
    assert not pool.info().active
    with pytest.raises(WrongState):
        connection.pool_stop(pool)
    with pytest.raises(WrongState):
        pool.volumes()


@proves("volume_create", "pool_volumes", "volume_info", "volume_path", "volume_config")
@needs("pool_define", "pool_start", "volume_delete")
def test_a_volume_is_made_with_its_sizes(connection: Connection, pool: Pool, volume_xml: Xml, patience: float) -> None:
    sizes = {"one": 8, "two": 12}
    refs = {name: connection.volume_create(pool, volume_xml(name, size)).wait(patience) for name, size in sizes.items()}
    assert {volume.ref for volume in pool.volumes()} == set(refs.values())
    for name, size in sizes.items():
        volume = connection.lookup_volume(pool, name)
        assert volume.ref == refs[name]
        assert volume.info().capacity == size << 20
        assert volume.path().endswith(f"/{name}")
        assert volume.config().model.name == name


@proves("volume_create")
@needs("pool_define", "pool_start", "pool_volumes")
def test_a_taken_volume_name_is_refused(connection: Connection, pool: Pool, volume_xml: Xml, patience: float) -> None:
    connection.volume_create(pool, volume_xml("one")).wait(patience)
    with pytest.raises(Exists):
        connection.volume_create(pool, volume_xml("one")).wait(patience)
    assert len(pool.volumes()) == 1


@proves("volume_create")
@needs("pool_define", "pool_start", "pool_volumes")
def test_a_volume_whose_making_was_cancelled_is_not_there(
    connection: Connection, pool: Pool, volume_xml: Xml, patience: float
) -> None:
    job = connection.volume_create(pool, volume_xml("one"))
    job.cancel()
    with suppress(Cancelled):
        job.wait(patience)
        pytest.skip("the volume was made before it could be cancelled")
    assert pool.volumes() == ()
    connection.volume_create(pool, volume_xml("one")).wait(patience)


@proves("volume_create", "job_recover")
@needs("pool_define", "pool_start", "pool_volumes")
def test_a_volume_whose_maker_was_killed_is_whole_or_not_there(
    connection: Connection, pool: Pool, volume_xml: Xml, connection_uri: str, shared: bool, patience: float
) -> None:
    if not shared:
        pytest.skip("no fixture shared: each connection has guests of its own")
    for phase in range(1, PHASES):
        name = f"cut-{phase}"
        if not killed_at_phase(connection_uri, phase, "volume_create", pool.name, volume_xml(name)):
            assert phase > 1, "the job never wrote down what it was about to do"
            break
        connection.recover()
        assert connection.recover() == ()
        if name not in {volume.name for volume in pool.volumes()}:
            connection.volume_create(pool, volume_xml(name)).wait(patience)
        assert connection.lookup_volume(pool, name).info().capacity == 8 << 20


@proves("volume_delete")
@needs("pool_define", "pool_start", "volume_create", "pool_volumes", "volume_info")
def test_a_deleted_volume_is_gone(connection: Connection, pool: Pool, volume_xml: Xml, patience: float) -> None:
    for name in ("one", "two"):
        connection.volume_create(pool, volume_xml(name)).wait(patience)
    one = connection.lookup_volume(pool, "one")
    connection.volume_delete(one)
    assert [volume.name for volume in pool.volumes()] == ["two"]
    with pytest.raises(NotFound):
        one.info()
    with pytest.raises(NotFound):
        connection.volume_delete(one)


@needs()
@pytest.mark.parametrize("hook", each("pool_info", "pool_config", "volume_info", "volume_config"))
def test_storage_that_is_gone_is_not_found(connection: Connection, hook: str) -> None:
    ref = GONE if hook.startswith("pool") else Ref("volume", GONE.key, GONE, name="never-was")
    answers = connection.session.bulk(hook, {"refs": (ref,)}, 10.0)
    assert isinstance(answers[ref].error, NotFound)


@proves("volume_create")
def test_a_pool_that_is_gone_takes_no_volume(connection: Connection, volume_xml: Xml, patience: float) -> None:
    with pytest.raises(NotFound):
        connection.volume_create(GONE, volume_xml("one")).wait(patience)
