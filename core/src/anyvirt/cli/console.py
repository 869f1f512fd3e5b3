"""``console``: the terminal as the guest's console."""

from __future__ import annotations

import os
import select
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import command, domain, opt
from anyvirt.cli.invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyvirt.transport.stream import Stream

ESCAPE: Final = 0x1D  # ^]
CHUNK: Final = 1 << 16


@command(
    "console",
    examples=(
        "anyvirt console web",
        "anyvirt console web --readonly --replay",
        "echo 'uname -a' | anyvirt console web --timeout 5",
    ),
)
def console(
    cli: Invocation,
    domain: Annotated[str, domain()],
    device: Annotated[
        str,
        opt(
            "--device",
            "--devname",
            help="Alias of the console or serial device; the first without it.",
            metavar="ALIAS",
        ),
    ] = "",
    force: Annotated[bool, opt("--force", help="Take the place of whoever is typing.")] = False,
    only: Annotated[bool, opt("--readonly", help="Only look.")] = False,
    replay: Annotated[bool, opt("--replay", help="Begin with what the log has kept.")] = False,
    safe: Annotated[bool, opt("--safe", help="One at a time types; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
) -> None:
    """Use a running domain's console.

    ^] (Ctrl and ]) leaves; the guest goes on. One may type and any number look on: who is
    second gets the name of the first, and --force takes over. Works in pipes, too: what is
    piped in is typed, and it ends when the guest stops, when the input has ended and the
    guest is silent for a second, or with --timeout.
    """
    cli.lasting()
    one = cli.connection.lookup(domain)
    with one.console(device or None, force, only, replay) as stream:
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        if terminal:
            cli.note(f"Connected to domain '{one.name}'\nEscape character is ^] (Ctrl + ])")
        with _raw() if terminal else nullcontext():
            _copy(cli, stream, typing=not only, terminal=terminal)
    if terminal:
        cli.note("")


def _copy(cli: Invocation, stream: Stream, *, typing: bool, terminal: bool) -> None:
    """Carry bytes both ways until an end."""
    from anyvirt.deadline import Deadline, within
    from anyvirt.errors import Interrupted

    source, sink = sys.stdin.fileno(), sys.stdout.fileno()
    listening, whole = typing or terminal, Deadline(cli.patience)
    while True:
        left = whole.left()
        quiet = None if listening or not typing else 1.0
        limit = quiet if left is None else left if quiet is None else min(left, quiet)
        ready = select.select([stream.fileno(), *([source] if listening else [])], [], [], limit)[0]
        if not ready:
            return
        if source in ready:
            data = os.read(source, CHUNK)
            leave = terminal and ESCAPE in data
            if typing:
                stream.write(data[: data.index(ESCAPE)] if leave else data)
            if leave:
                return
            listening = bool(data)
        if stream.fileno() in ready:
            with within(Deadline(None)):
                try:
                    data = stream.read(CHUNK)
                except Interrupted:
                    return
            if not data:
                return
            _write(sink, data)


def _write(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]


@contextmanager
def _raw() -> Iterator[None]:
    """The terminal passes on every key and draws nothing by itself."""
    import termios
    import tty

    before: list[Any] = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
