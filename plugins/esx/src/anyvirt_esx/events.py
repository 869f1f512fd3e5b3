"""What happens to machines, out of the server's own feed of changes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Final

from anyvirt.api import Begun, Change, Event, Gap, Interrupted, Lifecycle, State, VirtError, impl, so_now, stamped

from anyvirt_esx.feed import Changes, Machine, Step
from anyvirt_esx.inventory import Inventory

TURN: Final = 50  # seconds that one request waits: less than a minute, after which proxies lose patience


class Events:
    """Each feed has a property collector of its own; no thread is started for it."""

    inventory: Inventory

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        changes, run = self.inventory.changes(), secrets.token_hex(8)
        changes.catch_up()
        gap = None if after is None else Gap(reason="unknown token", at=time.time())
        return Begun(_numbered(_told(changes, gap), run), f"{run}.0")


def _numbered(events: Iterator[Event], run: str) -> Iterator[Event]:
    for number, event in enumerate(events, 1):
        yield stamped(event, token=f"{run}.{number}")


def _told(changes: Changes, gap: Gap | None) -> Iterator[Event]:
    """The server keeps no place for a feed that has ended: whoever comes back with one is told how things are now."""
    if gap is not None:
        yield from _anew(changes, gap)
    while True:
        since = time.time()
        try:
            steps = changes.wait(TURN)
        except Interrupted as error:
            if error.reason != "lost":
                raise
            yield from _again(changes, since, error)
            continue
        for step in steps:
            yield from told(step)


def _again(changes: Changes, since: float, error: VirtError) -> Iterator[Event]:
    """The line was lost: what went by meanwhile is not known, what is so now is asked anew; once."""
    changes.forget()
    try:
        changes.catch_up()
    except VirtError as worse:
        raise worse from error
    yield from _anew(changes, Gap(since=since, reason="lost connection", at=time.time()))


def _anew(changes: Changes, gap: Gap) -> Iterator[Event]:
    yield gap
    for machine in list(changes.machines.values()):
        if not machine.template and (event := so_now(machine.ref, machine.status, at=time.time())) is not None:
            yield event


def told(step: Step) -> Iterator[Event]:
    """The events that a step stands for."""
    before, after = _shown(step.before), _shown(step.after)
    if before is None and after is not None:
        yield Lifecycle(ref=after.ref, at=step.at, change=Change.DEFINED, detail="added")
        if after.status.state is State.RUNNING:
            yield Lifecycle(ref=after.ref, at=step.at, change=Change.STARTED, detail="booted")
    elif before is not None and after is None:
        yield Lifecycle(ref=before.ref, at=step.at, change=Change.UNDEFINED, detail="removed")
    elif before is not None and after is not None:
        if before.ref.name != after.ref.name:
            yield Lifecycle(ref=before.ref, at=step.at, change=Change.UNDEFINED, detail="renamed")
            yield Lifecycle(ref=after.ref, at=step.at, change=Change.DEFINED, detail="renamed")
        event = _power(before, after, step.at)
        if event is not None:
            yield event


def _shown(machine: Machine | None) -> Machine | None:
    return None if machine is None or machine.template else machine


def _power(before: Machine, after: Machine, at: float) -> Event | None:
    if before.status.state is after.status.state:
        return None
    if before.status.state is State.PAUSED and after.status.state is State.RUNNING:
        return Lifecycle(ref=after.ref, at=at, change=Change.RESUMED, detail="unpaused")
    return so_now(after.ref, after.status, at=at)
