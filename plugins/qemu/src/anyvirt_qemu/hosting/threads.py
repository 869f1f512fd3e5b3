"""Where the host runs QEMU's threads, and how it schedules them; all of it ends with QEMU."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from anyvirt.api import Denied, Failed, Problem, VirtError

from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.readiness.advice import numbers

if TYPE_CHECKING:
    from anyvirt_qemu.planning.tuning import Tuning
    from anyvirt_qemu.qmp.monitor import Monitor

POLICIES: Final = {
    "batch": os.SCHED_BATCH,
    "idle": os.SCHED_IDLE,
    "fifo": os.SCHED_FIFO,
    "rr": os.SCHED_RR,
}
REALTIME: Final = frozenset({"fifo", "rr"})
ONLINE: Final = "/sys/devices/system/cpu/online"
BUDGET: Final = "cpu.rt_runtime_us"
Threads = Mapping[tuple[str, int], int]


def blockers(tuning: Tuning, online: str = ONLINE, most: int | None = None, own: str = "") -> Iterator[Problem]:
    """CPUs that this host lacks, and schedulers that this user may not have.

    :param online: the file that lists CPUs.
    :param most: highest realtime priority that this user may ask for; as the host says without it.
    :param own: a file that tells how much realtime the group of this process has, where it has any.
    """
    wanted = {tuning.cpus_place: tuning.cpus} | {pin.place: pin.cpus for pin in tuning.pins if pin.cpus}
    there = _cpus(online) if any(wanted.values()) else frozenset()
    for place, cpus in wanted.items():
        missing = sorted(cpus - there)
        if missing:
            names = ", ".join(map(str, missing[:8])) + (" ..." if len(missing) > 8 else "")
            text = f"this host has no CPU {names}"
            yield Problem("unsupported.config", place, None, text, f"it has {len(there)}, the last is {max(there)}")
    realtime = {use.place: use.priority for use in tuning.schedules if use.policy in REALTIME}
    most = _priority() if realtime and most is None else most or 0
    for place, priority in realtime.items():
        if priority > most:
            text = f"this user may not have threads of realtime priority {priority}"
            hint = "raise the limit (rtprio in /etc/security/limits.conf), or use qemu:///system as root"
            yield Problem("denied", place, None, text, hint)
        elif _broke(tuning, own or _budget()):
            text = "the control group that the guest is to be in has no time for realtime threads"
            hint = f"give it some ({BUDGET}), or take the limits of CPU time out"
            yield Problem("denied", place, None, text, hint)


def _priority() -> int:
    if os.geteuid() == 0:
        return os.sched_get_priority_max(os.SCHED_FIFO)
    return resource.getrlimit(resource.RLIMIT_RTPRIO)[1]


def _budget() -> str:
    """The file of version 1 that says how long realtime threads of this process's group run; ``""`` for none."""
    from anyvirt_host.local import groups

    folders = [tree.own for tree in groups.hierarchies() if tree.version == 1 and "cpu" in tree.controllers]
    return next((file for file in (f"{folder}/{BUDGET}" for folder in folders) if os.path.exists(file)), "")


def _broke(tuning: Tuning, file: str) -> bool:
    """Whether realtime threads would be refused there: a group that is made anew has no time for them."""
    if not file:
        return False
    if any(use.name.startswith("cpu.") for use in tuning.limits) or tuning.partition:
        return True
    with open(file, encoding="ascii") as found:
        return found.read().strip() == "0"


def _cpus(file: str) -> frozenset[int]:
    """Numbers from a list like ``0-3,5``."""
    with open(file, encoding="ascii") as found:
        return numbers(found.read())


def found(monitor: Monitor) -> Threads:
    """Ids of QEMU's threads for virtual CPUs and I/O, by kind and number.

    :raises VirtError: QEMU does not tell.
    """
    processors, others = monitor.execute_many([Command("query-cpus-fast"), Command("query-iothreads")])
    for answer in (processors, others):
        if isinstance(answer, VirtError):
            raise answer
    threads = {("vcpu", int(row["cpu-index"])): int(row["thread-id"]) for row in processors}
    for row in others:
        number = str(row["id"]).removeprefix("iothread")
        if number.isdecimal():
            threads["iothread", int(number)] = int(row["thread-id"])
    return threads


def settle(tuning: Tuning, pid: int, threads: Threads, guest: str) -> None:
    """Pin and schedule the threads of a QEMU; those that are not there yet are left out.

    :raises Denied: the kernel does not let this user.
    :raises Failed: it refuses otherwise.
    """
    everywhere = os.sched_getaffinity(0)
    for pin in tuning.pins:
        thread = threads.get((pin.kind, pin.number))
        if thread is not None:
            with _told(f"{guest}: {pin.kind} {pin.number}", pin.place):
                os.sched_setaffinity(thread, pin.cpus or everywhere)
    for use in tuning.schedules:
        known = [threads[key] for key in [(use.kind, use.number)] if key in threads]
        for thread in _rest(pid, threads) if use.kind == "emulator" else known:
            with _told(f"{guest}: {use.kind} {use.number}", use.place):
                os.sched_setscheduler(thread, POLICIES[use.policy], os.sched_param(use.priority))


def _rest(pid: int, threads: Threads) -> list[int]:
    taken = set(threads.values())
    with suppress(OSError):
        return [int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) not in taken]
    return []


@contextmanager
def _told(what: str, place: str) -> Iterator[None]:
    """An error of the kernel's becomes one that names the thread and the element; a thread that ended is none."""
    try:
        yield
    except ProcessLookupError:
        return
    except OSError as error:
        message = f"{what} ({place}): {error.strerror}"
        native = {"errno": error.errno, "text": error.strerror, "path": place}
        if error.errno in {1, 13}:
            raise Denied(message, hint="use qemu:///system as root", details=native) from error
        raise Failed(message, native=native, hint="see which CPUs this host lets you use") from error
