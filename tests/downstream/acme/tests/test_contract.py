import os
import shutil
from pathlib import Path

import pytest
from anyvirt.testing.contract import *  # noqa: F403


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    shutil.copy(Path(__file__).with_name("acmectl"), tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return "acme:///"


@pytest.fixture
def proven_on() -> str:
    return "stand-in"
