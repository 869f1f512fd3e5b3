"""Unknown content: what no field claims, kept beside the known value that it followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from anyvirt.model.element import Element


class Xml(str):
    """XML text that is kept as it is; equal when it means the same."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if str.__eq__(self, other) is True:
            return True
        if not isinstance(other, str):
            return NotImplemented
        return canonical_xml(self) == canonical_xml(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(canonical_xml(self))


def canonical_xml(text: str) -> str:
    """The text in exclusive canonical form, without indentation; text that is no XML stays as it is."""
    from anyvirt.model.xml import canonical_text

    return canonical_text(str(text))


class Attribute(NamedTuple):
    """An attribute that is not known, or whose value is not.

    :param node: the element inside the owner that bears it, ``""`` for the owner itself.
    :param why: ``unknown`` or ``value``.
    """

    node: str
    name: str
    value: str
    why: str


class Stray(NamedTuple):
    """A child element or text that is not known.

    :param node: the element inside the owner that holds it, ``""`` for the owner itself.
    :param after: name of the known child that it followed, ``""`` when it came first.
    :param number: position among the values of that child.
    :param why: ``unknown``, ``value``, ``repeat``, ``foreign`` or ``text``.
    """

    node: str
    after: str
    number: int
    why: str
    tag: str
    text: str
    line: int | None

    @property
    def place(self) -> tuple[str, str, int]:
        return (self.node, self.after, self.number)

    @property
    def meaning(self) -> tuple[Any, ...]:
        return (*self.place, self.text if isinstance(self.text, Xml) else self.text.strip())


class Rest:
    """All unknown content of one element; a value."""

    __slots__ = ("attributes", "bare", "strays")

    def __init__(
        self, attributes: tuple[Attribute, ...] = (), strays: tuple[Stray, ...] = (), bare: tuple[str, ...] = ()
    ) -> None:
        self.attributes, self.strays, self.bare = attributes, strays, bare

    @property
    def count(self) -> int:
        return len(self.attributes) + len(self.strays)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rest):
            return NotImplemented
        return (
            sorted(self.attributes) == sorted(other.attributes)
            and self._meanings() == other._meanings()
            and set(self.bare) == set(other.bare)
        )

    def _meanings(self) -> list[tuple[Any, ...]]:
        # Order counts among what stands at one place, and nowhere else.
        return [stray.meaning for stray in sorted(self.strays, key=lambda stray: stray.place)]

    def __hash__(self) -> int:
        return hash((len(self.attributes), len(self.strays)))

    def __repr__(self) -> str:
        return f"Rest({self.attributes!r}, {self.strays!r}, {self.bare!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Rest, (self.attributes, self.strays, self.bare)

    def after(self, old: Element, new: Element, changes: Mapping[str, Any]) -> Rest | None:
        """What is left, and where, when fields of ``old`` changed to give ``new``."""
        from anyvirt.model.plan import plan_of

        plan = plan_of(type(old))
        attributes, strays, bare = self.attributes, list(self.strays), self.bare
        for name in changes:
            field = plan.by_name[name]
            if getattr(new, name) is not None:
                places = field.places
                attributes = tuple(a for a in attributes if (a.node, a.name) not in places)
                strays = [s for s in strays if s.why != "value" or (f"{s.node}/{s.tag}".strip("/"), "") not in places]
            if field.many:
                moved = _moves(getattr(old, name), getattr(new, name))
                anchor = (field.node, field.anchor)
                strays = [s._replace(number=moved(s.number)) if (s.node, s.after) == anchor else s for s in strays]
            if getattr(new, name) is None:
                bare = tuple(b for b in bare if b != field.node)
        if not attributes and not strays and not bare:
            return None
        return Rest(attributes, tuple(strays), bare)


def _moves(old: tuple[Any, ...], new: tuple[Any, ...]) -> Any:
    """A function from an index in ``old`` to that in ``new``: the same value, an equal one, its key, what precedes."""
    from anyvirt.model.plan import key_of

    def find(index: int) -> int:
        value = old[index]
        for place, other in enumerate(new):
            if other is value:
                return place
        for place, other in enumerate(new):
            if other == value:
                return place
        key = key_of(value)
        for place, other in enumerate(new):
            if key and key_of(other) == key:
                return place
        return find(index - 1) if index > 0 else -1

    return lambda index: find(index) if 0 <= index < len(old) else index
