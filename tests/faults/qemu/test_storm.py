"""Several processes that manage the same guests at the same time."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import uuid
from collections import Counter

from anyvirt.api import State
from qemu_stage import storm
from qemu_stage.scene import Scene

PROCESSES, CALLS, GUESTS = 4, 50, 4


def test_four_processes_and_200_random_calls_end_in_agreement_and_without_an_uncoded_error(scene: Scene) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    guests = {}
    for number in range(GUESTS):
        name = f"guest{number}"
        own = f"<uuid>{uuid.UUID(int=dice.getrandbits(128), version=4)}</uuid><name>"
        guests[name] = scene.xml(name).replace("<name>", own)
    processes = []
    for number in range(PROCESSES):
        argv = [sys.executable, storm.__file__, str(scene.state), str(seed + number), str(CALLS)]
        one = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert one.stdin is not None
        one.stdin.write(json.dumps(guests))
        one.stdin.close()
        processes.append(one)
    lines: list[str] = []
    for one in processes:
        assert one.stdout is not None
        with one.stdout:
            lines += one.stdout.read().splitlines()
        assert one.wait(10) == 0
    outcomes = Counter((line.split()[0], line.split()[3].rstrip(":")) for line in lines)
    print(json.dumps({" ".join(key): count for key, count in sorted(outcomes.items())}, indent=1))
    assert len(lines) == PROCESSES * CALLS
    assert not [line for line in lines if " uncoded " in line]
    codes = {code for _, code in outcomes}
    assert codes <= {"done", "domain.wrong-state", "domain.not-found", "domain.exists", "domain.busy"}
    with scene.open() as connection:
        for row in connection.overview():  # names, runs and processes agree before anything is settled
            assert connection.domain(row.ref).config().model.name == row.ref.name
        connection.recover()
        scene.agree(connection)
        for domain in connection.domain_list():
            if domain.state().state is not State.SHUTOFF:
                domain.destroy()
        scene.agree(connection)
        assert scene.qemus() == []
