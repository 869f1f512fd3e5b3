"""Short-lived children end in every way that their block can."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from anyvirt.api import Deadline, Failed, Interrupted, within
from anyvirt_host.local.child import SETPRIV, Child

SLEEP = shutil.which("sleep") or ""
SH = shutil.which("sh") or ""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_the_exit_code_and_what_it_complained_of_are_kept() -> None:
    with Child([SH, "-c", "echo trouble >&2; exit 7"]) as child:
        assert child.wait() == 7
        assert child.errors() == "trouble\n"


def test_waiting_gives_up_after_the_given_time_and_the_block_ends_the_child() -> None:
    with Child([SLEEP, "60"]) as child:
        assert child.wait(0.05) is None
        assert not gone(child.pid)
    assert gone(child.pid)
    assert child.code == -signal.SIGKILL


def test_the_deadline_ends_the_wait_and_the_child() -> None:
    began = time.monotonic()
    with within(Deadline(0.2)), pytest.raises(Interrupted, match="deadline"), Child([SLEEP, "60"]) as child:
        child.wait(30)
    assert time.monotonic() - began < 5
    assert gone(child.pid)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(Failed, match="/nonexistent"):
        Child(["/nonexistent"])


@pytest.mark.skipif(not os.access(SETPRIV, os.X_OK), reason=f"{SETPRIV} is missing")
def test_the_child_of_a_killed_process_dies_too() -> None:
    code = "from anyvirt_host.local.child import Child; import sys, time\n"
    code += f"with Child([{SLEEP!r}, '60']) as child: print(child.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.1)
        parent.kill()
        parent.wait()
    for _ in range(100):
        if gone(pid):
            return
        time.sleep(0.02)
    pytest.fail("the child lives on")
