"""The contract suite: ``from anyvirt.testing.contract import *`` and a fixture ``connection_uri``."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from anyvirt.testing.contract import (
    blocks,
    bulk,
    console,
    definition,
    errors,
    events,
    host,
    jobs,
    lifecycle,
    processes,
    removal,
    secrets,
    stats,
    storage,
    storage_events,
    transfers,
    volumes,
)

STORAGE = (storage, volumes, transfers, removal, storage_events)
AREAS = (
    lifecycle, definition, bulk, errors, events, stats, blocks, console, jobs, processes, *STORAGE, secrets, host,
)  # fmt: skip
# fixtures that tests of one area share and an author need not know
_FIXTURES = {
    "consoles": console.consoles,
    "inactive": storage.inactive,
    "linked": removal.linked,
    "pool": storage.pool,
    "secret": secrets.secret,
    "volume": transfers.volume,
}


def within(module: ModuleType) -> dict[str, Any]:
    """The tests of one area, by name."""
    return {name: found for name, found in vars(module).items() if name.startswith("test_")}


_found: dict[str, Any] = {}
for _module in AREAS:
    _here = within(_module)
    assert not _found.keys() & _here.keys(), f"{_module.__name__} repeats a name"
    _found.update(_here)
globals().update(_found, **_FIXTURES)
__all__ = sorted([*_found, *_FIXTURES])  # noqa: PLE0605 - made from what the areas hold
