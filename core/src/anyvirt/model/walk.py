"""Paths through a model: ``/devices/disk[vda]/source/@file``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from anyvirt.model.element import Element, line_of
from anyvirt.model.plan import Field, key_of, plan_of


class Step(NamedTuple):
    """One element inside a model; the model itself has the path ``""``."""

    path: str
    element: Element
    line: int | None


def walk(x: Element, path: str = "") -> Iterator[Step]:
    """The element and all elements below it, in the order of declaration."""
    yield Step(path, x, line_of(x))
    for field in plan_of(type(x)).fields:
        if field.classes:
            for here, value in items(x, field, path):
                yield from walk(value, here)


def items(x: Element, field: Field, path: str) -> Iterator[tuple[str, Any]]:
    """Path and value of each item of a field: by key in brackets, by position where there is no key."""
    value = getattr(x, field.name)
    if not field.many:
        if value is not None:
            yield place(field, path), value
        return
    for index, item in enumerate(value):
        yield f"{place(field, path, item)}[{key_of(item) or index}]", item


def place(field: Field, path: str, value: Any = None) -> str:
    """Path of a field of the element at ``path``."""
    parts = [
        path,
        field.node,
        field.tag or (type(value)._tag if isinstance(value, Element) else ""),
    ]
    if field.attribute:
        parts[-1] = f"@{field.attribute}"
    return "/".join(part for index, part in enumerate(parts) if part or index == 0) or "/"
