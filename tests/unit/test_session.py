from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from anyvirt.api import (
    Answer,
    Busy,
    Connection,
    Cpu,
    Fact,
    Host,
    Job,
    NotFound,
    Progress,
    Ref,
    ShutdownMode,
    State,
    Status,
    impl,
)
from anyvirt.errors import BadDriver, Denied, Failed, Interrupted, Unsupported, VirtError
from anyvirt.session import CallInfo
from anyvirt.testing import connected, host

ONE, TWO = Ref("domain", "1", name="one"), Ref("domain", "2", name="two")


class Small:
    """A driver with a few hooks, that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.fails: list[Exception] = []

    @impl
    def domain_list(self) -> Iterator[Ref]:
        if self.fails:
            raise self.fails.pop(0)
        yield from (ONE, TWO)

    @impl
    def domain_state(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[State]]]:
        yield from ((ref, Answer(State.RUNNING)) for ref in refs)

    @impl
    def domain_start(self, ref: Ref) -> None:
        self.told.append(("start", ref))

    @impl(accepts={"mode": {ShutdownMode.ACPI}})
    def domain_shutdown(self, ref: Ref, mode: ShutdownMode | None) -> None:
        self.told.append(("shutdown", mode))

    @impl
    def domain_save(self, ref: Ref, path: str) -> Iterator[Progress]:
        yield Progress(1, 2)
        self.told.append(("saved", path))


def made(driver: object, **rest: Any) -> Connection:
    return connected(driver, "small:///", **rest)


# -- what is checked when it opens ------------------------------------------------------------


def _driver(**methods: Callable[..., Any]) -> object:
    return type("Driver", (), {name: impl(method) for name, method in methods.items()})()


def test_a_parameter_with_a_default_is_refused_with_the_signature() -> None:
    def domain_start(self: Any, ref: Ref, paused: bool = False) -> None: ...

    with pytest.raises(BadDriver, match="paused: 'bool' = False does not fit"):
        made(_driver(domain_start=domain_start))


def test_a_parameter_that_the_spec_lacks_is_refused() -> None:
    def domain_start(self: Any, ref: Ref, quickly: bool) -> None: ...

    with pytest.raises(BadDriver, match="quickly"):
        made(_driver(domain_start=domain_start))


@pytest.mark.parametrize(
    "method",
    [
        lambda self, *refs: None,
        lambda self, **more: None,
        lambda self, *, ref: None,
        lambda self, ref, /: None,
    ],
    ids=["many", "named", "keyword", "positional"],
)
def test_stars_and_slashes_are_refused(method: Callable[..., Any]) -> None:
    method.__name__ = "domain_start"
    with pytest.raises(BadDriver):
        made(_driver(domain_start=method))


def test_a_hook_that_this_core_does_not_know_is_noted_and_spoils_nothing() -> None:
    def domain_teleport(self: Any, ref: Ref) -> None: ...

    connection = made(_driver(domain_teleport=domain_teleport, domain_list=lambda self: iter([ONE])))
    assert connection.session.unknown == {"domain_teleport": "small under test 0"}
    assert [domain.ref for domain in connection.domain_list()] == [ONE]
    assert "domain_teleport" not in connection.supports


def test_two_members_with_one_single_hook_are_an_error_that_names_both() -> None:
    service = _driver(domain_list=lambda self: iter(()))
    with pytest.raises(BadDriver) as clash:
        made(Small(), services=[("storage", service)])
    assert clash.value.code == "driver.clash"
    assert "small under test and storage under test: both implement domain_list" in str(clash.value)


def test_a_services_hooks_stand_beside_the_drivers() -> None:
    service = _driver(pool_list=lambda self: iter([Ref("pool", "p", name="pool")]))
    connection = made(Small(), services=[("storage", service)])
    assert [pool.name for pool in connection.pool_list()] == ["pool"]
    assert len(connection.domain_list()) == 2


def test_a_property_of_the_driver_is_not_evaluated_at_opening() -> None:
    class Careful(Small):
        @property
        def version(self) -> str:
            raise AssertionError("asked before it was ready")

    assert len(made(Careful()).domain_list()) == 2


# -- what it supports -------------------------------------------------------------------------


def test_supports_knows_hooks_parameters_and_values() -> None:
    supports = made(Small()).supports
    assert list(supports) == ["domain_list", "domain_save", "domain_shutdown", "domain_start", "domain_state"]
    assert len(supports) == 5
    assert "domain_start" in supports
    assert "domain_start.paused" not in supports
    assert "domain_shutdown.mode" in supports
    assert "domain_shutdown.mode=acpi" in supports
    assert "domain_shutdown.mode=agent" not in supports
    assert "domain_reset" not in supports
    assert "domain_reset.x" not in supports


def test_a_lacking_hook_is_unsupported_and_a_service_says_how_to_get_it() -> None:
    connection = made(Small())
    with pytest.raises(Unsupported) as lacking:
        connection.domain_reset(ONE)
    assert lacking.value.what == "domain_reset"
    with pytest.raises(Unsupported) as service:
        connection.pool_list()
    assert "pip install --upgrade anyvirt-host" in service.value.hint


def test_a_parameter_that_would_be_lost_is_refused_before_anything_happens() -> None:
    driver = Small()
    connection = made(driver)
    with pytest.raises(Unsupported) as lost:
        connection.domain_start(ONE, paused=True)
    assert lost.value.what == "domain_start(paused)"
    assert driver.told == []
    connection.domain_start(ONE, paused=False)
    assert driver.told == [("start", ONE)]


def test_a_value_that_is_not_accepted_is_refused_and_those_that_are_named() -> None:
    driver = Small()
    connection = made(driver)
    with pytest.raises(Unsupported) as refused:
        connection.domain_shutdown(ONE, ShutdownMode.AGENT)
    assert refused.value.what == "domain_shutdown(mode=agent)"
    assert "acpi" in refused.value.hint
    connection.domain_shutdown(ONE, ShutdownMode.ACPI)
    connection.domain_shutdown(ONE)
    assert driver.told == [("shutdown", ShutdownMode.ACPI), ("shutdown", None)]


def test_readonly_refuses_writes_and_not_reads() -> None:
    driver = Small()
    connection = made(driver, readonly=True)
    assert len(connection.domain_list()) == 2
    for change in (lambda: connection.domain_start(ONE), lambda: connection.domain_save(ONE, "/x")):
        with pytest.raises(Denied) as refused:
            change()
        assert refused.value.code == "readonly"
    assert driver.told == []


def test_readonly_refuses_a_read_of_secrets() -> None:
    connection = made(Small(), readonly=True)
    with pytest.raises(Denied, match="domain_config with secrets on a read-only connection") as refused:
        connection.domain_config([ONE], secure=True)
    assert refused.value.code == "readonly"


# -- errors ------------------------------------------------------------------------------------


def test_a_native_exception_becomes_the_plug_ins_fault_with_its_cause() -> None:
    driver = Small()
    driver.fails = [KeyError("native")]
    with pytest.raises(BadDriver, match="small under test 0: domain_list raised KeyError") as bad:
        made(driver).domain_list()
    assert isinstance(bad.value.__cause__, KeyError)


def test_a_coded_error_passes_as_it_is() -> None:
    driver = Small()
    failure = Failed("no", native={"class": "GenericError"})
    driver.fails = [failure]
    with pytest.raises(Failed) as raised:
        made(driver).domain_list()
    assert raised.value is failure


def test_a_read_whose_line_was_lost_is_asked_once_more() -> None:
    driver = Small()
    driver.fails = [Interrupted("lost")]
    assert len(made(driver).domain_list()) == 2
    driver.fails = [Interrupted("lost"), Interrupted("lost")]
    with pytest.raises(Interrupted):
        made(driver).domain_list()
    assert driver.fails == []


def test_a_change_whose_line_was_lost_is_not_asked_again() -> None:
    asked = []

    def domain_start(self: Any, ref: Ref) -> None:
        asked.append(ref)
        raise Interrupted("lost")

    with pytest.raises(Interrupted):
        made(_driver(domain_start=domain_start)).domain_start(ONE)
    assert asked == [ONE]


# -- bulk --------------------------------------------------------------------------------------


def test_a_ref_that_was_left_out_is_the_drivers_fault_for_that_one_alone() -> None:
    def stats_cpu(self: Any, refs: Sequence[Ref]) -> Iterator[Any]:
        yield refs[0], Answer(Cpu(time=5))

    answers = made(_driver(stats_cpu=stats_cpu)).stats_cpu([ONE, TWO])
    assert answers[ONE].get() == Cpu(time=5)
    assert isinstance(answers[TWO].error, BadDriver)
    assert "left out" in str(answers[TWO].error)


def test_what_is_no_answer_is_the_drivers_fault() -> None:
    def stats_cpu(self: Any, refs: Sequence[Ref]) -> Iterator[Any]:
        yield refs[0], Cpu(time=5)

    answers = made(_driver(stats_cpu=stats_cpu)).session.bulk
    with pytest.raises(BadDriver, match="Cpu where an Answer belongs"):
        answers("stats_cpu", {"refs": (ONE,)})


def test_answers_come_in_the_order_that_was_asked_for() -> None:
    def stats_cpu(self: Any, refs: Sequence[Ref]) -> Iterator[Any]:
        yield from ((ref, Answer(Cpu())) for ref in reversed(refs))

    assert list(made(_driver(stats_cpu=stats_cpu)).stats_cpu([ONE, TWO])) == [ONE, TWO]


def test_an_error_half_way_leaves_the_answers_that_were_there() -> None:
    def stats_cpu(self: Any, refs: Sequence[Ref]) -> Iterator[Any]:
        yield ONE, Answer(Cpu(time=1))
        raise Failed("the rest is lost")

    answers = made(_driver(stats_cpu=stats_cpu)).stats_cpu([ONE, TWO])
    assert answers[ONE].get() == Cpu(time=1)
    with pytest.raises(Failed):
        answers[TWO].get()


def test_at_the_deadline_there_is_what_came_and_the_rest_says_why() -> None:
    over = threading.Event()

    def stats_cpu(self: Any, refs: Sequence[Ref]) -> Iterator[Any]:
        for number, ref in enumerate(refs):
            if number == 37:
                over.wait(20)
            yield ref, Answer(Cpu(time=number))

    refs = [Ref("domain", str(number)) for number in range(50)]
    begun = time.monotonic()
    answers = made(_driver(stats_cpu=stats_cpu)).stats_cpu(refs, timeout=0.3)
    assert time.monotonic() - begun < 2
    assert list(answers) == refs
    assert [answers[ref].get().time for ref in refs[:37]] == list(range(37))
    late = [answers[ref].error for ref in refs[37:]]
    assert all(isinstance(error, Interrupted) and error.reason == "deadline" for error in late)
    over.set()


def test_states_may_be_given_bare() -> None:
    assert made(Small()).domain_state([ONE])[ONE].get() == Status(State.RUNNING)


# -- hooks that every member answers -----------------------------------------------------------


def test_each_member_answers_under_its_own_error() -> None:
    good = _driver(host_facts=lambda self: [Fact("name", "value")])

    def host_facts(self: Any) -> Sequence[Fact]:
        raise Busy("the other")

    def strange(self: Any) -> Sequence[Fact]:
        raise ZeroDivisionError

    services = [("storage", _driver(host_facts=host_facts)), ("network", _driver(host_facts=strange))]
    answers = made(good, services=services).host_facts()
    assert list(answers) == ["small", "storage", "network"]
    assert answers["small"].get() == [Fact("name", "value")]
    assert isinstance(answers["storage"].error, Busy)
    assert isinstance(answers["network"].error, BadDriver)


def test_closing_goes_backwards_once_and_past_errors() -> None:
    closed = []

    def closing(name: str, error: Exception | None = None) -> object:
        def connect_close(self: Any) -> None:
            closed.append(name)
            if error is not None:
                raise error

        return _driver(connect_close=connect_close)

    services = [("storage", closing("storage", Busy("it"))), ("network", closing("network"))]
    connection = made(closing("driver"), services=services)
    connection.close()
    connection.close()
    assert closed == ["network", "storage", "driver"]


def test_a_closed_connection_is_lost() -> None:
    with made(Small()) as connection:
        pass
    with pytest.raises(Interrupted) as lost:
        connection.domain_list()
    assert lost.value.reason == "lost"


# -- deadlines, keys, forks --------------------------------------------------------------------


def test_a_call_ends_at_its_deadline_or_the_connections() -> None:
    over = threading.Event()

    def domain_start(self: Any, ref: Ref) -> None:
        over.wait(20)

    connection = made(_driver(domain_start=domain_start), timeout=0.2)
    asks: list[Callable[[], None]] = [
        lambda: connection.domain_start(ONE),
        lambda: connection.domain_start(ONE, timeout=0.1),
    ]
    for ask in asks:
        begun = time.monotonic()
        with pytest.raises(Interrupted) as late:
            ask()
        assert late.value.reason == "deadline"
        assert time.monotonic() - begun < 2
    over.set()


def test_a_guest_that_hangs_is_destroyed_all_the_same_and_others_answer() -> None:
    over = threading.Event()
    told: list[Any] = []

    class Hanging:
        @impl
        def domain_start(self, ref: Ref) -> None:
            over.wait(20)

        @impl
        def domain_suspend(self, ref: Ref) -> None:
            told.append(ref)

        @impl
        def domain_destroy(self, ref: Ref) -> None:
            told.append(("destroyed", ref))

    connection = made(Hanging())
    for _ in range(4):
        with pytest.raises(Interrupted):
            connection.domain_start(ONE, timeout=0.2)
    with pytest.raises(VirtError) as stuck:
        connection.domain_suspend(ONE)
    assert stuck.value.code == "connect.unreachable"
    connection.domain_suspend(TWO)
    connection.domain_destroy(ONE)
    assert told == [TWO, ("destroyed", ONE)]
    over.set()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_to_open_its_own() -> None:
    connection = made(Small())
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            connection.domain_list()
            said = b"answered"
        except Interrupted as error:
            said = error.reason.encode()
        finally:
            os.write(writing, said)
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 100) == b"forked"
    os.close(reading)
    os.waitpid(pid, 0)
    assert len(connection.domain_list()) == 2


# -- wrappers ----------------------------------------------------------------------------------


def test_wrappers_see_every_call_the_first_outermost_and_its_outcome() -> None:
    seen: list[Any] = []

    def noting(name: str) -> Callable[[CallInfo, Callable[[], Any]], Any]:
        def around(call: CallInfo, proceed: Callable[[], Any]) -> Any:
            seen.append((name, "begin", call.hook, call.kind))
            try:
                return proceed()
            except VirtError as error:
                seen.append((name, error.code))
                raise
            finally:
                seen.append((name, "end"))

        return around

    driver = Small()
    connection = made(driver, wrappers=(noting("a"), noting("b")))
    connection.domain_list()
    assert seen == [
        ("a", "begin", "domain_list", "call"),
        ("b", "begin", "domain_list", "call"),
        ("b", "end"),
        ("a", "end"),
    ]
    seen.clear()
    driver.fails = [Busy("it")]
    with pytest.raises(Busy):
        connection.domain_list()
    assert ("a", "resource.busy") in seen


def test_wrappers_see_the_arguments_of_bulk_calls_and_the_outcome_of_jobs() -> None:
    seen: list[Any] = []

    def around(call: CallInfo, proceed: Callable[[], Any]) -> Any:
        value = proceed()
        seen.append((call.hook, call.kind, dict(call.arguments), call.uri))
        return value

    driver = Small()
    connection = made(driver, wrappers=(around,))
    connection.domain_state([ONE])
    job: Job[None] = connection.domain_save(ONE, "/somewhere")
    assert list(job)[-1] == Progress(1, 2)
    job.wait(5)
    assert seen == [
        ("domain_state", "bulk", {"refs": (ONE,)}, "small:///"),
        ("domain_save", "job", {"ref": ONE, "path": "/somewhere"}, "small:///"),
    ]


def test_a_wrapper_can_refuse() -> None:
    def around(call: CallInfo, proceed: Callable[[], Any]) -> Any:
        raise Denied(f"{call.hook} is not for you")

    driver = Small()
    with pytest.raises(Denied):
        made(driver, wrappers=(around,)).domain_start(ONE)
    assert driver.told == []


def test_what_a_member_gives_as_host_is_what_connect_open_got() -> None:
    runner: Any = object()
    given: Host = host("small:///", run=runner)
    assert given.run is runner
    assert connected(Small(), on=given).session.host is given


def test_not_found_names_what_was_asked_for() -> None:
    with pytest.raises(NotFound, match="nobody"):
        made(Small()).lookup("nobody")


def test_a_plug_ins_own_calls_are_neither_wrapped_nor_refused() -> None:
    seen: list[str] = []

    def around(call: CallInfo, proceed: Callable[[], Any]) -> Any:
        seen.append(call.hook)
        return proceed()

    driver = Small()
    outer = connected(driver, wrappers=(around,), readonly=True)
    with pytest.raises(Denied):
        outer.domain_start(ONE)
    Connection(outer.session.inner()).domain_start(ONE)
    assert driver.told == [("start", ONE)]
    assert seen == []
    outer.domain_list()
    assert seen == ["domain_list"]


def test_many_that_call_a_service_first_all_get_through() -> None:
    class Driver:
        """One without hooks of storage."""

    class Pools:
        """A service with one."""

        @impl
        def pool_list(self) -> Iterator[Ref]:
            yield Ref("pool", "1", name="p")

    for _ in range(20):
        session = connected(Driver(), services=[("storage", Pools())]).session
        begun = [session.begin("pool_list", {}) for _ in range(8)]
        assert {one.result() for one in begun} == {(Ref("pool", "1"),)}
