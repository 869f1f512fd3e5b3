"""Figures about processes and their threads, read from /proc as cheaply as Python allows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# in ms with a fraction, under either of its names
WAIT = re.compile(rb"^(?:se\.statistics\.)?wait_sum\s*:\s*(\d+)(?:\.(\d+))?", re.MULTILINE)
# whether the kernel counts it at all; it is not there where it cannot
COUNTED = "/proc/sys/kernel/sched_schedstats"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process has used.

    :param user: time in user mode, in ns (to the kernel's tick); ``system`` in kernel mode.
    :param rss: resident memory in bytes.
    :param start: start time in ticks since boot: with the pid, who it is.
    """

    user: int
    system: int
    rss: int
    start: int
    threads: int

    @property
    def cpu(self) -> int:
        """Time on any CPU, in ns."""
        return self.user + self.system


@dataclass(frozen=True, slots=True)
class ThreadUsage:
    """What one thread has used, in ns.

    :param delay: time it was runnable and had to wait for a CPU.
    :param wait: time it waited on the run queue as the scheduler's debug file tells; None where there is none.
    """

    cpu: int
    delay: int | None
    wait: int | None = None


def usage(pid: int, start: int | None = None) -> Usage | None:
    """Read one process, or None when it is gone (or is another one than ``start`` says)."""
    line = _read(f"/proc/{pid}/stat")
    if line is None:
        return None
    # the name, field 2, may hold anything; the rest starts after the last parenthesis
    fields = line.rpartition(b") ")[2].split()
    if fields[0] in {b"Z", b"X"}:
        return None
    found = Usage(
        int(fields[11]) * TICK, int(fields[12]) * TICK, int(fields[21]) * PAGE, int(fields[19]), int(fields[17])
    )
    return found if start is None or start == found.start else None


def threads(pid: int, tids: Iterable[int] | None = None, *, wait: bool = False) -> dict[int, ThreadUsage]:
    """Read the threads of a process by thread id; those that are gone are left out.

    :param tids: which ones; None for all.
    :param wait: read the scheduler's debug file, too (ten times the cost).
    """
    wait = wait and (_read(COUNTED) or b"0").strip() != b"0"
    found = {}
    for tid in _tids(pid) if tids is None else tids:
        one = _thread(pid, tid, wait=wait)
        if one is not None:
            found[tid] = one
    return found


def names(pid: int) -> dict[int, str]:
    """What the threads of a process call themselves, by thread id; empty when it is gone."""
    texts = {tid: _read(f"/proc/{pid}/task/{tid}/comm") for tid in _tids(pid)}
    return {tid: text.decode("ascii", "replace").rstrip("\n") for tid, text in texts.items() if text is not None}


def _tids(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _thread(pid: int, tid: int, *, wait: bool) -> ThreadUsage | None:
    place = f"/proc/{pid}/task/{tid}"
    line = _read(f"{place}/schedstat")
    waited = _wait(_read(f"{place}/sched")) if wait else None
    if line is not None and len(fields := line.split()) >= 2 and fields[0] != b"0":
        return ThreadUsage(int(fields[0]), int(fields[1]), waited)
    line = _read(f"{place}/stat")  # a kernel without scheduler statistics has ticks still
    if line is None:
        return None
    fields = line.rpartition(b") ")[2].split()
    return ThreadUsage((int(fields[11]) + int(fields[12])) * TICK, None, waited)


def _wait(text: bytes | None) -> int | None:
    """``wait_sum`` in ns."""
    found = WAIT.search(text or b"")
    return None if found is None else int(found[1]) * 1_000_000 + int((found[2] or b"").ljust(6, b"0")[:6])


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, 8192)
    except OSError:  # it went away between open and read
        return None
    finally:
        os.close(fd)
