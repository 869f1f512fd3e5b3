"""Which model stands for which root element."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from anyvirt.errors import Invalid, Problem

if TYPE_CHECKING:
    from anyvirt.model.element import Element

ROOTS: Final[dict[str, str]] = {
    "domain": "anyvirt.model.domain:Domain",
    "capabilities": "anyvirt.model.capabilities:Capabilities",
    "pool": "anyvirt.model.storage:Pool",
    "volume": "anyvirt.model.storage:Volume",
    "domainsnapshot": "anyvirt.model.snapshot:Snapshot",
}


def class_of(tag: str) -> type[Element]:
    """The model whose documents have this root element.

    :raises Invalid: no model has it.
    """
    place = ROOTS.get(tag)
    if place is None:
        near = get_close_matches(tag, ROOTS, n=1)
        hint = f"did you mean <{near[0]}>?" if near else f"known are {', '.join(sorted(ROOTS))}"
        raise Invalid([Problem("xml.unknown-element", f"/{tag}", 1, f"no document has the root element <{tag}>", hint)])
    module, _, name = place.partition(":")
    return cast("type[Element]", getattr(import_module(module), name))
