"""What a rule finds, by kind, and how it names the place."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from anyvirt.errors import Problem
from anyvirt.model.element import Element
from anyvirt.model.plan import plan_of
from anyvirt.model.walk import items

# Each is called with path, line, text and hint.
wrong: Final = partial(Problem, "config.invalid")
missing: Final = partial(Problem, "config.missing")
duplicate: Final = partial(Problem, "config.duplicate")
conflict: Final = partial(Problem, "config.conflict")
outside: Final = partial(Problem, "config.range")
dangling: Final = partial(Problem, "config.reference")


def each(x: Element, field: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of each item of a field of the element at ``path``."""
    yield from items(x, plan_of(type(x)).by_name[field], path)
