"""A field that is declared is read and written by a test, whichever document it is in."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

import anyvirt.model
from anyvirt.model.element import Element
from anyvirt.model.form import from_json, to_json
from anyvirt.model.plan import plan_of
from anyvirt.model.strict import unknown
from anyvirt.model.walk import walk
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from model_thin import reached, thin


def declared() -> set[type[Element]]:
    """Every class of core's models that has fields of its own and stands for an element."""
    found: set[type[Element]] = set()
    for module in pkgutil.walk_packages(anyvirt.model.__path__, "anyvirt.model."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Element) and value._tag and value._fields:
                found.add(value)
    return found


def test_every_class_that_is_declared_stands_in_some_document() -> None:
    parents = {parent for cls in declared() for parent in cls.__mro__[1:]}
    forgotten = declared() - reached() - parents
    assert {cls.__name__ for cls in forgotten} == set()


def has(x: Element, name: str, like: Element) -> bool:
    """Whether some element in ``x`` has the field as some element in ``like`` has it; an element is there, or not."""
    owner, _, field = name.partition(".")
    found, wanted = (
        [_shape(value) for value in _values(one, owner, field) if value is not None and value != ()]
        for one in (x, like)
    )
    return any(shape in wanted for shape in found)


def _values(x: Element, owner: str, field: str) -> list[Any]:
    return [getattr(step.element, field) for step in walk(x) if type(step.element).__name__ == owner]


def _shape(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_shape(one) for one in value)
    return type(value) if isinstance(value, Element) else value


def test_every_field_is_written_and_read_on_its_own() -> None:
    names, lost = set(), []
    for _, name, x in thin():
        names.add(name)
        again = parse(dump(x), type(x))
        stable = parse(dump(again), type(x)) == again == parse(dump(x, canonical=True), type(x))
        if not stable or unknown(again) or not has(again, name, x):
            lost.append(name)
        elif from_json(type(x), to_json(x)) != x or not has(from_json(type(x), to_json(x)), name, x):
            lost.append(f"{name} in JSON")
    assert lost == []
    fields = [(cls, field) for cls in reached() for field in plan_of(cls).fields if field.classes != (Element,)]
    assert {f"{cls.__name__}.{field.name}" for cls, field in fields} - names == set()
