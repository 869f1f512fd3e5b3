"""What opening a connection and listing cost, in modules: people list far more often than they define."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from anyvirt.api import Invalid
from anyvirt.api import open as opened

HEAVY = (
    *("lxml", "ssl", "asyncio", "rich", "typer", "anyvirt.model.domain"),
    *("anyvirt_qemu.planning.config", "anyvirt_qemu.devices"),
    *("anyvirt_qemu.readiness.preflight", "anyvirt_qemu.figures"),
)
LISTED = """
import sys
from pathlib import Path
import anyvirt
with anyvirt.open(sys.argv[1], state_dir=Path(sys.argv[2])) as connection:
    connection.overview()
    connection.recover()
    assert "domain_start.paused" in connection.supports
    assert "domain_shutdown.mode=acpi" in connection.supports
    assert "domain_shutdown.mode=initctl" not in connection.supports
    assert "domain_save" not in connection.supports
print(*sorted(sys.modules))
"""


def test_a_parameter_that_there_is_not_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no parameter 'socket'") as caught:
        opened("qemu:///session?socket=/run/libvirt/libvirt-sock", state_dir=tmp_path)
    assert caught.value.code == "connect.invalid-uri"


def test_listing_loads_no_models_and_no_planner(tmp_path: Path) -> None:
    uri = "qemu:///system" if os.geteuid() == 0 else "qemu:///session"
    argv = [sys.executable, "-c", LISTED, uri, str(tmp_path / "state")]
    loaded = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert "anyvirt_qemu" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []
