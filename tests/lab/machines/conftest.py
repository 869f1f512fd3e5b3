"""One connection to a state folder of its own."""

from __future__ import annotations

from collections.abc import Iterator

import anyvirt
import pytest
from anyvirt.client._generated_sync import Connection
from qemu_stage.small import URI


@pytest.fixture(scope="package")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with anyvirt.open(URI, state_dir=tmp_path_factory.mktemp("state")) as opened:
        yield opened
