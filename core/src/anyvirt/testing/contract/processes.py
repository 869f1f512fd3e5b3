"""Several connections and several processes at once: they see the same guests and do not step on each other."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from anyvirt.client._generated_sync import Connection
from anyvirt.events import Change
from anyvirt.model.choices import Which
from anyvirt.model.state import State
from anyvirt.testing.guests import Guests, Watch
from anyvirt.testing.killing import PHASES, killed_at_phase
from anyvirt.testing.marks import needs, proves

Connect = Callable[..., Connection]
STEPS: Final = 40
# Runs in another process: random operations on the named guests; a coded error is fine, any other is not.
CROWD: Final = """
import random, sys
from anyvirt.api import VirtError, open
uri, seed, steps, *names = sys.argv[1:]
dice, connection = random.Random(int(seed)), open(uri, timeout=60)
for _ in range(int(steps)):
    name, op = dice.choice(names), dice.choice(["start", "destroy", "suspend", "resume", "define"])
    try:
        domain = connection.domain(connection.lookup(name).ref)
        if op == "define":
            connection.domain_define(domain.config().text)
        else:
            getattr(domain, op)()
    except VirtError:
        continue
connection.close()
"""


def _together(shared: bool) -> None:
    if not shared:
        pytest.skip("no fixture shared: each connection has guests of its own")


@proves("domain_define", "domain_start", "domain_destroy")
@needs("domain_state", "domain_undefine")
def test_two_connections_see_the_same_guests(guests: Guests, open_connection: Connect, shared: bool) -> None:
    _together(shared)
    other = open_connection()
    domain = guests.define()
    there = other.domain(other.lookup(domain.name).ref)
    assert there.ref == domain.ref
    domain.start()
    assert there.state().state is State.RUNNING
    there.destroy()
    assert domain.state().state is State.SHUTOFF


@proves("events_follow")
@needs("domain_define", "domain_start", "domain_destroy")
def test_what_another_connection_does_is_told(
    guests: Guests, watch: Callable[..., Watch], open_connection: Connect, shared: bool
) -> None:
    _together(shared)
    domain = guests.define()
    told = watch()
    there = open_connection().domain(domain.ref)
    there.start()
    there.destroy()
    assert told.lives(domain.ref, Change.STOPPED) == [(Change.STARTED, "booted"), (Change.STOPPED, "destroyed")]


@proves("domain_start")
@needs("domain_define", "domain_state", "domain_destroy")
def test_another_process_finds_the_guest_running(
    connection: Connection, guests: Guests, connection_uri: str, shared: bool
) -> None:
    _together(shared)
    domain = guests.running()
    code = (
        "import sys; from anyvirt.api import open\n"
        "c = open(sys.argv[1]); d = c.domain(c.lookup(sys.argv[2]).ref)\n"
        "print(d.state().state.value, d.ref.key, d.facts().id if 'domain_facts' in c.supports else '-')\n"
        "d.destroy(); c.close()\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, connection_uri, domain.name],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    number = str(domain.facts().id) if "domain_facts" in connection.supports else "-"
    assert out.stdout.split()[:2] == ["running", domain.ref.key]
    assert number in {"None", "-"}
    assert domain.state().state is State.SHUTOFF


@proves("domain_save", "job_recover")
@needs("domain_define", "domain_start", "domain_state", "domain_destroy")
def test_a_save_whose_process_was_killed_is_whole_or_taken_back(
    connection: Connection, guests: Guests, connection_uri: str, shared: bool, tmp_path: Path
) -> None:
    _together(shared)
    for phase in range(1, PHASES):
        domain, path = guests.running(), tmp_path / f"saved-{phase}"
        if not killed_at_phase(connection_uri, phase, "domain_save", domain.name, str(path)):
            assert phase > 1, "the job never wrote down what it was about to do"
            break
        connection.recover()
        assert connection.recover() == ()
        assert connection.session.host.jobs.all() == ()
        state = domain.state().state
        assert (state, path.exists()) in {(State.RUNNING, False), (State.SHUTOFF, True)}
        if state is State.RUNNING:
            connection.domain_destroy(domain)
        connection.domain_start(domain)


@proves("domain_start", "domain_destroy", "domain_define")
@needs("domain_state", "domain_suspend", "domain_resume", "domain_config", "domain_list")
def test_processes_that_manage_the_same_guests_end_in_agreement(
    connection: Connection, guests: Guests, connection_uri: str, open_connection: Connect, shared: bool
) -> None:
    _together(shared)
    domains = [guests.define() for _ in range(3)]
    names = [domain.name for domain in domains]
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    argv = [sys.executable, "-W", "error", "-c", CROWD, connection_uri]
    crowd = [
        subprocess.Popen([*argv, str(seed + number), str(STEPS), *names], stderr=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in crowd]
    assert ended == [("", 0)] * len(crowd)
    other = open_connection()
    for domain in domains:
        mine, theirs = domain.state(), other.domain(domain.ref).state()
        assert mine == theirs
        assert domain.config(Which.CONFIG).model.name == domain.name
        if mine.state is not State.SHUTOFF:
            connection.domain_destroy(domain)
        connection.domain_start(domain)
        assert domain.state().state is State.RUNNING
    assert sorted(one.name for one in connection.domain_list() if one.name in names) == sorted(names)
