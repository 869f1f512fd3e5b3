"""``validate``: everything that is wrong with a document, without storing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from anyvirt.cli.declare import arg, command, form, opt
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import clean
from anyvirt.cli.source import checked, read
from anyvirt.errors import Invalid, VirtError

if TYPE_CHECKING:
    from anyvirt.errors import Problem

_COVERAGE = "Tell how much of what is in these files and folders the models know, and list the rest."
_VERBOSE = "With --coverage: list also the paths that are any text."


@command(
    "validate",
    examples=(
        "anyvirt validate web.xml",
        "anyvirt validate *.xml --quiet && echo all good",
        "anyvirt validate web.xml --canonical > tidy.xml",
        "anyvirt validate --coverage /etc/libvirt --verbose",
    ),
    exits="Exit status: 0 nothing is wrong; 1 a problem was found, or a file cannot be read; 2 wrong usage.",
)
def validate(
    cli: Invocation,
    files: Annotated[list[str], arg("Files with documents; - reads what is piped in.", "FILE...")],
    canonical: Annotated[bool, opt("--canonical", help="Print each document as anyvirt writes it.")] = False,
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
    coverage: Annotated[bool, opt("--coverage", help=_COVERAGE)] = False,
    verbose: Annotated[bool, opt("--verbose", help=_VERBOSE)] = False,
) -> None:
    """Check documents without asking any hypervisor.

    Domains, pools, volumes, networks and whatever else libvirt has. Every problem is shown
    with its line and its path, every element or attribute that is not known with the
    nearest name that is. Nothing is sent to a hypervisor. Unknown content survives in what
    --canonical prints.
    """
    if coverage:
        from anyvirt.cli.inventory import report

        report(cli, files, verbose=verbose)
        return
    form = checked(format)
    rows = [_checked(cli, name, form, canonical=canonical) for name in files]
    cli.failed = cli.failed or any(row["problems"] for row in rows)
    if cli.json("validate/1", documents=rows):
        return
    for row in rows:
        for problem in row["problems"]:
            print(_line(row["file"], problem), file=cli.err if canonical else cli.out)
        if "canonical" in row:
            cli.document(row["canonical"])
        elif not row["problems"] and "error" not in row and not cli.options.quiet:
            cli.line(f"{row['file']}: good <{row['kind']}>")


def _checked(cli: Invocation, name: str, form: str, *, canonical: bool) -> dict[str, Any]:
    from anyvirt.model.check_documents import problems_of
    from anyvirt.model.plan import plan_of
    from anyvirt.model.written import model_of

    row: dict[str, Any] = {"file": name, "kind": None, "problems": []}
    try:
        model = model_of(read(name), form)
    except Invalid as error:
        row["problems"] = [_plain(problem) for problem in error.problems]
        return row
    except VirtError as error:
        if not cli.options.json:
            cli.complain(error)
        row["error"] = cli.row_error(error)
        return row
    row["kind"] = plan_of(type(model)).tag
    row["problems"] = [_plain(problem) for problem in problems_of(model)]
    if canonical:
        from anyvirt.model.write import dump

        row["canonical"] = dump(model, canonical=True)
    return row


def _plain(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("code", "path", "line", "text", "hint")}


def _line(name: str, problem: dict[str, Any]) -> str:
    place = f"{name}:{problem['line']}" if problem["line"] else name
    path = f"{problem['path']}: " if problem["path"] else ""
    hint = f"; {problem['hint']}" if problem["hint"] else ""
    return clean(f"{place}: {path}{problem['text']}{hint} [{problem['code']}]")
