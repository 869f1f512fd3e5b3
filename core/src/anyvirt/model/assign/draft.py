"""Models that are being changed: what was set is seen at once, and one new value is made at the end."""

from __future__ import annotations

from typing import Any

from anyvirt.model.element import Element


class Draft:
    """One element: its fields are read and set like those of an object; ``done`` gives the new element.

    What was not set is the element's, and an element with nothing changed stays the very same value.
    """

    _of: Element

    def __init__(self, of: Element) -> None:
        self.__dict__["_of"] = of

    def __getattr__(self, name: str) -> Any:
        # Asked once for each field: from then on it is found in the object itself.
        value = self.__dict__[name] = getattr(self._of, name)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        own[name] = value
        if "_set" in own:
            own["_set"].add(name)
        else:
            own["_set"] = {name}

    def done(self) -> Any:
        """The element with what was set."""
        own = self.__dict__
        of = own["_of"]
        if "_set" not in own:
            return of
        changes = {name: own[name] for name in own["_set"] if own[name] is not getattr(of, name)}
        return of.replace(**changes) if changes else of


class Drafts:
    """A whole document: its lists of elements are lists of drafts, to which more can be added.

    A field that holds one element gives that element; ``many`` gives a list of one or no draft for it.
    """

    _of: Element
    _lists: dict[str, tuple[Any, list[Draft]]]

    def __init__(self, of: Element) -> None:
        self.__dict__["_of"] = of
        self.__dict__["_lists"] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._of, name)
        if type(value) is tuple:
            return self.many(name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def many(self, name: str) -> list[Draft]:
        """Drafts of the elements of a field, also of one that holds one element or none."""
        own = self.__dict__
        value = own[name] if name in own else getattr(self._of, name)
        if type(value) is list:
            return value
        if type(value) is tuple:
            own[name] = made = [Draft(x) for x in value]
            return made
        known = self._lists.get(name)
        if known is None or known[0] is not value:
            known = self._lists[name] = (value, [] if value is None else [Draft(value)])
        return known[1]

    def add(self, name: str, x: Element, at: int | None = None) -> Draft:
        """Add an element to a list, at its end or before place ``at``."""
        made = Draft(x)
        found = self.many(name)
        found.insert(len(found) if at is None else at, made)
        return made

    def done(self) -> Any:
        """The document with everything that was set and added."""
        of, own = self._of, self.__dict__
        for name, (value, drafts) in self._lists.items():
            if drafts and own.get(name, value) is value:
                own[name] = drafts[0].done()
        changes: dict[str, Any] = {}
        for name, value in own.items():
            if name in {"_of", "_lists"}:
                continue
            before = getattr(of, name)
            if type(value) is list:
                after = tuple([x.done() for x in value])
                if len(after) != len(before) or any(x is not y for x, y in zip(after, before, strict=True)):
                    changes[name] = after
            elif value is not before:
                changes[name] = value
        return of.replace(**changes) if changes else of
