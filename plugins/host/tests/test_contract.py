from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Connection
from anyvirt.testing.contract import *  # noqa: F403


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "storage:///session"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def litter(connection: Connection, pool_xml: Callable[[str], str], tmp_path: Path) -> Callable[[], Callable[[], bool]]:
    """A volume that nobody is making any more, and no record of it."""

    def leave() -> Callable[[], bool]:
        connection.pool_define(pool_xml("contract-litter")).start()
        left = tmp_path / "pool/.anyvirt-0123456789ab.new"
        left.mkdir()
        return lambda: not left.exists()

    return leave
