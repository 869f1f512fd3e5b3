"""Small questions that virsh has a command of its own for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from anyvirt.cli.declare import command, domain, opt
from anyvirt.cli.invocation import Invocation

if TYPE_CHECKING:
    from anyvirt.model.domain import Domain as DomainModel


@command("domid", hidden=True)
def domid(cli: Invocation, domain: Annotated[str, domain()]) -> None:
    """Print the number of a running domain; - for one that does not run."""
    one = cli.connection.lookup(domain)
    number = one.facts().id
    if not cli.json("domid/1", domain={"name": one.name, "uuid": one.uuid, "id": number}):
        cli.line("-" if number is None else str(number))


@command("domuuid", hidden=True)
def domuuid(cli: Invocation, domain: Annotated[str, domain()]) -> None:
    """Print the UUID of a domain."""
    one = cli.connection.lookup(domain)
    if not cli.json("domuuid/1", domain={"name": one.name, "uuid": one.uuid}):
        cli.line(one.uuid or one.ref.key)


@command("domname", hidden=True)
def domname(cli: Invocation, domain: Annotated[str, domain()]) -> None:
    """Print the name of a domain."""
    one = cli.connection.lookup(domain)
    if not cli.json("domname/1", domain={"name": one.name, "uuid": one.uuid}):
        cli.line(one.name)


@command("domblklist", hidden=True)
def domblklist(
    cli: Invocation,
    domain: Annotated[str, domain()],
    inactive: Annotated[bool, opt("--inactive", help="Of the next boot's definition.")] = False,
    details: Annotated[bool, opt("--details", help="With kind of source and of device.")] = False,
) -> None:
    """List a domain's disks and where they are."""
    rows = []
    for disk in _model(cli, domain, inactive=inactive).disks:
        source = disk.source
        parts = (source.file, source.dev, source.dir, source.path, source.volume, source.name) if source else ()
        rows.append(
            {
                "type": _word(disk.type),
                "device": _word(disk.device) or "disk",
                "target": disk.target,
                "source": next((part for part in parts if part), None),
            }
        )
    if cli.json("domblklist/1", disks=rows):
        return
    columns = ("type", "device", "target", "source") if details else ("target", "source")
    cli.table([name.capitalize() for name in columns], [[row[name] for name in columns] for row in rows])


@command("domiflist", hidden=True)
def domiflist(
    cli: Invocation,
    domain: Annotated[str, domain()],
    inactive: Annotated[bool, opt("--inactive", help="Of the next boot's definition.")] = False,
) -> None:
    """List a domain's network interfaces."""
    rows = []
    for nic in _model(cli, domain, inactive=inactive).interfaces:
        source: Any = nic.source
        parts = (source.network, source.bridge, source.dev, source.name, source.path) if source else ()
        rows.append(
            {
                "interface": nic.target,
                "type": _word(nic.type),
                "source": next((part for part in parts if part), None),
                "model": _word(nic.model),
                "mac": None if nic.mac is None else str(nic.mac),
            }
        )
    if cli.json("domiflist/1", interfaces=rows):
        return
    columns = ("interface", "type", "source", "model", "mac")
    heads = ("Interface", "Type", "Source", "Model", "MAC")
    cli.table(heads, [[row[name] for name in columns] for row in rows])


def _model(cli: Invocation, name: str, *, inactive: bool) -> DomainModel:
    from anyvirt.model.values import Which

    return cli.connection.lookup(name).config(Which.CONFIG if inactive else Which.EFFECTIVE).model


def _word(value: Any) -> str | None:
    return None if value is None else str(getattr(value, "value", value))
