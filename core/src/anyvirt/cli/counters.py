"""One group of figures of one domain, as virsh has a command for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import arg, command, domain, opt
from anyvirt.cli.invocation import Invocation

if TYPE_CHECKING:
    from anyvirt.model.stats import DomainStats

# virsh's word -> ours, in virsh's order
BLOCK: Final = {
    "rd_req": "read_requests",
    "rd_bytes": "read_bytes",
    "wr_req": "write_requests",
    "wr_bytes": "write_bytes",
    "flush_operations": "flush_requests",
    "rd_total_times": "read_time",
    "wr_total_times": "write_time",
    "flush_total_times": "flush_time",
}
NET: Final = {
    f"{way}_{word}": f"{way}_{ours}"
    for way in ("rx", "tx")
    for word, ours in {"bytes": "bytes", "packets": "packets", "errs": "errors", "drop": "dropped"}.items()
}
MEMORY: Final[dict[str, str | None]] = {
    "actual": "current",
    **dict.fromkeys(("swap_in", "swap_out", "major_fault", "minor_fault", "unused", "available", "usable")),
    **dict.fromkeys(("last_update", "disk_caches", "hugetlb_pgalloc", "hugetlb_pgfail", "rss")),
}


@command("domblkstat", hidden=True)
def domblkstat(
    cli: Invocation,
    domain: Annotated[str, domain()],
    device: Annotated[str, arg("Name of the disk in the guest, or its file; every disk without it.", "DISK")] = "",
    human: Annotated[bool, opt("--human", help="The default: names, not codes.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
) -> None:
    """Show what a running domain did with its disks: requests, bytes, nanoseconds."""
    found = _members(cli, domain, "block", device, ("name", "path"))
    rows = [{"disk": one.name, **_row(one, BLOCK)} for one in found]
    if not cli.json("domblkstat/1", disks=rows):
        _lines(cli, "disk", rows)


@command("domifstat", hidden=True)
def domifstat(
    cli: Invocation,
    domain: Annotated[str, domain()],
    interface: Annotated[str, arg("Its name on the host, or its MAC address; every one without it.", "NAME")] = "",
) -> None:
    """Show what a running domain's network interfaces received and sent."""
    found = _members(cli, domain, "interface", interface, ("name", "mac"))
    rows = [{"interface": one.name or one.mac, **_row(one, NET)} for one in found]
    if not cli.json("domifstat/1", interfaces=rows):
        _lines(cli, "interface", rows)


@command("dommemstat", hidden=True)
def dommemstat(
    cli: Invocation,
    domain: Annotated[str, domain()],
    live: Annotated[bool, opt("--live", help="The default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
    current: Annotated[bool, opt("--current", help="The default.")] = False,  # noqa: ARG001 - as above
) -> None:
    """Show a running domain's memory in KiB, and what its guest says of it."""
    balloon = _stats(cli, domain, "balloon").balloon
    known = {} if balloon is None else {figure.wire: figure.unit for figure, _ in balloon.known()}
    row = {
        word: value // 1024 if known.get(ours or word) == "B" else value
        for word, ours in MEMORY.items()
        if balloon is not None and (value := getattr(balloon, ours or word)) is not None
    }
    if cli.json("dommemstat/1", memory=row):
        return
    for word, value in row.items():
        cli.line(f"{word} {value}")


def _stats(cli: Invocation, name: str, group: str) -> DomainStats:
    """One group of figures of a domain that runs.

    :raises WrongState: it does not.
    """
    from anyvirt.errors import WrongState

    one = cli.connection.lookup(name)
    status = one.state()
    if status.state.active is False:
        raise WrongState(str(status.state.value), ["running"], "reading its figures", what=one.ref)
    return cli.connection.stats([one.ref], {group})[one.ref].get()


def _members(cli: Invocation, name: str, group: str, wanted: str, labels: Sequence[str]) -> list[Any]:
    """Those members of a group of figures that are meant.

    :raises NotFound: none is called so; the hint has those that there are.
    """
    from anyvirt.errors import NotFound

    members = list(getattr(_stats(cli, name, group), group) or ())
    found = [one for one in members if not wanted or wanted in {getattr(one, label) for label in labels}]
    if wanted and not found:
        there = ", ".join(str(getattr(one, labels[0])) for one in members) or "none"
        raise NotFound(wanted, "device", hint=f"there is {there}")
    return found


def _row(one: Any, words: dict[str, str]) -> dict[str, int]:
    found = {word: getattr(one, ours) for word, ours in words.items()}
    return {word: value for word, value in found.items() if value is not None}


def _lines(cli: Invocation, label: str, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        for word, value in row.items():
            if word != label:
                cli.line(f"{row[label]} {word} {value}")
