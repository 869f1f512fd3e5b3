"""Network filters and their bindings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, each, missing, outside, wrong
from anyvirt.model.checks.names import check_name
from anyvirt.model.element import line_of
from anyvirt.model.nwfilter import FilterBinding, FilterRef, FilterRule, NetworkFilter

CHAIN: Final = re.compile("root|(mac|vlan|stp|arp|rarp|ipv4|ipv6)[A-Za-z0-9_.:-]*", re.ASCII)
CHAIN_MAX: Final = 12
COMMENT_MAX: Final = 256
# First and last of what a rule may be for.
SPANS: Final = (
    ("srcportstart", "srcportend"), ("dstportstart", "dstportend"), ("type", "typeend"), ("code", "codeend"),
    ("root_priority", "root_priority_hi"), ("root_cost", "root_cost_hi"), ("sender_priority", "sender_priority_hi"),
    ("port", "port_hi"), ("age", "age_hi"), ("max_age", "max_age_hi"), ("hello_time", "hello_time_hi"),
    ("forward_delay", "forward_delay_hi"),
)  # fmt: skip


def network_filter(x: NetworkFilter) -> Iterator[Problem]:
    """A network filter."""
    yield from check_name(x.name or "", line_of(x), "/@name")
    if x.chain is not None and (CHAIN.fullmatch(x.chain) is None or len(x.chain) > CHAIN_MAX):
        hint = f"root, or up to {CHAIN_MAX} characters that begin with mac, vlan, stp, arp, rarp, ipv4 or ipv6"
        yield wrong("/@chain", line_of(x), f"{x.chain!r} is no chain", hint)
    for path, entry in each(x, "entries"):
        if isinstance(entry, FilterRule):
            yield from _rule(entry, path)
            continue
        yield from _reference(entry, path)
        if entry.filter and entry.filter == x.name:
            yield conflict(f"{path}/@filter", line_of(entry), "the filter stands in itself", "name another one")


def filter_binding(x: FilterBinding) -> Iterator[Problem]:
    """A filter at work on an interface."""
    for place, value in (
        ("owner/name", x.owner_name), ("owner/uuid", x.owner_uuid), ("portdev/@name", x.portdev),
        ("mac/@address", x.mac), ("filterref", x.filterref),
    ):  # fmt: skip
        if not value:
            yield missing(f"/{place}", line_of(x), f"{place} is missing", "say what is filtered, and how")
    if x.filterref is not None:
        yield from _reference(x.filterref, "/filterref")


def _reference(x: FilterRef, path: str) -> Iterator[Problem]:
    if not x.filter:
        yield missing(f"{path}/@filter", line_of(x), "nothing says which filter", "such as filter='clean-traffic'")
    for here, parameter in each(x, "parameters", path):
        for name in ("name", "value"):
            if getattr(parameter, name) is None:
                yield missing(f"{here}/@{name}", line_of(parameter), f"the {name} is missing", "give name and value")


def _rule(x: FilterRule, path: str) -> Iterator[Problem]:
    for name, hint in (("action", "such as action='drop'"), ("direction", "such as direction='in'")):
        if getattr(x, name) is None:
            yield missing(f"{path}/@{name}", line_of(x), f"the {name} is missing", hint)
    match: Any = x.protocol
    if match is None:
        return
    here, line = f"{path}/{type(match)._tag}", line_of(match)
    if match.comment is not None and len(match.comment) > COMMENT_MAX:
        text = f"the comment has {len(match.comment)} characters"
        yield outside(f"{here}/@comment", line, text, f"use at most {COMMENT_MAX}")
    fields = type(match)._fields
    for first, last in SPANS:
        low, high = getattr(match, first, None), getattr(match, last, None)
        if last in fields and isinstance(low, int) and isinstance(high, int) and high < low:
            text = f"the range ends at {high} before it starts at {low}"
            yield outside(f"{here}/{fields[last].path}", line, text, "swap the ends")
    if "ipset" in fields and (match.ipset is None) != (match.ipsetflags is None):
        name = "ipset" if match.ipset is None else "ipsetflags"
        yield missing(f"{here}/@{name}", line, f"{name} is missing", "a set needs its name and what is looked up")
