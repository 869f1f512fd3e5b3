"""A scene for faults, one a test."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from qemu_stage.scene import SYSTEM, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A fresh scene; what is left of it is taken away."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    bridge = _bridge()
    made = Scene(tmp_path, bridge)
    yield made
    made.end()
    if bridge:
        subprocess.run(["ip", "link", "del", bridge], check=True)


def _bridge() -> str:
    if not SYSTEM or shutil.which("ip") is None or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return ""
    name = f"avt{secrets.token_hex(4)}"
    made = subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=False, capture_output=True)
    return "" if made.returncode else name
