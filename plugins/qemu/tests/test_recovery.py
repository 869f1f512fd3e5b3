"""What a killed process or a crash of QEMU leaves, read before and settled after: values, events, run directories."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyvirt
import pytest
from anyvirt.api import Change, Connection, Lifecycle, Reason, State, Status, WrongState
from anyvirt_qemu.guest import Record, Run, running, stopped
from anyvirt_qemu.qmp.wire import Event
from anyvirt_qemu.run_dir import RunDir

GUEST = (
    "<domain type='qemu'><name>one</name><memory unit='MiB'>16</memory><os><type machine='q35'>hvm</type></os></domain>"
)
STOP, RESUME = Event("STOP", {}), Event("RESUME", {})
PANIC = Event("GUEST_PANICKED", {"action": "pause"})
OFF = Event("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"})
KILLED = Event("SHUTDOWN", {"guest": False, "reason": "host-signal"})


def record(**changes: object) -> Record:
    fields = {"run": "r", "uuid": "u", "name": "one", "number": 1, "phase": "running", "paused": False, "xml": ""}
    return Record(**{**fields, "boot": "b", "began": 0.0, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), Status(State.PAUSED, Reason.USER)),
        ((RESUME,), Status(State.RUNNING, Reason.BOOTED)),
        ((RESUME, STOP), Status(State.PAUSED, Reason.USER)),
        ((RESUME, STOP, RESUME), Status(State.RUNNING, Reason.UNPAUSED)),
        ((RESUME, Event("BLOCK_IO_ERROR", {"action": "stop"}), STOP), Status(State.PAUSED, Reason.IOERROR)),
        ((RESUME, Event("BLOCK_IO_ERROR", {"action": "report"}), STOP), Status(State.PAUSED, Reason.USER)),
        ((RESUME, Event("WATCHDOG", {"action": "pause"}), STOP), Status(State.PAUSED, Reason.WATCHDOG)),
        ((RESUME, PANIC, STOP), Status(State.CRASHED, Reason.PANICKED)),
        ((RESUME, PANIC, STOP, RESUME), Status(State.RUNNING, Reason.UNPAUSED)),
        ((RESUME, OFF, STOP), Status(State.SHUTDOWN, Reason.USER)),
        ((RESUME, Event("SUSPEND", {})), Status(State.PMSUSPENDED)),
        ((RESUME, Event("SUSPEND", {}), Event("WAKEUP", {})), Status(State.RUNNING, Reason.WAKEUP)),
    ],
)
def test_the_state_of_a_living_guest_follows_from_its_journal(events: tuple[Event, ...], status: Status) -> None:
    assert running(events, record()) == status


def test_a_guest_that_was_started_paused_is_unpaused_by_its_first_resume() -> None:
    assert running((RESUME,), record(paused=True)) == Status(State.RUNNING, Reason.UNPAUSED)


@pytest.mark.parametrize(
    ("events", "changes", "reason"),
    [
        ((RESUME, OFF), {}, Reason.SHUTDOWN),
        ((RESUME, KILLED), {}, Reason.DESTROYED),
        ((RESUME,), {}, Reason.CRASHED),
        ((RESUME, PANIC, OFF), {}, Reason.CRASHED),
        ((RESUME, OFF), {"ending": "destroyed"}, Reason.DESTROYED),
        ((), {"phase": "starting"}, Reason.FAILED),
        ((), {"phase": "telling"}, Reason.FAILED),
    ],
)
def test_the_reason_of_an_end_follows_from_its_journal_and_its_record(
    events: tuple[Event, ...], changes: dict[str, object], reason: Reason
) -> None:
    assert stopped(events, record(**changes)) is reason


def test_a_record_is_what_was_written_and_fields_of_later_versions_are_left_out() -> None:
    one = record(sockets=("/a", "/b"), rebooting={"pid": 1})
    assert Record.from_bytes(one.to_bytes()) == one
    assert Record.from_bytes(one.to_bytes().replace(b'"format": 1', b'"format": 2, "later": []')) == one
    with pytest.raises(ValueError, match="missing"):
        Record.from_bytes(b"{}")


@pytest.fixture
def connection(qemu: str, tmp_path: Path) -> Iterator[Connection]:
    with anyvirt.open("qemu:///system" if os.geteuid() == 0 else "qemu:///session", state_dir=tmp_path) as opened:
        yield opened


def test_a_run_directory_without_a_domain_is_swept_away(connection: Connection) -> None:
    runs = connection.session.host.scope.folder("qemu", run=True)
    RunDir.create(runs, "11111111-2222-4333-8444-555555555555").close()
    (runs / "22222222-2222-4333-8444-555555555555").mkdir()  # cut off before there was anything in it
    assert len(connection.recover()) == 2
    assert list(runs.iterdir()) == []
    assert connection.recover() == ()


LAUNCHER = """
import json, os, sys, time
from anyvirt.api import ProcessId
time.sleep(0.5)
with open("process.json", "w", opener=lambda name, flags: os.open(name, flags, dir_fd=int(sys.argv[1]))) as out:
    json.dump(ProcessId.own().to_json(), out)
os.close(int(sys.argv[1]))
time.sleep(60)
"""


def test_a_launcher_that_outlives_its_starter_is_waited_for_and_what_it_started_is_ended(
    connection: Connection,
) -> None:
    runs = connection.session.host.scope.folder("qemu", run=True)
    ref = connection.domain_define(GUEST).ref
    connection.session.host.scope.store("qemu").set_run("domain", ref.key, "r")
    with RunDir.create(runs, ref.key) as place:
        place.write("status.json", record(uuid=ref.key, phase="starting").to_bytes())
        place.hold()
        argv = [sys.executable, "-c", LAUNCHER, str(place.fd)]
        launched = subprocess.Popen(argv, pass_fds=[place.fd])  # and its starter is killed now
    try:
        assert connection.recover() == ("one: its start had been cut off; rolled back",)
        assert launched.wait(5) == -signal.SIGTERM
    finally:
        launched.kill()
        launched.wait()
    assert list(runs.iterdir()) == []


def test_a_crash_is_read_at_once_and_written_down_by_the_next_change(connection: Connection) -> None:
    guest = connection.domain_define(GUEST)
    with connection.events() as feed:
        guest.start()
        runs = connection.session.host.scope.folder("qemu", run=True)
        with Run.open(runs, guest.ref.key) or pytest.fail("it has no run") as run:
            assert run.process is not None
            run.process.signal(signal.SIGKILL)
            run.process.wait(10)
        assert guest.state() == Status(State.SHUTOFF, Reason.CRASHED)
        assert (runs / guest.ref.key).exists(), "a reader changes nothing"
        with pytest.raises(WrongState):
            guest.destroy()
        assert not (runs / guest.ref.key).exists()
        assert guest.state() == Status(State.SHUTOFF, Reason.CRASHED)
        end = time.monotonic() + 10
        while not (isinstance(event := feed.get(10), Lifecycle) and event.change is Change.STOPPED):
            assert time.monotonic() < end
        assert event.detail == "crashed"
    guest.start()
    guest.destroy()
    assert guest.state() == Status(State.SHUTOFF, Reason.DESTROYED)
