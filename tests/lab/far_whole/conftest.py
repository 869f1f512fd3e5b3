"""The storage of a far host, for all of the contract suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sshd_stage import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as made:
        yield made


@pytest.fixture
def connection_uri(server: Server, tmp_path: Path) -> str:
    return server.storage(tmp_path)


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def pool_xml(tmp_path: Path) -> Callable[[str], str]:
    (tmp_path / "pool").mkdir()
    return lambda name: f"<pool type='dir'><name>{name}</name><target><path>{tmp_path}/pool</path></target></pool>"
