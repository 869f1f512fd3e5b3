"""Answers about many objects: whole, each for itself, and never later than the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from anyvirt.client._generated_sync import Connection
from anyvirt.errors import Interrupted, NotFound, VirtError
from anyvirt.hooks.table import SPECS
from anyvirt.model.state import State
from anyvirt.ref import Ref
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import each, needs, proves

ABOUT_DOMAINS: Final = sorted(
    name for name, spec in SPECS.items() if spec.kind == "bulk" and spec.area in {"domain", "stats"}
)
GONE: Final = Ref("domain", "00000000-dead-4000-8000-000000000000", name="never-was")
SLACK: Final = 1.0


@needs("domain_list")
@pytest.mark.parametrize("hook", each(*ABOUT_DOMAINS))
def test_everybody_who_was_asked_for_is_answered(connection: Connection, guests: Guests, hook: str) -> None:
    mine = [guests.stopped().ref, *(domain.ref for domain in connection.domain_list())]
    refs = list(dict.fromkeys(mine))
    answers = connection.session.bulk(hook, _arguments(hook, refs), 10.0)
    assert list(answers) == refs
    assert {ref: answer.error for ref, answer in answers.items() if answer.error is not None} == {}
    assert all(answer.value is not None for answer in answers.values())
    assert all(abs(answer.at - time.time()) < 60 for answer in answers.values())


@needs("domain_list")
@pytest.mark.parametrize("hook", each(*ABOUT_DOMAINS))
def test_one_that_is_gone_is_not_found_and_spoils_nobody_elses_answer(
    connection: Connection, guests: Guests, hook: str
) -> None:
    there = guests.stopped().ref
    for refs in ([there, GONE], [GONE, there], [GONE]):
        answers = connection.session.bulk(hook, _arguments(hook, refs), 10.0)
        assert isinstance(answers[GONE].error, NotFound), f"{hook} says {answers[GONE]} of a domain that is not there"
        assert all(answers[ref].error is None for ref in refs if ref != GONE)


@needs("domain_list")
@pytest.mark.parametrize("hook", each(*ABOUT_DOMAINS))
def test_nobody_is_asked_for_and_nobody_is_answered(connection: Connection, hook: str) -> None:
    assert connection.session.bulk(hook, _arguments(hook, []), 10.0) == {}


@proves("domain_state")
@needs("domain_define", "domain_start")
def test_states_of_several_are_told_apart(connection: Connection, guests: Guests) -> None:
    expected = {
        guests.stopped().ref: State.SHUTOFF,
        guests.running().ref: State.RUNNING,
        guests.running(paused=True).ref: State.PAUSED,
    }
    answers = connection.domain_state(list(expected))
    assert {ref: answer.get().state for ref, answer in answers.items()} == expected


@proves("domain_state")
@needs("domain_list")
def test_a_deadline_that_has_passed_gives_answers_that_say_so(connection: Connection, guests: Guests) -> None:
    refs = [guests.stopped().ref]
    begun = time.monotonic()
    answers = connection.domain_state(refs, timeout=0.000_001)
    assert time.monotonic() - begun < SLACK
    for answer in answers.values():
        assert answer.error is None or isinstance(answer.error, Interrupted)


@proves("domain_state")
@needs("domain_define", "domain_start")
def test_one_guest_that_hangs_takes_nobody_elses_answer_away(
    connection: Connection, guests: Guests, stick: Callable[[Connection, Ref], Connection] | None
) -> None:
    if stick is None:
        pytest.skip("no fixture stick: a guest cannot be made to hang")
    stuck, healthy = guests.running(), [guests.running(), guests.stopped()]
    other = stick(connection, stuck.ref)
    begun = time.monotonic()
    answers = other.domain_state([stuck, *healthy], timeout=1.0)
    assert time.monotonic() - begun < 1.0 + SLACK
    assert [answers[domain.ref].get().state for domain in healthy] == [State.RUNNING, State.SHUTOFF]
    late = answers[stuck.ref].error
    assert late is None or isinstance(late, VirtError)
    begun = time.monotonic()
    assert other.domain_state(healthy, timeout=5.0)[healthy[0].ref].get().state is State.RUNNING
    assert time.monotonic() - begun < SLACK


@proves("domain_destroy")
@needs("domain_define", "domain_start", "domain_state")
def test_a_guest_that_hangs_can_be_destroyed(
    connection: Connection, guests: Guests, stick: Callable[[Connection, Ref], Connection] | None
) -> None:
    if stick is None:
        pytest.skip("no fixture stick: a guest cannot be made to hang")
    stuck = guests.running()
    other = stick(connection, stuck.ref)
    other.domain_destroy(stuck, timeout=20.0)
    assert connection.domain_state([stuck], timeout=20.0)[stuck.ref].get().state is State.SHUTOFF


def _arguments(hook: str, refs: list[Ref]) -> dict[str, object]:
    arguments: dict[str, object] = {"refs": tuple(refs)}
    if hook == "stats_collect":
        arguments["groups"] = frozenset({"cpu", "state"})
    return arguments
