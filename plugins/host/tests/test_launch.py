"""Starting a process that outlives its starter."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import Deadline, Denied, Failed, Interrupted, Invalid, ProcessId, within
from anyvirt_host.local.launch import Spec, launch

SLEEP = shutil.which("sleep") or ""
SH = shutil.which("sh") or ""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def started() -> Iterator[list[ProcessId]]:
    processes: list[ProcessId] = []
    yield processes
    for process in processes:
        process.signal(signal.SIGKILL)


def status(process: ProcessId, field: str) -> str:
    text = Path(f"/proc/{process.pid}/status").read_text()
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(field + ":"))


def wait_for(path: Path, text: str) -> str:
    for _ in range(200):
        found = path.read_text() if path.exists() else ""
        if text in found:
            return found
        time.sleep(0.01)
    pytest.fail(f"{path.name} has {found!r}, not {text!r}")


def test_what_was_launched_is_nobodys_child_and_leads_no_session(started: list[ProcessId]) -> None:
    process = launch(Spec(argv=(SLEEP, "60")))
    started.append(process)
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    assert process.alive()
    assert int(fields[1]) != os.getpid()
    assert int(fields[3]) not in {process.pid, os.getsid(0)}


def test_the_identity_stands_in_the_record_before_the_program_runs(
    folder: int, tmp_path: Path, started: list[ProcessId]
) -> None:
    process = launch(Spec(argv=(SLEEP, "60"), record=(folder, "process.json")))
    started.append(process)
    file = tmp_path / "process.json"
    assert ProcessId.from_json(json.loads(file.read_text())) == process
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Failed):
        launch(Spec(argv=("/nonexistent/program",), record=(folder, "second.json")))
    assert (tmp_path / "second.json").exists()


def test_both_outputs_are_appended_to_the_log(folder: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    launch(Spec(argv=(SH, "-c", "echo out; echo err >&2; umask; echo done"), log=(folder, "log")))
    assert wait_for(log, "done").split() == ["before", "out", "err", "0077", "done"]


def test_a_log_that_is_a_link_is_refused(folder: int, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("")
    (tmp_path / "log").symlink_to("victim")
    with pytest.raises(Failed, match="log") as caught:
        launch(Spec(argv=(SLEEP, "60"), log=(folder, "log")))
    assert caught.value.details["step"] == "log"
    assert not (tmp_path / "victim").read_text()


def test_only_the_named_descriptors_reach_the_program(folder: int, started: list[ProcessId]) -> None:
    ours, theirs = os.pipe()
    stray = os.dup(folder)
    os.set_inheritable(stray, True)
    try:
        process = launch(Spec(argv=(SLEEP, "60"), fds={7: theirs}, log=(folder, "log"), record=(folder, "record")))
        started.append(process)
        end = time.monotonic() + 10  # its loader opens libraries for a moment
        while (found := {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")}) != {0, 1, 2, 7}:
            assert time.monotonic() < end, found
            time.sleep(0.01)
        assert Path(f"/proc/{process.pid}/fd/7").readlink() == Path(f"/proc/self/fd/{theirs}").readlink()
    finally:
        for fd in (ours, theirs, stray):
            os.close(fd)


def test_limits_directory_environment_and_signals_are_as_asked(folder: int, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    words = "ulimit -c; pwd; echo $NAME; kill -PIPE $$; echo survived"
    spec = Spec(
        argv=(SH, "-c", words),
        env={"NAME": "value"},
        limits=(("RLIMIT_CORE", 0, hard),),
        cwd=str(tmp_path),
        log=(folder, "log"),
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
    try:
        process = launch(spec)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPIPE])
    assert process.wait(5.0)
    assert (tmp_path / "log").read_text().split() == ["0", str(tmp_path), "value"]
    assert resource.getrlimit(resource.RLIMIT_CORE) == (soft, hard)


def test_raising_the_oom_score_needs_no_rights(started: list[ProcessId]) -> None:
    process = launch(Spec(argv=(SLEEP, "60"), oom=900))
    started.append(process)
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "900"


@pytest.mark.skipif(os.geteuid() != 0, reason="root: becoming another user")
def test_root_can_start_it_as_another_user_who_owns_the_log(
    folder: int, tmp_path: Path, started: list[ProcessId]
) -> None:
    process = launch(Spec(argv=(SLEEP, "60"), uid=65534, gid=65534, groups=(65533,), log=(folder, "log")))
    started.append(process)
    assert status(process, "Uid").split() == ["65534"] * 4
    assert status(process, "Gid").split() == ["65534"] * 4
    assert status(process, "Groups") == "65533"
    assert status(process, "CapEff") == "0" * 16
    assert (tmp_path / "log").stat().st_uid == 65534


@pytest.mark.parametrize(
    ("program", "kind", "words"),
    [
        ("/nonexistent/program", Failed, "No such file"),
        ("/etc/passwd", Denied, "Permission denied"),
        ("/", Denied, "Permission denied"),
    ],
)
def test_a_program_that_does_not_start_is_a_coded_error(program: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        launch(Spec(argv=(program,)), name="web")
    assert "web" in str(caught.value)
    assert program in str(caught.value)
    assert caught.value.details["step"] == "exec"  # type: ignore[attr-defined]


def test_a_control_group_that_is_missing_names_its_step() -> None:
    with pytest.raises(Failed, match="cgroup") as caught:
        launch(Spec(argv=(SLEEP, "60"), cgroups=("/nonexistent",)))
    assert caught.value.details["step"] == "cgroup"


def test_it_keeps_to_the_cpus_that_it_is_given(started: list[ProcessId]) -> None:
    one = min(os.sched_getaffinity(0))
    started.append(launch(Spec(argv=(SLEEP, "60"), cpus=(one,))))
    assert os.sched_getaffinity(started[0].pid) == {one}


def test_a_cpu_that_is_missing_names_its_step() -> None:
    with pytest.raises(Failed, match="cpus") as caught:
        launch(Spec(argv=(SLEEP, "60"), cpus=(1 << 14,)))
    assert caught.value.details["step"] == "cpus"


@pytest.mark.parametrize(
    "spec",
    [Spec(argv=("sleep", "1")), Spec(argv=()), Spec(argv=(SLEEP, "1\0")), Spec(argv=(SLEEP, "1"), uid=5)],
    ids=["relative", "empty", "NUL", "user without group"],
)
def test_a_spec_that_cannot_be_right_starts_nothing(spec: Spec) -> None:
    with pytest.raises(Invalid):
        launch(spec)


def test_a_deadline_that_passes_leaves_no_process(folder: int, tmp_path: Path) -> None:
    deadline = Deadline(0.0)
    with within(deadline), pytest.raises(Interrupted):
        launch(Spec(argv=(SLEEP, "61"), record=(folder, "record")))
    time.sleep(0.1)
    record = tmp_path / "record"
    assert not record.exists() or not ProcessId.from_json(json.loads(record.read_text())).alive()


def children() -> set[str]:
    """Processes of this one, ended ones with them; other tests of it may have left some that wait for more to do."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_a_launch_leaves_neither_descriptors_nor_children(started: list[ProcessId]) -> None:
    before, others = set(os.listdir("/proc/self/fd")), children()
    for _ in range(3):
        started.append(launch(Spec(argv=(SLEEP, "60"))))
        with pytest.raises(Failed):
            launch(Spec(argv=("/nonexistent",)))
    assert set(os.listdir("/proc/self/fd")) == before
    assert children() == others
