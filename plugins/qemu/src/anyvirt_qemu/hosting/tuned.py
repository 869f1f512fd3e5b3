"""Where a guest's tuning takes effect: before QEMU is started, and before its processors run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyvirt.api import Problem, ProcessId

    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.tuning import Tuning
    from anyvirt_qemu.qmp.monitor import Monitor


def blockers(tuning: Tuning, env: Mapping[str, str]) -> list[Problem]:
    """What this host lacks for it, or does not let this user have.

    :param env: what programs that are asked get to see.
    """
    found: list[Problem] = []
    if tuning.cpus or tuning.pins or tuning.schedules:
        from anyvirt_qemu.hosting import threads

        found += threads.blockers(tuning)
    if tuning.grouped:
        from anyvirt_qemu.hosting import groups

        found += groups.blockers(tuning, env)
    if tuning.caches:
        from anyvirt_qemu.hosting import caches

        found += caches.blockers(tuning)
    return found


def before(ready: Preparation, tuning: Tuning, ours: ExitStack) -> tuple[str, ...]:
    """Make the groups of a guest; those that QEMU joins before it takes anything.

    :param ours: what has to stay until it has.
    :raises VirtError: the host refuses.
    """
    if not tuning.grouped:
        return ()
    from anyvirt_qemu.hosting import groups

    return groups.made(ready, tuning, ours)


def after(ready: Preparation, tuning: Tuning, monitor: Monitor, process: ProcessId) -> None:
    """Put each thread of a QEMU whose processors stand where it belongs.

    :raises VirtError: the host refuses.
    """
    parted = any(use.group for use in tuning.limits)
    if not (parted or tuning.pins or tuning.schedules or tuning.caches):
        return
    from anyvirt_qemu.hosting import threads

    ready.site.step("place-threads")
    there = threads.found(monitor)
    if parted:
        from anyvirt_qemu.hosting import groups

        groups.parted(ready.record.left, there)
    if tuning.caches:
        from anyvirt_qemu.hosting import caches

        caches.divide(ready, tuning, there)
    threads.settle(tuning, process.pid, there, ready.record.name)
