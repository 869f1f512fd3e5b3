"""Connections to a state of their own, and ceph clusters on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from storage_stage.ceph import Daemons, started


@pytest.fixture(scope="session")
def plain() -> Iterator[Daemons]:
    """A cluster that asks nobody who he is."""
    yield from started("none")


@pytest.fixture(scope="session")
def guarded() -> Iterator[Daemons]:
    """A cluster that wants a key."""
    yield from started("cephx")


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "storage:///session"
