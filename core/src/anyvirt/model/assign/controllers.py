"""Controllers: their numbers, their order, and those that other devices imply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from anyvirt.model.assign.draft import Draft, Drafts
from anyvirt.model.assign.order import put_forward
from anyvirt.model.devices.controller import Controller, ControllerType

# a USB 2 controller: parts of one, in the order of their functions, with the ports at which each begins
COMPANIONS: Final = {"ich9-uhci1": (0, 0), "ich9-uhci2": (1, 2), "ich9-uhci3": (2, 4), "ich9-ehci1": (7, None)}


def number(controllers: Iterable[Draft], first: Callable[[Draft], int] = lambda _x: 0) -> None:
    """Give those without a number the lowest that is free among their kind.

    Parts of a USB 2 controller that follow one another, each once, have one number.

    :param first: the lowest number that one may get.
    """
    found = list(controllers)
    taken = {(x.type, x.index) for x in found if x.index is not None}
    following: dict[Any, int] = {}
    whole: set[str] = set()
    last: int | None = None
    for x in found:
        part = x.model if x.type == "usb" and x.model in COMPANIONS else None
        if x.index is None:
            if part is not None and last is not None and part not in whole:
                x.index = last
            else:
                index = max(first(x), following.get(x.type, 0))
                while (x.type, index) in taken:
                    index += 1
                x.index = index
                following[x.type] = index + 1
        if x.type == "usb":
            if part is None or x.index != last:
                whole = set()
            last = None if part is None else x.index
            if part is not None:
                whole.add(part)


def ordered(controllers: list[Draft]) -> None:
    """Put each controller before the first of its kind with a higher number, and before its own companions."""
    controllers[:] = put_forward(controllers, lambda x: (x.type, (x.index, x.master is not None)))


def companions(controllers: Iterable[Draft]) -> None:
    """Tell each companion of a USB 2 controller at which of its ports it begins."""
    for x in controllers:
        if x.type == "usb" and x.master is None and (x.model or "").startswith("ich9-uhci"):
            x.master = COMPANIONS[x.model][1]


def ensure(domain: Drafts, kind: ControllerType, index: int, model: str | None = None) -> Draft:
    """The controller of this kind and number; a new one behind all others where there is none."""
    for x in domain.many("controllers"):
        if x.type == kind and (x.index or 0) == index:
            return x
    return domain.add("controllers", Controller(type=kind, index=index, model=model))


def imply(domain: Drafts, needed: Mapping[ControllerType, Iterable[int]]) -> None:
    """Add the controllers that devices need and that are not there, behind all others."""
    for kind, indexes in needed.items():
        there = {x.index or 0 for x in domain.many("controllers") if x.type == kind}
        for index in indexes:
            if index not in there:
                domain.add("controllers", Controller(type=kind, index=index))


def usb2(domain: Drafts, index: int = 0) -> None:
    """Add a USB 2 controller with its three companions."""
    for model in ("ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3"):
        ports: Any = COMPANIONS[model][1]
        domain.add("controllers", Controller(type=ControllerType.USB, index=index, model=model, master=ports))
