"""What is closed at the end of a ``with`` block."""

from __future__ import annotations

from typing import Protocol, Self


class Closing(Protocol):
    """Has a ``close``, which a ``with`` block calls however it ends."""

    def close(self) -> None:
        """Give back what is held."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
