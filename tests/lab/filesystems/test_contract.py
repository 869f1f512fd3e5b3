"""All of the contract suite about pools and volumes, on pools of the type fs: ext4, xfs and btrfs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from anyvirt.testing.contract.pools import *  # noqa: F403
from storage_stage import mounted

pytestmark = mounted.MARKS


@pytest.fixture(params=sorted(mounted.SIZES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "storage:///session"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def pool_xml(kind: str, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    target = tmp_path / "mounted"
    live = mounted.made(kind, mounted.empty(tmp_path / "fs.img", kind), target)
    yield lambda name: mounted.definition(live, name)
    mounted.let_go(target)


@pytest.fixture
def cannot(kind: str) -> Mapping[str, str]:
    return mounted.UNBUILT if kind == "btrfs" else {}
