"""``wait``: until a domain is in a state."""

from __future__ import annotations

from typing import Annotated, Final

from anyvirt.cli.declare import command, domain, opt, words
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.listing import status_row
from anyvirt.cli.usage import Usage
from anyvirt.model.state import State

_STATES: Final = {state.value.replace(" ", ""): state for state in State}


@command(
    "wait",
    examples=(
        "anyvirt shutdown web && anyvirt wait web",
        "anyvirt wait web --state running --timeout 60",
        "anyvirt wait web --state paused --state crashed",
    ),
    exits="Exit status: 0 it is in that state; 1 not in time, or failed; 2 wrong usage.",
)
def wait(
    cli: Invocation,
    domain: Annotated[str, domain()],
    states: Annotated[
        list[str],
        opt(
            "--state",
            help="running, paused, shutoff, crashed ...; shutoff without it.",
            metavar="STATE",
            autocompletion=words(*_STATES),
        ),
    ] = [],  # noqa: B006 - Typer makes a new list for each call, and so does the table
) -> None:
    """Wait until a domain is in a state.

    Several --state options wait for any of them. Waits for ever unless --timeout says
    otherwise. A transient domain that is gone counts as shut off.
    """
    wanted = {_state(word) for word in states or ["shutoff"]}
    cli.lasting()
    one = cli.connection.lookup(domain)
    status = one.wait_for(wanted, timeout=cli.patience)
    if not cli.json("wait/1", domain={"name": one.name, "uuid": one.uuid, **status_row(status)}):
        cli.line(str(status))


def _state(word: str) -> State:
    found = _STATES.get(word.lower().replace(" ", "").replace("-", ""))
    if found is None:
        raise Usage(f"--state {word!r} is no state", hint=f"one of {', '.join(_STATES)}")
    return found
