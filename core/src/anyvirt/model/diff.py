"""Says field by field how two models differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from anyvirt.model.element import Element, rest_of
from anyvirt.model.plan import Field, key_of, plan_of
from anyvirt.model.rest import Rest
from anyvirt.model.walk import place


class Difference(NamedTuple):
    """One difference.

    :param path: place in the model, such as ``/devices/disk[vda]/source/@file``.
    :param old: value before, None where there was none; an element that came or went is given whole.
    """

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.old!r} -> {self.new!r}"


def diff(old: Element, new: Element) -> tuple[Difference, ...]:
    """What changed from one model to another of the same class; spelling, units and indentation never do.

    :raises TypeError: the models are of different classes.
    """
    if type(old) is not type(new):
        msg = f"cannot compare {type(old).__name__} with {type(new).__name__}"
        raise TypeError(msg)
    return tuple(_element(old, new, ""))


def _element(old: Element, new: Element, path: str) -> list[Difference]:
    if old == new:
        return []
    if type(old) is not type(new):
        return [Difference(path, old, new)]
    found: list[Difference] = []
    for field in plan_of(type(old)).fields:
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if field.many and field.classes:
            found += _many(before, after, field, path)
        elif field.classes and before is not None and after is not None:
            found += _element(before, after, place(field, path, before))
        else:
            found.append(Difference(place(field, path, after if before is None else before), before, after))
    found += _rest(rest_of(old), rest_of(new), path)
    # Nothing but the place of unknown content changed: the element is shown whole.
    return found or [Difference(path or "/", old, new)]


def _many(before: Sequence[Element], after: Sequence[Element], field: Field, path: str) -> list[Difference]:
    """Pair by key, then equal ones, then by position; what is left came or went."""
    pairs = _paired(before, after)
    keys = Counter(map(key_of, before)) | Counter(map(key_of, after))
    found: list[Difference] = []
    names: list[str] = []
    stay = [right for _left, right in pairs if right is not None]
    for left, right in pairs:
        items, index = (before, left) if left is not None else (after, right)
        assert index is not None
        item, name = items[index], _name(items, index, keys)
        here = f"{place(field, path, item)}[{name}]"
        if left is None:
            found.append(Difference(here, None, item))
        elif right is None:
            found.append(Difference(here, item, None))
        else:
            found += _element(item, after[right], here)
        if right is not None:
            names.append(name if left is not None or key_of(item) else f"+{name}")
    if stay != sorted(stay):
        order = [name for _right, name in sorted(zip(stay, names, strict=True))]
        found.append(Difference(place(field, path, after[0]), tuple(names), tuple(order)))
    return found


def _name(items: Sequence[Element], index: int, keys: Counter[str]) -> str:
    """How a member is named in a path: by key, by number where that is none, not its own, or no path takes it."""
    key = key_of(items[index])
    if key:
        return f"#{index}" if keys[key] > 1 or "]" in key else key
    return f"#{index}" if keys[str(index)] else str(index)


def _paired(before: Sequence[Element], after: Sequence[Element]) -> list[tuple[int | None, int | None]]:
    free = dict.fromkeys(range(len(after)))
    partner: dict[int, int] = {}

    def match(same: Any) -> None:
        for left, item in enumerate(before):
            if left not in partner:
                right = next((right for right in free if same(left, item, right, after[right])), None)
                if right is not None:
                    partner[left] = right
                    del free[right]

    match(lambda _left, item, _right, other: bool(key_of(item)) and key_of(item) == key_of(other))
    match(lambda _left, item, _right, other: not key_of(item) and item == other)
    match(lambda left, item, right, other: left == right and not key_of(item) and not key_of(other))
    pairs: list[tuple[int | None, int | None]] = [(left, partner.get(left)) for left in range(len(before))]
    return pairs + [(None, right) for right in free]


def _rest(before: Rest | None, after: Rest | None, path: str) -> list[Difference]:
    """Differences in unknown content; each attribute and element by its name."""
    if before == after:
        return []
    left, right = _unknowns(before, path), _unknowns(after, path)
    return [
        Difference(here, left.get(here), right.get(here))
        for here in dict.fromkeys([*left, *right])
        if left.get(here) != right.get(here)
    ]


def _unknowns(rest: Rest | None, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rest is None:
        return found
    for item in rest.attributes:
        found[_joined(path, item.node, f"@{item.name}")] = item.value
    for number, stray in enumerate(sorted(rest.strays, key=lambda stray: stray.place)):
        here = _joined(path, stray.node, stray.tag or "text()")
        found[f"{here}[{number}]" if here in found else here] = stray.text
    for node in rest.bare:
        found.setdefault(f"{path}/{node}", "")
    return found


def _joined(path: str, *parts: str) -> str:
    return "/".join([path, *(part for part in parts if part)])
