from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from anyvirt.api import Answer, Balloon, Connection, Cpu, DomainFacts, DomainStats, Fact, Ref, State, impl
from anyvirt.deadline import left
from anyvirt.errors import Busy, Failed, Interrupted
from anyvirt.model.values import JobRecord
from anyvirt.session import CallInfo
from anyvirt.testing import connected, host

ONE, TWO = Ref("domain", "1", name="one"), Ref("domain", "2", name="two")


def made(driver: object, **rest: Any) -> Connection:
    return connected(driver, "small:///", **rest)


def _driver(**methods: Callable[..., Any]) -> object:
    return type("Driver", (), {name: impl(method) for name, method in methods.items()})()


class Closing:
    """A host's way to run things, that notes that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_connection_whose_calls_are_stuck_can_be_closed() -> None:
    stuck, closed = threading.Event(), threading.Event()

    def domain_list(self: Any) -> Any:
        stuck.wait(20)

    def connect_close(self: Any) -> None:
        closed.set()

    connection = made(_driver(domain_list=domain_list, connect_close=connect_close))
    for _ in range(4):
        with pytest.raises(Interrupted):
            connection.domain_list(timeout=0.02)
    connection.close()
    stuck.set()
    assert closed.is_set()


def test_a_close_that_hangs_lets_go_of_the_host_all_the_same() -> None:
    stuck, run = threading.Event(), Closing()

    def connect_close(self: Any) -> None:
        stuck.wait(20)

    on = host("small:///", run=run)
    assert on.run is not None
    connection = made(_driver(connect_close=connect_close), on=on, timeout=0.05)
    with pytest.raises(Interrupted):
        connection.close()
    assert run.closed
    connection.close()
    stuck.set()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_closes_ends_nothing_of_its_parents() -> None:
    run = Closing()
    on = host("small:///", run=run)
    assert on.run is not None
    connection = made(_driver(), on=on)
    child = os.fork()
    if not child:
        connection.close()
        os._exit(1 if run.closed else 7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    connection.close()
    assert run.closed


def test_a_bulk_read_whose_line_was_lost_is_asked_once_more_for_what_is_left() -> None:
    asked: list[Any] = []

    def domain_state(self: Any, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[State]]]:
        asked.append(tuple(refs))
        yield refs[0], Answer(State.RUNNING)
        if len(asked) == 1:
            raise Interrupted("lost")

    answers = made(_driver(domain_state=domain_state)).domain_state([ONE, TWO])
    assert [answer.get().state for answer in answers.values()] == [State.RUNNING, State.RUNNING]
    assert asked == [(ONE, TWO), (TWO,)]


def test_wrappers_see_the_beginning_of_a_stream_of_events() -> None:
    def events_follow(self: Any, after: str | None) -> Iterator[Any]:
        return iter(())

    seen: list[Any] = []

    def audit(call: CallInfo, proceed: Callable[[], Any]) -> Any:
        seen.append((call.hook, call.kind, call.arguments["after"]))
        return proceed()

    with made(_driver(events_follow=events_follow), wrappers=(audit,)).events() as feed, pytest.raises(Interrupted):
        feed.get(5)
    assert seen == [("events_follow", "stream", None)]


def _with_one_stuck(stuck: threading.Event, value: Any) -> Callable[..., Any]:
    def bulk(self: Any, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Any]]]:
        yield refs[0], Answer(value)
        stuck.wait(20)

    return bulk


def _bulk(value: Any, at: float | None = None) -> Callable[..., Any]:
    def bulk(self: Any, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Any]]]:
        yield from ((ref, Answer(value) if at is None else Answer(value, at=at)) for ref in refs)

    return bulk


def _list(self: Any) -> Iterator[Ref]:
    return iter((ONE, TWO))


def test_a_driver_that_gives_up_at_the_deadline_has_left_nobody_out() -> None:
    def domain_state(self: Any, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[State]]]:
        yield refs[0], Answer(State.RUNNING)
        while left():
            time.sleep(0.01)

    pending = made(_driver(domain_state=domain_state)).session.begin_bulk("domain_state", {"refs": (ONE, TWO)}, 0.1)
    end = time.monotonic() + 5
    while not pending.call.done() and time.monotonic() < end:
        time.sleep(0.01)
    answers = pending.result()
    assert answers[ONE].error is None
    late = answers[TWO].error
    assert isinstance(late, Interrupted)
    assert late.reason == "deadline"


def test_a_guest_without_a_state_takes_nobodys_facts_away_in_an_overview() -> None:
    stuck = threading.Event()
    facts = _bulk(DomainFacts(id=7))
    driver = _driver(domain_list=_list, domain_state=_with_one_stuck(stuck, State.RUNNING), domain_facts=facts)
    rows = made(driver).overview(timeout=0.3)
    stuck.set()
    assert [row.facts.get().id for row in rows] == [7, 7]
    assert rows[0].status.get().state is State.RUNNING
    assert isinstance(rows[1].status.error, Interrupted)


def test_one_stuck_guest_takes_no_figures_of_others_away() -> None:
    stuck = threading.Event()
    cpu, balloon = Cpu(time=5), Balloon(current=6)
    driver = _driver(stats_cpu=_with_one_stuck(stuck, cpu), stats_balloon=_bulk(balloon))
    answers = made(driver).stats([ONE, TWO], timeout=0.3)
    stuck.set()
    assert answers[ONE].get().cpu == cpu
    assert answers[ONE].get().balloon == balloon
    assert isinstance(answers[TWO].error, Interrupted)
    assert answers[TWO].value == DomainStats(balloon=balloon)


def test_a_group_that_failed_leaves_the_figures_of_the_others_beside_its_error() -> None:
    def refused(self: Any, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Any]]]:
        yield from ((ref, Answer(error=Busy(ref, holder="a job"))) for ref in refs)

    def broken(self: Any, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Any]]]:
        raise Failed("no such table")

    driver = _driver(stats_vcpu=refused, stats_cpu=_bulk(Cpu(time=5), 100.0), stats_block=_bulk((), 90.0))
    answer = made(driver).stats([ONE])[ONE]
    assert isinstance(answer.error, Busy)
    assert (answer.value, answer.at) == (DomainStats(cpu=Cpu(time=5), block=()), 90.0)
    with pytest.raises(Busy):
        answer.get()
    assert made(_driver(stats_vcpu=refused)).stats([ONE])[ONE].value is None
    answer = made(_driver(stats_vcpu=broken, stats_cpu=_bulk(Cpu(time=5)))).stats([ONE])[ONE]
    assert isinstance(answer.error, Failed)
    assert answer.value == DomainStats(cpu=Cpu(time=5))


def test_merged_figures_are_as_old_as_the_oldest_of_them() -> None:
    driver = _driver(stats_cpu=_bulk(Cpu(time=5), 100.0), stats_balloon=_bulk(Balloon(), 200.0))
    answers = made(driver).stats([ONE])
    assert answers[ONE].at == 100.0


def test_a_driver_without_states_gives_the_figures_that_it_has() -> None:
    answers = made(_driver(stats_cpu=_bulk(Cpu(time=5)))).stats([ONE])
    assert answers[ONE].get().cpu == Cpu(time=5)
    assert answers[ONE].get().state is None


def test_a_plug_in_that_hangs_takes_no_other_ones_answer_away() -> None:
    stuck = threading.Event()

    def hung(self: Any) -> Any:
        stuck.wait(20)

    def facts(self: Any) -> Iterator[Fact]:
        yield Fact("name", "value")

    services = [("storage", _driver(host_facts=facts))]
    connection = made(_driver(host_facts=hung), services=services, timeout=0.2)
    answers = connection.host_facts()
    stuck.set()
    assert list(answers) == ["small", "storage"]
    late = answers["small"].error
    assert isinstance(late, Interrupted)
    assert late.reason == "deadline"
    assert answers["storage"].get() == (Fact("name", "value"),)


def test_a_number_that_a_silent_guest_may_have_is_not_said_to_be_nobodys() -> None:
    stuck = threading.Event()
    driver = _driver(domain_list=_list, domain_facts=_with_one_stuck(stuck, DomainFacts(id=7)))
    connection = made(driver, timeout=0.2)
    assert connection.lookup("7").ref == ONE
    with pytest.raises(Interrupted):
        connection.lookup("8")
    stuck.set()


def test_a_job_whose_owner_cannot_be_told_is_left_alone() -> None:
    on = host("small:///")
    on.jobs.write(JobRecord("1", "domain_save", ONE, "copying", owner={"unit": "x.service"}))
    on.jobs.write(JobRecord("2", "domain_save", ONE, "copying", owner={}))
    assert made(_driver(), on=on).recover() == ("domain_save 2: forgotten",)
    assert [record.id for record in on.jobs.all()] == ["1"]
