"""Errors for people: code, message, every problem, the cause's own words, a way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyvirt.cli.paper import clean
from anyvirt.errors import CODES, Invalid, NotFound, VirtError

if TYPE_CHECKING:
    from anyvirt.cli.invocation import Invocation


def print_error(cli: Invocation, error: VirtError, prefix: str = "") -> None:
    """Print ``error[CODE]: message`` with what belongs to it."""
    head = f"error[{error.code}]:"
    if cli.colorful(cli.err):
        from anyvirt.cli.paper import colored

        head = colored(head, "red")
    several = error.problems if isinstance(error, Invalid) and len(error.problems) > 1 else ()
    message = f"{len(several)} problems" if several else error.message
    lines = [f"{head} {clean(prefix + message)}", *(f"  {clean(problem)}" for problem in several)]
    cause, told = error.__cause__, {id(error)}
    while cause is not None and id(cause) not in told:  # a chain may bite its own tail
        words = clean(cause).strip()
        if words and words not in lines[0] and not (isinstance(error, Invalid) and error.problems[0].text in words):
            lines.append(f"  because: {words}")
        told.add(id(cause))
        cause = cause.__cause__
    hint = near(cli, error) or error.hint or (CODES[error.code].way_out if error.code in CODES else "")
    if hint:
        lines.append(f"hint: {clean(hint)}")
    cli.out.flush()
    print("\n".join(lines), file=cli.err, flush=True)


def near(cli: Invocation, error: VirtError) -> str:
    """Names like the one that was not found, where there are some."""
    listing = {"domain": "domain_list", "pool": "pool_list", "network": "network_list", "interface": "interface_list"}
    opened = cli.__dict__.get("connection")
    hook = listing.get(getattr(error, "kind", ""))
    if not isinstance(error, NotFound) or opened is None or hook is None:
        return ""
    from difflib import get_close_matches

    try:
        names = [handle.name for handle in getattr(opened, hook)()]
    except VirtError:
        return ""
    close = get_close_matches(error.name, names, cutoff=0.6)
    close = close or [name for name in names if error.name.lower() in name.lower()][:3]
    return f"did you mean {' or '.join(close)}?" if close else ""
