"""What lists of pools, networks and interfaces have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from anyvirt.cli.invocation import Invocation
from anyvirt.ref import Answer, Ref

UNTOLD: Final[Any] = object()  # what stands for an answer where the driver tells nothing of these objects


def rows(
    cli: Invocation,
    answers: Mapping[Ref, Answer[Any]],
    *,
    everything: bool,
    inactive: bool,
    label: str = "uuid",
) -> list[dict[str, Any]]:
    """A row for each object that is to be shown; one that could not be asked is, with its error.

    :param label: what the UUID of its ref is called.
    """
    found = []
    for ref, answer in answers.items():
        row: dict[str, Any] = {"name": str(ref), label: ref.uuid}
        if answer.error is not None:
            row["error"] = cli.row_error(answer.error)
        else:
            row |= asdict(answer.get()) if answer.value is not UNTOLD else {"active": None}
        if everything or row.get("active") in {None, not inactive}:
            found.append(row)
    return found


def state(row: Mapping[str, Any]) -> str:
    """A row's state, or its error, in a cell."""
    if "error" in row:
        return f"error[{row['error']['code']}]: {row['error']['message']}"
    return "-" if row["active"] is None else "active" if row["active"] else "inactive"


def names(cli: Invocation, found: Sequence[Mapping[str, Any]]) -> None:
    """Print names only, one a line."""
    for row in found:
        cli.line(row["name"])


def dump(cli: Invocation, schema: str, one: Any, form: str, *, label: str = "uuid") -> None:
    """Print an object's document in a form."""
    from anyvirt.cli.source import show

    show(cli, schema, form, one.config(), name=one.name, **{label: one.uuid})


def label(cli: Invocation, schema: str, kind: str, one: Any, which: str) -> None:
    """Print the name or the UUID of an object."""
    if not cli.json(schema, **{kind: {"name": one.name, "uuid": one.uuid}}):
        cli.line(getattr(one, which) or one.ref.key)


def done(cli: Invocation, schema: str, kind: str, one: Any, text: str, **more: Any) -> None:
    """Say what was done with an object."""
    if not cli.json(schema, **{kind: {"name": one.name, "uuid": one.uuid, **more}}):
        cli.line(text)
