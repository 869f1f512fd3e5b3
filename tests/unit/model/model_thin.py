"""Documents of one field each, made from the declarations: small, and together they have every field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyvirt.model.element import Element
from anyvirt.model.plan import Field, plan_of
from anyvirt.model.roots import ROOTS, classes_of
from model_samples import plain

Way = tuple[type[Element], Field]


def thin() -> Iterator[tuple[str, str, Any]]:
    """Root tag, ``Class.field`` and a document that has that field; each field of each class once."""
    done: set[type[Element]] = set()
    for tag in ROOTS:
        for root in classes_of(tag):
            ways = _ways(root)
            yield from _fields(tag, ways, done)
            done |= set(ways)


def reached() -> set[type[Element]]:
    """Every class that stands in some document."""
    return {cls for tag in ROOTS for root in classes_of(tag) for cls in _ways(root)}


def _ways(root: type[Element]) -> dict[type[Element], Way | None]:
    """From each class below a root to the one that holds it, by the shortest way."""
    ways: dict[type[Element], Way | None] = {root: None}
    queue = [root]
    for cls in queue:  # it grows while it is walked
        for field in plan_of(cls).fields:
            for member in field.classes:
                if member is not Element and member not in ways:
                    ways[member] = (cls, field)
                    queue.append(member)
    return ways


def _fields(
    tag: str, ways: dict[type[Element], Way | None], done: set[type[Element]]
) -> Iterator[tuple[str, str, Any]]:
    for cls in ways:
        for field in plan_of(cls).fields if cls not in done else ():
            for value in _values(field):
                x = bare(cls, **{field.name: (value,) if field.many else value})
                yield tag, f"{cls.__name__}.{field.name}", _wrapped(x, ways)


def _values(field: Field) -> list[Any]:
    if field.codec is not None:
        return [plain(field.codec, field.tag, 0)]
    return [bare(member) for member in field.classes if member is not Element]


def _wrapped(x: Any, ways: dict[type[Element], Way | None]) -> Any:
    way = ways[type(x)]
    while way is not None:
        owner, field = way
        x = bare(owner, **{field.name: (x,) if field.many else x})
        way = ways[owner]
    return x


def bare(cls: type[Element], **values: Any) -> Any:
    """An element with these values and what it needs beside them."""
    for field in plan_of(cls).fields:
        if field.at.required and field.name not in values:
            one = bare(field.classes[0]) if field.codec is None else plain(field.codec, field.tag, 0)
            values[field.name] = (one,) if field.many else one
    return cls(**values)
