"""``kill -9`` of the managing process, before each step and before random effects of every changing operation."""

from __future__ import annotations

import os
import random

import pytest
from qemu_stage.operations import OPERATIONS, again, cleaned, order, prepared
from qemu_stage.scene import Scene

KILLS = int(os.environ.get("ANYVIRT_TEST_KILLS", "20"))


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
