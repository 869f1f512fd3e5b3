"""Small questions that virsh has a command of its own for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import command, domain, opt
from anyvirt.cli.invocation import Invocation

if TYPE_CHECKING:
    from anyvirt.model.domain import Domain as DomainModel

VNC: Final = 5900  # the port of display 0
UNSAID: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - virsh names no host that means any


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


@command("vcpucount", hidden=True)
def vcpucount(
    cli: Invocation,
    domain: Annotated[str, domain()],
    maximum: Annotated[bool, opt("--maximum", help="Only the number at most.")] = False,
    active: Annotated[bool, opt("--active", help="Only the number that is plugged in.")] = False,
    live: Annotated[bool, opt("--live", help="Only of the running domain.")] = False,
    config: Annotated[bool, opt("--config", help="Only of the next boot.")] = False,
    current: Annotated[bool, opt("--current", help="Of the running domain, else of the next boot.")] = False,
) -> None:
    """Count a domain's virtual processors: at most and plugged in, now and at the next boot."""
    from anyvirt.errors import WrongState
    from anyvirt.model.choices import Which

    one, counts = cli.connection.lookup(domain), {}
    for state, which, only in (("config", Which.CONFIG, config), ("live", Which.LIVE, live)):
        try:
            model = one.config(which).model
        except WrongState:  # a transient domain has no next boot, one that is off is not running
            if only:
                raise
        else:
            most = 1 if model.vcpu is None else int(model.vcpu)
            counts[state] = {"maximum": most, "current": int(model.vcpu_current or most)}
    states = {state for state, on in (("live", live), ("config", config)) if on} or set(counts)
    if current:
        states = {"live" if "live" in counts else "config"}
    kinds = [kind for kind, on in (("maximum", maximum), ("current", active)) if on] or ["maximum", "current"]
    rows = [
        {"kind": kind, "state": state, "count": count[kind]}
        for kind in kinds
        for state, count in counts.items()
        if state in states
    ]
    if cli.json("vcpucount/1", vcpus=rows):
        return
    for row in rows:
        cli.line(str(row["count"]) if len(rows) == 1 else "{kind:<12} {state:<12} {count:>3}".format(**row))


@command("vncdisplay", hidden=True)
def vncdisplay(cli: Invocation, domain: Annotated[str, domain()]) -> None:
    """Print where a running domain shows its screen by VNC: HOST:DISPLAY, or a socket's path."""
    from anyvirt.errors import NotFound
    from anyvirt.model.choices import Which

    one = cli.connection.lookup(domain)
    for screen in one.config(Which.LIVE).model.graphics:
        listens = [listen for listen in screen.listens if listen.address or listen.socket]
        address = str(screen.listen or (listens[0].address if listens else None) or "")
        socket = screen.socket or (listens[0].socket if listens else None)
        if _word(screen.type) != "vnc" or not (socket or (screen.port or -1) >= VNC):
            continue
        host = f"[{address}]" if ":" in address else address
        place = socket or f"{'' if address in UNSAID else host}:{(screen.port or VNC) - VNC}"
        if not cli.json("vncdisplay/1", domain={"name": one.name, "uuid": one.uuid}, display=place):
            cli.line(place)
        return
    raise NotFound("vnc", "device", hint="give the domain <graphics type='vnc'/>, and start it again")


def _model(cli: Invocation, name: str, *, inactive: bool) -> DomainModel:
    from anyvirt.model.choices import Which

    return cli.connection.lookup(name).config(Which.CONFIG if inactive else Which.EFFECTIVE).model


def _word(value: Any) -> str | None:
    return None if value is None else str(getattr(value, "value", value))
