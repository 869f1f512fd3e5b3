"""Where the threads of a real QEMU run, and how they are scheduled, as the kernel tells."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from anyvirt.api import Connection, Invalid, VirtError, open  # noqa: A004
from anyvirt_qemu.guest import Run
from anyvirt_qemu.hosting import threads
from anyvirt_qemu.planning.tuning import LimitUse, PinUse, ScheduleUse, Tuning

URI = "qemu:///system" if os.geteuid() == 0 else "qemu:///session"
CPUS = sorted(os.sched_getaffinity(0))
FIRST, LAST = CPUS[0], CPUS[-1]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is missing")
    with open(URI, state_dir=tmp_path / "state") as made:
        yield made
        for domain in made.domain_list():
            with suppress(VirtError):
                domain.destroy()


def xml(tuned: str, vcpu: str = "<vcpu>2</vcpu>") -> str:
    return (
        f"<domain type='qemu'><name>one</name><memory unit='MiB'>16</memory>{vcpu}<iothreads>1</iothreads>{tuned}"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
    )


def started(connection: Connection, text: str) -> dict[str, int]:
    """Ids of the threads of a guest that runs, by the names that QEMU gives them."""
    guest = connection.domain_define(text)
    guest.start()
    with Run.open(connection.session.host.scope.folder("qemu", run=True), guest.ref.key) or pytest.fail(
        "no run"
    ) as run:
        assert run.process is not None
        pid = run.process.pid
    names = {
        Path(f"/proc/{pid}/task/{tid}/comm").read_text().strip(): int(tid) for tid in os.listdir(f"/proc/{pid}/task")
    }
    found = {name.partition("/")[0].replace(" ", ""): tid for name, tid in names.items()}
    return {"main": pid, **{name: tid for name, tid in found.items() if name.startswith(("CPU", "IO"))}}


def allowed(thread: int) -> set[int]:
    line = next(x for x in Path(f"/proc/{thread}/status").read_text().splitlines() if x.startswith("Cpus_allowed_list"))
    parts = (part.partition("-") for part in line.split()[1].split(","))
    return {n for first, _, last in parts for n in range(int(first), int(last or first) + 1)}


def test_each_thread_keeps_to_its_cpus_and_what_is_not_pinned_to_those_of_the_guest(connection: Connection) -> None:
    pins = f"<vcpupin vcpu='1' cpuset='{FIRST}'/><emulatorpin cpuset='{FIRST}'/>"
    there = started(connection, xml(f"<cputune>{pins}</cputune>", f"<vcpu cpuset='{LAST}'>2</vcpu>"))
    assert {name: allowed(thread) for name, thread in there.items()} == {
        "main": {FIRST},
        "CPU0": {LAST},
        "CPU1": {FIRST},
        "IOiothread1": {LAST},
        "IOmon_iothread": {FIRST},
    }


def test_what_nobody_pins_runs_where_its_starter_may(connection: Connection) -> None:
    there = started(connection, xml(f"<cputune><emulatorpin cpuset='{FIRST}'/></cputune>"))
    assert allowed(there["main"]) == {FIRST}
    assert allowed(there["CPU0"]) == allowed(there["CPU1"]) == allowed(there["IOiothread1"]) == set(CPUS)


def test_each_thread_is_scheduled_as_it_is_told(connection: Connection) -> None:
    words = (
        "<vcpusched vcpus='1' scheduler='idle'/><iothreadsched iothreads='1' scheduler='batch'/>"
        "<emulatorsched scheduler='batch'/>"
    )
    there = started(connection, xml(f"<cputune>{words}</cputune>"))
    policies = {name: os.sched_getscheduler(thread) for name, thread in there.items()}
    assert policies == {
        "main": os.SCHED_BATCH,
        "CPU0": os.SCHED_OTHER,
        "CPU1": os.SCHED_IDLE,
        "IOiothread1": os.SCHED_BATCH,
        "IOmon_iothread": os.SCHED_BATCH,
    }


def test_a_realtime_priority_reaches_the_thread(connection: Connection) -> None:
    if list(threads.blockers(fifo(7))):
        pytest.skip("needs root in a control group that has time for realtime threads")
    there = started(connection, xml("<cputune><vcpusched vcpus='0' scheduler='fifo' priority='7'/></cputune>"))
    assert os.sched_getscheduler(there["CPU0"]) == os.SCHED_FIFO
    assert os.sched_getparam(there["CPU0"]).sched_priority == 7
    assert os.sched_getscheduler(there["CPU1"]) == os.SCHED_OTHER


def test_cpus_that_the_host_lacks_are_refused_by_path_before_anything_happens(connection: Connection) -> None:
    guest = connection.domain_define(
        xml("<cputune><vcpupin vcpu='0' cpuset='16383'/></cputune>", "<vcpu cpuset='0,9000-9010'>2</vcpu>")
    )
    with pytest.raises(Invalid) as caught:
        guest.start()
    found = {problem.path: problem.text for problem in caught.value.problems}
    assert found == {
        "/vcpu/@cpuset": "this host has no CPU 9000, 9001, 9002, 9003, 9004, 9005, 9006, 9007 ...",
        "/cputune/vcpupin[0]/@cpuset": "this host has no CPU 16383",
    }
    assert list(connection.session.host.scope.folder("qemu", run=True).iterdir()) == []


def fifo(priority: int) -> Tuning:
    return Tuning(schedules=(ScheduleUse("vcpu", 0, "fifo", priority, "/here"),))


def test_a_realtime_priority_that_this_user_may_not_have_is_refused_by_path(tmp_path: Path) -> None:
    (tmp_path / "much").write_text("950000\n")
    (tmp_path / "none").write_text("0\n")
    much, none = str(tmp_path / "much"), str(tmp_path / "none")
    assert [(x.code, x.path) for x in threads.blockers(fifo(5), most=4, own=much)] == [("denied", "/here")]
    assert list(threads.blockers(fifo(5), most=5, own=much)) == []
    assert [x.path for x in threads.blockers(fifo(5), most=5, own=none)] == ["/here"]
    batch = Tuning(schedules=(ScheduleUse("vcpu", 0, "batch", 0, "/here"),))
    assert list(threads.blockers(batch, most=0, own=none)) == []


def test_a_new_group_of_version_1_has_no_time_for_realtime_threads(tmp_path: Path) -> None:
    (tmp_path / "much").write_text("950000\n")
    both = Tuning(schedules=fifo(5).schedules, limits=(LimitUse("cpu.shares", (100,), "/shares"),))
    (problem,) = threads.blockers(both, most=99, own=str(tmp_path / "much"))
    assert problem.path == "/here"


def test_a_thread_that_has_ended_and_one_that_is_not_there_yet_are_no_error() -> None:
    cpus = frozenset(CPUS)
    tuning = Tuning(pins=(PinUse("vcpu", 0, cpus, "/a"), PinUse("vcpu", 1, cpus, "/b")))
    threads.settle(tuning, os.getpid(), {("vcpu", 0): (1 << 22) - 1}, "one")


def test_a_cpu_that_the_kernel_refuses_names_the_thread_and_the_element() -> None:
    tuning = Tuning(pins=(PinUse("vcpu", 0, frozenset({1 << 13}), "/a"),))
    with pytest.raises(VirtError, match=r"one: vcpu 0 \(/a\): Invalid argument"):
        threads.settle(tuning, os.getpid(), {("vcpu", 0): os.getpid()}, "one")
