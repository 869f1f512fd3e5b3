"""Runs a command and reaps what it leaves behind, as a machine's init does: ``python reaper.py COMMAND ...``.

Guests outlive whoever started them and become init's. Where init is slow to reap them, as in some containers
and small machines, whoever waits for the pid to be gone waits for init. Both sides run below this one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import Final

PR_SET_CHILD_SUBREAPER: Final = 36


def main(words: list[str]) -> int:
    """Run the command; its exit status. SIGTERM is passed on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    child = subprocess.Popen(words)
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
