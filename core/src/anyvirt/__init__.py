"""Hypervisor management through one portable API; everything public is in ``anyvirt.api``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyvirt.opening import open, open_async

__all__ = ["open", "open_async"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from anyvirt import opening

        return getattr(opening, name)
    msg = f"module 'anyvirt' has no attribute {name!r}"
    raise AttributeError(msg)
