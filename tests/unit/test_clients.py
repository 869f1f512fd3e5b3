from __future__ import annotations

import asyncio
import inspect
import pickle
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from anyvirt.api import (
    Ambiguous,
    AsyncConnection,
    Connection,
    Failed,
    Interrupted,
    NotFound,
    Ref,
    State,
    Which,
    impl,
    open_async,
)
from anyvirt.api import open as opened
from anyvirt.client import _generated_async, _generated_sync
from anyvirt.hooks.table import OPENERS, SPECS
from anyvirt.testing import connected

GUEST = "<domain type='test'><name>{}</name><memory>65536</memory><os><type>hvm</type></os></domain>"


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


# -- the two are one ---------------------------------------------------------------------------


def _methods(cls: type) -> dict[str, list[tuple[str, Any]]]:
    found = {}
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_"):
            parameters = inspect.signature(method).parameters.values()
            found[name] = [(one.name, one.default) for one in parameters]
    return found


@pytest.mark.parametrize("name", ["Connection", "Domain", "Pool", "Volume", "Network", "Interface"])
def test_both_clients_have_the_same_methods_with_the_same_defaults(name: str) -> None:
    sync = _methods(getattr(_generated_sync, name))
    other = _methods(getattr(_generated_async, f"Async{name}"))
    assert sync == other


def test_every_hook_has_a_method_that_is_documented_and_takes_a_deadline() -> None:
    # told when the connection opens, read through a feed, called by recover
    inner = {*OPENERS, "connect_ready", "connect_close", "events_follow", "job_recover"}
    for name, spec in SPECS.items():
        if name in inner:
            continue
        method = getattr(Connection, name)
        assert method.__doc__, name
        parameters = inspect.signature(method).parameters
        assert "timeout" in parameters, name
        assert set(spec.parameters) <= set(parameters), name


def test_defaults_stand_in_the_spec_alone() -> None:
    for name, spec in SPECS.items():
        method = getattr(Connection, name, None)
        if method is None:
            continue
        parameters = inspect.signature(method).parameters
        given = {key: parameters[key].default for key in spec.defaults if key in parameters}
        assert given == {key: value for key, value in spec.defaults.items() if key in parameters}, name


# -- sync --------------------------------------------------------------------------------------


def test_handles_are_equal_by_connection_and_ref_and_survive_pickling() -> None:
    with opened("test:///default") as connection:
        one, two = connection.lookup("test"), connection.domain_list()[0]
        assert one == two
        assert hash(one) == hash(two)
        assert one != "test"
        assert (one.name, one.uuid) == ("test", "6695eb01-f6a4-8304-79aa-97f2502e193f")
        again = pickle.loads(pickle.dumps(one))
        with again.connection:
            assert again == one
            assert again.state().state is State.RUNNING
        assert "test" in repr(one)


def test_a_handles_methods_raise_the_error_of_the_one_answer() -> None:
    with opened("test:///default") as connection:
        gone = connection.domain(Ref("domain", "nothing", name="gone"))
        for ask in (gone.state, gone.facts, gone.config, gone.block_info, gone.stats_cpu):
            with pytest.raises(NotFound, match="gone"):
                ask()


def test_lookups_and_overviews_are_made_of_hooks() -> None:
    with opened("test:///default") as connection:
        assert connection.lookup("1").name == "test"
        assert connection.lookup_pool("default-pool").info().active
        assert connection.lookup_network("default").info().bridge == "virbr0"
        assert connection.lookup_interface("aa:bb:cc:dd:ee:ff").name == "eth1"
        (row,) = connection.overview()
        assert (row.ref.name, row.status.get().state, row.facts.get().id) == ("test", State.RUNNING, 1)
        assert connection.facts()


def test_waiting_for_a_state_ends_when_it_is_reached_or_at_the_deadline() -> None:
    with opened("test:///default") as connection:
        domain = connection.lookup("test")
        assert domain.wait_for([State.RUNNING]).state is State.RUNNING
        with pytest.raises(Interrupted):
            domain.wait_for([State.CRASHED], timeout=0.1)
        transient = connection.domain_create(GUEST.format("t"))
        transient.destroy()
        assert transient.wait_for([State.SHUTOFF]).state is State.SHUTOFF


def test_a_whole_host_is_found_by_uri_alone() -> None:
    with opened("test:///default", readonly=True, timeout=5) as connection:
        assert str(connection.uri) == "test:///default"
        assert repr(connection) == "Connection('test:///default')"
        assert "domain_start" in connection.supports


# -- async -------------------------------------------------------------------------------------


def test_the_same_can_be_awaited() -> None:
    async def work() -> None:
        async with await open_async("test:///default") as connection:
            domain = await connection.domain_define(GUEST.format("one"))
            await domain.start()
            assert (await domain.state()).state is State.RUNNING
            assert (await connection.lookup("one")).ref == domain.ref
            config = await domain.config(Which.CONFIG)
            assert config.model.name == "one"
            answers = await connection.domain_state([domain])
            assert answers[domain.ref].get().state is State.RUNNING
            assert {row.ref.name for row in await connection.overview()} == {"one", "test"}
            await domain.destroy()
            with pytest.raises(NotFound):
                await connection.lookup("nobody")

    run(work())


def test_both_ways_to_open_take_the_same_and_nothing_else() -> None:
    assert inspect.signature(open_async).parameters == inspect.signature(opened).parameters
    wrong: dict[str, Any] = {"readonyl": True}
    with pytest.raises(TypeError, match="readonyl"):
        run(open_async("test:///default", **wrong))


def test_a_hung_call_holds_neither_the_loop_nor_other_calls() -> None:
    async def work() -> None:
        async with await open_async("test:///default?hang=domain_suspend") as connection:
            domain = await connection.lookup("test")
            hung = asyncio.create_task(connection.domain_suspend(domain, timeout=1.0))
            await asyncio.sleep(0.05)
            begun = time.monotonic()
            answers = await asyncio.gather(*(connection.domain_list() for _ in range(20)))
            assert all(len(answer) == 1 for answer in answers)
            assert time.monotonic() - begun < 0.9
            with pytest.raises(Interrupted):
                await hung

    run(work())


def test_a_hundred_calls_hang_and_one_answers() -> None:
    async def work() -> None:
        async with await open_async("test:///default?hang=domain_start") as connection:
            domains = [await connection.domain_define(GUEST.format(f"g{number}")) for number in range(100)]
            hung = [asyncio.create_task(connection.domain_start(domain, timeout=3.0)) for domain in domains]
            await asyncio.sleep(0.05)
            begun = time.monotonic()
            assert len(await connection.domain_list()) == 101
            assert time.monotonic() - begun < 2.5
            outcomes = await asyncio.gather(*hung, return_exceptions=True)
            assert all(isinstance(one, Interrupted) and one.reason == "deadline" for one in outcomes)

    run(work())


def test_cancelling_an_awaited_call_ends_the_wait() -> None:
    async def work() -> None:
        async with await open_async("test:///default?delay=domain_suspend:200") as connection:
            domain = await connection.lookup("test")
            waiting = asyncio.create_task(connection.domain_suspend(domain))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.sleep(0.4)
            assert (await domain.state()).state is State.PAUSED

    run(work())


def test_events_and_jobs_are_for_asyncio_too() -> None:
    async def work() -> None:
        async with await open_async("test:///default") as connection:
            feed = connection.events()
            domain = await connection.lookup("test")
            await domain.suspend()
            async for event in feed:
                assert event.ref == domain.ref
                break
            feed.close()
            assert isinstance(connection, AsyncConnection)

    run(work())


# -- through the front door --------------------------------------------------------------------


def test_one_of_fifty_hangs_and_all_others_answer() -> None:
    with opened("test:///default?hang=domain_state:g7") as connection:
        refs = [connection.domain_define(GUEST.format(f"g{number}")).ref for number in range(50)]
        begun = time.monotonic()
        answers = connection.domain_state(refs, timeout=1.0)
        assert time.monotonic() - begun < 3
        late = [ref.name for ref, answer in answers.items() if answer.error is not None]
        assert late == ["g7"]
        error = answers[refs[7]].error
        assert isinstance(error, Interrupted)
        assert error.reason == "deadline"


def test_a_hook_that_fails_is_one_answers_error_alone() -> None:
    with opened("test:///default?fail=stats_cpu:a") as connection:
        a, b = (connection.domain_define(GUEST.format(name)).ref for name in "ab")
        answers = connection.stats_cpu([a, b])
        with pytest.raises(Failed) as failed:
            answers[a].get()
        assert failed.value.details == {"hook": "stats_cpu", "name": "a"}
        assert answers[b].error is None


def test_states_of_guests_that_take_their_time_come_together() -> None:
    with opened("test:///default?delay=domain_state:test:200") as connection:
        refs = [connection.lookup("test").ref, connection.domain_define(GUEST.format("quick")).ref]
        answers = connection.domain_state(refs, timeout=5.0)
        assert [answer.get().state for answer in answers.values()] == [State.RUNNING, State.SHUTOFF]


def test_a_driver_that_looks_up_by_list_is_searched_by_core() -> None:
    class Listing:
        @impl
        def domain_list(self) -> Any:
            return iter([Ref("domain", "k1", name="a", uuid="u1"), Ref("domain", "k2", name="a", uuid="u2")])

        @impl
        def domain_state(self, refs: Sequence[Ref]) -> Any:
            return iter(())

    connection = connected(Listing())
    assert connection.lookup("u2").ref.key == "k2"
    assert connection.lookup("k1").ref.key == "k1"
    with pytest.raises(Ambiguous, match="fits 2 objects") as many:
        connection.lookup("a")
    assert [ref.key for ref in many.value.refs] == ["k1", "k2"]
