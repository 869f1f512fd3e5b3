"""Plain text for people: tables, labelled values, sizes, colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

COLORS: Final = {"green": 32, "yellow": 33, "red": 31, "bold": 1, "dim": 2}
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def table(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], *, colors: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Lines of a table as virsh draws it: a blank, cells three blanks apart, a rule below the heads.

    :param colors: cells that are coloured, with their colour.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max([width(head), *(width(row[i]) for row in cells)]) for i, head in enumerate(heads)]
    yield _row(heads, widths, {})
    yield "-" * (sum(widths) + 3 * len(widths))
    for row in cells:
        yield _row(row, widths, colors or {})


def _row(cells: Sequence[str], widths: Sequence[int], colors: Mapping[str, str]) -> str:
    padded = [
        (colored(cell, colors[cell]) if cell in colors else cell) + " " * (wide - width(cell))
        for cell, wide in zip(cells, widths, strict=True)
    ]
    return (" " + "   ".join(padded)).rstrip()


def fields(pairs: Sequence[tuple[str, Any]]) -> Iterator[str]:
    """``Label:   value`` lines, values one below the other; None is left out."""
    known = [(f"{label}:", clean(value)) for label, value in pairs if value is not None]
    wide = max((len(label) for label, _ in known), default=0)
    yield from (f"{label:<{max(wide + 1, 16)}}{value}".rstrip() for label, value in known)


def clean(value: Any) -> str:
    """Text that cannot play tricks on a terminal: what controls it is shown, not sent."""
    if isinstance(value, str) and value.isprintable():
        return value
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else _shown(c) for c in text)


def _shown(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def width(text: str) -> int:
    """Columns that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def size(number: int | None) -> str:
    """Bytes for people: ``8.000 GiB`` as virsh writes it; whole bytes stay whole."""
    if number is None:
        return "-"
    value, unit = float(number), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{number} B" if unit == 0 else f"{value:.3f} {_UNITS[unit]}"


def colored(text: str, color: str) -> str:
    """``text`` wrapped in the terminal's codes."""
    return f"\x1b[{COLORS[color]}m{text}\x1b[0m"
