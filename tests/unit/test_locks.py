"""Locks: between threads, processes and forks; what a loser is told."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Busy, Cancelled, VirtError
from anyvirt.locks import Locks

GUEST = "11111111-1111-4111-8111-111111111111"
HOLDER = """
import sys, time
from pathlib import Path
from anyvirt.locks import Locks
with Locks(Path(sys.argv[1])).hold(sys.argv[2], purpose="migrate\\nfar away"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    return Locks(tmp_path)


def held_elsewhere(locks: Locks) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLDER, str(locks.folder), GUEST]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def free(locks: Locks) -> bool:
    """Whether a stranger could take the lock, asked without this code."""
    fd = os.open(locks.folder / GUEST, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def test_a_lock_is_held_inside_the_block_and_free_after_it(locks: Locks) -> None:
    with locks.hold(GUEST, purpose="start"):
        assert not free(locks)
    assert free(locks)
    with pytest.raises(ZeroDivisionError), locks.hold(GUEST, purpose="start"):
        1 / 0  # noqa: B018
    assert free(locks)


def test_the_file_of_a_lock_is_never_removed_nor_replaced(locks: Locks) -> None:
    with locks.hold(GUEST, purpose="start"):
        first = (locks.folder / GUEST).stat().st_ino
    with locks.hold(GUEST, purpose="stop"):
        assert (locks.folder / GUEST).stat().st_ino == first
    assert (locks.folder / GUEST).stat().st_mode & 0o777 == 0o600


def test_busy_tells_who_holds_it_and_what_for(locks: Locks) -> None:
    process = held_elsewhere(locks)
    try:
        with within(Deadline(0.3)), pytest.raises(Busy) as caught, locks.hold(GUEST, purpose="start"):
            pass
        assert f"process {process.pid}" in caught.value.holder
        assert caught.value.purpose == "migrate far away"
        assert caught.value.details["pid"] == process.pid
        assert caught.value.details["start"] > 0
    finally:
        ended(process)


def test_busy_is_said_before_the_deadline_and_a_wait_of_none_is_none(locks: Locks) -> None:
    process = held_elsewhere(locks)
    try:
        for timeout, wait, most in ((0.5, None, 0.5), (None, 0.0, 0.3), (30, 0.1, 0.5)):
            began = time.monotonic()
            with within(Deadline(timeout)), pytest.raises(Busy), locks.hold(GUEST, purpose="start", wait=wait):
                pass
            assert time.monotonic() - began < most
    finally:
        ended(process)


def test_a_killed_holder_frees_its_lock_and_its_note_misleads_nobody(locks: Locks) -> None:
    process = held_elsewhere(locks)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with within(Deadline(5)), locks.hold(GUEST, purpose="start"):
        assert locks.lock(GUEST).holder()["pid"] == os.getpid()
        assert locks.lock(GUEST).holder()["purpose"] == "start"
    assert locks.lock(GUEST).holder() == {}


def test_a_waiter_gets_the_lock_within_milliseconds(locks: Locks) -> None:
    delays = []
    for _ in range(9):
        process = held_elsewhere(locks)
        got: list[float] = []

        def wait(got: list[float] = got) -> None:
            with within(Deadline(20)), locks.hold(GUEST, purpose="start"):
                got.append(time.monotonic())

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        freed = time.monotonic()
        os.kill(process.pid, signal.SIGKILL)
        thread.join()
        process.communicate()
        delays.append(got[0] - freed)
    assert sorted(delays)[4] < 0.05


def test_threads_take_turns_and_never_overlap(locks: Locks) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(40):
            with within(Deadline(30)), locks.hold(GUEST, purpose="count"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 240
    assert max(most) == 1


def test_two_connections_of_one_process_exclude_each_other(locks: Locks) -> None:
    again = Locks(locks.folder)
    with locks.hold(GUEST, purpose="start"):
        failed: list[BaseException] = []

        def work() -> None:
            try:
                with within(Deadline(0.2)), again.hold(GUEST, purpose="stop"):
                    pass
            except Busy as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(failed) == 1


@pytest.mark.parametrize("same", [True, False])
def test_taking_it_twice_in_one_thread_fails_at_once(locks: Locks, same: bool) -> None:
    again = locks if same else Locks(locks.folder)
    with within(Deadline(30)), locks.hold(GUEST, purpose="start"):
        began = time.monotonic()
        with pytest.raises(Busy, match="this very thread"), again.hold(GUEST, purpose="stop"):
            pass
        assert time.monotonic() - began < 5
        assert not free(locks), "the first one still holds it"


def test_a_waiting_thread_can_be_cancelled(locks: Locks) -> None:
    for other in (locks, Locks(locks.folder)):
        deadline = Deadline(None)
        raised: list[str] = []

        def work(other: Locks = other, deadline: Deadline = deadline, raised: list[str] = raised) -> None:
            try:
                with within(deadline), other.hold(GUEST, purpose="stop"):
                    pass
            except Cancelled:
                raised.append("cancelled")

        with locks.hold(GUEST, purpose="start"):
            thread = threading.Thread(target=work)
            thread.start()
            time.sleep(0.05)
            deadline.cancel()
            thread.join(5)
            assert raised == ["cancelled"]


def test_a_forked_child_neither_holds_nor_frees_its_parents_lock(locks: Locks) -> None:
    parent_done, child_done = os.pipe(), os.pipe()
    with locks.hold(GUEST, purpose="start"):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                locks.lock(GUEST).release()
                os.write(child_done[1], b"x")
                os.read(parent_done[0], 1)
                with within(Deadline(5)), locks.hold(GUEST, purpose="stop"):
                    status = 0
            finally:
                os._exit(status)
        os.read(child_done[0], 1)
        assert not free(locks), "the child's release was of nothing"
    assert free(locks), "the child does not keep it"
    os.write(parent_done[1], b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for fd in (*parent_done, *child_done):
        os.close(fd)


def test_a_program_that_is_run_meanwhile_does_not_inherit_the_lock(locks: Locks) -> None:
    with locks.hold(GUEST, purpose="start"):
        process = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        assert free(locks)
        targets = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
        assert not any(GUEST in target for target in targets)
    finally:
        process.kill()
        process.wait()


def test_flock_of_the_shell_takes_the_same_lock(locks: Locks) -> None:
    with locks.hold(GUEST, purpose="start"):
        argv = ["flock", "-n", str(locks.folder / GUEST), "true"]
        try:
            done = subprocess.run(argv, check=False)
        except FileNotFoundError:
            pytest.skip("flock(1) is not installed")
        assert done.returncode == 1
    assert subprocess.run(argv, check=False).returncode == 0


@pytest.mark.parametrize("key", ["../escape", "a/b", "..", "x\0y", "a\nb", "x" * 300, "-n"])
def test_a_hostile_key_stays_in_the_folder(locks: Locks, key: str) -> None:
    with locks.hold(key, purpose="start"):
        names = os.listdir(locks.folder)
        assert len(names) == 1
        assert "/" not in names[0]
        assert names[0] not in (".", "..")
    assert not (locks.folder.parent / "escape").exists()


def test_a_link_in_a_locks_place_is_not_followed(locks: Locks) -> None:
    (locks.folder / GUEST).symlink_to("/tmp/elsewhere")
    with pytest.raises(VirtError, match="symbolic link"), locks.hold(GUEST, purpose="start"):
        pass


def test_a_missing_folder_is_a_coded_error_and_leaves_nothing_locked(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "gone")
    for _ in range(2):
        with pytest.raises(VirtError) as caught, locks.hold(GUEST, purpose="start", wait=0):
            pass
        assert caught.value.code == "store.io"
