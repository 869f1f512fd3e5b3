"""``plan`` and ``apply``: what is stored, compared with what is wanted, and made so."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

from anyvirt.cli.declare import arg, command, opt
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import clean
from anyvirt.errors import Invalid, NotFound, VirtError

if TYPE_CHECKING:
    from anyvirt.client._generated_sync import Domain
    from anyvirt.model.diff import Difference
    from anyvirt.model.domain import Domain as DomainModel

_KEEP = "Take over elements and attributes that anyvirt does not know."
_CONCEALED = "***"
_SIGNS = {"new": "+", "change": "~", "none": "=", "refused": "!"}


@dataclass
class Step:
    """What would be done about one document.

    :param action: ``new``, ``change``, ``none`` or ``refused``.
    :param when: ``now``, or ``next boot`` for a domain that runs.
    """

    file: str
    name: str = ""
    uuid: str | None = None
    action: str = "refused"
    when: str = "now"
    changes: tuple[Difference, ...] = ()
    error: VirtError | None = None
    text: str = field(default="", repr=False)


@command(
    "plan",
    examples=("anyvirt plan web.xml db.xml", "anyvirt --json plan *.xml"),
    exits="Exit status: 0 compared; 1 a document cannot be used; 2 wrong usage.",
)
def plan(
    cli: Invocation,
    files: Annotated[list[str], arg("Files with domains; - reads what is piped in.", "FILE...")],
    keep_unknown: Annotated[bool, opt("--keep-unknown", help=_KEEP)] = False,
) -> None:
    """Show what apply would change, and when it would count.

    Each document is new, changes field by field, or is so already. What a document leaves
    out and the driver fills in (addresses, MAC addresses, machine type, controllers ...)
    stays as it is stored and is no change. A disk, a network interface, a display, a title
    ... that a document leaves out is removed from the definition.
    """
    steps = [_step(cli, name, keep_unknown=keep_unknown) for name in files]
    _show(cli, "plan/1", steps)


@command("apply", examples=("anyvirt apply web.xml db.xml", "anyvirt plan *.xml && anyvirt apply *.xml"))
def apply(
    cli: Invocation,
    files: Annotated[list[str], arg("Files with domains; - reads what is piped in.", "FILE...")],
    keep_unknown: Annotated[bool, opt("--keep-unknown", help=_KEEP)] = False,
) -> None:
    """Make stored definitions as documents want them.

    ``plan`` shows what that would be. Defines what is new, updates what differs, leaves
    alone what is so already, and never undefines anything. A running domain goes on as it
    is and has its change from the next boot. A document that cannot be applied does not
    keep the others back.
    """
    steps = [_step(cli, name, keep_unknown=keep_unknown) for name in files]
    for step in steps:
        if step.action in {"new", "change"}:
            try:
                made = cli.connection.domain_define(step.text, keep_unknown=keep_unknown)
                step.uuid = made.uuid
            except VirtError as error:
                step.action, step.error = "refused", error
    _show(cli, "apply/1", steps, done=True)


def _step(cli: Invocation, file: str, *, keep_unknown: bool) -> Step:
    from anyvirt.cli.source import given
    from anyvirt.model.check_documents import problems_of
    from anyvirt.model.domain import Domain
    from anyvirt.model.write import dump
    from anyvirt.model.xml import parse

    step = Step(file)
    try:
        document = given(file)
        text = document.decode("utf-8", "replace") if isinstance(document, bytes) else dump(document)
        wanted: DomainModel = parse(document, Domain) if isinstance(document, bytes) else document
        step.name, step.uuid = wanted.name, None if wanted.uuid is None else str(wanted.uuid)
        wrong = problems_of(wanted, keep_unknown=keep_unknown)
        if wrong:
            raise Invalid(wrong)
        _compare(cli, step, wanted, text)
    except VirtError as error:
        step.error = error
    return step


def _compare(cli: Invocation, step: Step, wanted: DomainModel, text: str) -> None:
    from anyvirt.cli.overlay import laid_over
    from anyvirt.cli.source import stored as read_stored
    from anyvirt.document import Document
    from anyvirt.model.diff import diff
    from anyvirt.model.write import dump
    from anyvirt.passwords import without_passwords

    one = _stored(cli, step)
    if one is None:
        step.action, step.text = "new", text
        return
    stored = read_stored(cli, one).model
    if cli.connection.session.readonly:  # which shows no password, so that none can be compared
        wanted = without_passwords(Document.of(wanted)).model
    full = laid_over(stored, wanted)
    step.changes = diff(stored, full)
    step.action = "change" if step.changes else "none"
    step.text, step.uuid = dump(full), one.uuid
    step.when = "next boot" if one.state().state.active else "now"


def _stored(cli: Invocation, step: Step) -> Domain | None:
    try:
        one = cli.connection.lookup(step.uuid or step.name)
    except NotFound:
        if not step.uuid:
            return None
        try:
            holder = cli.connection.lookup(step.name)
        except NotFound:
            return None
        text = f"{step.name!r} is stored with the UUID {holder.uuid}, the document has {step.uuid}"
        raise Invalid(text, hint="correct the UUID, or undefine the stored one yourself") from None
    if one.name != step.name:
        text = f"the UUID {step.uuid} belongs to {one.name!r}, the document calls it {step.name!r}"
        raise Invalid(text, hint=f"anyvirt rename {one.name} {step.name}")
    return one


def _show(cli: Invocation, schema: str, steps: list[Step], *, done: bool = False) -> None:
    rows = []
    for step in steps:
        row: dict[str, Any] = {"file": step.file, "name": step.name or None, "uuid": step.uuid, "action": step.action}
        row["when"] = step.when if step.action in {"new", "change"} else None
        row["changes"] = [_row(change) for change in step.changes]
        if step.error is not None:
            row["error"] = cli.row_error(step.error)
        rows.append(row)
    if cli.json(schema, documents=rows):
        return
    for step, row in zip(steps, rows, strict=True):
        cli.line(_head(step, done=done))
        for change in row["changes"]:
            sign = "+" if change["old"] is None else "-" if change["new"] is None else "~"
            values = [clean(value) for value in (change["old"], change["new"]) if value is not None]
            cli.line(f"    {sign} {change['path']}: {' -> '.join(values)}")
    for step in steps:
        if step.error is not None:
            cli.complain(step.error, step.name or step.file)


def _head(step: Step, *, done: bool) -> str:
    name = step.name or step.file
    words = {
        "new": "defined" if done else "new",
        "change": f"{'changed' if done else 'changes'} ({step.when})",
        "none": "nothing to do",
        "refused": "refused",
    }
    return clean(f"{_SIGNS[step.action]} {name}: {words[step.action]}")


def _row(change: Difference) -> dict[str, Any]:
    secret = change.path.endswith("/@passwd")
    old, new = (_CONCEALED if secret and value else _plain(value) for value in (change.old, change.new))
    return {"path": change.path, "old": old, "new": new}


def _plain(value: Any) -> Any:
    from anyvirt.model.element import Element

    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Element):
        from anyvirt.model.write import dump

        if getattr(value, "passwd", None):
            value = value.replace(passwd=_CONCEALED)
        return " ".join(dump(value).split())
    if isinstance(value, Enum):
        return str(value.value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else str(value)
