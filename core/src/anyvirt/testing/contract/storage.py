"""Pools: what they are, when they may do what, and what they could be made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import pytest

from anyvirt.client._generated_sync import Connection, Pool
from anyvirt.errors import Busy, Cancelled, Denied, Exists, Invalid, NotFound, Unsupported, VirtError, WrongState
from anyvirt.jobs import JobState
from anyvirt.ref import Ref
from anyvirt.testing.guests import PREFIX
from anyvirt.testing.killing import PHASES, killed_at_phase
from anyvirt.testing.marks import each, needs, proves

Xml = Callable[..., str]
Connect = Callable[..., Connection]
GONE = Ref("pool", "00000000-dead-4000-8000-000000000000", name="never-was")
# hook -> what it is given beside the pool; refused while the pool is active, and while it is not
NOT_ACTIVE: Final[dict[str, dict[str, bool]]] = {
    "pool_start": {},
    "pool_undefine": {},
    "pool_build": {"overwrite": False},
    "pool_delete": {"zeroed": False},
}
NOT_INACTIVE: Final = ("pool_stop", "pool_refresh", "pool_volumes", "pool_trash")


@pytest.fixture
def pool(connection: Connection, pool_xml: Xml) -> Iterator[Pool]:
    """An active pool, with nothing in it unless that stands there from the beginning; removed in the end."""
    made = connection.pool_define(pool_xml(PREFIX + "pool"))
    connection.pool_start(made)
    yield made
    with suppress(VirtError):
        for volume in connection.pool_volumes(made):
            with suppress(VirtError):
                connection.volume_delete(volume, force=True)
    for hook in (connection.pool_stop, connection.pool_undefine):
        with suppress(VirtError):
            hook(made)


@pytest.fixture
def inactive(connection: Connection, pool: Pool) -> Pool:
    """A defined pool that is not active."""
    connection.pool_stop(pool)
    return pool


@proves("pool_define", "pool_list", "pool_undefine")
@needs("pool_info", "pool_config")
def test_a_defined_pool_is_there_inactive_until_it_is_undefined(connection: Connection, pool_xml: Xml) -> None:
    name = PREFIX + "defined"
    made = connection.pool_define(pool_xml(name))
    assert made.ref in {one.ref for one in connection.pool_list()}
    assert connection.lookup_pool(name).ref == made.ref
    assert not made.info().active
    assert made.info().persistent
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
    with pytest.raises(Invalid):
        connection.pool_define(pool_xml(PREFIX + "odd").replace("</pool>", "<no-such-thing/></pool>"))
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


@needs("pool_define", "pool_start", "pool_stop", "pool_info")
@pytest.mark.parametrize("hook", each(*NOT_ACTIVE))
def test_an_active_pool_refuses_what_would_pull_it_away(connection: Connection, pool: Pool, hook: str) -> None:
    with pytest.raises(WrongState) as refusal:
        _asked(connection, hook, pool)
    assert "inactive" in refusal.value.needed
    assert pool.name in str(refusal.value)
    assert pool.info().active


@needs("pool_define", "pool_start", "pool_stop", "pool_info")
@pytest.mark.parametrize("hook", each(*NOT_INACTIVE))
def test_an_inactive_pool_refuses_what_needs_its_volumes(connection: Connection, inactive: Pool, hook: str) -> None:
    with pytest.raises(WrongState) as refusal:
        _asked(connection, hook, inactive)
    assert "active" in refusal.value.needed
    assert not inactive.info().active


@proves("pool_undefine")
@needs("pool_define", "pool_start", "pool_stop", "pool_volumes", "volume_create")
def test_what_is_in_an_undefined_pool_stays(
    connection: Connection, pool: Pool, pool_xml: Xml, volume_xml: Xml, volume_name: Callable[[int], str]
) -> None:
    connection.volume_create(pool, volume_xml(volume_name(1))).wait(30)
    connection.pool_stop(pool)
    connection.pool_undefine(pool)
    again = connection.pool_define(pool_xml(pool.name))
    connection.pool_start(again)
    try:
        assert [volume.name for volume in again.volumes()] == [volume_name(1)]
        again.volumes()[0].delete()
    finally:
        connection.pool_stop(again)
        connection.pool_undefine(again)


@proves("pool_create", "pool_stop")
@needs("pool_info", "pool_list", "pool_define", "pool_undefine")
def test_a_transient_pool_is_gone_when_it_is_stopped(connection: Connection, pool_xml: Xml) -> None:
    made = connection.pool_create(pool_xml(PREFIX + "transient"))
    try:
        info = made.info()
        assert (info.active, info.persistent) == (True, False)
        assert made.ref in {one.ref for one in connection.pool_list()}
        for hook in NOT_ACTIVE:
            if hook in connection.supports:
                with pytest.raises(WrongState):
                    _asked(connection, hook, made)
        with pytest.raises(VirtError):
            connection.pool_create(pool_xml(PREFIX + "transient"))
    finally:
        connection.pool_stop(made)
    assert made.ref not in {one.ref for one in connection.pool_list()}
    with pytest.raises(NotFound):
        made.info()


@proves("pool_create")
@needs("pool_define", "pool_list")
def test_a_transient_pool_does_not_take_anothers_name(connection: Connection, pool: Pool, pool_xml: Xml) -> None:
    before = len(connection.pool_list())
    with pytest.raises((Exists, WrongState)):
        connection.pool_create(pool_xml(pool.name))
    assert len(connection.pool_list()) == before
    assert pool.info().persistent


@proves("pool_set_autostart")
@needs("pool_define", "pool_info", "pool_undefine")
def test_a_pool_is_marked_for_the_hosts_start_and_the_mark_is_taken_away(connection: Connection, pool: Pool) -> None:
    assert pool.info().autostart is False
    pool.set_autostart(enabled=True)
    assert pool.info().autostart is True
    assert pool.info().active
    pool.set_autostart(enabled=True)
    connection.pool_stop(pool)
    assert pool.info().autostart is True
    pool.set_autostart(enabled=False)
    assert pool.info().autostart is False


@proves("pool_set_autostart")
@needs("pool_create", "pool_stop")
def test_a_transient_pool_is_not_marked_for_the_hosts_start(connection: Connection, pool_xml: Xml) -> None:
    made = connection.pool_create(pool_xml(PREFIX + "transient"))
    try:
        with pytest.raises(WrongState):
            made.set_autostart(enabled=True)
    finally:
        connection.pool_stop(made)


@proves("pool_find")
@needs("pool_define", "pool_config", "pool_list")
def test_a_pool_is_found_by_its_place(connection: Connection, pool: Pool) -> None:
    place = pool.config().model.target
    if not place:
        pytest.skip("pools of this type have no place on the host")
    assert connection.pool_find(place).ref == pool.ref
    assert connection.lookup_pool(place).ref == pool.ref
    for wrong in (f"{place}/no-such-place", "/no/such/place", ""):
        with pytest.raises(NotFound):
            connection.pool_find(wrong)


@proves("pool_refresh")
@needs("pool_define", "pool_volumes", "volume_create")
def test_a_refreshed_pool_has_the_volumes_that_it_had(
    connection: Connection, pool: Pool, volume_xml: Xml, volume_name: Callable[[int], str], patience: float
) -> None:
    ref = connection.volume_create(pool, volume_xml(volume_name(1))).wait(patience)
    pool.refresh()
    assert [one.ref for one in pool.volumes()] == [ref]
    assert pool.info().active


@proves("pool_delete", "pool_build")
@needs("pool_define", "pool_start", "pool_stop", "pool_info", "pool_volumes")
def test_what_a_pool_stands_on_is_removed_and_built_again(inactive: Pool, patience: float) -> None:
    inactive.delete()
    assert not inactive.info().active
    job = inactive.build()
    assert job.wait(patience) is None
    assert job.state is JobState.DONE
    inactive.start()
    assert inactive.volumes() == ()


@proves("pool_delete")
@needs("pool_define", "pool_start", "pool_stop", "pool_info")
def test_a_pool_that_stands_on_nothing_does_not_start(
    connection: Connection, inactive: Pool, cannot: dict[str, str], patience: float
) -> None:
    inactive.delete()
    with pytest.raises(VirtError):
        inactive.start()
    assert not inactive.info().active
    if "pool_build" in connection.supports and "pool_build" not in cannot:
        inactive.build().wait(patience)


@proves("pool_delete.zeroed")
@needs("pool_define", "pool_start", "pool_stop", "pool_build")
def test_what_a_pool_stands_on_is_overwritten(inactive: Pool, patience: float) -> None:
    inactive.delete(zeroed=True)
    inactive.build().wait(patience)
    inactive.start()
    assert inactive.volumes() == ()


@proves("pool_start.build")
@needs("pool_define", "pool_stop", "pool_delete", "pool_info", "pool_volumes")
def test_a_pool_is_built_when_it_is_started(inactive: Pool) -> None:
    inactive.delete()
    inactive.start(build=True)
    assert inactive.info().active
    assert inactive.volumes() == ()


@proves("pool_create.build")
@needs("pool_define", "pool_stop", "pool_undefine", "pool_delete", "pool_info")
def test_a_transient_pool_is_built_when_it_is_started(connection: Connection, inactive: Pool, pool_xml: Xml) -> None:
    inactive.delete()
    connection.pool_undefine(inactive)
    made = connection.pool_create(pool_xml(PREFIX + "transient"), build=True)
    assert made.info().active
    connection.pool_stop(made)


@proves("pool_build.overwrite", "pool_start.overwrite", "pool_create.overwrite")
@needs("pool_define", "pool_start", "pool_stop", "pool_undefine", "pool_info", "pool_create")
def test_a_pool_is_built_over_what_was_there_when_that_is_asked_for(
    connection: Connection, inactive: Pool, pool_xml: Xml, patience: float
) -> None:
    inactive.build(overwrite=True).wait(patience)
    inactive.start(build=True, overwrite=True)
    assert inactive.info().active
    connection.pool_stop(inactive)
    connection.pool_undefine(inactive)
    made = connection.pool_create(pool_xml(PREFIX + "transient"), build=True, overwrite=True)
    assert made.info().active
    connection.pool_stop(made)


@proves("pool_start.overwrite", "pool_create.overwrite")
@needs("pool_define", "pool_start", "pool_stop", "pool_info")
def test_overwriting_without_building_is_refused(connection: Connection, inactive: Pool, pool_xml: Xml) -> None:
    with pytest.raises(Invalid):
        inactive.start(overwrite=True)
    assert not inactive.info().active
    with pytest.raises(Invalid):
        connection.pool_create(pool_xml(PREFIX + "transient"), overwrite=True)


@proves("pool_build")
@needs("pool_define", "pool_start", "pool_stop", "pool_delete")
def test_a_pool_whose_building_was_cancelled_can_be_built(inactive: Pool, patience: float) -> None:
    inactive.delete()
    job = inactive.build()
    job.cancel()
    with suppress(Cancelled, Exists):
        job.wait(patience)
    with suppress(Exists):  # what was built before it was cancelled may stay
        inactive.build().wait(patience)
    inactive.start()
    assert inactive.info().active


@proves("pool_build", "job_recover")
@needs("pool_define", "pool_start", "pool_stop", "pool_delete", "pool_info")
def test_a_pool_whose_builder_was_killed_can_be_built(
    connection: Connection, inactive: Pool, connection_uri: str, shared: bool, patience: float
) -> None:
    if not shared:
        pytest.skip("no fixture shared: each connection has pools of its own")
    for phase in range(1, PHASES):
        inactive.delete()
        if not killed_at_phase(connection_uri, phase, "pool_build", inactive.ref):
            assert phase > 1, "the job never wrote down what it was about to do"
            break
        connection.recover()
        assert connection.recover() == ()
        with suppress(Exists):
            inactive.build().wait(patience)
        inactive.start()
        assert inactive.info().active
        connection.pool_stop(inactive)


@proves("pool_capabilities")
def test_the_types_of_pools_that_work_here_are_told(connection: Connection) -> None:
    told = connection.pool_capabilities().model.pools
    types = [one.type for one in told]
    assert types
    assert len(types) == len(set(types))
    assert any(one.supported for one in told)


@proves("pool_capabilities")
@needs("pool_define", "pool_config")
def test_a_type_of_which_there_is_a_pool_is_told_to_work(connection: Connection, pool: Pool) -> None:
    kind = pool.config().model.type
    (told,) = (one for one in connection.pool_capabilities().model.pools if one.type == kind)
    assert told.supported is True


@proves("pool_sources")
def test_sources_of_pools_are_looked_for_and_what_cannot_be_is_refused(connection: Connection) -> None:
    for kind in ("no-such-type", "", "../dir"):
        with pytest.raises(Invalid):
            connection.pool_sources(kind)
    with pytest.raises(Unsupported):
        connection.pool_sources("dir")
    try:
        found = connection.pool_sources("logical").model.sources
    except (Denied, Invalid, Unsupported) as lacking:
        assert lacking.hint  # noqa: PT017 - a host without the tool, the right, or such pools says so
    else:
        assert all(one.name for one in found)


@proves("pool_sources.source")
def test_a_search_on_a_server_needs_the_servers_name(connection: Connection) -> None:
    for source in (None, "<source/>"):
        with pytest.raises((Invalid, Unsupported)):
            connection.pool_sources("netfs", source)
    with pytest.raises(Invalid):
        connection.pool_sources("netfs", "<pool/>")


@proves("pool_start")
@needs("pool_define", "pool_stop", "pool_undefine", "pool_info")
def test_two_pools_are_not_active_in_one_place(connection: Connection, pool: Pool, pool_xml: Xml) -> None:
    other = connection.pool_define(pool_xml(PREFIX + "other"))
    try:
        with pytest.raises(Busy) as refusal:
            other.start()
        assert pool.name in str(refusal.value)
        assert not other.info().active
    finally:
        connection.pool_undefine(other)


@proves("pool_start", "pool_stop")
@needs("pool_define", "pool_info")
def test_a_pool_is_active_for_every_connection(pool: Pool, open_connection: Connect, shared: bool) -> None:
    if not shared:
        pytest.skip("no fixture shared: each connection has pools of its own")
    other = open_connection()
    there = other.pool(other.lookup_pool(pool.name).ref)
    assert there.info().active
    there.stop()
    assert not pool.info().active


@needs()
@pytest.mark.parametrize("hook", each("pool_info", "pool_config", "volume_info", "volume_config"))
def test_storage_that_is_gone_is_not_found(connection: Connection, hook: str) -> None:
    ref = GONE if hook.startswith("pool") else Ref("volume", GONE.key, GONE, name="never-was")
    answers = connection.session.bulk(hook, {"refs": (ref,)}, 10.0)
    assert isinstance(answers[ref].error, NotFound)


@needs()
@pytest.mark.parametrize("hook", each("pool_build", "volume_resize", "volume_wipe"))
def test_long_work_on_storage_that_is_gone_is_refused(connection: Connection, hook: str, patience: float) -> None:
    more = {"capacity": 1 << 20} if hook == "volume_resize" else {}
    ref = GONE if hook.startswith("pool") else Ref("volume", GONE.key, GONE, name="never-was")
    with pytest.raises(NotFound):
        getattr(connection, hook)(ref, **more).wait(patience)


def _asked(connection: Connection, hook: str, pool: Pool) -> None:
    given = getattr(connection, hook)(pool, **NOT_ACTIVE.get(hook, {}))
    if hook == "pool_build":
        given.wait(30)
