"""A guest that leaves its place on the host to the host: what numad says reaches the plan, and nobody is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Domain
from anyvirt_qemu.planning.plan import Plan
from anyvirt_qemu.readiness import advice

AUTO = (
    "<domain type='qemu'><name>one</name><memory unit='KiB'>65537</memory><vcpu placement='auto'>2</vcpu>"
    "<numatune><memory mode='strict' placement='auto'/></numatune><os><type machine='q35'>hvm</type></os></domain>"
)


@pytest.fixture
def host(tmp_path: Path) -> tuple[dict[str, str], str]:
    """Programs and nodes of a host with two nodes, whose numad chooses the second."""
    program = tmp_path / "numad"
    program.write_text('#!/bin/sh\n[ "$*" = "-w 2:65" ] || exit 1\necho 1\n')
    program.chmod(0o755)
    for node, cpus in enumerate(("0,2", "1,3-4")):
        (tmp_path / f"node{node}").mkdir()
        (tmp_path / f"node{node}/cpulist").write_text(f"{cpus}\n")
    return {"PATH": f"{tmp_path}:{os.defpath}"}, str(tmp_path)


def test_cpus_and_memory_are_of_the_nodes_that_numad_chooses(
    host: tuple[dict[str, str], str], complete: Callable[[str], Domain], planned: Callable[[Domain], Plan]
) -> None:
    domain = advice.given(complete(AUTO), *host)
    plan = planned(domain)
    assert plan.tuning.cpus == {1, 3, 4}
    assert '"host-nodes":[1],"policy":"bind"' in "".join(plan.argv)


def test_memory_alone_may_be_left_to_numad(host: tuple[dict[str, str], str], complete: Callable[[str], Domain]) -> None:
    pinned = complete(AUTO.replace("placement='auto'>2", "cpuset='7'>2"))
    found = advice.given(pinned, *host)
    assert found.vcpu_cpuset == frozenset({7})
    assert found.numatune is not None
    assert found.numatune.nodeset == frozenset({1})


def test_without_numad_or_where_it_fails_nothing_is_chosen(
    host: tuple[dict[str, str], str], complete: Callable[[str], Domain]
) -> None:
    assert advice.given(complete(AUTO), {"PATH": "/nonexistent"}).vcpu_cpuset is None
    failed = advice.given(complete(AUTO.replace("65537", "999999")), *host)
    assert (failed.vcpu_cpuset, failed.numatune and failed.numatune.nodeset) == (None, None)


def test_a_guest_that_asks_for_nothing_asks_nobody(complete: Callable[[str], Domain]) -> None:
    domain = complete(AUTO.replace(" placement='auto'", "").replace("mode='strict'", "mode='strict' nodeset='0'"))
    assert advice.given(domain, {}) is domain


def test_numad_itself_chooses_nodes_of_this_host(complete: Callable[[str], Domain]) -> None:
    if shutil.which("numad") is None:
        pytest.skip("numad is not installed")
    found = advice.given(complete(AUTO), {"PATH": os.defpath + ":/usr/bin:/usr/sbin"})
    if not os.path.isdir(advice.NODES):
        assert found.vcpu_cpuset is None
        return
    assert found.vcpu_cpuset
    assert found.vcpu_cpuset <= set(range(os.sysconf("SC_NPROCESSORS_CONF")))
