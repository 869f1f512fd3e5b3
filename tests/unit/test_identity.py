"""Process identity: a reused number, another boot, another namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Cancelled, Interrupted, NotFound, Unsupported
from anyvirt.identity import ProcessId, boot_id, pid_namespace


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_running_process_is_alive_until_it_is_a_zombie(child: subprocess.Popen[bytes]) -> None:
    identity = ProcessId.of(child.pid)
    assert identity.alive() is True
    os.kill(child.pid, signal.SIGKILL)
    assert identity.wait(10)
    assert identity.alive() is False, "a zombie is dead"
    child.wait()
    assert identity.alive() is False
    with pytest.raises(NotFound) as caught:
        ProcessId.of(child.pid)
    assert caught.value.code == "process.not-found"


def test_it_survives_json(child: subprocess.Popen[bytes]) -> None:
    identity = ProcessId.of(child.pid)
    assert ProcessId.from_json({**identity.to_json(), "later": 1}) == identity
    assert set(identity.to_json()) == {"pid", "start", "boot", "pidns"}


def test_a_number_that_was_given_to_another_is_dead_and_gets_no_signal(child: subprocess.Popen[bytes]) -> None:
    other = ProcessId.of(child.pid)._replace(start=1)
    assert other.alive() is False
    assert other.signal(signal.SIGKILL) is False
    assert other.wait(0)
    assert ProcessId.of(child.pid).alive() is True


def test_another_boot_means_dead(child: subprocess.Popen[bytes]) -> None:
    other = ProcessId.of(child.pid)._replace(boot="00000000-0000-4000-8000-000000000000")
    assert other.alive() is False
    assert other.signal(signal.SIGKILL) is False


def test_another_pid_namespace_means_unknown_and_is_left_alone(child: subprocess.Popen[bytes]) -> None:
    other = ProcessId.of(child.pid)._replace(pidns=1)
    assert other.alive() is None
    with pytest.raises(Unsupported, match="namespace"):
        other.signal(signal.SIGKILL)
    with pytest.raises(Unsupported):
        other.wait(0)
    assert child.poll() is None


def test_a_real_pid_namespace_is_told_apart(child: subprocess.Popen[bytes]) -> None:
    identity = ProcessId.of(child.pid)
    script = f"""
from anyvirt.identity import ProcessId
print(ProcessId{tuple(identity)!r}.alive())
"""
    argv = ["unshare", "--pid", "--fork", sys.executable, "-c", script]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare(1) is not installed")
    if done.returncode:
        pytest.skip(f"no pid namespace can be made here: {done.stderr.strip()}")
    assert done.stdout == "None\n"


def test_a_signal_arrives(child: subprocess.Popen[bytes]) -> None:
    assert ProcessId.of(child.pid).signal(signal.SIGTERM) is True
    assert child.wait(10) == -signal.SIGTERM


def test_waiting_ends_with_its_time_the_deadline_or_a_cancel(child: subprocess.Popen[bytes]) -> None:
    identity = ProcessId.of(child.pid)
    began = time.monotonic()
    assert identity.wait(0.05) is False
    with within(Deadline(0.1)), pytest.raises(Interrupted) as caught:
        identity.wait(30)
    assert caught.value.reason == "deadline"
    deadline = Deadline(None)
    timer = threading.Timer(0.1, deadline.cancel)
    timer.start()
    with within(deadline), pytest.raises(Cancelled):
        identity.wait()
    timer.join()
    assert time.monotonic() - began < 10


def test_waiting_leaves_no_descriptor_behind(child: subprocess.Popen[bytes]) -> None:
    identity = ProcessId.of(child.pid)
    identity.wait(0)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        identity.wait(0)
        identity.signal(0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_name_with_brackets_and_blanks_does_not_hide_the_start_time() -> None:
    script = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"a) Z 1 (", 0, 0, 0)
print("named", flush=True)
sys.stdin.readline()
"""
    argv = [sys.executable, "-c", script]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "named\n"
    try:
        identity = ProcessId.of(process.pid)
        assert identity.alive() is True
        assert identity.start >= ProcessId.own().start
    finally:
        process.communicate("\n")


def test_this_process_knows_itself_also_after_a_fork() -> None:
    assert ProcessId.own() == ProcessId.of(os.getpid())
    assert ProcessId.own().boot == boot_id() != ""
    assert ProcessId.own().pidns == pid_namespace() != 0
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ProcessId.own().pid == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
