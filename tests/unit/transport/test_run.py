from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest
from anyvirt.auth import Secret
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Cancelled, Denied, Failed, Interrupted, Invalid, Unsupported
from anyvirt.settings import Settings
from anyvirt.transport.run import LocalRun, Output, runner
from anyvirt.transport.ssh import SshRun
from anyvirt.uri import Uri

ODD = [
    "",
    " ",
    "-n",
    "a b",
    "$HOME",
    "`id`",
    "it's",
    '"',
    "\\",
    "\n",
    "*",
    "é",
    bytes(range(1, 256)).decode("utf-8", "surrogateescape"),
]


@pytest.fixture
def run() -> LocalRun:
    return LocalRun()


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_a_program_gives_status_output_and_error(run: LocalRun) -> None:
    out = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert out == Output(3, b"out\n", b"err\n", False, "sh")
    assert run("printf", "é").ok().text == "é"


@pytest.mark.parametrize("word", ODD)
def test_words_arrive_as_they_are(run: LocalRun, word: str) -> None:
    assert run("printf", "%s", word).ok().text == word


def test_input_may_be_larger_than_any_pipe(run: LocalRun) -> None:
    data = os.urandom(3_000_000)
    assert run("cat", input=data).ok().out == data


def test_a_program_that_reads_no_input_is_not_waited_for(run: LocalRun) -> None:
    assert run("true", input=b"x" * 3_000_000).code == 0


def test_without_input_there_is_an_empty_one(run: LocalRun) -> None:
    assert run("cat").ok().out == b""
    assert run("cat", input="").ok().out == b""


def test_output_beyond_the_cap_is_thrown_away_and_the_program_ends_well() -> None:
    out = LocalRun(cap=1000)("sh", "-c", "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; exit 7")
    assert (out.code, len(out.out) + len(out.err), out.cut) == (7, 1000, True)


def test_a_cut_output_is_not_ok() -> None:
    with pytest.raises(Failed, match="incomplete"):
        LocalRun(cap=10)("head", "-c", "11", "/dev/zero").ok()
    assert not LocalRun(cap=10)("head", "-c", "10", "/dev/zero").ok().cut


def test_a_failure_keeps_the_programs_own_words(run: LocalRun) -> None:
    with pytest.raises(Failed, match=r"sh ended with status 3: second") as caught:
        run("sh", "-c", "echo first >&2; echo second >&2; exit 3").ok()
    assert caught.value.details == {"tool": "sh", "code": 3, "stderr": "first\nsecond\n"}


def test_the_kept_words_are_the_last(run: LocalRun) -> None:
    with pytest.raises(Failed) as caught:
        run("sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1").ok()
    assert len(caught.value.details["stderr"]) == 4096
    assert caught.value.details["stderr"].endswith("xend\n")


def test_a_signal_is_a_negative_status(run: LocalRun) -> None:
    out = run("sh", "-c", "kill -TERM $$")
    assert out.code == -signal.SIGTERM
    with pytest.raises(Failed, match="signal 15"):
        out.ok()


def test_a_program_that_is_missing_is_unsupported_and_the_hint_names_it(run: LocalRun) -> None:
    with pytest.raises(Unsupported, match="no-such-tool") as caught:
        run("no-such-tool", "x")
    assert "install" in caught.value.hint


def test_a_program_that_may_not_be_run_is_denied(run: LocalRun, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(Denied, match="tool"):
        run(str(tmp_path / "tool"))


def test_what_no_program_can_be_given_is_refused(run: LocalRun) -> None:
    attempts: list[Callable[[], Output]] = [
        run,
        lambda: run("", "x"),
        lambda: run("echo", "a\0b"),
        lambda: run("echo", env={"A=B": "c"}),
        lambda: run("echo", env={"A": "c\0"}),
    ]
    for attempt in attempts:
        with pytest.raises(Invalid):
            attempt()


def test_the_environment_is_small_and_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("ANYVIRT_PASSWORD_FILE", "/secret")
    seen = dict(line.split("=", 1) for line in LocalRun()("env", env={"EXTRA": "1"}).ok().text.splitlines())
    assert seen["LC_ALL"] == "C"
    assert seen["EXTRA"] == "1"
    assert not {"LANG", "ANYVIRT_PASSWORD_FILE"} & set(seen)


def test_a_call_is_over_at_its_deadline_and_the_whole_group_with_it(run: LocalRun, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(Interrupted, match="deadline") as caught, within(Deadline(1)):
        run("sh", "-c", f"sleep 100 & echo $! $$ >{pids}; trap '' TERM HUP; sleep 100")
    assert 0.9 < time.monotonic() - began < 1.6
    assert caught.value.code == "interrupted.deadline"
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_a_program_that_never_takes_its_input_is_over_at_the_deadline(run: LocalRun) -> None:
    began = time.monotonic()
    with pytest.raises(Interrupted), within(Deadline(0.5)):
        run("sleep", "100", input=b"x" * 3_000_000)
    assert time.monotonic() - began < 1.1


def test_a_program_that_never_stops_talking_is_over_at_the_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(Interrupted), within(Deadline(0.5)):
        LocalRun(cap=1000)("yes")
    assert time.monotonic() - began < 1.1


def test_a_deadline_that_has_passed_starts_nothing_for_long(run: LocalRun) -> None:
    with pytest.raises(Interrupted), within(Deadline(0)):
        run("sleep", "100")


def test_a_cancel_ends_the_program(run: LocalRun) -> None:
    limit = Deadline(None)
    timer = Timer(0.3, limit.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled), within(limit):
        run("sleep", "100")
    assert time.monotonic() - began < 1
    timer.join()


def test_a_child_left_behind_is_not_waited_for(run: LocalRun) -> None:
    began = time.monotonic()
    out = run("sh", "-c", "echo before; sleep 5 & exit 0")
    assert out.ok().text == "before\n"
    assert time.monotonic() - began < 2


def test_no_descriptor_is_left_open(run: LocalRun) -> None:
    run("true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run("cat", input=b"x")
    with pytest.raises(Interrupted), within(Deadline(0.1)):
        run("sleep", "9")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_secret_reaches_the_program_and_nothing_else(run: LocalRun) -> None:
    secret = Secret("hunter2")
    assert run("cat", input=secret).ok().out == b"hunter2"
    assert run("sh", "-c", 'printf %s "$PW"', env={"PW": secret}).ok().out == b"hunter2"
    with pytest.raises(Failed) as caught:
        run("sh", "-c", 'echo "wrong password: $PW" >&2; exit 1', env={"PW": secret}).ok()
    assert "hunter2" not in f"{caught.value}{caught.value!r}{caught.value.details}"
    assert "***" in str(caught.value)


def test_a_secret_is_no_word_of_a_command(run: LocalRun) -> None:
    with pytest.raises(Invalid) as caught:
        run("echo", Secret("hunter2"))  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_an_outputs_repr_has_no_output(run: LocalRun) -> None:
    assert "hunter2" not in repr(run("echo", "hunter2"))


@pytest.mark.parametrize(
    ("uri", "far"),
    [
        ("qemu:///system", False),
        ("qemu+unix:///system", False),
        ("xen+ssh://h/system", True),
        ("xen+ssh:///system", True),
        ("xen://h/system", True),
    ],
)
def test_a_uri_says_where_programs_run(uri: str, far: bool) -> None:
    assert Uri.of(uri).far is far
    assert isinstance(runner(Uri.of(uri), Settings.read({})), SshRun if far else LocalRun)


def test_a_transport_that_runs_no_programs_is_refused() -> None:
    with pytest.raises(Unsupported, match="tls"):
        runner(Uri.of("qemu+tls://h/system"), Settings.read({}))


def test_without_pidfds_it_works_too(run: LocalRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert run("cat", input=b"x").ok().out == b"x"
    with pytest.raises(Interrupted), within(Deadline(0.3)):
        run("sleep", "9")
