"""Waiting for what comes next in a log, without a thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from anyvirt.deadline import Deadline, current
from anyvirt.store.rows import Entry, LogGap


class Log(Protocol):
    """What can be followed."""

    def token(self) -> str:
        """The token of now."""
        ...

    def events(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        """What was logged after a token."""
        ...


class Rings(Protocol):
    """What wakes those who follow."""

    def ring(self) -> None:
        """Wake them."""
        ...

    def lose(self, count: int) -> None:
        """Note that entries were lost."""
        ...

    def lost(self) -> int:
        """How many entries were ever lost."""
        ...

    def watch(self) -> Waits:
        """What waits for the next ring."""
        ...


class Waits(Protocol):
    """Waits until something may have changed."""

    def wait(self, deadline: Deadline) -> None:
        """Return when something may have changed."""
        ...

    def close(self) -> None:
        """Let go of what it watches."""
        ...


def follow(log: Log, bell: Rings, after: str | None) -> Iterator[Entry | LogGap]:
    """What was logged after the token (without one: from now on), then what comes, until the deadline.

    :raises Interrupted: the deadline of the call passed, or somebody cancelled it.
    """
    place = log.token() if after is None else after
    bell.ring()  # makes the file where there is none yet
    watch = bell.watch()
    try:
        while True:
            for item in log.events(place):
                place = item.token
                yield item
            watch.wait(current())
    finally:
        watch.close()
