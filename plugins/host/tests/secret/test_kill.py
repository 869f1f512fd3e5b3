"""Processes that change secrets are killed at any moment, and others change them at the same time."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Connection, NotFound, Secret, Unsupported
from anyvirt_host.secret.keyring import Keyring

KILLS = 12
KEEPERS = ("file", "keyring")
WRITER = """
import sys
from pathlib import Path
from anyvirt.api import Secret, open
with open("storage:///session", state_dir=Path(sys.argv[1])) as connection:
    one = connection.lookup_secret("/srv/a")
    print("ready", flush=True)
    for turn in range(int(sys.argv[3])):
        for keeper in ("file", "keyring"):
            one.set_value(Secret(f"{sys.argv[2]} {turn} {keeper} " + "x" * 5000), keeper)
            print(turn, keeper, flush=True)
"""


@pytest.fixture(autouse=True)
def _keyring() -> None:
    try:
        list(Keyring().names("anyvirt:"))
    except Unsupported:
        pytest.skip("root: the kernel gives no keys here")


def begun(state: Path, name: str, turns: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(state), name, str(turns)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def whole(value: str) -> bool:
    name, turn, keeper, rest = value.split(" ")
    return bool(name) and turn.isdigit() and keeper in KEEPERS and rest == "x" * 5000


def test_a_kill_at_any_moment_leaves_the_old_value_or_the_new_one(
    keeping: Connection, state: Path, secret_xml: Callable[..., str]
) -> None:
    one = keeping.secret_define(secret_xml())
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)
    for at in range(KILLS):
        with begun(state, f"writer{at}", 1 << 20) as victim:
            assert victim.stdout
            time.sleep(moments.uniform(0, 0.1))
            victim.send_signal(signal.SIGKILL)
            said = [line for line in victim.stdout.read().split("\n")[:-1] if line.count(" ")]
        keeping.recover()
        assert keeping.recover() == ()
        assert len(list((state / "session/secret/_blob/secret/value").glob(".*"))) == 0, f"seed {seed}"
        if said or one.info().has_value:
            value = one.value().reveal()
            assert whole(value), f"seed {seed}"
            turn, keeper = int(value.split(" ")[1]), value.split(" ")[2]
            if said and value.startswith(f"writer{at} "):
                last = tuple(said[-1].split(" "))
                order = [(turn, word) for turn in range(turn + 2) for word in KEEPERS]
                behind = order.index((turn, keeper)) - order.index((int(last[0]), last[1]))
                assert behind in {0, 1}, f"seed {seed}"  # what was said is done, and at most one more
            else:
                assert not said, f"seed {seed}"
    one.undefine()
    assert keeping.recover() == ()


def test_two_processes_at_once_never_mix_their_values(
    keeping: Connection, state: Path, secret_xml: Callable[..., str]
) -> None:
    one = keeping.secret_define(secret_xml())
    with begun(state, "left", 15) as left, begun(state, "right", 15) as right:
        while left.poll() is None or right.poll() is None:
            try:
                assert whole(one.value().reveal())
            except NotFound:
                assert not one.info().has_value
    assert left.returncode == right.returncode == 0
    value = one.value().reveal()
    assert whole(value)
    assert value.split(" ")[2] == one.info().keeper
    one.set_value(Secret("last"))
    assert keeping.recover() == ()
