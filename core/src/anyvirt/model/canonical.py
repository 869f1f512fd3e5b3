"""One short name for everything that a document means."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from anyvirt.model.write import dump

if TYPE_CHECKING:
    from anyvirt.model.element import Element

FORM: Final = 1


def fingerprint(x: Element) -> str:
    """``1:`` and the SHA-256 of the canonical form; the number rises when the canonical form changes."""
    return f"{FORM}:{sha256(dump(x, canonical=True).encode()).hexdigest()}"
