"""The storage of a far host: a real sshd, and a state folder there of each test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Connection
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool
from sshd_stage import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as made:
        yield made


@pytest.fixture
def connection_uri(server: Server, tmp_path: Path) -> str:
    return server.storage(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def pool_xml(place: Path) -> Callable[[str], str]:
    return lambda name: f"<pool type='dir'><name>{name}</name><target><path>{place}</path></target></pool>"


@pytest.fixture
def storage(connection_uri: str) -> Iterator[Connection]:
    with opened(connection_uri) as connection:
        yield connection


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Connection]:
    """The same storage as the host itself opens it."""
    with opened("storage:///session", state_dir=tmp_path / "state") as connection:
        yield connection


@pytest.fixture
def images(storage: Connection, pool_xml: Callable[[str], str]) -> Pool:
    made = storage.pool_define(pool_xml("images"))
    made.start()
    return made
