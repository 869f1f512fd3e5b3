"""Finding out which settings of a model a driver honours: those that it read; the others are refused by path."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from anyvirt.errors import Problem
from anyvirt.model.element import Element, line_of
from anyvirt.model.plan import key_of

M = TypeVar("M", bound=Element)


class Heed:
    """Stands for an element and remembers which of its fields were read."""

    __slots__ = ("_of", "_parts", "_path")

    def __init__(self, of: Element, path: str) -> None:
        self._of, self._path = of, path
        self._parts: dict[str, Any] = {}

    @property
    def __class__(self) -> Any:
        return type(self._of)

    @__class__.setter
    def __class__(self, value: Any) -> None:
        msg = f"{type(self._of).__name__} is frozen"
        raise AttributeError(msg)

    def __getattr__(self, name: str) -> Any:
        parts = self._parts
        if name in parts:
            return parts[name]
        value = getattr(self._of, name)
        spec = type(self._of)._fields.get(name)
        if spec is None:
            return value
        if isinstance(value, Element):
            value = Heed(value, f"{self._path}/{_place(spec.path, value)}")
        elif type(value) is tuple and value and isinstance(value[0], Element):
            value = tuple(Heed(item, _inside(self._path, spec.path, item, n)) for n, item in enumerate(value))
        parts[name] = value
        return value

    def __eq__(self, other: object) -> bool:
        return bool(self._of == (other._of if type(other) is Heed else other))

    def __hash__(self) -> int:
        return hash(self._of)

    def __repr__(self) -> str:
        return f"Heed({self._path}, {self._of!r})"


def heeded(x: M, path: str = "") -> M:
    """A stand-in that reads like ``x``, and so do the elements inside it; ``unheeded`` tells what was never read."""
    return cast("M", Heed(x, path))


def plain(x: M) -> M:
    """The element itself, from a stand-in or from itself."""
    either: Any = x
    return cast("M", either._of) if type(either) is Heed else x


def path_of(x: object, field: str = "") -> str:
    """Path of an element that was reached through a stand-in, such as ``/devices/disk[vda]``, or of its field."""
    if type(x) is not Heed:
        return ""
    spec = type(x._of)._fields.get(field)
    return f"{x._path}/{spec.path}" if spec else x._path


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
        x._parts = {name: getattr(x._of, name) for name in type(x._of)._fields}
    for field in fields:
        getattr(x, field)


def unheeded(x: object, driver: str) -> list[Problem]:
    """Every setting that was given and never read, as problems ``unsupported.config``, in the document's order."""
    found: list[Problem] = []
    if type(x) is Heed:
        _walk(x, driver, found)
    return found


def _walk(x: Heed, driver: str, found: list[Problem]) -> None:
    of, parts = x._of, x._parts
    for name, spec in type(of)._fields.items():
        value = getattr(of, name)
        if value is None or value == () or value is spec.default:
            continue
        if name not in parts:
            found.append(_problem(x, name, value, driver))
            continue
        part = parts[name]
        if type(part) is Heed:
            _walk(part, driver, found)
        elif type(part) is tuple:
            for item in part:
                if type(item) is Heed:
                    _walk(item, driver, found)


def _problem(x: Heed, name: str, value: Any, driver: str) -> Problem:
    spec = type(x._of)._fields[name]
    shown = "" if isinstance(value, Element | tuple) or value is True else f" (it is {str(value)[:60]!r})"
    return Problem(
        "unsupported.config",
        f"{x._path}/{spec.path}",
        line_of(x._of, _node(spec.path)),
        f"{driver} does not honour this here{shown}",
        "remove it, or use a driver that can",
    )


def _node(path: str) -> str:
    head, _, last = path.rpartition("/")
    return head if last.startswith("@") or last == "." else path


def _place(path: str, value: Element) -> str:
    return type(value)._tag if path == "." else path


def _inside(path: str, place: str, item: Element, number: int) -> str:
    return f"{path}/{_place(place, item)}[{key_of(item) or number}]"
