"""The first console of a full guest and its first serial port are one thing: each implies the other."""

from __future__ import annotations

from anyvirt.model.assign.draft import Draft, Drafts
from anyvirt.model.devices.char import Console, ConsoleTarget, Serial

SHARED = ("type", "tty", "sources", "protocol", "log", "log_append")
# ports that are for a machine to write debug messages to, not for a person at a console
DEBUG = frozenset({"isa-debug"})


def pair(domain: Drafts) -> None:
    """Give a serial port its console, and a console of kind serial its port; the port says what both are.

    Before it all serial ports and consoles need a target with a type.
    """
    serials, consoles = domain.many("serials"), domain.many("consoles")
    first = consoles[0] if consoles else None
    is_serial = first is not None and first.target is not None and first.target.type == "serial"
    if first is not None and is_serial and not serials:
        domain.add("serials", Serial(**{field: getattr(first, field) for field in SHARED}, address=first.address))
        return
    if serials and first is not None and is_serial:
        _follow(first, serials[0])
    elif serials and (serials[0].target is None or serials[0].target.type not in DEBUG):
        _follow(domain.add("consoles", Console(target=ConsoleTarget(type="serial", port=0)), 0), serials[0])


def _follow(console: Draft, port: Draft) -> None:
    """Make the console what the serial port is; an alias of its own stays."""
    for field in SHARED:
        value = getattr(port, field)
        if getattr(console, field) != value:
            setattr(console, field, value)
    if console.alias is None and port.alias is not None:
        console.alias = port.alias


def same_place(domain: Drafts) -> None:
    """Give the console that is a serial port the port's address."""
    port = next(iter(domain.many("serials")), None)
    console = next(iter(domain.many("consoles")), None)
    if port is None or console is None or console.target is None or console.target.type != "serial":
        return
    if console.address != port.address:
        console.address = port.address
