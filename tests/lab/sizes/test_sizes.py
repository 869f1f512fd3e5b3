"""The sizes of volumes, in 200 random cases; ``python -m tests.lab.sizes`` runs as many as are asked for."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.lab.sizes.cases import KINDS, cases

COUNT = {"running": 40, "raw": 30, "qcow2": 25, "backing": 30, "snapshots": 25, "compressed": 25, "reflink": 25}
SEED = 1
TOOLS = ("qemu-img", "qemu-io")


@pytest.mark.parametrize("kind", KINDS)
def test_capacity_allocation_and_physical_are_what_the_host_and_qemu_say(kind: str) -> None:
    for tool in (*TOOLS, "qemu-system-x86_64") if kind == "running" else TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if kind == "reflink" and (os.geteuid() or shutil.which("mkfs.xfs") is None):
        pytest.skip("needs root and mkfs.xfs: a file system is mounted")
    assert cases(kind, SEED, COUNT[kind]) == COUNT[kind]


def test_there_are_at_least_200_of_them() -> None:
    assert set(COUNT) == set(KINDS)
    assert sum(COUNT.values()) >= 200
