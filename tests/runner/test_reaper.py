"""Nothing outlives a section unseen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REAPER = Path(__file__).resolve().parents[2] / "tools" / "reaper.py"
DETACH = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep({})
    os._exit(0)
"""


def _run(file: Path, *command: str) -> int:
    return subprocess.run([sys.executable, str(REAPER), str(file), *command], check=False).returncode


def test_what_detached_itself_and_stays_is_named_and_ended(tmp_path: Path) -> None:
    assert _run(tmp_path / "left", sys.executable, "-c", DETACH.format(300)) == 0
    (line,) = (tmp_path / "left").read_text(encoding="utf-8").splitlines()
    assert line.startswith(f"{sys.executable} -c import os, time")


def test_what_detached_itself_and_ends_soon_is_none_of_ours(tmp_path: Path) -> None:
    assert _run(tmp_path / "left", sys.executable, "-c", DETACH.format(0.5)) == 0
    assert (tmp_path / "left").read_text(encoding="utf-8") == ""


def test_the_status_is_the_commands(tmp_path: Path) -> None:
    assert _run(tmp_path / "left", "sh", "-c", "exit 7") == 7
    assert _run(tmp_path / "left", "sh", "-c", "kill -9 $$") == 137
