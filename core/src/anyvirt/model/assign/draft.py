"""Models that are being changed: what was set is seen at once, and one new value is made at the end."""

from __future__ import annotations

from operator import is_not
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
    _many: dict[str, list[Draft]]
    _set: set[str]

    def __init__(self, of: Element) -> None:
        self.__dict__.update(_of=of, _many={}, _set=set())

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._of, name)
        if type(value) is tuple:
            return self.many(name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value
        self._set.add(name)
        self._many.pop(name, None)

    def many(self, name: str) -> list[Draft]:
        """Drafts of the elements of a field, also of one that holds one element or none."""
        found = self._many.get(name)
        if found is not None:
            return found
        own = self.__dict__
        value = own[name] if name in own else getattr(self._of, name)
        if type(value) is tuple:
            own[name] = found = [Draft(x) for x in value]
        else:
            found = [] if value is None else [Draft(value)]
        self._many[name] = found
        return found

    def add(self, name: str, x: Element, at: int | None = None) -> Draft:
        """Add an element to a list, at its end or before place ``at``."""
        made = Draft(x)
        found = self.many(name)
        found.insert(len(found) if at is None else at, made)
        return made

    def done(self) -> Any:
        """The document with everything that was set and added."""
        of, own = self._of, self.__dict__
        changes = {name: own[name] for name in self._set if own[name] is not getattr(of, name)}
        for name, drafts in self._many.items():
            before = getattr(of, name)
            if not drafts and not before:
                continue
            after = tuple([x.done() for x in drafts])
            if type(before) is not tuple:
                if after[0] is not before:
                    changes[name] = after[0]
            elif len(after) != len(before) or any(map(is_not, after, before)):
                changes[name] = after
        return of.replace(**changes) if changes else of
