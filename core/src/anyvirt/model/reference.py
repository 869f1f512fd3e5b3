"""What a model knows, as rows for documentation and completion."""

from __future__ import annotations

from typing import NamedTuple

from anyvirt.model.element import Element
from anyvirt.model.plan import plan_of
from anyvirt.model.walk import place


class Entry(NamedTuple):
    """One path of a document.

    :param type: name of the scalar type; the model class for an element.
    :param values: allowed words, where there is a closed set.
    :param field: where Python finds it: class and field name.
    """

    path: str
    type: str
    values: tuple[str, ...]
    many: bool
    doc: str
    field: str


def reference(cls: type[Element]) -> tuple[Entry, ...]:
    """All paths below a model, in document order, each once; an element inside its own kind is not entered again."""
    return tuple(dict.fromkeys(_entries(cls, "", ())))


def _entries(cls: type[Element], path: str, above: tuple[type[Element], ...]) -> list[Entry]:
    found: list[Entry] = []
    for field in plan_of(cls).fields:
        name = f"{cls.__name__}.{field.name}"
        if field.codec is not None:
            entry = Entry(place(field, path), field.codec.name, field.codec.words, field.many, field.at.doc, name)
            found.append(entry)
            continue
        for member in field.classes:
            here = f"{place(field, path)}/{member._tag}".replace("//", "/") if not field.tag else place(field, path)
            if member is Element:
                continue
            kind = (member._when[1],) if member._when else ()
            found.append(Entry(here, member.__name__, kind, field.many, field.at.doc, name))
            if member not in above:
                found += _entries(member, here, (*above, cls, member))
    return found
