"""``kill -9`` of the managing process, before each step and before random effects of every changing operation."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from anyvirt.api import NotFound, State
from anyvirt.client._generated_sync import Connection
from qemu_stage.scene import Scene

KILLS = int(os.environ.get("ANYVIRT_TEST_KILLS", "20"))
NAME = "guest"
ABSENT, DEFINED, RUNNING = "absent", "defined", "running"
# operation -> how the guest is before, arguments beside the guest
OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "domain_define": (ABSENT, {}),
    "domain_start": (DEFINED, {}),
    "domain_create": (ABSENT, {}),
    "domain_destroy": (RUNNING, {}),
    "domain_undefine": (DEFINED, {}),
    "domain_rename": (DEFINED, {"name": "other"}),
    "domain_reboot": (RUNNING, {"timeout": 1.0}),  # nothing in the guest heeds the power button
}


def prepared(scene: Scene, connection: Connection, before: str) -> None:
    """Bring the guest into the state that an operation begins in."""
    connection.domain_define(scene.xml("bystander"))
    if before != ABSENT:
        connection.domain_define(scene.xml(NAME))
    if before == RUNNING:
        connection.lookup(NAME).start()


def order(scene: Scene, op: str, **how: Any) -> Any:
    """Have the actor do the operation to the guest."""
    arguments = dict(OPERATIONS[op][1])
    if op in {"domain_define", "domain_create"}:
        return scene.order(op, config=scene.xml(NAME), **arguments, **how)
    return scene.order(op, ref=NAME, **arguments, **how)


def cleaned(scene: Scene, connection: Connection, op: str, *, recover: bool) -> None:
    """Whatever was cut off: the next call, or recovery, leaves nothing behind, and the guest starts."""
    names = {one.name for one in connection.domain_list()}
    assert "bystander" in names
    if OPERATIONS[op][0] != ABSENT and op != "domain_undefine":
        assert len(names) == 2, names
    if recover:
        connection.recover()
        assert not connection.recover(), "there is nothing left to do"
        scene.agree(connection)
    guest = connection.domain_define(scene.xml("other" if "other" in names else NAME))
    if guest.state().state is State.SHUTOFF:
        guest.start()
    scene.agree(connection)
    guest.destroy()
    scene.agree(connection)
    assert scene.qemus() == []
    guest.undefine()
    connection.lookup("bystander").undefine()


@pytest.mark.parametrize("op", OPERATIONS)
def test_killed_before_any_step_an_operation_leaves_nothing_that_the_next_call_does_not_settle(
    scene: Scene, op: str
) -> None:
    with scene.open() as connection:
        prepared(scene, connection, OPERATIONS[op][0])
        steps = order(scene, op)["steps"]
        assert steps, "the operation declares its steps"
        for at, step in enumerate(steps):
            recover = (at + list(OPERATIONS).index(op)) % 2 == 1  # start and create have most steps in common
            again(scene, connection, op)
            try:
                assert order(scene, op, at=at) == {"killed": True, "steps": steps[: at + 1]}
                cleaned(scene, connection, op, recover=recover)
            except BaseException as error:
                error.add_note(f"{op} was killed before step {at}, {step}; recover={recover}")
                raise


def again(scene: Scene, connection: Connection, op: str) -> None:
    """From whatever is there to the state that the operation begins in."""
    for domain in connection.domain_list():
        if domain.state().state is not State.SHUTOFF:
            domain.destroy()
        try:
            domain.undefine()
        except NotFound:
            continue  # it was transient
    prepared(scene, connection, OPERATIONS[op][0])


def test_killed_before_random_effects_an_operation_leaves_nothing_that_the_next_call_does_not_settle(
    scene: Scene,
) -> None:
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    print(f"seed {seed}, {KILLS} kills")
    with scene.open() as connection:
        counts: dict[str, int] = {}
        for _ in range(KILLS):
            op = dice.choice(list(OPERATIONS))
            again(scene, connection, op)
            if op not in counts:
                counts[op] = len(order(scene, op, effects=True)["steps"])
                again(scene, connection, op)
            at = dice.randrange(counts[op])
            said = order(scene, op, effects=True, at=at)
            try:
                cleaned(scene, connection, op, recover=dice.random() < 0.5)
            except BaseException as error:
                error.add_note(f"{op} was killed before effect {at} of {counts[op]}: {said['steps'][-3:]}")
                raise
