"""Reads XML into models; the only module of core that touches lxml."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, overload

from lxml import etree

from anyvirt.errors import Invalid, Problem
from anyvirt.model.element import Element, put_all
from anyvirt.model.limits import DEFAULT, Limits, admit
from anyvirt.model.namespaces import registered
from anyvirt.model.plan import ELEMENT, ELEMENTS, GROUP, TEXTS, Child, Field, Node, Plan, plan_of
from anyvirt.model.rest import Attribute, Rest, Stray, Xml
from anyvirt.model.roots import class_of, marks_of

E = TypeVar("E", bound=Element)

_DECLARED: Final = re.compile(r"\sxmlns:([\w.-]+)=(\"[^\"]*\"|'[^']*')")
CROWDED: Final = 32
_PREFIX: Final = re.compile(r"([\w.-]+):")
_FIRST_TAG: Final = re.compile(r"<[^<>\"']*+(?:\"[^\"]*+\"[^<>\"']*+|'[^']*+'[^<>\"']*+)*+>")


@overload
def parse(document: str | bytes, cls: type[E], *, limits: Limits = DEFAULT) -> E: ...
@overload
def parse(document: str | bytes, cls: None = None, *, limits: Limits = DEFAULT) -> Element: ...
def parse(document: str | bytes, cls: type[Element] | None = None, *, limits: Limits = DEFAULT) -> Element:
    """Read a document; what is not known is kept and listed by ``unknown``, nothing is filled in.

    :param cls: the model to read it as; without it the root element decides.
    :raises Invalid: not well-formed, past the limits, or another root element than expected.
    """
    root = _tree(admit(document, limits), limits)
    tag = root.tag if isinstance(root.tag, str) else ""
    if cls is None:
        cls = class_of(tag, marks_of(root))
    elif tag != plan_of(cls).prefix + cls._tag:
        text = f"the document is a <{etree.QName(tag).localname}>, not a <{cls._tag}>"
        raise Invalid([Problem("xml.unknown-element", f"/{tag}", _line(root), text)])
    try:
        return _element(root, plan_of(cls))
    except RecursionError as error:
        raise Invalid([Problem("xml.limits", "", None, "the document is nested too deep to be read")]) from error


def tree(document: str | bytes, *, limits: Limits = DEFAULT) -> Any:
    """The document's own elements, before any model: for what counts and compares documents.

    :raises Invalid: not well-formed, or past the limits.
    """
    return _tree(admit(document, limits), limits)


def selected(document: str | bytes, path: str) -> list[str]:
    """The parts of a document that an XPath names, each as text: elements with what is in them, attributes as values.

    :raises Invalid: it is no XPath.
    """
    try:
        found = tree(document).xpath(path)
    except etree.XPathError as error:
        raise Invalid(f"{path!r} is no XPath: {error}", hint="such as //disk/source/@file") from None
    nodes = found if isinstance(found, list) else [found]
    return [
        etree.tostring(node, encoding="unicode", with_tail=False) if etree.iselement(node) else str(node)
        for node in nodes
    ]


def _tree(data: bytes, limits: Limits) -> Any:
    huge = limits.size > DEFAULT.size or limits.depth > DEFAULT.depth
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=huge, encoding="utf-8"
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        log: Any = parser.error_log
        entries = [entry for entry in log if entry.level >= etree.ErrorLevels.ERROR]
        problems = [Problem("xml.malformed", "", entry.line, entry.message.strip()) for entry in entries[:100]]
        raise Invalid(
            problems or [Problem("xml.malformed", "", error.lineno, "the document is empty or no XML")]
        ) from error


def _line(node: Any) -> int | None:
    return cast("int | None", node.sourceline)


class _Found:
    """Collects, while one element is read, what goes beside its fields."""

    __slots__ = ("attributes", "bare", "latest", "lines", "raw", "strays")

    def __init__(self) -> None:
        self.attributes: list[Attribute] = []
        self.strays: list[Stray] = []
        self.latest: dict[tuple[str, str], tuple[int, int, str]] = {}
        self.bare: list[str] = []
        self.raw: dict[str, Any] = {}
        self.lines: dict[str, int | None] = {}

    def rest(self) -> Rest | None:
        if self.attributes or self.strays or self.bare:
            return Rest(tuple(self.attributes), tuple(self.strays), tuple(self.bare))
        return None


def _element(node: Any, plan: Plan) -> Element:
    values: list[Any] = plan.defaults.copy()
    found = _Found()
    _node(node, plan.root, values, found)
    values.pop()  # of the attribute that the class stands for
    lines: Any = node.sourceline
    if found.lines:
        found.lines[""] = lines
        lines = found.lines
    new = object.__new__(plan.cls)
    for index in plan.many:
        if values[index]:  # a list so far
            values[index] = tuple(values[index])
    put_all(new, values, found.rest(), found.raw or None, lines)
    return new


def _node(el: Any, node: Node, values: list[Any], found: _Found) -> bool:
    """Read one element into ``values``; tells whether it held anything."""
    used = False
    held: dict[str, str] | None = None
    known = node.attributes.get
    for name, raw in el.items():
        used = True
        if name in node.beside:
            held = held or {}
            held[name] = raw
            continue
        field = known(name)
        if field is None:
            found.attributes.append(Attribute(node.path, name, raw, "unknown"))
        elif field.decode is None:
            values[field.index] = raw
        else:
            _scalar(field, raw, (), values, found, node)
    if held is not None:
        _held(node, held, values, found)
    text = el.text
    elements = False
    if len(el):
        text, elements = _children(el, node, values, found, text)
        used = used or elements
    return _text(el, node, text, held, values, found, mixed=elements) or used


def _scalar(
    field: Field, raw: str, beside: tuple[str | None, ...], values: list[Any], found: _Found, node: Node
) -> bool:
    """Decode one value; what does not fit the type is kept as unknown content."""
    try:
        value = field.decode(raw, *beside) if field.decode else raw
    except ValueError:
        if field.attribute:
            found.attributes.append(Attribute(node.path, field.attribute, raw, "value"))
            names = field.codec.beside if field.codec else ()
            found.attributes += [
                Attribute(node.path, name, text, "value")
                for name, text in zip(names, beside, strict=False)
                if text is not None
            ]
        return False
    values[field.index] = value
    if not field.exact and field.encode is not None:
        spelled = (raw, *beside) if beside else raw
        try:
            if field.encode(value) != spelled:
                found.raw[field.name] = spelled
        except ValueError:
            found.raw[field.name] = spelled
    return True


def _held(node: Node, held: dict[str, str], values: list[Any], found: _Found) -> None:
    """Attributes that belong to a value of several parts."""
    left = dict(held)
    for field in node.own:
        names = field.codec.beside if field.codec else ()
        if names and field.attribute in left:
            raw = left.pop(field.attribute)
            _scalar(field, raw, tuple(left.pop(name, None) for name in names), values, found, node)
    text_names = node.text.codec.beside if node.text and node.text.codec else ()
    for name, raw in left.items():
        if name not in text_names:
            found.attributes.append(Attribute(node.path, name, raw, "unknown"))


def _text(
    el: Any,
    node: Node,
    text: str | None,
    held: dict[str, str] | None,
    values: list[Any],
    found: _Found,
    *,
    mixed: bool,
) -> bool:
    """Read the element's own text; ``mixed`` says that there are child elements beside it."""
    field = node.text
    if field is None:
        if text and not text.isspace():
            found.strays.insert(0, Stray(node.path, "", 0, "text", "", text, el.sourceline))
            return True
        return False
    names = field.codec.beside if field.codec else ()
    beside = tuple((held or {}).get(name) for name in names)
    raw = text or ""
    if mixed and raw.isspace():
        raw = ""
    if field.decode is None:
        # An empty text beside attributes or children says nothing; alone it is the value "".
        if raw or not (mixed or (node.own and el.keys())):
            values[field.index] = raw
            return True
        return False
    if _scalar(field, raw, beside, values, found, node):
        return True
    found.attributes += [
        Attribute(node.path, name, value, "value")
        for name, value in zip(names, beside, strict=True)
        if value is not None
    ]
    if raw and not raw.isspace():
        found.strays.insert(0, Stray(node.path, "", 0, "value", "", raw, el.sourceline))
        return True
    return False


def _children(el: Any, node: Node, values: list[Any], found: _Found, text: str | None) -> tuple[str, bool]:
    """Read the children; returns the element's own text with comments taken out, and whether there were any."""
    known = node.children.get
    after, index = "", 0
    own = text or ""
    seen: set[str] = set()
    late: list[tuple[str, Child, int, int]] = []
    elements = False
    for child in el:
        tag = child.tag
        entry = known(tag)
        tail = child.tail
        if entry is not None:
            elements = True
            place = _known(child, entry, values, found, seen)
            if place < 0:
                count = _count(entry, values, seen)
                why = "repeat" if place == -1 else "value"
                _stray(child, node, after, index, found, why, entry.name if count else "", count - 1)
            else:
                after, index = entry.name, place
                if found.latest and (node.path, tag) in found.latest:
                    late.append((_name(child), entry, place, len(found.strays)))
        elif isinstance(tag, str):
            elements = True
            place = _foreign(child, tag, node, values)
            if place < 0:
                _stray(child, node, after, index, found, "foreign" if tag[0] == "{" else "unknown")
            else:
                after, index = cast("Field", node.foreign).name, place
        elif tag is etree.Entity:
            raise Invalid(
                [Problem("xml.malformed", f"/{node.path}", child.sourceline, f"entity {child.text} is not defined")]
            )
        if tail and not tail.isspace():
            if elements:
                found.strays.append(Stray(node.path, after, index, "text", "", tail, child.sourceline))
            else:
                own += tail
    for item in late:
        _ahead(node, *item, values, seen, found)
    return own, elements


def _count(entry: Child, values: list[Any], seen: set[str]) -> int:
    """How many known values there are of a child."""
    if entry.op == GROUP or entry.field is None:
        return int(entry.name in seen)
    value = values[entry.field.index]
    if entry.op in (ELEMENTS, TEXTS):
        return len(value)
    return int(value is not None)


def _ahead(
    node: Node, name: str, entry: Child, number: int, until: int, values: list[Any], seen: set[str], found: _Found
) -> None:
    """Keep what bears a known name and is of no known kind before the known one that it stood before."""
    order = node.positions()
    bound = (order[entry.name], number)
    after = (entry.name, number - 1)
    if not number:
        earlier = [(child.name, _count(child, values, seen) - 1) for child in node.order[: bound[0]]]
        after = next((place for place in reversed(earlier) if place[1] >= 0), ("", 0))
    for index, stray in enumerate(found.strays[:until]):
        if stray.node == node.path and stray.tag == name and (order.get(stray.after, -1), stray.number) >= bound:
            found.strays[index] = stray._replace(after=after[0], number=after[1])


def _known(child: Any, entry: Child, values: list[Any], found: _Found, seen: set[str]) -> int:
    """Read a known child; its position among its kind, -1 for a second one of a single, -2 for one of no known kind."""
    field = entry.field
    if entry.op == GROUP:
        if entry.name in seen:
            return -1
        seen.add(entry.name)
        inner = cast("Node", entry.node)
        return _group(child, inner, values, found)
    assert field is not None
    if entry.op in (ELEMENTS, ELEMENT):
        cls = entry.cls if entry.by is None else entry.by.get(child.get(entry.discriminator), entry.by.get(None))
        if cls is None:
            return -2
        if entry.op == ELEMENT:
            if values[field.index] is not None:
                return -1
            values[field.index] = _element(child, plan_of(cls))
            return 0
        return _append(values, field, _element(child, plan_of(cls)))
    if entry.op == TEXTS:
        return _one_text(child, field, values)
    if values[field.index] is not None:
        return -1
    values[field.index] = Xml(outer(child))
    return 0


def _one_text(child: Any, field: Field, values: list[Any]) -> int:
    if child.keys() or not _only_remarks(child):
        return -2
    raw = "".join([child.text or "", *(remark.tail or "" for remark in child)])
    try:
        value = field.decode(raw) if field.decode else raw
    except ValueError:
        return -2
    return _append(values, field, value)


def _append(values: list[Any], field: Field, value: Any) -> int:
    items = values[field.index]
    if type(items) is not list:
        items = values[field.index] = []
    items.append(value)
    return len(items) - 1


def _group(child: Any, inner: Node, values: list[Any], found: _Found) -> int:
    field = inner.text
    if field is not None and not inner.children and not child.keys() and (not len(child) or _only_remarks(child)):
        # The common case: an element with nothing but a text.
        raw = "".join([child.text or "", *(remark.tail or "" for remark in child)])
        found.lines[inner.path] = child.sourceline
        if field.decode is None:
            values[field.index] = raw
            return 0
        names = field.codec.beside if field.codec else ()
        return 0 if _scalar(field, raw, (None,) * len(names), values, found, inner) else -2
    found.lines[inner.path] = child.sourceline
    before = len(found.bare)
    if not _node(child, inner, values, found) and len(found.bare) == before:
        found.bare.append(inner.path)
    return 0


def _only_remarks(el: Any) -> bool:
    return not any(isinstance(child.tag, str) or child.tag is etree.Entity for child in el)


def _foreign(child: Any, tag: str, node: Node, values: list[Any]) -> int:
    if node.foreign is None or tag[0] != "{":
        return -1
    cls = registered().get(tag)
    if cls is None:
        return -1
    return _append(values, node.foreign, _element(child, plan_of(cls)))


def _stray(
    child: Any, node: Node, after: str, index: int, found: _Found, why: str, own: str = "", last: int = 0
) -> None:
    """Keep a child that no field takes; ``own`` and ``last`` tell the latest known value of its name."""
    tag = child.tag
    # What bears one name keeps its order, wherever the known values that it stood beside are written.
    order = node.positions()
    place = (order.get(after, -1), index, after)
    earliest = found.latest.get((node.path, tag), (-2, 0, ""))
    if own:
        earliest = max(earliest, (order[own], last, own))
    place = max(place, earliest)
    found.latest[node.path, tag] = place
    found.strays.append(Stray(node.path, place[2], place[1], why, _name(child), Xml(outer(child)), child.sourceline))


def _name(child: Any) -> str:
    tag: str = child.tag
    return tag if tag[0] != "{" else f"{child.prefix or ''}:{tag.rpartition('}')[2]}".lstrip(":")


def outer(node: Any) -> str:
    """An element as XML text that stands alone: it declares the prefixes that it uses, and no others."""
    if len(node.nsmap) > CROWDED:  # writing hundreds of declarations for each of thousands of elements takes minutes
        node = deepcopy(node)
    text: str = etree.tostring(node, encoding="unicode", with_tail=False)
    if "xmlns:" in text and len(node.nsmap):
        first = _FIRST_TAG.match(text)
        if first is not None:
            used = set(_PREFIX.findall(text))
            kept = _DECLARED.sub(lambda hit: hit[0] if hit[1] in used else "", first[0])
            text = kept + text[first.end() :]
    return text


@lru_cache(maxsize=128)
def canonical_text(text: str) -> str:
    """Exclusive canonical XML without indentation; a text that is no XML is returned as it is."""
    try:
        root = etree.fromstring(text.encode(), _opaque_parser())
    except (etree.XMLSyntaxError, ValueError):
        return text
    _unindent(root)
    try:
        return etree.tostring(root, method="c14n", exclusive=True, with_comments=True).decode()
    except etree.C14NError:  # the URI of a namespace is a relative one
        return text


def _unindent(root: Any) -> None:
    for node in root.iter():
        if isinstance(node.tag, str) and len(node):
            texts = [node.text, *(child.tail for child in node)]
            if not any(text and not text.isspace() for text in texts):
                node.text = None
                for child in node:
                    child.tail = None


def sound(text: str, tag: str = "") -> str:
    """Why a text cannot stand in a document as one element, ``""`` when it can."""
    try:
        root = etree.fromstring(admit(text), _opaque_parser())
    except Invalid as error:
        return str(error)
    except (etree.XMLSyntaxError, ValueError) as error:
        return str(error)
    if tag and root.tag != tag:
        return f"is <{root.tag}>, not <{tag}>"
    return ""


def _opaque_parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, encoding="utf-8")
