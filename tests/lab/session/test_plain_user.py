"""What a user without rights meets; ``session_user.py`` runs this folder as one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyvirt
import pytest


@pytest.fixture(autouse=True)
def _not_root() -> None:
    if os.geteuid() == 0:
        pytest.skip("root: session_user.py runs this as a user")


def test_the_package_is_the_installed_one_and_the_home_is_ours() -> None:
    assert Path(anyvirt.__file__).is_relative_to(sys.prefix)
    assert Path.home().stat().st_uid == os.geteuid()
    assert os.access(Path.home(), os.W_OK)
