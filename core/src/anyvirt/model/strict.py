"""Lists what a model keeps without knowing it, with the nearest names that it does know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.element import Element, line_of, rest_of
from anyvirt.model.namespaces import registered
from anyvirt.model.plan import GROUP, Field, Node, Plan, plan_of
from anyvirt.model.rest import Attribute, Stray
from anyvirt.model.walk import elements, walk

Units = Mapping[tuple[str, str], str]
_DECLARED: Final = re.compile(r"\sxmlns(?::[\w.-]+)?=(\"[^\"]*\"|'[^']*')")
_INSIDE: Final = re.compile(r"<[^<>]*>([^<>]*)</[^<>]*>")


def unknown(x: Element) -> tuple[Problem, ...]:
    """Everything that the document has and no field claims, by path and line; empty for a document fully understood."""
    if all(rest_of(element) is None for element in elements(x)):
        return ()
    found: list[Problem] = []
    for path, element, _line in walk(x):
        rest = rest_of(element)
        if rest is None:
            continue
        plan = plan_of(type(element))
        # The unit of a value that cannot be read is told of with the value.
        units = {(item.node, item.name): item.value for item in rest.attributes if _is_beside(plan, item)}
        found += [_attribute(element, plan, path, x, units) for x in rest.attributes if (x.node, x.name) not in units]
        found += [_stray(plan, path, item, units) for item in rest.strays]
    return tuple(sorted(found, key=lambda problem: problem.line or 0))


def _is_beside(plan: Plan, item: Attribute) -> bool:
    field = _field_at(plan, item.node, item.name)
    return item.why == "value" and field is not None and item.name != field.attribute


def _field_at(plan: Plan, node: str, attribute: str) -> Field | None:
    return next((field for field in plan.fields if (node, attribute) in field.places), None)


def _attribute(x: Element, plan: Plan, path: str, item: Attribute, units: Units) -> Problem:
    here = "/".join(part for part in (path, item.node, f"@{item.name}") if part)
    here = here if here.startswith("/") else f"/{here}"
    line = line_of(x, item.node)
    node = node_at(plan, item.node)
    if item.why == "value":
        return Problem("xml.value", here, line, *_wrong(plan, item.node, item.name, item.value, units))
    known = sorted({*node.attributes, *node.beside}) if node else []
    owner = item.node.rpartition("/")[2] or plan.tag
    return Problem(
        "xml.unknown-attribute", here, line, f"<{owner}> has no attribute {item.name!r}", near(item.name, known)
    )


def _stray(plan: Plan, path: str, item: Stray, units: Units) -> Problem:
    here = "/".join(part for part in (path, item.node, item.tag) if part)
    here = here if here.startswith("/") else f"/{here}"
    owner = item.node.rpartition("/")[2] or plan.tag
    if item.why == "text" or (item.why == "value" and not item.tag):
        if item.why == "value":
            return Problem("xml.value", here, item.line, *_wrong(plan, item.node, "", item.text, units))
        return Problem(
            "xml.value", here, item.line, f"<{owner}> takes no text, but has {_short(item.text)}", "remove it"
        )
    if item.why == "value":
        inner = f"{item.node}/{item.tag}".lstrip("/")
        text = _INSIDE.fullmatch(item.text)
        return Problem("xml.value", here, item.line, *_wrong(plan, inner, "", text[1] if text else item.text, units))
    if item.why == "repeat":
        return Problem("xml.unknown-element", here, item.line, f"<{item.tag}> stands here a second time", "keep one")
    node = node_at(plan, item.node)
    known = [tag.rpartition("}")[2] for tag in node.children] if node else []
    said = f"<{owner}> has no element <{item.tag}>"
    if item.why == "foreign":
        declared = _DECLARED.search(item.text)
        uri = f"{{{declared[1][1:-1].replace('&amp;', '&')}}}" if declared else ""
        if uri != plan.prefix:
            known = [tag.removeprefix(uri) for tag in registered() if tag.startswith(uri)]
            said = f"the plug-in that knows this namespace has no element <{item.tag}>"
        if not known:
            hint = "install the plug-in that brings it, or keep it with keep_unknown"
            return Problem("xml.unknown-element", here, item.line, f"no installed plug-in knows <{item.tag}>", hint)
    return Problem("xml.unknown-element", here, item.line, said, near(item.tag.rpartition(":")[2], known))


def _wrong(plan: Plan, node: str, attribute: str, value: str, units: Units) -> tuple[str, str]:
    """Text and hint for a value that its field does not take."""
    field = _field_at(plan, node, attribute)
    if field is None or field.codec is None:
        if field is not None and field.classes:
            kinds = sorted(cls._when[1] for cls in field.classes if cls._when)
            return f"{_short(value[:200])} is of no known kind", f"known are {', '.join(kinds)}" if kinds else ""
        return f"{_short(value)} is no known value", ""
    words = field.codec.words
    such = f", such as {field.codec.samples[0]}" if field.codec.samples else ""
    must = f"use one of {', '.join(words)}" if words else f"must be: {field.codec.name}{such}"
    hint = near(value, list(words)) or must
    try:
        field.codec.read(value, *(units.get((node, name)) for name in field.codec.beside))
    except ValueError as error:
        return f"{_short(value)} {error}", hint
    return f"{_short(value)} is no {field.codec.name}", hint


def node_at(plan: Plan, path: str) -> Node | None:
    """The grouping node ``a/b`` of a model."""
    node: Node | None = plan.root
    for tag in path.split("/") if path else ():
        child = node.children.get(plan.prefix + tag) if node else None
        node = child.node if child is not None and child.op == GROUP else None
    return node


def near(name: str, known: list[str]) -> str:
    """``did you mean ...`` for the nearest of the known names, ``""`` when none is near."""
    matches = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {matches[0]!r}?" if matches else ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
