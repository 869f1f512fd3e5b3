"""What the host does for a guest beside QEMU, from the definition alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Domain, Invalid
from anyvirt_qemu import configured
from anyvirt_qemu.planning.plan import Plan
from anyvirt_qemu.planning.tuning import CacheUse, LimitUse, PinUse, ScheduleUse, Tuning
from anyvirt_qemu.readiness.preparing import partitioned

Planned = Callable[..., Plan]


def tuning(planned: Planned, extra: str, vcpu: str = "<vcpu>2</vcpu>") -> Tuning:
    return planned(text(extra, vcpu)).tuning


def text(extra: str, vcpu: str = "<vcpu>2</vcpu>") -> str:
    return (
        f"<domain type='qemu'><name>one</name><memory unit='MiB'>64</memory>{vcpu}{extra}"
        "<os><type machine='q35'>hvm</type></os></domain>"
    )


def test_a_guest_without_wishes_takes_nothing_of_the_host(planned: Planned) -> None:
    assert tuning(planned, "") == Tuning(cpus_place="/vcpu/@cpuset")
    assert not tuning(planned, "").grouped


def test_what_is_pinned_to_the_same_cpus_as_the_emulator_needs_no_second_word(planned: Planned) -> None:
    found = tuning(planned, "<iothreads>1</iothreads>", "<vcpu cpuset='1-3,^2'>2</vcpu>")
    assert found == Tuning(cpus=frozenset({1, 3}), cpus_place="/vcpu/@cpuset")


def test_pins_stand_over_the_cpus_of_the_guest_and_what_has_none_is_free_of_the_emulator(planned: Planned) -> None:
    pins = "<vcpupin vcpu='1' cpuset='5'/><iothreadpin iothread='3' cpuset='6'/>"
    threads = "<iothreads>2</iothreads><iothreadids><iothread id='3'/></iothreadids>"
    found = tuning(planned, f"{threads}<cputune>{pins}<emulatorpin cpuset='7'/></cputune>", "<vcpu cpuset='4'>2</vcpu>")
    assert (found.cpus, found.cpus_place) == (frozenset({7}), "/cputune/emulatorpin/@cpuset")
    assert found.pins == (
        PinUse("vcpu", 0, frozenset({4}), "/vcpu/@cpuset"),
        PinUse("vcpu", 1, frozenset({5}), "/cputune/vcpupin[1]/@cpuset"),
        PinUse("iothread", 1, frozenset({4}), "/vcpu/@cpuset"),
        PinUse("iothread", 3, frozenset({6}), "/cputune/iothreadpin[3]/@cpuset"),
    )
    free = tuning(planned, "<cputune><emulatorpin cpuset='7'/></cputune>", "<vcpu>1</vcpu>")
    assert free.pins == (PinUse("vcpu", 0, frozenset(), "/vcpu/@cpuset"),)


def test_schedulers_are_told_thread_by_thread(planned: Planned) -> None:
    words = (
        "<vcpusched vcpus='0-1' scheduler='fifo' priority='3'/><iothreadsched iothreads='1' scheduler='batch'/>"
        "<emulatorsched scheduler='rr' priority='9'/>"
    )
    found = tuning(planned, f"<iothreads>1</iothreads><cputune>{words}</cputune>")
    assert [(x.kind, x.number, x.policy, x.priority) for x in found.schedules] == [
        ("vcpu", 0, "fifo", 3),
        ("vcpu", 1, "fifo", 3),
        ("iothread", 1, "batch", 0),
        ("emulator", 0, "rr", 9),
    ]
    assert isinstance(found.schedules[0], ScheduleUse)
    assert found.schedules[3].place == "/cputune/emulatorsched/@scheduler"


def test_cpu_time_is_for_the_guest_and_for_its_parts_and_no_bound_takes_no_group(planned: Planned) -> None:
    times = (
        "<shares>2048</shares><period>20000</period><quota>5000</quota><global_quota>9000</global_quota>"
        "<emulator_quota>4000</emulator_quota><iothread_period>1000</iothread_period><iothread_quota>-1</iothread_quota>"
    )
    found = tuning(planned, f"<iothreads>1</iothreads><cputune>{times}</cputune>")
    assert found.limits == (
        LimitUse("cpu.shares", (2048,), "/cputune/shares"),
        LimitUse("cpu.quota", (9000, 0), "/cputune/global_quota"),
        LimitUse("cpu.quota", (5000, 20000), "/cputune/quota", "vcpu0"),
        LimitUse("cpu.quota", (5000, 20000), "/cputune/quota", "vcpu1"),
        LimitUse("cpu.quota", (4000, 0), "/cputune/emulator_quota", "emulator"),
    )
    assert found.grouped


def test_memory_and_its_unlimited_values(planned: Planned) -> None:
    words = (
        "<memtune><hard_limit unit='MiB'>512</hard_limit><soft_limit>9007199254740991</soft_limit>"
        "<swap_hard_limit unit='GiB'>1</swap_hard_limit></memtune>"
    )
    assert tuning(planned, words).limits == (
        LimitUse("memory.hard", (512 << 20,), "/memtune/hard_limit"),
        LimitUse("memory.total", (1 << 30,), "/memtune/swap_hard_limit"),
    )


def test_block_io_by_device(planned: Planned) -> None:
    words = (
        "<blkiotune><weight>800</weight><device><path>/dev/sda</path><weight>400</weight>"
        "<read_bytes_sec>10</read_bytes_sec><write_iops_sec>0</write_iops_sec></device></blkiotune>"
    )
    place = "/blkiotune/device[/dev/sda]"
    assert tuning(planned, words).limits == (
        LimitUse("io.weight", (800,), "/blkiotune/weight"),
        LimitUse("io.weight", (400,), f"{place}/weight", device="/dev/sda"),
        LimitUse("io.rbps", (10,), f"{place}/read_bytes_sec", device="/dev/sda"),
    )


def test_nodes_that_no_back_end_keeps_to_are_kept_to_by_groups(planned: Planned) -> None:
    cells = (
        "<cpu><numa><cell id='0' cpus='0' memory='32768'/><cell id='1' cpus='1' memory='32768'/></numa></cpu>"
        "<numatune><memory mode='restrictive' nodeset='0-1'/><memnode cellid='1' mode='restrictive' nodeset='1'/>"
        "</numatune>"
    )
    assert tuning(planned, cells).limits == (
        LimitUse("cpuset.mems", (0, 1), "/numatune/memory/@nodeset"),
        LimitUse("cpuset.mems", (1,), "/numatune/memnode[1]/@nodeset", "vcpu1"),
    )


def test_caches_and_bandwidth_of_the_same_processors_are_one_share(planned: Planned) -> None:
    words = (
        "<cachetune vcpus='0-1'><cache id='1' level='3' type='code' size='3' unit='MiB'/><monitor level='3' vcpus='0'/>"
        "</cachetune><memorytune vcpus='0-1'><node id='0' bandwidth='60'/></memorytune>"
    )
    plan = planned(text(f"<cputune>{words}</cputune>"))
    both = CacheUse(frozenset({0, 1}), ((3, 1, "code", 3 << 20),), ((0, 60),), "/cputune/cachetune[0-1]")
    assert plan.tuning.caches == (both,)
    assert "to measure this" in plan.warnings[0]


def test_a_partition_is_a_path_of_plain_names(planned: Planned) -> None:
    found = tuning(planned, "<resource><partition>/machine/lab-1</partition><fibrechannel appid='x'/></resource>")
    assert (found.partition, found.appid, found.grouped) == ("/machine/lab-1", "x", True)
    for bad in ("/machine/../up", "/a//b", "/cgroup.procs", "/", "/a\tb"):
        with pytest.raises(Invalid) as caught:
            tuning(planned, f"<resource><partition>{bad}</partition></resource>")
        assert [problem.path for problem in caught.value.problems] == ["/resource/partition"]


def test_performance_events_are_told_not_to_be_counted(planned: Planned) -> None:
    plan = planned(text("<perf><event name='cmt' enabled='yes'/><event name='mbml' enabled='no'/></perf>"))
    assert plan.warnings == ("<perf>: nobody stays beside the guest to count cmt",)


def test_the_settings_place_every_guest_that_has_no_place_of_its_own(
    planned: Planned, complete: Callable[[str], Domain], tmp_path: Path
) -> None:
    file = tmp_path / "qemu.toml"
    file.write_text('partition = "/machine/lab"\n')
    file.chmod(0o600)
    place = configured.read(file, system=False).partition
    assert planned(partitioned(complete(text("")), place)).tuning.partition == "/machine/lab"
    own = complete(text("<resource><partition>/own</partition></resource>"))
    assert planned(partitioned(own, place)).tuning.partition == "/own"
    assert partitioned(complete(text("")), "").resource is None
    file.write_text('partition = "lab"\n')
    with pytest.raises(Invalid, match="no absolute path"):
        configured.read(file, system=False)
