"""One booted small guest for many tests, and connections to a state folder of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyvirt
import pytest
from anyvirt.client._generated_sync import Connection
from qemu_stage.small import URI, Small


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def connection(state: Path) -> Iterator[Connection]:
    with anyvirt.open(URI, state_dir=state) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared(connection: Connection, state: Path) -> Iterator[Small]:
    card = "<interface type='user'><model type='virtio'/></interface>"
    balloon = "<memballoon model='virtio'><stats period='1'/></memballoon>"
    small = Small(connection, state, cards=card, more=balloon)
    yield small
    small.end()


@pytest.fixture
def small(shared: Small) -> Small:
    """The shared guest at its prompt: booted where the test before has ended it."""
    return shared.booted()


@pytest.fixture
def running(shared: Small) -> Small:
    """The shared guest on its way to its prompt, or there."""
    return shared.started()
