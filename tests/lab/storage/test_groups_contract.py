"""The contract suite's part about pools, on volume groups of a far host."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from anyvirt.api import Run
from anyvirt.testing.contract.storage import *  # noqa: F403

GROUP = "contract"
DEVICE = "/dev/vdd"


@pytest.fixture
def pool_xml(run: Run) -> Iterator[Callable[[str], str]]:
    assert run("vgcreate", "--yes", GROUP, DEVICE).code == 0
    source = f"<source><device path='{DEVICE}'/><name >{GROUP}</name></source>"
    yield lambda name: f"<pool type='logical'><name>{name}</name>{source}</pool>"
    run("vgremove", "--force", "--yes", GROUP)
    run("wipefs", "--all", DEVICE)
