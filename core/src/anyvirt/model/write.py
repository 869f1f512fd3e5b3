"""Writes models as XML, as they were spelled or in canonical form."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import compress
from operator import is_not
from typing import Any, Final

from anyvirt.errors import Invalid, Problem
from anyvirt.model.element import Element, hidden
from anyvirt.model.plan import ELEMENT, ELEMENTS, GROUP, OPAQUE, TEXTS, Child, Field, Node, Plan, plan_of
from anyvirt.model.rest import Rest, Stray, Xml, canonical_xml
from anyvirt.model.walk import elements, walk

_TEXT: Final = re.compile(r"[&<>\r]")
_QUOTED: Final = re.compile(r"[&<>'\"\r\n\t]")
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES: Final = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;",
}  # fmt: skip


def dump(x: Element, *, canonical: bool = False) -> str:
    """The XML of a model, two spaces a level, ending in a newline.

    :param canonical: normal spelling of every value, as equality and ``fingerprint`` see it.
    :raises Invalid: ``xml.value`` for every value that XML or the field's type cannot carry.
    """
    writer = _Writer(canonical)
    plan = plan_of(type(x))
    lines: list[str] = []
    try:
        writer.element(x, plan, plan.tag, "", lines, writer.namespaces(x, plan))
    except RecursionError as error:
        raise Invalid([Problem("xml.limits", "", None, "the model is nested too deep to be written")]) from error
    text = "\n".join(lines) + "\n"
    if _ILLEGAL.search(text):
        writer.refused += [
            (element, place, f"{value!r} holds a character that XML cannot carry", "remove it")
            for element, place, value in _illegal(x)
        ]
    if writer.refused:
        where = {id(step.element): step for step in walk(x)}
        raise Invalid(
            [
                Problem("xml.value", f"{where[id(element)].path}{place}" or "/", where[id(element)].line, text, hint)
                for element, place, text, hint in writer.refused
            ]
        )
    return text


def _illegal(x: Element) -> Iterator[tuple[Element, str, str]]:
    for element in elements(x):
        for field in plan_of(type(element)).fields:
            value = getattr(element, field.name)
            for item in value if type(value) is tuple else (value,):
                if isinstance(item, str) and _ILLEGAL.search(item):
                    yield element, field.place, item


def escape(text: str) -> str:
    """Text as it stands between tags."""
    return _TEXT.sub(lambda hit: _ESCAPES[hit[0]], text) if _TEXT.search(text) else text


def quote(text: str) -> str:
    """Text as it stands in an attribute, without the quotes."""
    if text.isalnum() or not _QUOTED.search(text):
        return text
    return _QUOTED.sub(lambda hit: _ESCAPES[hit[0]], text)


class _Writer:
    """One run of ``dump``."""

    def __init__(self, canonical: bool) -> None:
        self.canonical = canonical
        self.refused: list[tuple[Element, str, str, str]] = []  # element, place inside it, text, way out

    def namespaces(self, x: Element, plan: Plan) -> str:
        used: dict[str, str] = {}
        if plan.cls._namespace:
            used[plan.cls._namespace[1]] = plan.cls._namespace[0]
        if plan.root.foreign is not None:
            for value in getattr(x, plan.root.foreign.name):
                if value._namespace:
                    used[value._namespace[1]] = value._namespace[0]
        return "".join(f" xmlns:{prefix}='{quote(used[prefix])}'" for prefix in sorted(used))

    def element(self, x: Element, plan: Plan, tag: str, indent: str, out: list[str], declared: str = "") -> None:
        rest, raw, _ = hidden(x)
        if raw is not None and self.canonical:
            raw = None
        if plan.cls._namespace:
            tag = f"{plan.cls._namespace[1]}:{tag}"
        if plan.constant:
            declared += f" {plan.constant[0]}='{quote(plan.constant[1])}'"
        _One(self, x, plan, rest, raw).node(plan.root, tag, indent, out, declared, forced=True)


class _One:
    """One element being written."""

    __slots__ = (
        "anchored",
        "attributes",
        "bare",
        "filled",
        "numbered",
        "plan",
        "prefix",
        "raw",
        "values",
        "writer",
        "x",
    )

    def __init__(self, writer: _Writer, x: Element, plan: Plan, rest: Rest | None, raw: Any) -> None:
        self.writer, self.x, self.plan, self.values, self.raw = writer, x, plan, plan.getter(x), raw
        self.prefix = f"{plan.cls._namespace[1]}:" if plan.cls._namespace else ""
        self.anchored: dict[tuple[str, str], list[Stray]] | None = None
        self.numbered: dict[tuple[str, str, int], list[Stray]] = {}
        self.attributes: dict[str, list[tuple[str, str]]] | None = None
        self.bare: set[str] = set()
        self.filled: set[Node] | None = None
        if rest is not None:
            self._rest(rest)
        else:
            self.filled = _filled(plan, self.values)

    def _rest(self, rest: Rest) -> None:
        self.anchored = {}
        self.attributes = {}
        self.bare = set(rest.bare)
        for stray in rest.strays:
            self.anchored.setdefault((stray.node, stray.after), []).append(stray)
            self.numbered.setdefault(stray.place, []).append(stray)
            self.bare.add(stray.node)
        for node, name, value, _why in sorted(rest.attributes) if self.writer.canonical else rest.attributes:
            self.attributes.setdefault(node, []).append((name, value))
            self.bare.add(node)

    def node(self, node: Node, tag: str, indent: str, out: list[str], head: str = "", *, forced: bool = False) -> None:
        head += self._attributes(node)
        text, extra = self._text(node)
        inner: list[str] = []
        deeper = indent + "  "
        if self.anchored is not None:
            self._strays(node, "", -1, deeper, inner)
        for child in node.order:
            self._child(child, node, deeper, inner)
        head += extra
        if inner:
            if text or (self.anchored is not None and not any(line.lstrip().startswith("<") for line in inner)):
                out.append(
                    f"{indent}<{tag}{head}>{escape(text or '')}{''.join(_tight(line) for line in inner)}</{tag}>"
                )
            else:
                out.append(f"{indent}<{tag}{head}>")
                out += inner
                out.append(f"{indent}</{tag}>")
        elif text:
            out.append(f"{indent}<{tag}{head}>{escape(text)}</{tag}>")
        elif head or forced or text is not None or (self.bare and node.path in self.bare):
            out.append(f"{indent}<{tag}{head}/>")

    def _attributes(self, node: Node) -> str:
        head = ""
        for field in node.own:
            value = self.values[field.index]
            if value is not None and value != field.absent:
                head += self._attribute(field, value)
        if self.attributes is not None:
            for name, text in self.attributes.get(node.path, ()):
                head += _foreign(name, text)
        return head

    def _attribute(self, field: Field, value: Any) -> str:
        spelled = self.spelled(field, value)
        if type(spelled) is tuple:
            names = (field.attribute, *(field.codec.beside if field.codec else ()))
            return "".join(
                f" {name}='{quote(part)}'" for name, part in zip(names, spelled, strict=True) if part is not None
            )
        return f" {field.attribute}='{quote(spelled)}'"

    def _text(self, node: Node) -> tuple[str | None, str]:
        """The node's own text (None: no value) and the attributes that belong to it."""
        field = node.text
        if field is None:
            return None, ""
        value = self.values[field.index]
        if value is None or value == field.absent:
            return None, ""
        spelled = self.spelled(field, value)
        if type(spelled) is not tuple:
            return spelled, ""
        names = field.codec.beside if field.codec else ()
        pairs = zip(names, spelled[1:], strict=True)
        return spelled[0], "".join(f" {name}='{quote(part)}'" for name, part in pairs if part is not None)

    def spelled(self, field: Field, value: Any) -> Any:
        if self.raw is not None and field.name in self.raw:
            return self.raw[field.name]
        if field.encode is None:
            if isinstance(value, str):
                return value
            reason = "must be text"
        else:
            try:
                return field.encode(value)
            except (ValueError, TypeError) as error:
                reason = str(error)
        hint = f"use one of {', '.join(field.codec.words)}" if field.codec and field.codec.words else ""
        self.writer.refused.append((self.x, field.place, f"{value!r} {reason}", hint))
        return ""

    def _child(self, child: Child, node: Node, indent: str, out: list[str]) -> None:
        op, field = child.op, child.field
        strays = self.anchored is not None and (node.path, child.name) in self.anchored
        if op == GROUP:
            assert child.node is not None
            if self.filled is not None and child.node not in self.filled:
                return
            self.node(child.node, self.prefix + child.node.tag, indent, out)
            if strays:
                self._strays(node, child.name, 0, indent, out)
            return
        assert field is not None
        value = self.values[field.index]
        if op in (ELEMENT, OPAQUE):
            if value is not None:
                self._one(value, field, indent, out)
            items: tuple[Any, ...] = ()
        else:
            items = value
        for index, item in enumerate(items):
            if op == ELEMENTS:
                self._one(item, field, indent, out)
            elif op == TEXTS:
                spelled = self.spelled(field, item)
                tag = self.prefix + field.tag
                out.append(f"{indent}<{tag}>{escape(spelled)}</{tag}>" if spelled else f"{indent}<{tag}/>")
            if strays:
                self._strays(node, child.name, index, indent, out)
        if strays:
            self._strays(node, child.name, None, indent, out, beyond=len(items))

    def _one(self, value: Any, field: Field, indent: str, out: list[str]) -> None:
        if not field.classes:
            out.append(indent + self._opaque(value, field))
            return
        plan = plan_of(type(value))
        self.writer.element(value, plan, field.tag or plan.tag, indent, out)

    def _opaque(self, value: str, field: Field) -> str:
        from anyvirt.model.xml import sound

        wrong = sound(value, field.tag)
        if wrong:
            self.writer.refused.append((self.x, field.place, wrong, "give one whole element"))
        return canonical_xml(value) if self.writer.canonical else value

    def _strays(
        self, node: Node, after: str, index: int | None, indent: str, out: list[str], *, beyond: int = 0
    ) -> None:
        assert self.anchored is not None
        if index is not None and index >= 0:
            found = self.numbered.get((node.path, after, index), [])
        else:  # all at the start of an element, after a list what is beyond its end
            kept = self.anchored.get((node.path, after), [])
            found = [stray for stray in kept if index is not None or not 0 <= stray.number < beyond]
        for stray in found:
            if isinstance(stray.text, Xml):
                out.append(indent + (canonical_xml(stray.text) if self.writer.canonical else stray.text))
            else:
                out.append(escape(stray.text.strip() if self.writer.canonical else stray.text))


def _filled(plan: Plan, values: tuple[Any, ...]) -> set[Node]:
    """Groups with a value in them; most have none, and need not be looked into."""
    found: set[Node] = set()
    for holders in compress(plan.holders, map(is_not, values, plan.defaults)):
        found.update(holders)
    return found


def _tight(line: str) -> str:
    return line.strip() if line.lstrip().startswith("<") else line


def _foreign(name: str, text: str) -> str:
    """An attribute that is not ours, with the declaration of its namespace where it has one."""
    uri, brace, local = name[1:].partition("}") if name[0] == "{" else ("", "", name)
    if not brace:
        return f" {name}='{quote(text)}'"
    if uri == "http://www.w3.org/XML/1998/namespace":
        return f" xml:{local}='{quote(text)}'"
    prefix = f"ns{zlib.crc32(uri.encode()):x}"
    return f" xmlns:{prefix}='{quote(uri)}' {prefix}:{local}='{quote(text)}'"
