"""Names of devices: a prefix and the lowest number that is free."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Hands out names such as ``net0``; one that is in use, or was at the start, is never given twice.

    :param taken: names in use, among them those of devices whose removal the guest has not finished.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def claim(self, name: str) -> bool:
        """Take this very name; False where it is taken."""
        if name in self._taken:
            return False
        self._taken.add(name)
        return True

    def take(self, prefix: str) -> str:
        """The prefix with the lowest free number."""
        number = self._next.get(prefix, 0)
        while f"{prefix}{number}" in self._taken:
            number += 1
        self._next[prefix] = number + 1
        name = f"{prefix}{number}"
        self._taken.add(name)
        return name
