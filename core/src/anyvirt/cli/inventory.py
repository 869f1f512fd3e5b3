"""``validate --coverage``: how much of a set of documents the models know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyvirt.cli.source import read
from anyvirt.errors import NotFound, VirtError

if TYPE_CHECKING:
    from anyvirt.cli.invocation import Invocation
    from anyvirt.model.inventory import Inventory, Trail


def report(cli: Invocation, places: list[str], *, verbose: bool) -> None:
    """Print the coverage of the documents in files, and in folders every ``*.xml`` below them."""
    from anyvirt.model.inventory import MISFIT, OPEN, PLAIN, TYPED, UNKNOWN, Inventory

    found = Inventory()
    for name in _files(places):
        try:
            found.add(name, read(name))
        except VirtError as error:
            found.refused[name] = str(error)
    plain, rest = found.of(PLAIN), found.of(UNKNOWN)
    figures = {
        "typed": len(found.of(TYPED)),
        "plain": len(plain),
        "open": len(found.of(OPEN)),
        "rest": len(rest),
        "fraction": round(found.fraction, 5),
    }
    done = cli.json(
        "validate-coverage/1",
        documents={"read": len(found.read), "refused": found.refused},
        paths=figures,
        plain=[_row(trail) for trail in plain],
        rest=[_row(trail) for trail in rest],
        misfits=[_row(trail, MISFIT) for trail in found.misfits],
    )
    if done:
        return
    for line in _lines(found, figures):
        cli.line(line)
    if rest:
        cli.line()
        _table(cli, "Not declared", rest, "")
    if found.misfits:
        cli.line()
        _table(cli, "Values that do not fit", found.misfits, MISFIT)
    if verbose and plain:
        cli.line()
        _table(cli, "Any text", plain, "")
    for name, reason in found.refused.items():
        cli.note(f"{name}: refused: {reason}")


def _files(places: list[str]) -> list[str]:
    found: list[str] = []
    for place in places:
        path = Path(place)
        if not path.is_dir():
            found.append(place)
            continue
        below = sorted(str(inner) for inner in path.rglob("*.xml") if inner.is_file())
        if not below:
            raise NotFound(f"{place}/*.xml", "file", hint="name a folder that has such files in it, or below it")
        found += below
    return found


def _lines(found: Inventory, figures: dict[str, Any]) -> list[str]:
    total = figures["typed"] + figures["plain"] + figures["rest"]
    declared = figures["typed"] + figures["plain"]
    refused = f", {len(found.refused)} refused" if found.refused else ""
    return [
        f"{len(found.read)} documents read{refused}",
        f"{declared} of {total} paths are declared: {found.fraction:.2%}",
        f"{figures['plain']} of them are any text",
        f"{figures['open']} more paths are in content that is kept as XML",
    ]


def _row(trail: Trail, status: str = "") -> dict[str, Any]:
    return {
        "path": trail.path,
        "times": trail.counts[status] if status else trail.total,
        "types": sorted(trail.types),
        "example": trail.examples.get(status, trail.example),
    }


def _table(cli: Invocation, head: str, trails: list[Trail], status: str) -> None:
    rows = [_row(trail, status) for trail in trails]
    cli.table((head, "Times", "Type", "Example"), [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str, int, str, str]:
    return row["path"], row["times"], ", ".join(row["types"]), row["example"]
