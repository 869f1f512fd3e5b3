"""Ending a QEMU process, politely first."""

from __future__ import annotations

import signal
from typing import Final

from anyvirt.api import Busy, ProcessId, left

FLUSH: Final = 10.0  # what storage may take after SIGTERM
GONE: Final = 30.0  # what the kernel may take after SIGKILL, with a disk in the way


def end(process: ProcessId, guest: str, *, graceful: bool = False) -> bool:
    """End QEMU: SIGTERM, ten seconds for its disks to be flushed, SIGKILL. True when SIGTERM was enough.

    A process that was stopped is continued, or SIGTERM would not reach it. Nothing is asked of the guest.

    :param graceful: stop at SIGTERM.
    :raises Busy: it lives still, in graceful mode or because the kernel cannot let go of it.
    :raises Interrupted: the deadline passed; it may end a little later.
    """
    if not process.signal(signal.SIGTERM):
        return True
    process.signal(signal.SIGCONT)
    if process.wait(_share(FLUSH)):
        return True
    if graceful:
        raise Busy(
            guest, holder=f"QEMU (pid {process.pid})", purpose="flushing its disks", hint="destroy it without graceful"
        )
    process.signal(signal.SIGKILL)
    if not process.wait(GONE):
        hint = "a disk of the guest does not answer; the process goes when it does"
        raise Busy(guest, holder=f"the kernel (pid {process.pid})", purpose="ending it", hint=hint)
    return False


def _share(seconds: float) -> float:
    """At most half of what the deadline leaves, so that SIGKILL gets its turn."""
    remaining = left()
    return seconds if remaining is None else min(seconds, remaining / 2)
