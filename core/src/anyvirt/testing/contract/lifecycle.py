"""Life cycle: every edge of the table of states and operations, allowed or refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest

from anyvirt.client._generated_sync import Connection, Domain
from anyvirt.errors import Busy, WrongState
from anyvirt.model.state import REFUSALS, TRANSITIONS, Op, Reason, State, Status
from anyvirt.ref import Ref
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import claim, needs, proves

Observe = Callable[[Ref], State]
HOOKS: Final = {
    Op.START: "domain_start",
    Op.SHUTDOWN: "domain_shutdown",
    Op.REBOOT: "domain_reboot",
    Op.RESET: "domain_reset",
    Op.DESTROY: "domain_destroy",
    Op.SUSPEND: "domain_suspend",
    Op.RESUME: "domain_resume",
    Op.UNDEFINE: "domain_undefine",
    Op.RENAME: "domain_rename",
    Op.SAVE: "domain_save",
    Op.CONSOLE: "domain_console",
}
REACHED: Final = (State.SHUTOFF, State.RUNNING, State.PAUSED)
# They only ask the guest, which may not listen.
ASKED: Final = (Op.SHUTDOWN, Op.REBOOT)


def perform(connection: Connection, domain: Domain, op: Op, path: str) -> None:
    """Ask for an operation and wait for its end."""
    hook = getattr(connection, HOOKS[op])
    if op is Op.RENAME:
        hook(domain, domain.name + "-renamed")
    elif op is Op.SAVE:
        hook(domain, path).wait(60)
    elif op is Op.CONSOLE:
        hook(domain, readonly=True).close()
    else:
        hook(domain)


def _edges(pairs: object) -> list[object]:
    found = sorted(pairs, key=lambda pair: (pair[0].value, pair[1].value))  # type: ignore[call-overload]
    return [
        pytest.param(state, op, id=f"{op.value}-{state.value.replace(' ', '-')}", marks=claim(HOOKS[op]))
        for state, op in found
        if state in REACHED
    ]


@needs("domain_state")
@pytest.mark.parametrize(("state", "op"), _edges(TRANSITIONS))
def test_an_allowed_operation_leads_where_the_table_says(
    connection: Connection, guests: Guests, observe: Observe, state: State, op: Op, tmp_path: object
) -> None:
    domain = guests.into(state)
    before = domain.state()
    expected = TRANSITIONS[state, op]
    perform(connection, domain, op, f"{tmp_path}/saved")
    if op in ASKED:
        assert observe(domain.ref) in {state, State.SHUTOFF, State.SHUTDOWN}
        return
    if op is Op.UNDEFINE and state is State.SHUTOFF:
        assert domain.ref not in {one.ref for one in connection.domain_list()}
        return
    after = domain.state()
    assert observe(domain.ref) is after.state is expected.state
    if expected.reason is not Reason.UNKNOWN:
        assert guests.fits(domain, expected), f"{after}, and {expected} was expected"
    elif expected.state is state:
        assert after == before


@needs("domain_state")
@pytest.mark.parametrize(("state", "op"), _edges(REFUSALS))
def test_a_refused_operation_names_the_state_and_changes_nothing(
    connection: Connection, guests: Guests, observe: Observe, state: State, op: Op, tmp_path: object
) -> None:
    domain = guests.into(state)
    before = domain.state()
    with pytest.raises(WrongState) as refusal:
        perform(connection, domain, op, f"{tmp_path}/saved")
    assert refusal.value.actual == state.value
    assert state.value not in refusal.value.needed
    assert domain.name in str(refusal.value)
    assert domain.state() == before
    assert observe(domain.ref) is state


@needs("domain_state")
@pytest.mark.parametrize("op", [pytest.param(op, id=op.value, marks=claim(HOOKS[op])) for op in Op])
def test_states_that_no_operation_leads_to_are_decided_too(
    connection: Connection, guests: Guests, op: Op, tmp_path: object
) -> None:
    wrong = []
    for state in State:
        if state in REACHED:
            continue
        domain = guests.into(state)
        expected = TRANSITIONS.get((state, op))
        try:
            perform(connection, domain, op, f"{tmp_path}/{state.name}")
        except WrongState as refusal:
            if expected is not None or refusal.actual != state.value:
                wrong.append(f"{op.value} of {state.value} was refused: {refusal}")
            continue
        if expected is None:
            wrong.append(f"{op.value} of {state.value} was not refused")
        elif op not in ASKED and domain.state().state is not expected.state:
            wrong.append(f"{op.value} of {state.value} led to {domain.state()}")
    assert wrong == []


@proves("domain_start.paused")
@needs("domain_state")
def test_a_domain_started_paused_is_paused(connection: Connection, guests: Guests, observe: Observe) -> None:
    domain = guests.stopped()
    connection.domain_start(domain, paused=True)
    assert observe(domain.ref) is State.PAUSED
    assert guests.fits(domain, Status(State.PAUSED, Reason.USER)), domain.state()


@proves("domain_start")
@needs("domain_state")
def test_a_started_domain_was_booted(connection: Connection, guests: Guests, observe: Observe) -> None:
    domain = guests.stopped()
    assert observe(domain.ref) is State.SHUTOFF
    connection.domain_start(domain)
    assert observe(domain.ref) is State.RUNNING
    assert guests.fits(domain, Status(State.RUNNING, Reason.BOOTED)), domain.state()


@proves("domain_destroy")
@needs("domain_start", "domain_state", "domain_define")
def test_a_destroyed_domain_can_be_started_again(connection: Connection, guests: Guests, observe: Observe) -> None:
    domain = guests.running()
    connection.domain_destroy(domain)
    assert observe(domain.ref) is State.SHUTOFF
    connection.domain_start(domain)
    assert observe(domain.ref) is State.RUNNING


@proves("domain_destroy.graceful")
@needs("domain_state", "domain_define", "domain_start")
def test_a_graceful_destroy_ends_the_domain_or_says_that_it_did_not(
    connection: Connection, guests: Guests, observe: Observe
) -> None:
    domain = guests.running()
    with suppress(Busy):
        connection.domain_destroy(domain, graceful=True)
        assert observe(domain.ref) is State.SHUTOFF


@proves("domain_suspend", "domain_resume")
@needs("domain_define", "domain_start", "domain_state")
def test_suspend_and_resume_go_back_and_forth(connection: Connection, guests: Guests, observe: Observe) -> None:
    domain = guests.running()
    for _ in range(2):
        connection.domain_suspend(domain)
        assert observe(domain.ref) is State.PAUSED
        connection.domain_resume(domain)
        assert observe(domain.ref) is State.RUNNING
    assert guests.fits(domain, Status(State.RUNNING, Reason.UNPAUSED)), domain.state()


@proves("domain_facts")
@needs("domain_define", "domain_start", "domain_destroy")
def test_a_number_is_given_at_start_and_not_given_again(connection: Connection, guests: Guests) -> None:
    domain = guests.define()
    assert domain.facts().id is None
    numbers = []
    for _ in range(2):
        connection.domain_start(domain)
        number = domain.facts().id
        assert number is not None
        if "domain_lookup" in connection.supports:
            assert connection.lookup(str(number)).ref == domain.ref
        numbers.append(number)
        connection.domain_destroy(domain)
    assert domain.facts().id is None
    assert numbers[0] != numbers[1]
