"""Run a command and see that nothing outlives it: ``python tools/reaper.py FILE COMMAND...``.

Whatever detaches itself from the command (a guest, a daemon) becomes a child of this process, which buries
the dead and, when the command has ended, names in FILE what still runs, and ends it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER in linux/prctl.h
PATIENCE: Final = 3.0  # seconds for what is just ending


def main(file: str, *command: str) -> int:
    """The command's exit status, as a shell tells it."""
    ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0)
    ours = os.spawnvp(os.P_NOWAIT, command[0], command)  # noqa: S606  # not subprocess: it waits for what we bury
    status = None
    while status is None:
        pid, ended = os.wait()
        status = ended if pid == ours else None
    end = time.monotonic() + PATIENCE
    while (left := children()) and time.monotonic() < end:
        bury()
        time.sleep(0.05)
    Path(file).write_text("".join(f"{name_of(pid)}\n" for pid in left), encoding="utf-8")
    while left := children():
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        bury()
        time.sleep(0.05)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def children() -> list[int]:
    """Our living children: those that were the command's, and those that lost their parent."""
    pids = Path("/proc/self/task", str(os.getpid()), "children").read_text(encoding="ascii").split()
    return [int(pid) for pid in pids if "\nState:\tZ" not in status_of(pid)]


def bury() -> None:
    """Take note of the dead, so that they are gone for whoever looks."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def status_of(pid: str) -> str:
    """``/proc/<pid>/status``, as of a dead one where it is gone."""
    try:
        return Path("/proc", pid, "status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ"


def name_of(pid: int) -> str:
    """What that process was called with, in a line."""
    try:
        words = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ")
    except (FileNotFoundError, ProcessLookupError):
        return f"process {pid}"
    return " ".join(words.decode(errors="replace").split())[:200] or f"process {pid}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
