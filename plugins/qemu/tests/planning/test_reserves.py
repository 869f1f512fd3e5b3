"""A start is not tried where the host lacks huge pages, nodes or the right to lock memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt_qemu.planning.plan import Plan
from anyvirt_qemu.readiness import reserves

Planned = Callable[..., Plan]
Guest = Callable[..., str]
PAGES = "<memoryBacking><hugepages><page size='2' unit='MiB'/></hugepages></memoryBacking>"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A host with one node and 20 huge pages of 2 MiB, of which 5 are promised to others."""
    (tmp_path / "devices/system/node/node0").mkdir(parents=True)
    folder = tmp_path / "kernel/mm/hugepages/hugepages-2048kB"
    folder.mkdir(parents=True)
    for name, number in (
        ("free_hugepages", 20),
        ("resv_hugepages", 5),
        ("nr_overcommit_hugepages", 3),
        ("surplus_hugepages", 1),
    ):
        (folder / name).write_text(f"{number}\n")
    return tmp_path


def found(plan: Plan, system: Path) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in reserves.blockers(plan, system)]


def test_huge_pages_that_are_not_free_are_counted(planned: Planned, guest: Guest, system: Path) -> None:
    def sized(mib: int) -> Plan:
        return planned(guest(extra=PAGES).replace("<memory unit='MiB'>64", f"<memory unit='MiB'>{mib}"))

    assert found(sized(34), system) == []
    assert found(sized(36), system) == [("resource.busy", "/memoryBacking/hugepages")]
    (problem,) = reserves.blockers(sized(64), system)
    assert "32 huge pages of 2048 KiB are needed, and 17 are free" in problem.text
    assert "nr_hugepages" in problem.hint


def test_a_size_that_the_host_does_not_have_is_refused(planned: Planned, guest: Guest, system: Path) -> None:
    plan = planned(guest(extra=PAGES.replace("size='2'", "size='16'")))
    assert found(plan, system) == [("unsupported.config", "/memoryBacking/hugepages")]


def test_nodes_that_the_host_does_not_have_are_named(planned: Planned, guest: Guest, system: Path) -> None:
    tune = "<numatune><memory mode='strict' nodeset='{}'/></numatune>"
    assert found(planned(guest(extra=tune.format("0"))), system) == []
    (problem,) = reserves.blockers(planned(guest(extra=tune.format("0-2"))), system)
    assert (problem.code, problem.path) == ("unsupported.config", "/numatune/memory/@nodeset")
    assert "no NUMA node 1, 2" in problem.text


def test_memory_that_this_user_may_not_lock_is_refused(planned: Planned, guest: Guest, system: Path) -> None:
    plan = planned(guest(extra="<memoryBacking><locked/></memoryBacking>"))
    assert reserves.locks(plan)
    assert reserves.blockers(plan, system, 128 << 20) == []
    (problem,) = reserves.blockers(plan, system, 8 << 20)
    assert (problem.code, problem.path) == ("denied", "/memoryBacking/locked")
    assert "128 MiB are to be locked, and this user may lock 8 MiB" in problem.text
    assert reserves.blockers(planned(guest()), system, 0) == []


def test_ordinary_memory_needs_nothing(planned: Planned, guest: Guest, tmp_path: Path) -> None:
    assert found(planned(guest()), tmp_path) == []


@pytest.mark.parametrize(("mode", "swap", "code"), [(0, 0, "config.range"), (0, 64, None), (1, 0, None)])
def test_memory_that_the_kernel_would_not_promise_is_told(
    planned: Planned, guest: Guest, tmp_path: Path, mode: int, swap: int, code: str | None
) -> None:
    (tmp_path / "sys/vm").mkdir(parents=True)
    (tmp_path / "sys/vm/overcommit_memory").write_text(f"{mode}\n", encoding="ascii")
    lines = f"MemTotal:  {32 << 10} kB\nHugePages_Total: 0\nSwapTotal:  {swap << 10} kB\n"
    (tmp_path / "meminfo").write_text(lines, encoding="ascii")
    plan = planned(guest())
    found = {one.path: one.code for one in reserves.blockers(plan, proc=tmp_path)}
    assert found == ({"/memory": code} if code else {})
    assert ["64 MiB, and this host has 32 MiB" in text for text in reserves.warnings(plan, tmp_path)] == [True]
    shared = planned(guest(extra="<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"))
    assert reserves.blockers(shared, proc=tmp_path) == []
