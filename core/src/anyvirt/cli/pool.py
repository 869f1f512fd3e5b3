"""Storage pools: ``pool list`` and its neighbours."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from anyvirt.cli import objects
from anyvirt.cli.declare import arg, command, form, named, opt, shown_form
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import size


@command("pool list", "pool-list", examples=("anyvirt pool list --all", "anyvirt pool list --details"))
def list_pools(
    cli: Invocation,
    everything: Annotated[bool, opt("--all", help="Active or not.")] = False,
    inactive: Annotated[bool, opt("--inactive", help="Only those that are not active.")] = False,
    details: Annotated[bool, opt("--details", help="With sizes.")] = False,
    name: Annotated[bool, opt("--name", help="Print names only, one a line.")] = False,
) -> None:
    """List storage pools; the active ones unless told otherwise."""
    refs = [handle.ref for handle in cli.connection.pool_list()]
    rows = objects.rows(cli, cli.connection.pool_info(refs), everything=everything, inactive=inactive)
    if cli.json("pool-list/1", pools=rows):
        return
    if name:
        objects.names(cli, rows)
        return
    heads = ["Name", "State", "Autostart", *(["Capacity", "Allocation", "Available"] if details else [])]
    cli.table(heads, [_cells(row, details=details) for row in rows])
    if not rows:
        cli.note(f"no pools to show on {cli.connection.uri}{'' if everything else '; --all lists inactive ones, too'}")


def _cells(row: dict[str, Any], *, details: bool) -> list[Any]:
    if "error" in row:
        return [row["name"], objects.state(row), *["-"] * (4 if details else 1)]
    sizes = [size(row[key]) for key in ("capacity", "allocation", "available")] if details else []
    return [row["name"], objects.state(row), row["autostart"], *sizes]


@command("pool info", "pool-info", examples=("anyvirt pool info default",))
def info(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Show state and sizes of a pool."""
    one = cli.connection.lookup_pool(pool)
    row = {"name": one.name, "uuid": one.uuid, **asdict(one.info())}
    if cli.json("pool-info/1", pool=row):
        return
    cli.fields(
        [
            ("Name", one.name),
            ("UUID", one.uuid),
            ("State", "running" if row["active"] else "inactive"),
            ("Persistent", row["persistent"]),
            ("Autostart", row["autostart"]),
            *((key.capitalize(), size(row[key])) for key in ("capacity", "allocation", "available") if row[key]),
        ]
    )


@command("pool dumpxml", "pool-dumpxml", examples=("anyvirt pool dumpxml default",))
def dumpxml(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print a pool's definition as XML, JSON or YAML."""
    objects.dump(cli, "pool-dumpxml/1", cli.connection.lookup_pool(pool), format)


@command("pool define", "pool-define", examples=("anyvirt pool define images.xml",))
def define(
    cli: Invocation,
    file: Annotated[str, arg("File with the definition; - reads what is piped in.", "FILE")],
    keep_unknown: Annotated[
        bool, opt("--keep-unknown", help="Take over elements and attributes that anyvirt does not know.")
    ] = False,
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
) -> None:
    """Store a pool's definition."""
    from anyvirt.cli.source import given

    made = cli.connection.pool_define(given(file, format, "pool"), keep_unknown=keep_unknown)
    if not cli.json("pool-define/1", pool={"name": made.name, "uuid": made.uuid}):
        cli.line(f"Pool {made.name} defined from {file}")


@command("pool undefine", "pool-undefine", examples=("anyvirt pool undefine images",))
def undefine(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Remove a stopped pool's definition; its content stays."""
    one = cli.connection.lookup_pool(pool)
    one.undefine()
    _done(cli, "pool-undefine/1", one, f"Pool {one.name} has been undefined")


@command("pool start", "pool-start", examples=("anyvirt pool start images",))
def start(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Make a pool's volumes reachable."""
    one = cli.connection.lookup_pool(pool)
    one.start()
    _done(cli, "pool-start/1", one, f"Pool {one.name} started")


@command("pool stop", "pool-destroy", examples=("anyvirt pool stop images",))
def stop(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Let go of a pool; nothing of its content is touched."""
    one = cli.connection.lookup_pool(pool)
    one.stop()
    _done(cli, "pool-stop/1", one, f"Pool {one.name} stopped")


def _done(cli: Invocation, schema: str, one: Any, text: str) -> None:
    if not cli.json(schema, pool={"name": one.name, "uuid": one.uuid}):
        cli.line(text)
