"""RELAX NG of our own for the documents, written from the declarations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from anyvirt.model.element import Element
from anyvirt.model.namespaces import registered
from anyvirt.model.plan import ELEMENT, ELEMENTS, GROUP, OPAQUE, Child, Field, Node, Plan, plan_of
from anyvirt.model.roots import ROOTS, classes_of
from anyvirt.model.types import Bytes, Codec, Hexadecimal, Integer, MacAddress, Pattern, Presence, Switch, Uuid, Words

RELAX: Final = "http://relaxng.org/ns/structure/1.0"
_TYPES: Final = "http://www.w3.org/2001/XMLSchema-datatypes"
_NOTES: Final = "http://relaxng.org/ns/compatibility/annotations/1.0"
_FEW: Final = 6  # optional attributes of one element that stand one by one
_ANY: Final = "<text/>"
_EMPTY: Final = "<empty/>"
_UNIT: Final = r"|[bB]|[bB][yY][tT][eE][sS]?|[kKmMgGtTpPeE]([iI]?[bB])?"
# Spellings that reading takes, where a type has more of them than its canonical one.
_SHAPES: Final[dict[type[Codec], str]] = {
    Bytes: r"\s*[+]?[0-9]+\s*",
    Uuid: r"\s*([0-9a-fA-F]-*){32}\s*|",
    MacAddress: r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}",
}
_BEYOND_XSD: Final = re.compile(r"\(\?|[*+?}][?+]|\\[^sdwnrt.\-+*?()\[\]{}|\\^$/]|[\^$](?!\])")


def relax_ng(root: str | None = None) -> str:
    """The grammar of one kind of document, or of all, in RELAX NG's XML syntax.

    It takes what ``parse`` reads without leaving anything unknown; elements of namespaces that no plug-in
    brings may stand where libvirt allows any. What contradicts itself is for ``check`` to find.

    :param root: tag of the root element, such as ``domain``.
    :raises Invalid: no document has that root element.
    """
    grammar = _Grammar()
    starts = [grammar.root(tag) for tag in ([root] if root else ROOTS)]
    defined = grammar.definitions()
    head = f'<grammar xmlns="{RELAX}" xmlns:a="{_NOTES}" datatypeLibrary="{_TYPES}">'
    start = f"<start>{_choice(starts)}</start>"
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, start, *defined, "</grammar>", ""])


class _Grammar:
    """Collects a definition for each model class that is referred to, once."""

    def __init__(self) -> None:
        self._names: dict[type[Element], str] = {}
        self._made: dict[str, str] = {}

    def root(self, tag: str) -> str:
        return _element(tag, _choice(self._ref(cls) for cls in classes_of(tag)))

    def definitions(self) -> Iterator[str]:
        """Everything that was referred to, and what that refers to."""
        done: set[str] = set()
        while left := [(cls, name) for cls, name in self._names.items() if name not in done]:
            for cls, name in left:
                done.add(name)
                plan = plan_of(cls)
                about = (cls.__doc__ or "").strip().split("\n")[0]
                yield f"<define name={quoteattr(name)}>{_note(about)}{self._content(plan.root, plan)}</define>"
        yield _foreign_elements()
        yield _anything()

    def _ref(self, cls: type[Element]) -> str:
        name = self._names.get(cls)
        if name is None:
            name = cls.__name__ if cls.__name__ not in self._names.values() else f"{cls.__module__}.{cls.__name__}"
            self._names[cls] = name
        return f"<ref name={quoteattr(name)}/>"

    def _content(self, node: Node, plan: Plan) -> str:
        """Children in any order, as libvirt heeds none between names, then attributes.

        Libxml2 goes on with two states after each optional attribute that is there: the children come first,
        so that they are looked at once.
        """
        children = [self._child(tag, child, plan) for tag, child in node.children.items()]
        if node.foreign is not None or (not node.path and plan.tag in ROOTS):
            children += self._registered(node)
        text = _value(node.text, mixed=bool(children)) if node.text is not None else ""
        if children and text == _ANY:
            children.append(_ANY)
            text = ""
        within = text if text and not children else _group("interleave", children)
        return "".join([within, *self._attributes(node, plan)]) or _EMPTY

    def _attributes(self, node: Node, plan: Plan) -> Iterator[str]:
        found: dict[str, tuple[str, str]] = {}
        for name, field in node.attributes.items():
            if field.name:
                found[name] = (_value(field), field.at.doc)
            elif plan.constant:
                yield _attribute(name, f'<value type="string">{escape(plan.constant[1])}</value>')
        for field in [*node.attributes.values(), *([node.text] if node.text else [])]:
            for name in field.codec.beside if field.codec else ():
                found.setdefault(name, (_beside(field.codec), ""))
        yield from _together(found)

    def _child(self, tag: str, child: Child, plan: Plan) -> str:
        if child.op == GROUP:
            assert child.node is not None
            doc = child.node.text.at.doc if child.node.text else ""
            return _optional(_element(tag, self._content(child.node, plan), doc))
        field = child.field
        assert field is not None
        if child.op in (ELEMENT, ELEMENTS):
            made = _element(tag, _choice(self._ref(cls) for cls in _classes(child)), field.at.doc)
            return _optional(made) if child.op == ELEMENT else f"<zeroOrMore>{made}</zeroOrMore>"
        if child.op == OPAQUE:
            return _optional(_element(tag, '<ref name="anything"/>', field.at.doc))
        return f"<zeroOrMore>{_element(tag, _value(field), field.at.doc)}</zeroOrMore>"

    def _registered(self, node: Node) -> Iterator[str]:
        """Elements of other namespaces: those that a plug-in brings, and those that none does."""
        if node.foreign is not None:
            for tag, cls in registered().items():
                yield f"<zeroOrMore>{_element(tag, self._ref(cls))}</zeroOrMore>"
        yield '<zeroOrMore><ref name="foreign"/></zeroOrMore>'


def _together(attributes: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Optional attributes; where there are many, those of one type are one pattern with several names.

    Repeating such a pattern costs libxml2 a state for each, while each optional one doubles their number.
    """
    alike: dict[str, list[str]] = {}
    for name, (value, _) in attributes.items():
        alike.setdefault(value if len(attributes) > _FEW else name, []).append(name)
    for names in alike.values():
        value, doc = attributes[names[0]]
        if len(names) == 1:
            yield _optional(_attribute(names[0], value, doc))
            continue
        notes = "".join(_note(f"{name}: {attributes[name][1]}") for name in names if attributes[name][1])
        choice = _choice(f"<name>{escape(name)}</name>" for name in names)
        yield f"<zeroOrMore><attribute>{choice}{notes}{value}</attribute></zeroOrMore>"


def _classes(child: Child) -> list[type[Element]]:
    return [child.cls] if child.by is None and child.cls else list((child.by or {}).values())


def _value(field: Field, *, mixed: bool = False) -> str:
    """The pattern of a text; beside child elements a grammar can only say that there may be some."""
    codec = field.codec
    assert codec is not None
    if isinstance(codec, (Presence, Switch)):
        return _EMPTY
    made = _scalar(codec)
    if made == _ANY or mixed:
        return _ANY
    return made if field.attribute else f"<choice>{_EMPTY}{made}</choice>"


def _scalar(codec: Codec) -> str:
    if isinstance(codec, Words):
        return _choice(f'<value type="string">{escape(word)}</value>' for word in codec.words)
    if type(codec) is Integer:
        bounds = (("minInclusive", codec.low), ("maxInclusive", codec.high))
        return _data("integer", bounds)
    if isinstance(codec, Hexadecimal):
        return _data("string", [("pattern", r"\s*-?(0[xX])?[0-9a-fA-F]+\s*")])
    shape = codec.pattern if isinstance(codec, Pattern) else _SHAPES.get(type(codec), "")
    return _data("string", [("pattern", shape)]) if shape and not _BEYOND_XSD.search(shape) else _ANY


def _beside(codec: Codec | None) -> str:
    if isinstance(codec, Switch):
        return _choice(f'<value type="string">{word}</value>' for word in codec.words)
    return _data("string", [("pattern", _UNIT)]) if isinstance(codec, Bytes) else _ANY


def _data(kind: str, parameters: Iterable[tuple[str, Any]]) -> str:
    inner = "".join(f'<param name="{name}">{escape(str(value))}</param>' for name, value in parameters)
    return f'<data type="{kind}">{inner}</data>'


def _attribute(name: str, value: str, doc: str = "") -> str:
    return f"<attribute name={quoteattr(name)}>{_note(doc)}{value}</attribute>"


def _element(tag: str, content: str, doc: str = "") -> str:
    space, _, local = tag.rpartition("}")
    within = f" ns={quoteattr(space[1:])}" if space else ""
    return f"<element name={quoteattr(local)}{within}>{_note(doc)}{content}</element>"


def _note(doc: str) -> str:
    return f"<a:documentation>{escape(doc)}</a:documentation>" if doc else ""


def _optional(pattern: str) -> str:
    return f"<optional>{pattern}</optional>"


def _choice(patterns: Iterable[str]) -> str:
    return _group("choice", list(patterns))


def _group(name: str, patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else f"<{name}>{''.join(patterns)}</{name}>" if patterns else ""


def _foreign_elements() -> str:
    spaces = sorted({"", *(tag[1:].partition("}")[0] for tag in registered())})
    names = "".join(f"<nsName ns={quoteattr(space)}/>" for space in spaces)
    content = '<ref name="anything"/>'
    return f'<define name="foreign"><element><anyName><except>{names}</except></anyName>{content}</element></define>'


def _anything() -> str:
    attributes = "<zeroOrMore><attribute><anyName/></attribute></zeroOrMore>"
    inner = '<element><anyName/><ref name="anything"/></element>'
    return f'<define name="anything">{attributes}<zeroOrMore><choice>{_ANY}{inner}</choice></zeroOrMore></define>'
