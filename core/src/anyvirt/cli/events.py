"""``events``: what happens, as it happens, or since a token."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from anyvirt.cli.declare import command, opt, words
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import clean
from anyvirt.deadline import Deadline
from anyvirt.errors import Interrupted
from anyvirt.events import KINDS

if TYPE_CHECKING:
    from anyvirt.events import Event
    from anyvirt.feed import Feed


@command(
    "events",
    "event",
    examples=(
        "anyvirt events",
        "anyvirt events --domain web --timeout 60",
        "anyvirt events --count 1 --event lifecycle",
        'anyvirt --json events --after "$TOKEN"      one JSON object a line',
    ),
)
def events(
    cli: Invocation,
    after: Annotated[str, opt("--after", help="Go on after the event with this token.", metavar="TOKEN")] = "",
    of: Annotated[str, opt("--of", "--domain", help="Only of this domain.", metavar="DOMAIN")] = "",
    kind: Annotated[
        str,
        opt("--event", help="Only of this kind: lifecycle, reboot ...", metavar="KIND", autocompletion=words(*KINDS)),
    ] = "",
    count: Annotated[int, opt("--count", help="End after so many events; 0 for no end.", metavar="N")] = 0,
    loop: Annotated[bool, opt("--loop", help="Go on until Ctrl-C; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
    everything: Annotated[bool, opt("--all", help="Of every kind; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
    timestamp: Annotated[bool, opt("--timestamp", help="Show the time; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
) -> None:
    """Print what happens to domains, as it happens.

    One line each: time, domain, event, detail. Goes on until Ctrl-C, or until --timeout or
    --count says so. With --json each event has a token, and --after goes on from it, also
    in another process and after a break. Where events may be missing a line says gap, since
    when, and why: what is so now has to be asked then.
    """
    if kind and kind not in KINDS:
        from anyvirt.cli.usage import Usage

        raise Usage(f"--event {kind!r} is no kind of event", hint=f"one of {', '.join(KINDS)}")
    cli.lasting()
    wanted = cli.connection.lookup(of).ref if of else None
    deadline, left = Deadline(cli.patience), count
    with cli.connection.events(after or None) as feed:
        for event in _until(feed, deadline):
            gap = event.kind == "gap"
            if not gap and ((wanted is not None and event.ref != wanted) or (kind and event.kind != kind)):
                continue
            _print(cli, event)
            left -= 1
            if left == 0:
                return


def _until(feed: Feed, deadline: Deadline) -> Iterator[Event]:
    while True:
        try:
            yield feed.get(deadline.left())
        except Interrupted as error:
            if error.reason == "deadline" and deadline.over():
                return
            raise


def _print(cli: Invocation, event: Event) -> None:
    if cli.options.json:
        import json

        print(json.dumps(row(event)), file=cli.out, flush=True)
        return
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at)) + f".{int(event.at * 1000) % 1000:03d}"
    detail = event.detail_row()
    if event.kind == "lifecycle":
        what = f"{detail['change']} ({detail['detail']})" if detail["detail"] else str(detail["change"])
    else:
        what = " ".join([event.kind, *(f"{name}={value}" for name, value in detail.items() if value not in {"", None})])
    print(clean(f"{moment}  {event.ref or '-'}  {what}"), file=cli.out, flush=True)


def row(event: Event) -> dict[str, Any]:
    """An event as plain data."""
    ref = event.ref
    about = {"name": str(ref), "uuid": ref.uuid, "kind": ref.kind, "key": ref.key} if ref else None
    common = {"schema": "events/1", "event": event.kind, "at": event.at, "ref": about}
    return {**common, "token": event.token, **event.detail_row()}
