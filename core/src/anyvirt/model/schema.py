"""JSON Schema of what ``to_json`` gives and ``from_json`` takes, written from the declarations."""

from __future__ import annotations

import types
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from anyvirt.model.element import Element
from anyvirt.model.form import KIND, UNKNOWN, kind_of
from anyvirt.model.namespaces import registered
from anyvirt.model.plan import Field, plan_of
from anyvirt.model.roots import ROOTS, classes_of
from anyvirt.model.types import HIGHEST, Bytes, Codec, Integer, Pattern, Words

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_REST: Final = {
    "description": "What no field claims, as to_json wrote it",
    "type": "object",
    "properties": {
        "attributes": {"type": "array", "items": _TEXTS},
        "content": {"type": "array", "items": {"type": "array", "items": {"type": ["string", "integer"]}}},
        "bare": _TEXTS,
    },
    "required": ["attributes", "content", "bare"],
    "additionalProperties": False,
}


def json_schema(root: str | None = None) -> dict[str, Any]:
    """The schema of one kind of document, or of all, which ``$kind`` then tells apart.

    :param root: tag of the root element, such as ``domain``.
    :raises Invalid: no document has that root element.
    """
    schema = _Schema()
    tags = [root] if root else list(ROOTS)
    kinds = [_document(tag, schema.ref(cls), alone=bool(root)) for tag in tags for cls in classes_of(tag)]
    made: dict[str, Any] = {"$schema": DIALECT, "title": root or "every document"}
    made |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    made["$defs"] = schema.definitions()
    return made


def _document(tag: str, ref: dict[str, Any], *, alone: bool) -> dict[str, Any]:
    told = {"properties": {KIND: {"const": tag}}}
    return {**ref, **told} if alone else {**ref, **told, "required": [KIND]}


class _Schema:
    """Collects a definition for each model class that is referred to, once."""

    def __init__(self) -> None:
        self._names: dict[type[Element], str] = {}

    def ref(self, cls: type[Element]) -> dict[str, Any]:
        name = self._names.get(cls)
        if name is None:
            name = cls.__name__ if cls.__name__ not in self._names.values() else f"{cls.__module__}.{cls.__name__}"
            self._names[cls] = name
        return {"$ref": f"#/$defs/{name}"}

    def definitions(self) -> dict[str, Any]:
        """Everything that was referred to, and what that refers to."""
        made: dict[str, Any] = {"unknown": _REST}
        while left := [(cls, name) for cls, name in self._names.items() if name not in made]:
            for cls, name in left:
                made[name] = self._model(cls)
        return made

    def _model(self, cls: type[Element]) -> dict[str, Any]:
        hints = get_type_hints(cls, include_extras=True)
        fields = plan_of(cls).fields
        properties = {field.name: self._field(field, hints[field.name]) for field in fields}
        properties[KIND] = {"enum": sorted({kind_of(cls), cls._tag})}
        properties[UNKNOWN] = {"$ref": "#/$defs/unknown"}
        return {
            "description": (cls.__doc__ or "").strip().split("\n")[0],
            "type": "object",
            "properties": properties,
            "required": [field.name for field in fields if field.at.required],
            "additionalProperties": False,
        }

    def _field(self, field: Field, hint: Any) -> dict[str, Any]:
        value = _scalar(field.codec, hint) if field.codec else self._elements(field)
        if field.many:
            return {"description": field.at.doc, "type": "array", "items": value}
        return {"description": field.at.doc, **value}

    def _elements(self, field: Field) -> dict[str, Any]:
        if field.classes == (Element,):
            known = [{**self.ref(cls), "required": [KIND]} for cls in registered().values()]
            return {"anyOf": known} if known else {"type": "object"}
        if len(field.classes) == 1:
            return self.ref(field.classes[0])
        kinds = [
            {**self.ref(cls), "properties": {KIND: {"const": kind_of(cls)}}, "required": [KIND]}
            for cls in field.classes
        ]
        return {"anyOf": kinds}


def _scalar(codec: Codec, hint: Any) -> dict[str, Any]:
    python = _python(hint)
    if isinstance(codec, Words):
        values = [codec.read(word) for word in codec.words]
        return {"enum": [*(value for value in values if isinstance(value, bool)), *codec.words]}
    if bool in python:
        return {"type": "boolean"}
    if int in python:
        low, high = (codec.low, codec.high) if isinstance(codec, Integer) else (None, None)
        low, high = (0, HIGHEST) if isinstance(codec, Bytes) else (low, high)
        bounds = {"minimum": low, "maximum": high} if low is not None else {}
        return {"type": ["integer", "string"], **bounds}
    if frozenset in python:
        return {"type": ["string", "array"], "items": {"type": "integer"}}
    if isinstance(codec, Pattern):
        return {"type": "string", "pattern": f"^(?:{codec.pattern})$"}
    return {"type": "string"}


def _python(hint: Any) -> set[Any]:
    """The plain types of a hint, in any depth of ``None``, tuples and annotations."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _python(get_args(hint)[0])
    if origin in (Union, types.UnionType, tuple):
        return {found for member in get_args(hint) if member is not Ellipsis for found in _python(member)}
    return {origin or hint}
