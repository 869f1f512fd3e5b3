"""Leases of a lock manager."""

from __future__ import annotations

from anyvirt.model.element import Element, at
from anyvirt.model.types import Unsigned


class Lease(Element, tag="lease"):
    """A lock that the guest needs in order to run."""

    lockspace: str | None = at("lockspace", "Lock space that the key is in", default=None, key=True)
    key: str | None = at("key", "Name of the lock", default=None, key=True)
    path: str | None = at("target/@path", "File that holds the lock", default=None)
    offset: Unsigned | None = at("target/@offset", "First byte of the lock in the file", default=None)
