"""Pools and volumes alone, for one more kind of pool: ``from anyvirt.testing.contract.pools import *``."""

from __future__ import annotations

from anyvirt.testing.contract import STORAGE, removal, storage, transfers, within

globals().update({name: test for area in STORAGE for name, test in within(area).items()})
inactive, pool, linked, volume = storage.inactive, storage.pool, removal.linked, transfers.volume
__all__ = sorted(  # noqa: PLE0605 - made from what the areas hold
    ["inactive", "linked", "pool", "volume", *(name for area in STORAGE for name in within(area))]
)
