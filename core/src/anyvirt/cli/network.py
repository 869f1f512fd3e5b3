"""Virtual networks and interfaces of the host: looking at them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from anyvirt.cli import objects
from anyvirt.cli.declare import command, named, opt, shown_form
from anyvirt.cli.invocation import Invocation
from anyvirt.ref import Answer


@command("net list", "net-list", examples=("anyvirt net list --all",))
def list_networks(
    cli: Invocation,
    everything: Annotated[bool, opt("--all", help="Active or not.")] = False,
    inactive: Annotated[bool, opt("--inactive", help="Only those that are not active.")] = False,
    name: Annotated[bool, opt("--name", help="Print names only, one a line.")] = False,
) -> None:
    """List virtual networks; the active ones unless told otherwise."""
    refs = [handle.ref for handle in cli.connection.network_list()]
    rows = objects.rows(cli, cli.connection.network_info(refs), everything=everything, inactive=inactive)
    if cli.json("net-list/1", networks=rows):
        return
    if name:
        objects.names(cli, rows)
        return
    cells = [(row["name"], objects.state(row), row.get("autostart"), row.get("persistent")) for row in rows]
    cli.table(("Name", "State", "Autostart", "Persistent"), cells)
    if not rows:
        cli.note(f"no networks to show on {cli.connection.uri}")


@command("net info", "net-info", examples=("anyvirt net info default",))
def info(cli: Invocation, network: Annotated[str, named("network")]) -> None:
    """Show the state of a virtual network."""
    one = cli.connection.lookup_network(network)
    row = {"name": one.name, "uuid": one.uuid, **asdict(one.info())}
    if cli.json("net-info/1", network=row):
        return
    cli.fields(
        [
            ("Name", one.name),
            ("UUID", one.uuid),
            ("Active", row["active"]),
            ("Persistent", row["persistent"]),
            ("Autostart", row["autostart"]),
            ("Bridge", row["bridge"]),
        ]
    )


@command("net dumpxml", "net-dumpxml", examples=("anyvirt net dumpxml default",))
def dumpxml(
    cli: Invocation,
    network: Annotated[str, named("network")],
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print a virtual network's definition as XML, JSON or YAML."""
    objects.dump(cli, "net-dumpxml/1", cli.connection.lookup_network(network), format)


@command("iface list", "iface-list", examples=("anyvirt iface list --all",))
def list_interfaces(
    cli: Invocation,
    everything: Annotated[bool, opt("--all", help="Active or not.")] = False,
    inactive: Annotated[bool, opt("--inactive", help="Only those that are not active.")] = False,
) -> None:
    """List the host's interfaces; without --all the active ones."""
    refs = [handle.ref for handle in cli.connection.interface_list()]
    known = "interface_info" in cli.connection.supports
    answers = cli.connection.interface_info(refs) if known else {ref: Answer(objects.UNTOLD) for ref in refs}
    rows = objects.rows(cli, answers, everything=everything, inactive=inactive, label="mac")
    if cli.json("iface-list/1", interfaces=rows):
        return
    cli.table(("Name", "State", "MAC Address"), [(row["name"], objects.state(row), row["mac"]) for row in rows])


@command("iface dumpxml", "iface-dumpxml", examples=("anyvirt iface dumpxml eth0",))
def dump_interface(
    cli: Invocation,
    interface: Annotated[str, named("interface")],
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print the description of a host interface as XML, JSON or YAML."""
    objects.dump(cli, "iface-dumpxml/1", cli.connection.lookup_interface(interface), format, label="mac")
