"""A real sshd on the loopback, and connections to it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.auth import Auth
from anyvirt.settings import Settings
from anyvirt.transport.ssh import SshRun
from anyvirt.uri import Uri
from sshd_stage import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as made:
        yield made


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings with a run-time folder of the test's own, short enough for a socket's path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        yield Settings.read({"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": place})


@pytest.fixture
def connect(settings: Settings) -> Iterator[Callable[..., SshRun]]:
    """Connections by URI, each ended with the test."""
    made: list[SshRun] = []

    def connected(uri: Uri, auth: Auth | None = None) -> SshRun:
        made.append(SshRun(uri, settings, auth))
        return made[-1]

    yield connected
    for run in made:
        run.close()


@pytest.fixture
def run(server: Server, connect: Callable[..., SshRun]) -> SshRun:
    return connect(server.uri())
