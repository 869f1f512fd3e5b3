"""Models that are being changed: what was set is seen at once, and one new value is made at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anyvirt.model.element import Element

_set = object.__setattr__


class Draft:
    """One element: its fields are read and set like those of an object; ``done`` gives the new element.

    What was not set is the element's, and an element with nothing changed stays the very same value.
    """

    __slots__ = ("_changes", "_of")

    def __init__(self, of: Element) -> None:
        _set(self, "_of", of)
        _set(self, "_changes", {})

    def __getattr__(self, name: str) -> Any:
        changes = self._changes
        return changes[name] if name in changes else getattr(self._of, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._changes or getattr(self._of, name) is not value:
            self._changes[name] = value

    def done(self) -> Any:
        """The element with what was set."""
        of, changes = self._of, self._changes
        return of.replace(**changes) if changes else of


class Drafts(Draft):
    """A whole document: its lists of elements are lists of drafts, to which more can be added.

    A field that holds one element gives that element; ``many`` gives a list of one or no draft for it.
    """

    __slots__ = ("_lists",)

    def __init__(self, of: Element) -> None:
        super().__init__(of)
        _set(self, "_lists", {})

    def __getattr__(self, name: str) -> Any:
        lists = self._lists
        if name in lists:
            return lists[name]
        value = super().__getattr__(name)
        if type(value) is not tuple:
            return value
        lists[name] = made = [Draft(x) for x in value]
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        self._lists.pop(name, None)
        super().__setattr__(name, value)

    def many(self, name: str) -> list[Draft]:
        """Drafts of the elements of a field, also of one that holds one element or none, or that there is not."""
        lists = self._lists
        if name in lists:
            return lists[name]  # type: ignore[no-any-return]
        if name not in type(self._of)._fields:
            return []
        value = super().__getattr__(name)
        if value is not None and type(value) is not tuple:
            value = (value,)
        lists[name] = made = [Draft(x) for x in value or ()]
        return made

    def add(self, name: str, x: Element, at: int | None = None) -> Draft:
        """Add an element to a list, at its end or before place ``at``."""
        made = Draft(x)
        found = self.many(name)
        found.insert(len(found) if at is None else at, made)
        return made

    def done(self) -> Any:
        """The document with everything that was set and added."""
        changes = self._changes
        for name, drafts in self._lists.items():
            before = getattr(self._of, name)
            if type(before) is not tuple:
                after = drafts[0].done() if drafts else None
                if after is not before:
                    changes[name] = after
                continue
            after = tuple(_finished(drafts))
            if len(after) != len(before) or any(x is not y for x, y in zip(after, before, strict=True)):
                changes[name] = after
        return super().done()


def _finished(drafts: Iterable[Draft]) -> Iterable[Element]:
    return (x.done() for x in drafts)
