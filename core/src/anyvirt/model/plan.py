"""Compiles declarations into tables for reading and writing, per class, at first use."""

from __future__ import annotations

import types
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from anyvirt.model.element import MISSING, At, Element
from anyvirt.model.types import Codec, CpuNumbers, Opaque, codec_of

GROUP, ELEMENT, ELEMENTS, TEXTS, OPAQUE = range(5)


class Field:
    """One declared field, with its types resolved."""

    __slots__ = (
        "absent", "anchor", "at", "attribute", "classes", "codec", "decode", "encode", "exact", "index", "many",
        "name", "node", "place", "places", "tag",
    )  # fmt: skip

    def __init__(self, index: int, name: str, spec: At, hint: Any) -> None:
        self.index, self.name, self.at = index, name, spec
        inner = _without_none(hint)
        self.many = get_origin(inner) is tuple
        if self.many:
            inner = get_args(inner)[0]
        members = get_args(inner) if get_origin(inner) in (Union, types.UnionType) else (inner,)
        self.classes: tuple[type[Element], ...] = ()
        self.codec: Codec | None = None
        if all(isinstance(member, type) and issubclass(member, Element) for member in members):
            self.classes = members
        else:
            self.codec = codec_of(inner, required=spec.required)
        head, _, last = spec.path.rpartition("/")
        self.attribute = last[1:] if last.startswith("@") else ""
        self.tag = "" if self.attribute or last == "." else last
        self.node = head
        self.place = "".join(f"/{part}" for part in (head, last if self.attribute else self.tag) if part)
        self.anchor = self.tag or name
        # A text codec needs no call at all; the reader and the writer test for None.
        plain = self.codec is not None and self.codec.exact and self.codec.name == "text"
        self.exact = self.codec is None or self.codec.exact
        self.absent = self.codec.absent if self.codec else None
        self.decode = None if self.codec is None or (plain and self.absent is None) else self.codec.read
        self.encode = None if self.codec is None or plain else self.codec.write
        home = f"{head}/{self.tag}".strip("/")
        beside = self.codec.beside if self.codec else ()
        self.places = {(home, self.attribute), *((home, extra) for extra in beside)}


class Child:
    """What may stand under a node by one tag."""

    __slots__ = ("by", "cls", "discriminator", "field", "name", "node", "op")

    def __init__(self, op: int, name: str, field: Field | None = None, node: Node | None = None) -> None:
        self.op, self.name, self.field, self.node = op, name, field, node
        self.cls: type[Element] | None = None
        self.by: dict[str | None, type[Element]] | None = None
        self.discriminator = ""


class Node:
    """An element inside a model: the model's own, or one that only groups fields."""

    __slots__ = ("attributes", "beside", "children", "foreign", "order", "own", "path", "tag", "text")

    def __init__(self, path: str, tag: str) -> None:
        self.path, self.tag = path, tag
        self.attributes: dict[str, Field] = {}
        self.own: list[Field] = []
        self.beside: set[str] = set()
        self.text: Field | None = None
        self.children: dict[str, Child] = {}
        self.order: list[Child] = []
        self.foreign: Field | None = None

    def positions(self) -> dict[str, int]:
        """Where each known child is written, by name."""
        return {child.name: place for place, child in enumerate(self.order)}


class Plan:
    """Everything the engine needs to know about one model class."""

    __slots__ = (
        "by_name", "cls", "constant", "defaults", "fields", "getter", "holders", "keys", "many", "nested", "prefix",
        "root", "tag",
    )  # fmt: skip

    def __init__(self, cls: type[Element]) -> None:
        hints = get_type_hints(cls, include_extras=True)
        self.cls, self.tag = cls, cls._tag
        self.prefix = f"{{{cls._namespace[0]}}}" if cls._namespace else ""
        self.fields = [Field(index, name, spec, hints[name]) for index, (name, spec) in enumerate(cls._fields.items())]
        self.by_name = {field.name: field for field in self.fields}
        self.nested = tuple(field for field in self.fields if field.classes)
        self.many = tuple(field.index for field in self.fields if field.many)
        self.keys = tuple(field.name for field in self.fields if field.at.key)
        self.defaults: list[Any] = [None if field.at.default is MISSING else field.at.default for field in self.fields]
        for field in self.fields:
            if field.at.required and field.codec is not None and field.absent == "":
                self.defaults[field.index] = ""
        self.defaults.append(None)  # receives the discriminating attribute, whose value the class implies
        self.getter = cls._values
        self.constant = cls._when
        self.root = Node("", self.tag)
        if cls._when:
            self.root.attributes[cls._when[0]] = Field(
                len(self.fields), "", At(f"@{cls._when[0]}", "", None, False), str
            )
        self.holders: list[list[Node]] = []  # for each field the groups that it stands in
        for field in self.fields:
            self.holders.append([])
            self._place(field)

    def _place(self, field: Field) -> None:
        node = self.root
        for tag in field.node.split("/") if field.node else ():
            node = self._group(node, tag)
            self.holders[field.index].append(node)
        if field.attribute:
            _claim(node, field.attribute, field)
        elif field.classes:
            self._place_elements(node, field)
        elif not field.tag:
            node.text = field
            _claim_beside(node, field)
        elif isinstance(field.codec, Opaque):
            _add(node, self.prefix + field.tag, Child(OPAQUE, field.tag, field))
        elif field.many:
            _add(node, self.prefix + field.tag, Child(TEXTS, field.tag, field))
        else:
            home = self._group(node, field.tag)
            self.holders[field.index].append(home)
            home.text = field
            _claim_beside(home, field)

    def _place_elements(self, node: Node, field: Field) -> None:
        if field.classes == (Element,):
            node.foreign = field
            node.order.append(Child(ELEMENTS, field.name, field))
            return
        tags: dict[str, list[type[Element]]] = {}
        for cls in field.classes:
            tags.setdefault(field.tag or cls._tag, []).append(cls)
        child: Child | None = None
        for tag, classes in tags.items():
            child = Child(ELEMENTS if field.many else ELEMENT, field.anchor, field)
            conditions = [cls._when for cls in classes]
            if len(classes) > 1 or conditions[0]:
                child.discriminator = next(when[0] for when in conditions if when)
                child.by = {when[1] if when else None: cls for when, cls in zip(conditions, classes, strict=True)}
            else:
                child.cls = classes[0]
            node.children[self.prefix + tag] = child
        if child is not None:
            node.order.append(child)

    def _group(self, node: Node, tag: str) -> Node:
        child = node.children.get(self.prefix + tag)
        if child is None:
            inner = Node(f"{node.path}/{tag}".lstrip("/"), tag)
            child = Child(GROUP, tag, node=inner)
            _add(node, self.prefix + tag, child)
        if child.node is None:
            msg = f"{self.cls.__name__}: {tag} is declared twice"
            raise TypeError(msg)
        return child.node


def _add(node: Node, tag: str, child: Child) -> None:
    if tag in node.children:
        msg = f"<{tag}> is declared twice"
        raise TypeError(msg)
    node.children[tag] = child
    node.order.append(child)


def _claim(node: Node, name: str, field: Field) -> None:
    if name in node.attributes:
        msg = f"@{name} is declared twice"
        raise TypeError(msg)
    node.attributes[name] = field
    node.own.append(field)
    if field.codec is not None and field.codec.beside:
        node.beside.add(name)
        node.beside.update(field.codec.beside)


def _claim_beside(node: Node, field: Field) -> None:
    if field.codec is not None and field.codec.beside:
        node.beside.update(field.codec.beside)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        members = tuple(member for member in get_args(hint) if member is not type(None))
        return members[0] if len(members) == 1 else Union[members]  # noqa: UP007 - built at run time
    return hint


_PLANS: Final[dict[type[Element], Plan]] = {}


def plan_of(cls: type[Element]) -> Plan:
    """The compiled declaration of a class."""
    plan = _PLANS.get(cls)
    if plan is None:
        plan = _PLANS[cls] = Plan(cls)
    return plan


_NUMBERS: Final = CpuNumbers()


def key_of(x: Any) -> str:
    """What identifies an element among its siblings, ``""`` where nothing does."""
    if not isinstance(x, Element):
        return ""
    plan = plan_of(type(x))
    values = [getattr(x, name) for name in plan.keys]
    if not values or any(value in (None, "", frozenset()) for value in values):
        return ""
    return ",".join(_NUMBERS.write(value) if type(value) is frozenset else str(value) for value in values)
