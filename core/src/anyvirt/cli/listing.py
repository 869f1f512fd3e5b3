"""Looking at domains: ``list``, ``state``, ``info``, and what virsh calls them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import arg, command, domain, opt
from anyvirt.cli.invocation import Invocation

if TYPE_CHECKING:
    from anyvirt.client.derived import Overview
    from anyvirt.model.state import DomainFacts, Status

COLORS: Final = {"running": "green", "paused": "yellow", "crashed": "red", "unknown": "red"}
_STATES: Final = ("running", "paused", "shut off")


@command(
    "list",
    examples=(
        "anyvirt list                                  what runs on the default connection",
        "anyvirt -c test:///default list --all         running or not",
        "anyvirt list --all --state-paused --state-shutoff --autostart",
        "anyvirt list --all --name | xargs -n1 anyvirt state",
        "anyvirt --json list --all                     for programs",
    ),
)
def list_domains(
    cli: Invocation,
    everything: Annotated[bool, opt("--all", help="Running or not.")] = False,
    inactive: Annotated[bool, opt("--inactive", help="Only those that do not run.")] = False,
    running: Annotated[bool, opt("--state-running", help="Those that run.")] = False,
    paused: Annotated[bool, opt("--state-paused", help="Those that are paused.")] = False,
    shutoff: Annotated[bool, opt("--state-shutoff", help="Those that are shut off.")] = False,
    other: Annotated[bool, opt("--state-other", help="Those in any other state.")] = False,
    persistent: Annotated[bool, opt("--persistent", help="Those with a stored definition.")] = False,
    transient: Annotated[bool, opt("--transient", help="Those that vanish when they stop.")] = False,
    autostart: Annotated[bool, opt("--autostart", help="Those that start with the host.")] = False,
    no_autostart: Annotated[bool, opt("--no-autostart", help="Those that do not.")] = False,
    saved: Annotated[bool, opt("--with-managed-save", help="Those with a saved state.")] = False,
    unsaved: Annotated[bool, opt("--without-managed-save", help="Those without one.")] = False,
    title: Annotated[bool, opt("--title", help="Show titles, too.")] = False,
    table: Annotated[bool, opt("--table", help="Print the table; the default.")] = False,
    name: Annotated[bool, opt("--name", help="Print names only, one a line.")] = False,
    uuid: Annotated[bool, opt("--uuid", help="Print UUIDs only, one a line.")] = False,
    number: Annotated[bool, opt("--id", help="Print numbers only, one a line.")] = False,
) -> None:
    """List domains.

    Active ones are listed unless --all, --inactive or a --state-... says otherwise.
    Filters of one kind widen the list (--state-paused --state-shutoff lists both),
    filters of different kinds narrow it. A domain that somebody else manages (a running
    libvirtd, for instance) is marked as foreign. A domain that could not be asked is
    listed with the error, and the exit status is 1.
    """
    states = {word for word, on in zip((*_STATES, "other"), (running, paused, shutoff, other), strict=True) if on}
    wishes = (
        _activity(everything, inactive, states),
        lambda row: not states or (_word(row) if _word(row) in _STATES else "other") in states,
        lambda row: not (persistent or transient) or _facts(row).persistent in _wanted(persistent, transient),
        lambda row: not (autostart or no_autostart) or bool(_facts(row).autostart) in _wanted(autostart, no_autostart),
        lambda row: not (saved or unsaved) or bool(_facts(row).managed_save) in _wanted(saved, unsaved),
    )
    rows = [row for row in cli.connection.overview() if all(wish(row) for wish in wishes)]
    rows.sort(key=lambda row: (_facts(row).id is None, _facts(row).id or 0, str(row.ref)))
    found = [_row(cli, row) for row in rows]
    if cli.json("list/1", uri=str(cli.connection.uri), domains=found):
        return
    columns = [key for key, on in (("uuid", uuid), ("name", name), ("id", number)) if on]
    if columns and not table:
        for one in found:
            cli.line(" ".join("-" if one[key] is None else str(one[key]) for key in columns))
        return
    _print(cli, found, title=title)
    if not found:
        more = "" if everything else "; --all lists those that do not run, too"
        cli.note(f"no domains to show on {cli.connection.uri}{more}")


def _activity(everything: bool, inactive: bool, states: set[str]) -> Any:
    if everything or (states and not inactive):
        return lambda _: True
    return lambda row: (row.status.value is not None and row.status.value.state.active is False) is inactive


def _wanted(yes: bool, no: bool) -> set[bool]:
    return {value for value, on in ((True, yes), (False, no)) if on}


def _facts(row: Overview) -> DomainFacts:
    from anyvirt.model.state import DomainFacts

    return row.facts.value or DomainFacts()


def _word(row: Overview) -> str:
    return row.status.value.state.value if row.status.value else "unknown"


def _row(cli: Invocation, row: Overview) -> dict[str, Any]:
    facts = _facts(row)
    out: dict[str, Any] = {
        "id": facts.id,
        "name": row.ref.name or row.ref.key,
        "uuid": row.ref.uuid,
        "state": _word(row),
        "reason": row.status.value.reason.value if row.status.value else "unknown",
        "persistent": facts.persistent,
        "autostart": facts.autostart,
        "managed_save": facts.managed_save,
        "title": facts.title,
        "foreign": facts.foreign,
    }
    error = row.status.error or row.facts.error
    if error is not None:
        out["error"] = cli.row_error(error)
    return out


def _print(cli: Invocation, found: Sequence[dict[str, Any]], *, title: bool) -> None:
    heads = ["Id", "Name", "State", *(["Title"] if title else [])]
    cli.table(heads, [_cells(one, title=title) for one in found], colors=COLORS)


def _cells(one: dict[str, Any], *, title: bool) -> list[Any]:
    state = one["state"]
    if one["foreign"]:
        state += f" (foreign: {one['foreign']})"
    if "error" in one:
        state += f" (error[{one['error']['code']}]: {one['error']['message']})"
    return [one["id"], one["name"], state, *([one["title"] or ""] if title else [])]


@command(
    "state",
    "domstate",
    examples=("anyvirt state web", "anyvirt state web --reason", "anyvirt --json state web db"),
)
def state(
    cli: Invocation,
    domains: Annotated[list[str], arg("Names, UUIDs or numbers of domains.", "DOMAIN...")],
    reason: Annotated[bool, opt("--reason", help="Say why it is in that state.")] = False,
) -> None:
    """Say whether domains run, are paused, shut off or crashed.

    With several domains each line begins with the name. The JSON form always has the
    reason, libvirt's numbers of both, and the hypervisor's own word where it fits none.
    """
    refs, missing = cli.lookup(domains)
    rows: list[dict[str, Any]] = [{"name": name, "error": cli.row_error(error)} for name, error in missing.items()]
    for ref, answer in cli.connection.domain_state(refs).items():
        row: dict[str, Any] = {"name": str(ref), "uuid": ref.uuid}
        if answer.error is not None:
            row["error"] = cli.row_error(answer.error)
        else:
            row |= status_row(answer.get())
        rows.append(row)
    if cli.json("state/1", domains=rows):
        return
    for row in rows:
        text = f"error[{row['error']['code']}]: {row['error']['message']}" if "error" in row else row["state"]
        text += f" ({row['reason']})" if reason and "reason" in row else ""
        cli.line(f"{row['name']}: {text}" if len(rows) > 1 else text)


def status_row(status: Status) -> dict[str, Any]:
    """A status as plain data."""
    state, reason = status.numbers
    return {
        "state": status.state.value,
        "reason": status.reason.value,
        "detail": status.detail,
        "numbers": {"state": state, "reason": reason},
    }


@command("info", "dominfo", examples=("anyvirt info web", "anyvirt --json info web"))
def info(cli: Invocation, domain: Annotated[str, domain()]) -> None:
    """Show the basic facts of a domain.

    Number, UUID, state, processors, processor time, memory, persistence, autostart and
    title; what is not known is left out.
    """
    one = cli.connection.lookup(domain)
    status = one.state()
    facts = one.facts() if "domain_facts" in cli.connection.supports else None
    figures = cli.connection.stats([one.ref], {"cpu", "vcpu", "balloon"})[one.ref].get()
    vcpus = None if figures.vcpu is None else len(figures.vcpu)
    cpu_time = figures.cpu.time if figures.cpu else None
    maximum = figures.balloon.maximum if figures.balloon else None
    used = figures.balloon.current if figures.balloon else None
    row: dict[str, Any] = {
        "id": facts.id if facts else None,
        "name": one.name,
        "uuid": one.uuid,
        **status_row(status),
        "vcpus": vcpus,
        "cpu_time": cpu_time,
        "maximum_memory": maximum,
        "used_memory": used,
        "persistent": facts.persistent if facts else None,
        "autostart": facts.autostart if facts else None,
        "managed_save": facts.managed_save if facts else None,
        "title": facts.title if facts else None,
        "foreign": facts.foreign if facts else "",
    }
    if cli.json("info/1", domain=row):
        return
    cli.fields(
        [
            ("Id", "-" if row["id"] is None else row["id"]),
            ("Name", row["name"]),
            ("Title", row["title"] or None),
            ("UUID", row["uuid"]),
            ("State", row["state"]),
            ("CPU(s)", vcpus),
            ("CPU time", None if cpu_time is None else f"{cpu_time / 1e9:.1f}s"),
            ("Max memory", None if maximum is None else f"{maximum // 1024} KiB"),
            ("Used memory", None if used is None else f"{used // 1024} KiB"),
            ("Persistent", row["persistent"]),
            ("Autostart", None if row["autostart"] is None else ("enable" if row["autostart"] else "disable")),
            ("Managed save", row["managed_save"]),
            ("Foreign", row["foreign"] or None),
        ]
    )
