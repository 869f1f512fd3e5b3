"""``--dry-run`` of ``start`` and ``create``: all of a start, in lines that a shell takes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from anyvirt.cli.invocation import Invocation
from anyvirt.errors import Invalid, VirtError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyvirt.model.launch import LaunchFile, LaunchPlan


def show_all(cli: Invocation, names: Iterable[str], plan: Callable[[str], LaunchPlan]) -> None:
    """Print the plan of each, and every blocker; one that cannot be planned does not keep the others back."""
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        row: dict[str, Any] = {"name": name, "plan": None}
        try:
            found = plan(name)
            row["plan"] = as_json(found)
            if not cli.options.json:
                cli.lines(["", *lines(name, found)] if number else lines(name, found))
            if found.blockers:
                raise Invalid(found.blockers)
        except VirtError as error:
            cli.complain(error, name)
            row["error"] = cli.row_error(error)
        rows.append(row)
    cli.json("dry-run/1", domains=rows)


def as_json(plan: LaunchPlan) -> dict[str, Any]:
    """The plan in words of JSON; rights are octal."""
    found = asdict(plan)
    for file in found["files"]:
        file["mode"] = None if file["mode"] is None else f"{file['mode']:04o}"
    return found


def lines(name: str, plan: LaunchPlan) -> Iterator[str]:
    """A script of the command line, with the rest as comments."""
    yield f"# {name}: what a start takes; nothing is done"
    if plan.argv:
        yield from _script(plan)
    yield from _part("files", map(_file, plan.files))
    yield from _part("descriptors", (f"{one.number} {one.kind} {one.target}" for one in plan.descriptors))
    yield from _part(
        "programs beside it",
        (f"{shlex.join(one.argv)}" + (f" (package {one.package})" if one.package else "") for one in plan.programs),
    )
    yield from _part(
        "links", (" ".join([one.kind, one.name or "*", *_pairs(one.details)]).rstrip() for one in plan.links)
    )
    yield from _part("placement", plan.placement)
    yield from _part(
        "commands once it is up",
        (f"{one.command} {json.dumps(one.arguments)}" if one.arguments else one.command for one in plan.commands),
    )
    yield from _part("warnings", plan.warnings)


def _script(plan: LaunchPlan) -> Iterator[str]:
    if plan.cwd:
        yield f"cd {shlex.quote(plan.cwd)}"
    if plan.env:
        yield f"env -i {' '.join(shlex.quote(f'{key}={value}') for key, value in plan.env.items())} \\"
    last = len(plan.argv) - 1
    for number, words in enumerate(plan.argv):
        yield ("    " if number else "") + shlex.join(words) + (" \\" if number < last else "")


def _part(title: str, rows: Iterable[str]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if not number:
            yield f"# {title}:"
        yield "#   " + row.replace("\n", "\n#   ")


def _file(one: LaunchFile) -> str:
    words = [one.action, one.path]
    if one.mode is not None:
        words.append(f"{one.mode:04o}")
    if one.source:
        words.append(f"from {one.source}")
    return " ".join(words) + (f" ({one.what})" if one.what else "")


def _pairs(details: Any) -> Iterator[str]:
    return (f"{key}={value if isinstance(value, str | int) else json.dumps(value)}" for key, value in details.items())
