"""Connections to a state of their own, and a target on the loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from storage_stage.tgt import INITIATOR, OPEN, Target, started


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    yield from started()


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "storage:///session"


@pytest.fixture
def described(target: Target) -> Callable[..., str]:
    """``described(name, target=, auth=)``: the definition of a pool of one of the targets."""

    def made(name: str, iqn: str = OPEN, auth: str = "") -> str:
        source = (
            f"<host name='127.0.0.1' port='{target.port}'/><device path='{iqn}'/>{auth}"
            f"<initiator><iqn name='{INITIATOR}'/></initiator>"
        )
        return f"<pool type='iscsi-direct'><name>{name}</name><source>{source}</source></pool>"

    return made
