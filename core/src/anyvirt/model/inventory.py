"""How much of a set of documents the models know: each path that occurs, and what reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from anyvirt.errors import Invalid
from anyvirt.model.element import Element
from anyvirt.model.namespaces import registered
from anyvirt.model.plan import ELEMENT, ELEMENTS, GROUP, OPAQUE, Child, Field, Node, Plan, plan_of
from anyvirt.model.roots import class_of, marks_of
from anyvirt.model.types import Text
from anyvirt.model.xml import tree

TYPED: Final = "typed"
PLAIN: Final = "plain"
MISFIT: Final = "misfit"
UNKNOWN: Final = "unknown"
OPEN: Final = "open"


@dataclass
class Trail:
    """One path of elements, or of an attribute, over all documents.

    :param counts: occurrences by what became of them: ``typed``, ``plain`` (a field that is any text), ``misfit`` (a
        value that its field does not take), ``unknown`` (no field, or a second one of what may stand once), ``open``
        (below an element that is kept as XML, or of a namespace that no plug-in brings).
    :param types: names of the types that read it.
    :param examples: for each of the counts the first document.
    """

    path: str
    counts: Counter[str] = field(default_factory=Counter)
    types: set[str] = field(default_factory=set)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The worst that became of it; ``open`` counts only where there is nothing else."""
        for status in (UNKNOWN, PLAIN, TYPED):
            if self.counts[status]:
                return status
        return UNKNOWN if self.counts[MISFIT] else OPEN

    @property
    def example(self) -> str:
        """A document that has it, and has it so that the status comes of it."""
        return self.examples.get(self.status) or next(iter(self.examples.values()))

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class Inventory:
    """Counts the paths of documents as they are added."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.refused: dict[str, str] = {}
        self.paths: dict[str, Trail] = {}
        self._document = ""

    def add(self, name: str, document: str | bytes) -> None:
        """Count one document; one that is refused is remembered with the reason."""
        try:
            root = tree(document)
            plan = plan_of(class_of(root.tag, marks_of(root)))
        except Invalid as error:
            self.refused[name] = str(error)
            return
        self.read.append(name)
        self._document = name
        self._element(root, plan, f"/{root.tag}")

    def of(self, *statuses: str) -> list[Trail]:
        """The paths of these statuses, the most frequent first."""
        found = [path for path in self.paths.values() if path.status in statuses]
        return sorted(found, key=lambda path: (-path.total, path.path))

    @property
    def misfits(self) -> list[Trail]:
        """The paths that have values which their field does not take, the most frequent first."""
        found = [path for path in self.paths.values() if path.counts[MISFIT]]
        return sorted(found, key=lambda path: (-path.counts[MISFIT], path.path))

    @property
    def fraction(self) -> float:
        """Declared paths among all that occur, those that are open by intention counted in neither."""
        declared, rest = len(self.of(TYPED, PLAIN)), len(self.of(UNKNOWN))
        return declared / (declared + rest) if declared + rest else 1.0

    def _count(self, path: str, status: str, kind: str = "") -> None:
        entry = self.paths.get(path)
        if entry is None:
            entry = self.paths[path] = Trail(path)
        entry.examples.setdefault(status, self._document)
        entry.counts[status] += 1
        if kind:
            entry.types.add(kind)

    def _value(self, path: str, owner: Field | None, raw: str, beside: Iterable[str | None] = ()) -> None:
        """Count a path whose value a field reads; without a codec it belongs to what is read beside it."""
        codec = owner.codec if owner else None
        if codec is None:
            self._count(path, TYPED, "kind")
            return
        try:
            codec.read(raw, *beside)
        except ValueError:
            self._count(path, MISFIT, codec.name)
            return
        self._count(path, PLAIN if _is_plain(codec) else TYPED, codec.name)

    def _element(self, el: Any, plan: Plan, path: str) -> None:
        """Count an element that is a model, and what is in it."""
        self._inside(el, plan.root, path, plan.cls.__name__)

    def _inside(self, el: Any, node: Node, path: str, kind: str) -> None:
        text = node.text
        if text is None or (len(el) and not (el.text or "").strip()):
            self._count(path, TYPED, kind)
        else:
            raw = el.text or ""
            names = text.codec.beside if text.codec else ()
            self._value(path, text, raw, [el.get(name) for name in names])
        for name, raw in el.items():
            self._attribute(el, node, f"{path}/@{_shown(el, name)}", name, raw)
        seen: set[str] = set()
        for child in el:
            if isinstance(child.tag, str):
                self._child(child, node, f"{path}/{_shown(child, child.tag)}", seen)

    def _attribute(self, el: Any, node: Node, path: str, name: str, raw: str) -> None:
        owner = node.attributes.get(name)
        if owner is not None:
            names = owner.codec.beside if owner.codec else ()
            if owner.name or owner.codec is None:
                self._value(path, owner, raw, [el.get(beside) for beside in names])
            else:
                self._count(path, TYPED, "kind")
        elif name in node.beside:
            self._count(path, TYPED, "unit")
        else:
            self._count(path, OPEN if name[0] == "{" else UNKNOWN)

    def _child(self, child: Any, node: Node, path: str, seen: set[str]) -> None:
        entry = node.children.get(child.tag)
        if entry is None:
            cls = registered().get(child.tag) if node.foreign is not None else None
            if cls is not None:
                self._element(child, plan_of(cls), path)
            else:
                self._below(child, path, OPEN if child.tag[0] == "{" else UNKNOWN)
            return
        single = entry.op in (GROUP, ELEMENT, OPAQUE)
        if single and child.tag in seen:
            self._below(child, path, UNKNOWN)
            return
        seen.add(child.tag)
        if entry.op == GROUP:
            assert entry.node is not None
            self._inside(child, entry.node, path, "group")
        elif entry.op in (ELEMENT, ELEMENTS):
            cls = _class(entry, child)
            self._element(child, plan_of(cls), path) if cls else self._below(child, path, UNKNOWN)
        elif entry.op == OPAQUE:
            self._below(child, path, OPEN)
        else:
            self._value(path, entry.field, child.text or "")
            for name in child.keys():  # noqa: SIM118 - not a dict
                self._count(f"{path}/@{_shown(child, name)}", UNKNOWN)
            for inner in child.iterchildren("*"):
                self._below(inner, f"{path}/{_shown(inner, inner.tag)}", UNKNOWN)

    def _below(self, el: Any, path: str, status: str) -> None:
        """Count an element that no field reads, and all that is in it."""
        self._count(path, status)
        for name in el.keys():  # noqa: SIM118 - not a dict
            self._count(f"{path}/@{_shown(el, name)}", status)
        for child in el.iterchildren("*"):
            self._below(child, f"{path}/{_shown(child, child.tag)}", status)


def _is_plain(codec: Any) -> bool:
    return isinstance(codec, Text) and codec.name == "text"


def _class(entry: Child, child: Any) -> type[Element] | None:
    if entry.by is None:
        return entry.cls
    return entry.by.get(child.get(entry.discriminator), entry.by.get(None))


def _shown(el: Any, name: str) -> str:
    """A name with the prefix that it has in the document."""
    if name[0] != "{":
        return name
    uri, _, local = name[1:].partition("}")
    prefix = next((prefix for prefix, known in el.nsmap.items() if prefix and known == uri), None)
    return f"{prefix or _fixed(name) or uri}:{local}"


def _fixed(name: str) -> str:
    cls = registered().get(name)
    return cls._namespace[1] if cls is not None and cls._namespace else ""
