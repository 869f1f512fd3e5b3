from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.auth import Secret
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Busy, Denied, Failed, Interrupted, Invalid, Unsupported
from anyvirt.identity import ProcessId
from anyvirt.transport.shell import Begin, Shell

WHOLE = bytes(range(1, 256)).decode("utf-8", "surrogateescape")
HOSTILE = ["", " ", "-n", "--", "a=b", "$(id)", "`id`", "it's", '"', "\\", "\n", "line\n\n'$N'\n", "$N", "*", "\r\t"]


def soon(seen: Callable[[], bool]) -> bool:
    for _ in range(100):
        if seen():
            return True
        time.sleep(0.02)
    return False


def test_every_word_arrives_byte_for_byte(shell: Shell) -> None:
    words = [WHOLE, *WHOLE, *(f"a{letter}b" for letter in WHOLE), *HOSTILE]
    assert shell("printf", "%s\\0", *words).ok().text.split("\0")[:-1] == words


@pytest.mark.parametrize("data", [b"", b"short", os.fsencode(WHOLE), b"a\0b", os.urandom(300_000)], ids=len)
def test_input_and_output_are_binary(shell: Shell, data: bytes) -> None:
    assert shell("cat", input=data).ok().out == data
    assert shell("cat").ok().out == b""


def test_input_that_nobody_reads_disturbs_no_later_program(shell: Shell) -> None:
    assert shell("true", input=os.urandom(500_000)).code == 0
    assert shell("echo", "next").ok().text == "next\n"


def test_status_output_and_error_come_apart(shell: Shell) -> None:
    out = shell("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (out.code, out.out, out.err, out.tool) == (3, b"out\n", b"err\n", "sh")
    with pytest.raises(Failed, match="sh ended with status 3: err"):
        out.ok()


def test_output_past_the_cap_is_thrown_away_and_said_to_be_cut(begin: Begin) -> None:
    shell = Shell(begin, "far", cap=100_000)
    try:
        out = shell("head", "-c", "1000000", "/dev/zero")
        assert out.cut
        assert out.out.startswith(bytes(100_000))
        for size in (99_999, 100_000):
            out = shell("head", "-c", str(size), "/dev/zero")
            assert (out.cut, len(out.out)) == (False, size)
    finally:
        shell.close()


def test_a_program_that_is_missing_or_may_not_be_run_says_so(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no-such-tool"):
        shell("no-such-tool")
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(Denied, match="tool"):
        shell(str(tmp_path / "tool"))
    with pytest.raises(Invalid):
        shell("a=b")


def test_variables_arrive_and_no_secret_stands_in_a_command_line(shell: Shell) -> None:
    word = os.urandom(8).hex()
    script = 'printf "%s|%s" "$PW" "$LC_ALL"; cat; cat /proc/*/cmdline 2>/dev/null; exit 0'
    for given in (Secret(f"in{word} 'x'\n"), b"much" * 20_000):
        out = shell("sh", "-c", script, env={"PW": Secret(f"{word}\n\xe9")}, input=given).ok().text
        secret = isinstance(given, Secret)
        assert out.startswith(f"{word}\n\xe9|C" + (f"in{word} 'x'\n" if secret else "much"))
        assert out.count(word) == (2 if secret else 1)
    assert shell("sh", "-c", "cat >&2", input=Secret(word)).err == b"***"
    with pytest.raises(Invalid):
        shell("true", env={"a-b": "c"})


def test_it_knows_which_process_it_is(shell: Shell) -> None:
    process = ProcessId.from_json(shell.identity)
    assert process.alive()
    shell.close()
    assert soon(lambda: process.alive() is False)


def test_what_runs_at_the_deadline_is_ended_there(shell: Shell, tmp_path: Path) -> None:
    script = 'echo $$ >"$1"; (sleep 60; :) & sleep 60'
    began = time.monotonic()
    with pytest.raises(Interrupted) as caught, within(Deadline(0.5)):
        shell("sh", "-c", script, "sh", str(tmp_path / "pid"))
    assert caught.value.reason == "deadline"
    assert time.monotonic() - began < 3
    group = int((tmp_path / "pid").read_text())
    assert soon(lambda: not _group_of(group))
    assert not shell.alive
    with pytest.raises(Interrupted, match="lost"):
        shell("true")


def _group_of(pid: int) -> list[str]:
    """Processes whose session began with that process, or with its parent."""
    found = subprocess.run(["ps", "-eo", "pid,sid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if "sleep 60" in line and str(pid) in line.split()[:2]]


TOOLS = ("cat", "date", "env", "head", "sed", "setsid", "sh", "stat")


def test_a_host_without_the_tools_of_locks_is_unsupported_by_name(begin: Begin, tmp_path: Path) -> None:
    for tool in TOOLS:
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    with pytest.raises(Unsupported, match="without flock") as caught:
        Shell(lambda command: begin(f"PATH={tmp_path}; export PATH; {command}"), "far")
    assert "util-linux" in caught.value.hint


def test_what_the_start_up_files_of_a_user_say_disturbs_nothing(begin: Begin) -> None:
    shell = Shell(lambda command: begin(f"echo welcome; echo to >&2; printf x; {command}"), "far")
    try:
        assert ProcessId.from_json(shell.identity).alive()
        assert shell("echo", "fine").text == "fine\n"
    finally:
        shell.close()


def test_what_is_no_shell_ends_with_its_own_words(begin: Begin) -> None:
    with pytest.raises(Interrupted) as caught:
        Shell(lambda command: begin("echo no shell here >&2; exit 1"), "far")
    assert caught.value.reason == "lost"
    assert "no shell here" in caught.value.details["stderr"]


def test_a_line_that_is_cut_tells_no_secret(shell: Shell, cut: Callable[[], None], tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    cutter = threading.Thread(target=lambda: cut() if soon(ring.exists) else None)
    cutter.start()
    with pytest.raises(Interrupted) as caught:
        shell("sh", "-c", 'cat >&2; touch "$1"; exec sleep 60', "sh", str(ring), input=Secret("hunter2"))
    cutter.join()
    assert "***" in caught.value.details["stderr"]
    assert "hunter2" not in caught.value.details["stderr"]


def test_a_lock_is_the_one_that_flock_takes_and_says_who_has_it(shell: Shell, tmp_path: Path) -> None:
    lock = tmp_path / "a $(lock)\n"
    fd = shell.hold(str(lock), "a purpose", 1)
    assert subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 1
    assert f"pid {shell.identity['pid']}\n" in lock.read_text()
    assert "purpose a purpose\n" in lock.read_text()
    assert lock.stat().st_mode & 0o777 == 0o600
    shell.release(fd)
    assert subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0


def test_a_lock_that_another_has_is_busy_and_the_shell_goes_on(shell: Shell, begin: Begin, tmp_path: Path) -> None:
    other, lock = Shell(begin, "far"), str(tmp_path / "lock")
    shell.hold(lock, "first", 1)
    try:
        with pytest.raises(Busy):
            other.hold(lock, "second", 0.1)
        other.hold(str(tmp_path / "another"), "second", 0.1)
        assert other("echo", "here").text == "here\n"
    finally:
        other.close()


def test_a_lock_that_cannot_be_made_fails_and_the_shell_goes_on(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be locked"):
        shell.hold(str(tmp_path / "missing/lock"), "x", 1)
    shell.hold(str(tmp_path), "a folder", 1, folder=True)
    assert subprocess.run(["flock", "-n", tmp_path, "true"], check=False).returncode == 1


def test_a_cut_line_ends_the_program_first_and_then_frees_the_lock(
    shell: Shell, cut: Callable[[], None], tmp_path: Path
) -> None:
    lock, ring = tmp_path / "lock", tmp_path / "ring"
    shell.hold(str(lock), "changing", 1)
    script = f'flock -n "{lock}" true || echo held >"$1"; exec sleep 60'
    cutter = threading.Thread(target=lambda: cut() if soon(ring.exists) else None)
    cutter.start()
    with pytest.raises(Interrupted) as caught:
        shell("sh", "-c", script, "sh", str(ring))
    cutter.join()
    assert caught.value.reason == "lost"
    assert ring.read_text() == "held\n"
    assert subprocess.run(["flock", "-w", "5", lock, "true"], check=False).returncode == 0
