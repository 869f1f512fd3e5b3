"""Storage of the test host: pools, volumes, their content, and what is deleted of them."""

from __future__ import annotations

from anyvirt_test.making import Making
from anyvirt_test.removal import Removal
from anyvirt_test.transfers import Transfers


class Storage(Making, Transfers, Removal):
    """All of it; each part has a module of its own."""
