"""Storage pools: looking at them, and finding what could be one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from anyvirt.cli import objects
from anyvirt.cli.declare import arg, command, named, opt, shown_form, words, wrap, xpath
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import size
from anyvirt.cli.usage import Usage

TYPES = (
    "dir", "disk", "fs", "gluster", "iscsi", "iscsi-direct", "logical", "mpath", "netfs", "rbd", "scsi", "vstorage",
    "zfs",
)  # fmt: skip


@command(
    "pool list",
    "pool-list",
    examples=("anyvirt pool list --all", "anyvirt pool list --details", "anyvirt pool list --all --type logical"),
)
def list_pools(
    cli: Invocation,
    everything: Annotated[bool, opt("--all", help="Active or not.")] = False,
    inactive: Annotated[bool, opt("--inactive", help="Only those that are not active.")] = False,
    persistent: Annotated[bool, opt("--persistent", help="Only those that are defined.")] = False,
    transient: Annotated[bool, opt("--transient", help="Only those that are gone when they stop.")] = False,
    autostart: Annotated[bool, opt("--autostart", help="Only those that start with the host.")] = False,
    no_autostart: Annotated[bool, opt("--no-autostart", help="Only those that do not.")] = False,
    kind: Annotated[
        str,
        opt("--type", help="Only of these types, commas between.", metavar="TYPE", autocompletion=words(*TYPES)),
    ] = "",
    details: Annotated[bool, opt("--details", help="With sizes.")] = False,
    name: Annotated[bool, opt("--name", help="Print names only, one a line.")] = False,
    uuid: Annotated[bool, opt("--uuid", help="Print UUIDs only, one a line.")] = False,
) -> None:
    """List storage pools, by default the active ones."""
    refs = [handle.ref for handle in cli.connection.pool_list()]
    if kind:
        wanted = _types(kind)
        models = cli.connection.pool_config(refs)
        refs = [ref for ref in refs if models[ref].error or str(models[ref].get().model.type) in wanted]
    rows = objects.rows(cli, cli.connection.pool_info(refs), everything=everything, inactive=inactive)
    for field, only, never in (("persistent", persistent, transient), ("autostart", autostart, no_autostart)):
        rows = rows if only is never else [row for row in rows if row.get(field) is only]
    if cli.json("pool-list/1", pools=rows):
        return
    if name or uuid:
        cli.lines(" ".join(str(row[key]) for key, on in (("uuid", uuid), ("name", name)) if on) for row in rows)
        return
    heads = ["Name", "State", "Autostart"]
    heads += ["Persistent", "Capacity", "Allocation", "Available"] if details else []
    cli.table(heads, [_cells(row, details=details) for row in rows])
    if not rows:
        cli.note(f"no pools to show on {cli.connection.uri}{'' if everything else '; --all lists inactive ones, too'}")


def _types(text: str) -> set[str]:
    wanted = {word.strip() for word in text.split(",") if word.strip()}
    unknown = sorted(wanted - set(TYPES))
    if unknown:
        raise Usage(f"--type {unknown[0]!r} is no type of pools", hint=f"one of {', '.join(TYPES)}")
    return wanted


def _cells(row: dict[str, Any], *, details: bool) -> list[Any]:
    if "error" in row:
        return [row["name"], objects.state(row), *["-"] * (5 if details else 1)]
    more = [row["persistent"], *(size(row[key]) for key in ("capacity", "allocation", "available"))] if details else []
    return [row["name"], objects.state(row), row["autostart"], *more]


@command("pool info", "pool-info", examples=("anyvirt pool info default",))
def info(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    exact: Annotated[bool, opt("--bytes", help="Sizes in bytes.")] = False,
) -> None:
    """Show state and sizes of a pool."""
    one = cli.connection.lookup_pool(pool)
    row = {"name": one.name, "uuid": one.uuid, **asdict(one.info())}
    if cli.json("pool-info/1", pool=row):
        return
    shown = str if exact else size
    cli.fields(
        [
            ("Name", one.name),
            ("UUID", one.uuid),
            ("State", "running" if row["active"] else "inactive"),
            ("Persistent", row["persistent"]),
            ("Autostart", row["autostart"]),
            *((key.capitalize(), shown(row[key])) for key in ("capacity", "allocation", "available") if row[key]),
        ]
    )


@command("pool dumpxml", "pool-dumpxml", examples=("anyvirt pool dumpxml default",))
def dumpxml(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    inactive: Annotated[bool, opt("--inactive", help="As it is defined, without sizes.")] = False,
    xpath: Annotated[str, xpath()] = "",
    wrap: Annotated[bool, wrap()] = False,
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print a pool's definition as XML, JSON or YAML."""
    from anyvirt.cli.source import part, show
    from anyvirt.document import Document

    one = cli.connection.lookup_pool(pool)
    document = one.config()
    if inactive:
        document = Document(model=document.model.replace(capacity=None, allocation=None, available=None))
    if xpath:
        part(cli, "pool-dumpxml/1", document, xpath, wrap=wrap, name=one.name, uuid=one.uuid)
    else:
        show(cli, "pool-dumpxml/1", format, document, name=one.name, uuid=one.uuid)


@command("pool uuid", "pool-uuid", examples=("anyvirt pool uuid default",))
def uuid_of(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Print the UUID of a pool."""
    objects.label(cli, "pool-uuid/1", "pool", cli.connection.lookup_pool(pool), "uuid")


@command("pool name", "pool-name", examples=("anyvirt pool name 55555555-5555-4555-8555-555555555555",))
def name_of(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Print the name of a pool."""
    objects.label(cli, "pool-name/1", "pool", cli.connection.lookup_pool(pool), "name")


@command("pool capabilities", "pool-capabilities", examples=("anyvirt pool capabilities --format json",))
def capabilities(
    cli: Invocation,
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print which types of pools work on the host."""
    from anyvirt.cli.source import show

    show(cli, "pool-capabilities/1", format, cli.connection.pool_capabilities())


@command(
    "pool find-sources",
    "find-storage-pool-sources",
    examples=("anyvirt pool find-sources logical", "anyvirt pool find-sources netfs server.xml"),
)
def find_sources(
    cli: Invocation,
    type: Annotated[str, arg("Type of the pools.", "TYPE", autocompletion=words(*TYPES))],  # noqa: A002 - virsh's word
    srcspec: Annotated[str, arg("File with a <source>, for types that are on a server.", "FILE")] = "",
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print what pools of a type could be made of.

    The host tells it, or a server that a <source> names.
    """
    from anyvirt.cli.source import given, show
    from anyvirt.document import Document

    source = Document.of(given(srcspec, "", "source")) if srcspec else None
    show(cli, "pool-find-sources/1", format, cli.connection.pool_sources(type, source), type=type)


@command(
    "pool find-sources-as",
    "find-storage-pool-sources-as",
    examples=("anyvirt pool find-sources-as netfs nas.example", "anyvirt pool find-sources-as iscsi san.example 3260"),
)
def find_sources_as(
    cli: Invocation,
    type: Annotated[str, arg("Type of the pools.", "TYPE", autocompletion=words(*TYPES))],  # noqa: A002 - virsh's word
    host: Annotated[str, arg("Server that is asked.", "HOST")] = "",
    port: Annotated[int, arg("Its port.", "PORT")] = 0,
    initiator: Annotated[str, opt("--initiator", help="iSCSI name to ask as.", metavar="IQN")] = "",
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print the same, asking a server named in words."""
    from anyvirt.cli.source import show
    from anyvirt.document import Document
    from anyvirt.model.storage import PoolHost, PoolSource

    source = None
    if host or initiator:
        hosts = (PoolHost(name=host, port=port or None),) if host else ()
        source = Document(model=PoolSource(hosts=hosts, initiator=initiator or None))
    show(cli, "pool-find-sources-as/1", format, cli.connection.pool_sources(type, source), type=type)
