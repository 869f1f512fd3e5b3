"""``events``: what happens, as it happens, or since a token."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import command, opt, words
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import clean
from anyvirt.deadline import Deadline
from anyvirt.errors import Interrupted
from anyvirt.events import KINDS

if TYPE_CHECKING:
    from anyvirt.events import Event
    from anyvirt.feed import Feed
    from anyvirt.ref import Ref

# virsh's words for kinds of events, and ours
OF_POOLS: Final = {"lifecycle": "pool-lifecycle", "refresh": "pool-refresh", "volume": "volume-lifecycle"}
OF_SECRETS: Final = {"lifecycle": "secret-lifecycle", "value-changed": "secret-value-changed"}


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
    wanted = cli.connection.lookup(of).ref if of else None
    _follow(cli, "events/1", {kind} if kind else set(KINDS), wanted, after, count)


@command(
    "pool event",
    "pool-event",
    examples=(
        "anyvirt pool event --pool images",
        "anyvirt pool event --event refresh --count 1",
        "anyvirt pool event --list",
    ),
)
def pool_events(
    cli: Invocation,
    pool: Annotated[str, opt("--pool", help="Only of this pool and what is in it.", metavar="POOL")] = "",
    kind: Annotated[
        str,
        opt("--event", help="Only lifecycle, refresh or volume.", metavar="KIND", autocompletion=words(*OF_POOLS)),
    ] = "",
    after: Annotated[str, opt("--after", help="Go on after the event with this token.", metavar="TOKEN")] = "",
    count: Annotated[int, opt("--count", help="End after so many events; 0 for no end.", metavar="N")] = 0,
    names: Annotated[bool, opt("--list", help="Print the kinds of events, and end.")] = False,
    loop: Annotated[bool, opt("--loop", help="Go on until Ctrl-C; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
    timestamp: Annotated[bool, opt("--timestamp", help="Show the time; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
) -> None:
    """Print what happens to pools and volumes."""
    kinds = _kinds(cli, "pool-event/1", OF_POOLS, kind, names=names)
    if kinds:
        _follow(cli, "pool-event/1", kinds, cli.connection.lookup_pool(pool).ref if pool else None, after, count)


@command(
    "secret event",
    "secret-event",
    examples=("anyvirt secret event", "anyvirt secret event --event value-changed --timeout 60"),
)
def secret_events(
    cli: Invocation,
    secret: Annotated[str, opt("--secret", help="Only of this secret.", metavar="SECRET")] = "",
    kind: Annotated[
        str,
        opt("--event", help="Only lifecycle or value-changed.", metavar="KIND", autocompletion=words(*OF_SECRETS)),
    ] = "",
    after: Annotated[str, opt("--after", help="Go on after the event with this token.", metavar="TOKEN")] = "",
    count: Annotated[int, opt("--count", help="End after so many events; 0 for no end.", metavar="N")] = 0,
    names: Annotated[bool, opt("--list", help="Print the kinds of events, and end.")] = False,
    loop: Annotated[bool, opt("--loop", help="Go on until Ctrl-C; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
    timestamp: Annotated[bool, opt("--timestamp", help="Show the time; the default.")] = False,  # noqa: ARG001 - virsh's word for what is so anyway
) -> None:
    """Print what happens to secrets, never their values."""
    kinds = _kinds(cli, "secret-event/1", OF_SECRETS, kind, names=names)
    if kinds:
        _follow(
            cli, "secret-event/1", kinds, cli.connection.lookup_secret(secret).ref if secret else None, after, count
        )


def _kinds(cli: Invocation, schema: str, known: Mapping[str, str], kind: str, *, names: bool) -> set[str]:
    """The kinds that are meant; none where only their names were asked for."""
    if kind and kind not in known:
        from anyvirt.cli.usage import Usage

        raise Usage(f"--event {kind!r} is no kind of event", hint=f"one of {', '.join(known)}")
    if names:
        if not cli.json(schema, kinds=list(known)):
            cli.lines(known)
        return set()
    return {known[kind]} if kind else set(known.values())


def _follow(cli: Invocation, schema: str, kinds: AbstractSet[str], of: Ref | None, after: str, count: int) -> None:
    """Print events of some kinds, of one object or of all."""
    cli.lasting()
    deadline, left = Deadline(cli.patience), count
    with cli.connection.events(after or None) as feed:
        for event in _until(feed, deadline):
            its = {event.ref, event.ref.parent if event.ref else None}
            if event.kind != "gap" and (event.kind not in kinds or (of is not None and of not in its)):
                continue
            _print(cli, schema, event)
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


def _print(cli: Invocation, schema: str, event: Event) -> None:
    if cli.options.json:
        import json

        print(json.dumps({**row(event), "schema": schema}), file=cli.out, flush=True)
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
