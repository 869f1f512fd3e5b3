"""Device nodes of a host as its tools tell of them, the same on this host and on a far one."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from anyvirt.api import Run

_FORMAT: Final = r"--printf=%f %u %g %.9X %.9Y %.9Z %n\0"


class Node(NamedTuple):
    """Owner, mode and times of a node; a link to one counts as it."""

    mode: int = 0
    owner: int = 0
    group: int = 0
    times: tuple[int, int, int] = (0, 0, 0)


NONE: Final = Node()


def nodes(run: Run, paths: Sequence[str]) -> dict[str, Node]:
    """What is known of each node; what is missing is left out."""
    if not paths:
        return {}
    found = {}
    for row in run("stat", "--dereference", _FORMAT, "--", *paths).text.split("\0"):
        words = row.split(" ", 6)
        if len(words) == 7:
            mode, owner, group, *times, path = words
            access, change, status = (int(Decimal(time) * 10**9) for time in times)
            found[path] = Node(int(mode, 16) & 0o7777, int(owner), int(group), (access, change, status))
    return found
