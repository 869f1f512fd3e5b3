"""Starting and stopping domains."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from anyvirt.cli.declare import command, domains, opt, words
from anyvirt.cli.invocation import Invocation
from anyvirt.errors import VirtError

if TYPE_CHECKING:
    from anyvirt.ref import Ref

_MODE = "acpi, agent, initctl, signal or paravirt; the driver's own choice without it."
DRY = "Only show all that it would take, and what stands in the way."
_MODES = words("acpi", "agent", "initctl", "signal", "paravirt")


@command(
    "start",
    examples=(
        "anyvirt start web",
        "anyvirt start web db --paused",
        "anyvirt --json start web",
        "anyvirt start web --dry-run",
    ),
)
def start(
    cli: Invocation,
    domains: Annotated[list[str], domains()],
    paused: Annotated[bool, opt("--paused", help="Leave the processors stopped.")] = False,
    dry_run: Annotated[bool, opt("--dry-run", help=DRY)] = False,
) -> None:
    """Boot defined domains.

    Where the host cannot run a domain, every reason is listed with its way out before
    anything has changed. Several domains start side by side; one that fails does not
    keep the others back.

    With --dry-run nothing is done: what would be is printed, the hypervisor's command line
    as a script and the rest as comments in it, and whatever stands in the way on stderr.
    """
    if dry_run:
        from anyvirt.cli.dry_run import show_all

        show_all(cli, domains, lambda name: cli.connection.lookup(name).plan(paused))
        return
    _tell_emulated(cli, each(cli, "start", domains, {"paused": paused}, "Domain '{}' started"))


@command(
    "shutdown",
    examples=("anyvirt shutdown web", "anyvirt shutdown web --mode acpi", "anyvirt shutdown web && anyvirt wait web"),
)
def shutdown(
    cli: Invocation,
    domains: Annotated[list[str], domains()],
    mode: Annotated[str, opt("--mode", help=f"How to ask: {_MODE}", metavar="MODE", autocompletion=_MODES)] = "",
) -> None:
    """Ask guests to power themselves off.

    Comes back when the guest was asked, not when it is off: ``wait`` waits for that. A
    guest that does not listen goes on; ``destroy`` pulls the plug.
    """
    each(cli, "shutdown", domains, {"mode": _mode(mode)}, "Domain '{}' is being shutdown")


@command("reboot", examples=("anyvirt reboot web", "anyvirt reboot web --mode agent"))
def reboot(
    cli: Invocation,
    domains: Annotated[list[str], domains()],
    mode: Annotated[str, opt("--mode", help=f"How to ask: {_MODE}", metavar="MODE", autocompletion=_MODES)] = "",
) -> None:
    """Ask guests to shut down and come up again.

    Comes back when the guest was asked, or when it has shut down where the hypervisor
    cannot be asked for both at once, as QEMU without a guest agent.
    """
    each(cli, "reboot", domains, {"mode": _mode(mode)}, "Domain '{}' is being rebooted")


@command("reset", examples=("anyvirt reset web",))
def reset(cli: Invocation, domains: Annotated[list[str], domains()]) -> None:
    """Press the reset button of domains.

    The guest gets no warning; what it has not written is lost.
    """
    each(cli, "reset", domains, {}, "Domain '{}' was reset")


@command("destroy", examples=("anyvirt destroy web", "anyvirt destroy web --graceful"))
def destroy(
    cli: Invocation,
    domains: Annotated[list[str], domains()],
    graceful: Annotated[
        bool, opt("--graceful", help="Only ask the hypervisor's process to end; fail when it does not.")
    ] = False,
) -> None:
    """Pull the plug of domains.

    Needs no answer from the guest and works on one that hangs. The definition stays;
    a transient domain is gone.
    """
    each(cli, "destroy", domains, {"graceful": graceful}, "Domain '{}' destroyed")


@command("suspend", examples=("anyvirt suspend web",))
def suspend(cli: Invocation, domains: Annotated[list[str], domains()]) -> None:
    """Stop the processors of domains; memory stays."""
    each(cli, "suspend", domains, {}, "Domain '{}' suspended")


@command("resume", examples=("anyvirt resume web",))
def resume(cli: Invocation, domains: Annotated[list[str], domains()]) -> None:
    """Let the processors of paused domains go on."""
    each(cli, "resume", domains, {}, "Domain '{}' resumed")


def each(cli: Invocation, verb: str, names: Sequence[str], arguments: dict[str, Any], done: str) -> list[Ref]:
    """Call one hook for several domains side by side, and report each; those for which it is done."""
    session = cli.connection.session
    begun: list[tuple[str, Any]] = []
    rows = []
    refs: list[Ref] = []
    for name in names:
        try:
            ref = cli.connection.lookup(name).ref
            begun.append((name, (ref, session.begin(f"domain_{verb}", {"ref": ref, **arguments}))))
        except VirtError as error:
            if len(names) == 1:
                raise
            begun.append((name, error))
    for name, what in begun:
        row: dict[str, Any] = {"name": name, "uuid": None, "done": False}
        try:
            if isinstance(what, VirtError):
                raise what
            ref, pending = what
            row |= {"name": str(ref), "uuid": ref.uuid}
            pending.result()
            row["done"] = True
            refs.append(ref)
            if not cli.options.json:
                cli.line(done.format(row["name"]))
        except VirtError as error:
            if len(names) == 1:
                raise
            cli.complain(error, name)
            row["error"] = cli.row_error(error)
        rows.append(row)
    cli.json(f"{verb}/1", domains=rows)
    return refs


def _tell_emulated(cli: Invocation, refs: Sequence[Ref]) -> None:
    """Say that guests which ask for KVM do not have it, and why."""
    if cli.options.quiet or cli.options.json:
        return
    import re

    from anyvirt.model.choices import Which

    with suppress(VirtError):  # they run; that is what was asked for
        answers = cli.connection.domain_config(refs, Which.CONFIG).values()
        texts = [answer.value.text for answer in answers if answer.value is not None]
        if any(re.search(r"<domain\b[^>]*\stype=['\"]kvm['\"]", text) for text in texts):
            for fact in cli.connection.facts():
                if (fact.name, fact.value) == ("accelerator", "tcg"):
                    cli.note(f"note: {'' if '(TCG)' in fact.reason else 'emulated (TCG): '}{fact.reason}")


def _mode(text: str) -> Any:
    if not text:
        return None
    from anyvirt.cli.usage import Usage
    from anyvirt.model.choices import ShutdownMode

    words = [word for mode in ShutdownMode for word in (mode.value,)]
    if text not in words:
        raise Usage(f"--mode {text!r} is no way to ask", hint=f"one of {', '.join(words)}")
    return ShutdownMode(text)
