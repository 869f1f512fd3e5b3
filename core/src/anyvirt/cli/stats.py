"""Figures: ``stats``, ``blkinfo``, and virsh's ``domstats`` and ``domblkinfo``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from anyvirt.cli.declare import arg, command, domain, domains, opt, words
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import size
from anyvirt.cli.usage import Usage
from anyvirt.model.choices import GROUPS


@command(
    "stats",
    examples=(
        "anyvirt stats                          every domain, every group",
        "anyvirt stats web db --group cpu --group block",
        "anyvirt --json stats --group balloon",
    ),
)
def stats(
    cli: Invocation,
    domains: Annotated[list[str], domains("Names, UUIDs or numbers; every domain without any.")] = [],  # noqa: B006
    groups: Annotated[
        list[str],
        opt(
            "--group",
            help="state, cpu, vcpu, balloon, interface or block; may be given again.",
            metavar="GROUP",
            autocompletion=words(*GROUPS),
        ),
    ] = [],  # noqa: B006
) -> None:
    """Show figures of domains, in libvirt's names and units.

    One pass over all of them. A figure that is not known is left out. A domain that cannot
    be asked is shown with the error, the others with their figures, and the exit status
    is 1.
    """
    wrong = [name for name in groups if name not in GROUPS]
    if wrong:
        raise Usage(f"--group {wrong[0]!r} does not exist", hint=f"one of {', '.join(GROUPS)}")
    _show(cli, "stats/1", domains, groups or GROUPS)


@command(
    "domstats",
    hidden=True,
    examples=("anyvirt domstats --state --cpu-total --block web", "anyvirt domstats --list-active"),
)
def domstats(
    cli: Invocation,
    domains: Annotated[list[str], domains("Names, UUIDs or numbers; every domain without any.")] = [],  # noqa: B006
    state: Annotated[bool, opt("--state", help="State and reason.")] = False,
    cpu: Annotated[bool, opt("--cpu-total", help="Processor time.")] = False,
    balloon: Annotated[bool, opt("--balloon", help="Memory.")] = False,
    vcpu: Annotated[bool, opt("--vcpu", help="Each virtual processor.")] = False,
    interface: Annotated[bool, opt("--interface", help="Network interfaces.")] = False,
    block: Annotated[bool, opt("--block", help="Disks.")] = False,
    active: Annotated[bool, opt("--list-active", help="Only those that run.")] = False,
    inactive: Annotated[bool, opt("--list-inactive", help="Only those that do not.")] = False,
    raw: Annotated[bool, opt("--raw", help="Plain numbers; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
    nowait: Annotated[bool, opt("--nowait", help="Ask nothing that is busy; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
) -> None:
    """Show figures of domains, with virsh's options; ``stats`` is the same."""
    asked = {
        "state": state,
        "cpu": cpu,
        "vcpu": vcpu,
        "balloon": balloon,
        "interface": interface,
        "block": block,
    }
    groups = [name for name, on in asked.items() if on] or list(asked)
    names = list(domains)
    if active or inactive:
        rows = cli.connection.overview()
        wanted = {True} if active and not inactive else {False} if inactive and not active else {True, False}
        names = [row.ref.uuid or row.ref.key for row in rows if _active(row) in wanted]
        if not names:
            _print(cli, "domstats/1", [])
            return
    _show(cli, "domstats/1", names, groups)


def _active(row: Any) -> bool:
    return row.status.value is None or row.status.value.state.active is not False


def _show(cli: Invocation, schema: str, names: Sequence[str], groups: Sequence[str]) -> None:
    refs, missing = cli.lookup(names) if names else (None, {})
    rows: list[dict[str, Any]] = [{"name": name, "error": cli.row_error(error)} for name, error in missing.items()]
    for ref, answer in cli.connection.stats(refs, tuple(groups)).items():
        row: dict[str, Any] = {"name": str(ref), "uuid": ref.uuid, "at": answer.at}
        if answer.error is not None:
            row["error"] = cli.row_error(answer.error)
        if answer.value is not None:  # beside an error: what is known in spite of it
            row["stats"] = answer.value.flat()
        rows.append(row)
    _print(cli, schema, rows)


def _print(cli: Invocation, schema: str, rows: Sequence[dict[str, Any]]) -> None:
    if cli.json(schema, domains=rows):
        return
    cli.lines(line for row in rows for line in _lines(row))
    if not rows:
        cli.note(f"no domains to show on {cli.connection.uri}")


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"Domain: '{row['name']}'"
    if "error" in row:
        yield f"  error[{row['error']['code']}]: {row['error']['message']}"
    for name, value in row.get("stats", {}).items():
        yield f"  {name}={value}"
    yield ""


@command(
    "blkinfo",
    "domblkinfo",
    examples=("anyvirt blkinfo web", "anyvirt blkinfo web vda --human", "anyvirt --json blkinfo web"),
)
def blkinfo(
    cli: Invocation,
    domain: Annotated[str, domain()],
    device: Annotated[str, arg("Name of the disk in the guest, such as vda; every disk without it.", "DISK")] = "",
    human: Annotated[bool, opt("--human", help="Sizes in KiB, MiB, GiB ... instead of bytes.")] = False,
    everything: Annotated[bool, opt("--all", help="Every disk; the default without DISK.")] = False,
) -> None:
    """Show the three sizes of each disk, running or not.

    Capacity is what the guest can see. Allocation is what the image occupies on the host,
    as du has it; for an image in another format than raw on a block device it is the
    highest written extent that the hypervisor reports. Physical is the image's last
    offset, as ls has it, or the size of the device.
    """
    one = cli.connection.lookup(domain)
    infos = [one.disk_info(device)] if device and not everything else list(one.block_info())
    rows: list[dict[str, Any]] = [
        {
            "target": info.target,
            "capacity": info.capacity,
            "allocation": info.allocation,
            "physical": info.physical,
        }
        for info in infos
    ]
    if cli.json("blkinfo/1", domain={"name": one.name, "uuid": one.uuid}, disks=rows):
        return
    shown = size if human else lambda number: "-" if number is None else str(number)
    if device and not everything:
        sizes = [(name.capitalize(), rows[0][name]) for name in ("capacity", "allocation", "physical")]
        for label, value in sizes:
            cli.line(f"{label + ':':<16}{shown(value)}")
        return
    heads = ("Target", "Capacity", "Allocation", "Physical")
    cli.table(heads, [(row["target"], *(shown(row[head.lower()]) for head in heads[1:])) for row in rows])
