"""Places that are plain numbers: registers of pseries virtual I/O, subchannels of s390, slots of memory modules."""

from __future__ import annotations

from collections.abc import Iterable


class Registers:
    """Numbers from a start on, in steps; one that is in use is never given."""

    def __init__(self, taken: Iterable[int] = (), *, step: int = 1, last: int | None = None) -> None:
        self._taken = set(taken)
        self._step = step
        self._last = last
        self._next: dict[int, int] = {}

    def take(self, start: int = 0) -> int | None:
        """The first free number from ``start`` on; None past the last."""
        number = self._next.get(start, start)
        while number in self._taken:
            number += self._step
        if self._last is not None and number > self._last:
            return None
        self._taken.add(number)
        self._next[start] = number
        return number
