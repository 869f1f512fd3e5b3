"""Rules for every kind of document, found by its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Final, cast

from anyvirt.errors import Problem
from anyvirt.model.element import Element

RULES: Final[dict[str, str]] = {
    "FilterBinding": "anyvirt.model.checks.nwfilter:filter_binding",
    "HostInterface": "anyvirt.model.checks.host_interface:host_interface",
    "KeptSecret": "anyvirt.model.checks.storage:secret",
    "Network": "anyvirt.model.checks.network:network",
    "NetworkFilter": "anyvirt.model.checks.nwfilter:network_filter",
    "NetworkPort": "anyvirt.model.checks.network:network_port",
    "NodeDevice": "anyvirt.model.checks.host_interface:node_device",
    "Pool": "anyvirt.model.checks.storage:pool",
    "Volume": "anyvirt.model.checks.storage:volume",
}


def check_document(x: Element) -> tuple[Problem, ...]:
    """What makes a document of any kind wrong whatever reads it, by line; empty for kinds without rules.

    Unknown content is not looked at; ``unknown`` lists that.
    """
    from anyvirt.model.domain import Domain

    if isinstance(x, Domain):
        from anyvirt.model.check import check

        return check(x)
    place = RULES.get(type(x).__name__)
    if place is None:
        return ()
    module, _, name = place.partition(":")
    rules = cast("Callable[[Element], Iterator[Problem]]", getattr(import_module(module), name))
    return tuple(sorted(rules(x), key=lambda problem: problem.line or 0))


def problems_of(x: Element, *, keep_unknown: bool = False) -> tuple[Problem, ...]:
    """Everything that keeps a document from being taken: what is not known, and what contradicts itself, by line.

    :param keep_unknown: let through what no field claims.
    """
    from anyvirt.model.strict import unknown

    strange = () if keep_unknown else unknown(x)
    # A value that cannot be read is there, if wrong: that it is missing, too, would help nobody.
    unread = {problem.path for problem in strange if problem.code == "xml.value"}
    broken = (one for one in check_document(x) if not (one.code == "config.missing" and one.path in unread))
    return tuple(sorted((*strange, *broken), key=lambda problem: problem.line or 0))
