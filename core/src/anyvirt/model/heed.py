"""Finding out which settings of a model a driver honours: those that it read; the others are refused by path."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from anyvirt.errors import Problem
from anyvirt.model.element import Element, line_of
from anyvirt.model.plan import key_of, plan_of

M = TypeVar("M", bound=Element)


class Heed:
    """Stands for an element and remembers which of its fields were read, in its ``__dict__``.

    :param above: the stand-in of the element that this one is in.
    :param place: where the field that holds it stands in the XML.
    :param index: its number, where the field holds several.
    """

    def __init__(self, of: Element, above: Heed | None, place: str, index: int | None = None) -> None:
        self._of, self._above, self._place, self._index = of, above, place, index

    @property
    def __class__(self) -> Any:
        return type(self._of)

    @__class__.setter
    def __class__(self, value: Any) -> None:
        msg = f"{type(self._of).__name__} is frozen"
        raise AttributeError(msg)

    def __getattr__(self, name: str) -> Any:
        of = self._of
        value = getattr(of, name)
        spec = type(of)._fields.get(name)
        if spec is None:
            return value
        if isinstance(value, Element):
            value = Heed(value, self, spec.path)
        elif type(value) is tuple and value and isinstance(value[0], Element):
            value = tuple([Heed(item, self, spec.path, n) for n, item in enumerate(value)])
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            msg = f"{type(self._of).__name__} is frozen; use .replace({name}=...)"
            raise AttributeError(msg)
        self.__dict__[name] = value

    def __eq__(self, other: object) -> bool:
        return bool(self._of == (other._of if type(other) is Heed else other))

    def __hash__(self) -> int:
        return hash(self._of)

    def __repr__(self) -> str:
        return f"Heed({_path(self)}, {self._of!r})"


def _path(x: Heed) -> str:
    if x._above is None:
        return x._place
    place = type(x._of)._tag if x._place == "." else x._place
    item = "" if x._index is None else f"[{key_of(x._of) or x._index}]"
    return f"{_path(x._above)}/{place}{item}"


def heeded(x: M, path: str = "") -> M:
    """A stand-in that reads like ``x``, and so do the elements inside it; ``unheeded`` tells what was never read."""
    return cast("M", Heed(x, None, path))


def plain(x: M) -> M:
    """The element itself, from a stand-in or from itself."""
    either: Any = x
    return cast("M", either._of) if type(either) is Heed else x


def path_of(x: object, field: str = "") -> str:
    """Path of an element that was reached through a stand-in, such as ``/devices/disk[vda]``, or of its field."""
    if type(x) is not Heed:
        return ""
    spec = type(x._of)._fields.get(field)
    return f"{_path(x)}/{spec.path}" if spec else _path(x)


def line(x: object, field: str = "") -> int | None:
    """Line of the document where the element, or the element that holds the field, began."""
    if type(x) is not Heed:
        return None
    spec = type(x._of)._fields.get(field)
    return line_of(x._of, _node(spec.path) if spec else "")


def meaningless(x: object, *fields: str) -> None:
    """Say that these fields need no honouring here: they describe, or tell what is so only at run time.

    Without fields the whole element needs none.
    """
    if not fields and type(x) is Heed:
        x.__dict__.update({name: getattr(x._of, name) for name in type(x._of)._fields})
    for field in fields:
        getattr(x, field)


def unheeded(x: object, driver: str) -> list[Problem]:
    """Every setting that was given and never read, as problems ``unsupported.config``, in the document's order."""
    found: list[Problem] = []
    if type(x) is Heed:
        _walk(x, driver, found)
    return found


def _walk(x: Heed, driver: str, found: list[Problem]) -> None:
    of, read = x._of, x.__dict__
    plan = plan_of(type(of))
    for field, value, default in zip(plan.fields, plan.getter(of), plan.defaults, strict=False):
        if value is None or value is default or value == ():
            continue
        name = field.name
        if name not in read:
            found.append(_problem(x, name, value, driver))
        elif field.classes:
            part = read[name]
            for item in part if type(part) is tuple else (part,):
                if type(item) is Heed:
                    _walk(item, driver, found)


def _problem(x: Heed, name: str, value: Any, driver: str) -> Problem:
    shown = "" if isinstance(value, Element | tuple) or value is True else f" (it is {str(value)[:60]!r})"
    return Problem(
        "unsupported.config",
        path_of(x, name),
        line(x, name),
        f"{driver} does not honour this here{shown}",
        "remove it, or use a driver that can",
    )


def _node(path: str) -> str:
    head, _, last = path.rpartition("/")
    return head if last.startswith("@") or last == "." else path
