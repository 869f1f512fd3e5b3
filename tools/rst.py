"""Pieces of reStructuredText."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def title(text: str, line: str = "=") -> str:
    """A heading."""
    return f"{text}\n{line * len(text)}\n\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], widths: str = "auto") -> str:
    """A list table."""
    out = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in (head, *rows):
        for index, cell in enumerate(row):
            mark = "   * - " if index == 0 else "     - "
            out.append(mark + " ".join(cell.split()))
    return "\n".join(out) + "\n\n"
