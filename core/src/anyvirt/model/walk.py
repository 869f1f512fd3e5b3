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


def walk(x: Element, path: str = "") -> list[Step]:
    """The element and all elements below it, in the order of declaration."""
    found: list[Step] = []
    _walk(x, path, found)
    return found


def _walk(x: Element, path: str, found: list[Step]) -> None:
    found.append(Step(path, x, line_of(x)))
    for field in plan_of(type(x)).nested:
        if getattr(x, field.name):  # there are many fields, and few with anything in them
            for here, value in items(x, field, path):
                _walk(value, here, found)


def elements(x: Element) -> Iterator[Element]:
    """What ``walk`` finds, without the paths, which cost most of it."""
    yield x
    for field in plan_of(type(x)).nested:
        value = getattr(x, field.name)
        for item in value if field.many else (value,) if value is not None else ():
            yield from elements(item)


def items(x: Element, field: Field, path: str) -> Iterator[tuple[str, Any]]:
    """Path and value of each item of a field: by key in brackets, by position where there is no key."""
    value = getattr(x, field.name)
    if not field.many:
        if value is not None:
            yield place(field, path, value), value
        return
    for index, item in enumerate(value):
        yield f"{place(field, path, item)}[{key_of(item) or index}]", item


def place(field: Field, path: str, value: Any = None) -> str:
    """Path of a field of the element at ``path``."""
    own = "" if field.attribute or field.tag or not isinstance(value, Element) else f"/{type(value)._tag}"
    return f"{path}{field.place}{own}" or "/"
