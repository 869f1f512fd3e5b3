from __future__ import annotations

from pathlib import Path

import pytest
from anyvirt.testing.contract import *  # noqa: F403


@pytest.fixture
def connection_uri(tmp_path: Path) -> str:
    return f"test:///default?libvirt={tmp_path}/libvirt"
