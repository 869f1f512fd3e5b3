"""The contract suite on secrets alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Connection
from anyvirt.testing.contract.errors import *  # noqa: F403
from anyvirt.testing.contract.events import *  # noqa: F403
from anyvirt.testing.contract.host import *  # noqa: F403
from anyvirt.testing.contract.jobs import *  # noqa: F403
from anyvirt.testing.contract.secrets import *  # noqa: F403


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "secret:///session"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def litter(tmp_path: Path) -> Callable[[], Callable[[], bool]]:
    """A value that a killed writer had not put in place."""
    import os

    def leave() -> Callable[[], bool]:
        folder = tmp_path / "state/session/secret/_blob/secret/value"
        folder.mkdir(parents=True)
        left = folder / ".new-0123456789abcdef-0"
        left.write_text("half a value")
        os.utime(left, (0, 0))
        return lambda: not left.exists()

    return leave


@pytest.fixture(autouse=True)
def _nothing_stays(connection: Connection) -> Iterator[None]:
    """What the kernel has of the secrets of a test is gone after it."""
    yield
    for one in connection.secret_list():
        one.undefine()
