"""Documents as text in any form: XML, JSON, YAML."""

from __future__ import annotations

import json
from typing import Any, Final

from anyvirt.errors import Invalid, Problem
from anyvirt.model.element import Element
from anyvirt.model.form import KIND, from_json, to_json
from anyvirt.model.roots import ROOTS, classes_of

FORMS: Final = ("xml", "json", "yaml")


def form_of(data: bytes) -> str:
    """The form of a document, told from its first character: ``xml``, ``json`` or ``yaml``."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "xml"
    first = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return "json" if first in {b"{", b"["} else "xml" if first in {b"<", b""} else "yaml"


def model_of(data: bytes, form: str = "", kind: str = "domain") -> Element:
    """Read a document in any form.

    :param form: one of ``FORMS``; told from the content without it.
    :param kind: tag of the root element where JSON or YAML does not say ``$kind``.
    :raises Invalid: what cannot be read, with every problem, path and, in XML and YAML, line.
    :raises Unsupported: YAML, and PyYAML is not installed.
    """
    form = form or form_of(data)
    if form == "xml":
        from anyvirt.model.xml import parse

        return parse(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Invalid([Problem("xml.malformed", "", line, "is no UTF-8", "save it as UTF-8")]) from error
    if form == "yaml":
        from anyvirt.model.yaml_text import load

        plain = load(text)
    else:
        plain = _json(text)
    return _model(plain, kind)


def text_of(x: Element, form: str) -> str:
    """Write a document in one of ``FORMS``.

    :raises Unsupported: YAML, and PyYAML is not installed.
    """
    if form == "xml":
        from anyvirt.model.write import dump

        return dump(x)
    data = plain_of(x)
    if form == "yaml":
        from anyvirt.model.yaml_text import save

        return save(data)
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def plain_of(x: Element) -> dict[str, Any]:
    """A document as plain data that says which kind it is."""
    return {KIND: type(x)._tag, **to_json(x)}


def _json(text: str) -> Any:
    from anyvirt.model.limits import DEFAULT

    if len(text) > DEFAULT.size:
        raise Invalid([Problem("xml.limits", "", None, f"the document is larger than {DEFAULT.size >> 20} MiB")])
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise Invalid([Problem("xml.malformed", "", error.lineno, f"is no JSON: {error.msg}")]) from error
    except ValueError as error:  # more digits than Python reads
        raise Invalid([Problem("xml.malformed", "", None, f"is no JSON: {error}")]) from error
    except RecursionError as error:
        raise Invalid([Problem("xml.limits", "", None, "the document is nested too deep")]) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise Invalid([Problem("xml.malformed", "", None, f"{name!r} stands twice in one object", "keep one")])
        made[name] = value
    return made


def _no_number(word: str) -> Any:
    raise Invalid([Problem("xml.malformed", "", None, f"{word} is no number", "leave it out")])


def _model(plain: Any, kind: str) -> Element:
    if not isinstance(plain, dict):
        hint = "write XML, or an object of JSON or YAML"
        raise Invalid([Problem("xml.malformed", "", None, "this is no document", hint)])
    told = plain.get(KIND, kind)
    if not isinstance(told, str):
        hint = f"use one of {', '.join(sorted(ROOTS))}"
        raise Invalid([Problem("xml.value", f"/{KIND}", None, f"{told!r} is no kind of document", hint)])
    first: Invalid | None = None
    for cls in classes_of(told):
        try:
            return from_json(cls, plain)
        except Invalid as error:
            first = first or error
    assert first is not None
    raise first
