"""Putting what belongs together in order, and leaving all else where it stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def put_forward(items: Sequence[T], place: Callable[[T], tuple[Any, Any] | None]) -> list[T]:
    """Each item before the first of its group that comes after it by its key.

    :param place: group and key of an item; None for one that stays.
    """
    highest: dict[Any, list[Any]] = {}  # of each group the keys of those that stay, rising
    before: dict[tuple[Any, Any], list[tuple[Any, T]]] = {}  # those that go before one that stays
    stay: list[tuple[T, tuple[Any, Any] | None]] = []
    for item in items:
        found = place(item)
        if found is not None:
            group, key = found
            keys = highest.setdefault(group, [])
            if keys and key < keys[-1]:
                before.setdefault((group, keys[bisect_right(keys, key)]), []).append((key, item))
                continue
            if not keys or key > keys[-1]:
                keys.append(key)
        stay.append((item, found))
    done: list[T] = []
    for item, found in stay:
        if found in before:
            done += [other for _key, other in sorted(before.pop(found), key=lambda pair: pair[0])]
        done.append(item)
    return done
