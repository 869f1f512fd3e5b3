"""Long work: ``save``, ``restore``, what is going on, and cleaning up after what was killed."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from anyvirt.cli.declare import arg, command, domain, opt
from anyvirt.cli.invocation import Invocation

if TYPE_CHECKING:
    from anyvirt.jobs import Job
    from anyvirt.progress import Progress

T = TypeVar("T")
WIDTH: Final = 24
TAKING_BACK: Final = 60.0


@command("save", examples=("anyvirt save web /var/tmp/web.save",))
def save(
    cli: Invocation,
    domain: Annotated[str, domain()],
    file: Annotated[str, arg("File on the host that gets the state.", "FILE")],
) -> None:
    """Write a domain's memory and state to a file and stop it.

    ``restore`` brings it back. Where it fails, or Ctrl-C stops it, the domain goes on as
    before and no file is left.
    """
    file = os.path.abspath(file)  # as virsh: what the user means is beside the user
    one = cli.connection.lookup(domain)
    follow(cli, one.save(file, timeout=cli.patience))
    if not cli.json("save/1", domain={"name": one.name, "uuid": one.uuid}, file=file):
        cli.line(f"Domain '{one.name}' saved to {file}")


@command("restore", examples=("anyvirt restore /var/tmp/web.save", "anyvirt restore /var/tmp/web.save --paused"))
def restore(
    cli: Invocation,
    file: Annotated[str, arg("File on the host that has the state.", "FILE")],
    paused: Annotated[bool, opt("--paused", help="Leave the processors stopped.")] = False,
) -> None:
    """Bring a saved domain back as it was."""
    file = os.path.abspath(file)
    ref = follow(cli, cli.connection.domain_restore(file, paused, timeout=cli.patience))
    if not cli.json("restore/1", domain={"name": str(ref), "uuid": ref.uuid}, file=file):
        cli.line(f"Domain restored from {file}")


@command("jobs", examples=("anyvirt jobs", "anyvirt --json jobs"))
def jobs(cli: Invocation) -> None:
    """List long work that is under way, whoever began it.

    A job whose owner is gone was killed half-way: ``recover`` settles it.
    """
    from anyvirt.identity import ProcessId

    rows: list[dict[str, Any]] = []
    for record in cli.connection.session.host.jobs.all():
        owner = ProcessId.from_json(record.owner) if record.owner else None
        rows.append(
            {
                "id": record.id,
                "what": record.hook,
                "name": str(record.ref) if record.ref else None,
                "phase": record.phase,
                "pid": owner.pid if owner else None,
                "alive": owner.alive() if owner else False,
                "started": record.started,
            }
        )
    if cli.json("jobs/1", jobs=rows):
        return
    owners = {True: "", False: " (gone)", None: " (not to be seen from here)"}
    cli.table(
        ("Id", "What", "Name", "Phase", "Owner", "Since"),
        [
            (
                row["id"],
                row["what"],
                row["name"],
                row["phase"],
                f"{row['pid'] or '-'}{owners[row['alive']]}",
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["started"])),
            )
            for row in rows
        ],
    )


@command("recover", examples=("anyvirt recover",))
def recover(cli: Invocation) -> None:
    """Clean up what killed processes left behind.

    Jobs of theirs are settled, too. Says what was done, one line each. It asks the
    hypervisor what is so; running it twice does nothing the second time.
    """
    done = list(cli.connection.recover(timeout=cli.patience))
    if cli.json("recover/1", actions=done):
        return
    for sentence in done:
        cli.line(sentence)
    if not done:
        cli.note("nothing to recover")


@command(
    "import-libvirt",
    examples=("anyvirt import-libvirt --dry-run", "sudo anyvirt -c qemu:///system import-libvirt"),
)
def import_libvirt(
    cli: Invocation,
    dry_run: Annotated[bool, opt("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Bring in the definitions that libvirt keeps on this host.

    What is missing is defined, nothing is started, and libvirt's files stay as they are. A
    guest that a running libvirtd holds is shown as foreign. What cannot be brought in is
    listed with the reason, and the exit status is 1.
    """
    rows = [
        {"name": one.name, "uuid": one.uuid, "source": one.source, "outcome": one.outcome, "detail": one.detail}
        for one in cli.connection.domain_import(dry_run)
    ]
    cli.failed = any(row["outcome"] == "refused" for row in rows)
    if cli.json("import-libvirt/1", dry_run=dry_run, domains=rows):
        return
    cli.table(
        ("Name", "Outcome", "Source", "Detail"),
        [(row["name"], row["outcome"], row["source"], row["detail"]) for row in rows],
    )


def follow(cli: Invocation, job: Job[T]) -> T:
    """The outcome of a job, its progress drawn meanwhile; Ctrl-C cancels it and waits until it is taken back."""
    cli.lasting()
    bar = cli.err.isatty() and not cli.options.quiet and not cli.options.json
    try:
        if bar:
            for progress in job:
                print(f"\r{drawn(progress)}\x1b[K", end="", file=cli.err, flush=True)
            print("\r\x1b[K", end="", file=cli.err, flush=True)
        return job.wait()
    except KeyboardInterrupt:
        job.cancel()
        print(f"{chr(13) if bar else ''}taking it back ...", file=sys.stderr)
        _settled(job)
        raise


def _settled(job: Job[Any]) -> None:
    from anyvirt.errors import VirtError

    try:
        job.wait(TAKING_BACK)
    except VirtError:
        return


def drawn(progress: Progress) -> str:
    """Progress in one line: ``memory  [#####.......]  41 %  1.203 GiB of 2.930 GiB``."""
    from anyvirt.cli.paper import size

    if not progress.total:
        return f"{progress.phase}  {progress.done or ''} {progress.unit}".rstrip()
    share = min(1.0, max(0.0, progress.done / progress.total))
    full = round(share * WIDTH)
    text = f"{progress.phase:<12} [{'#' * full}{'.' * (WIDTH - full)}] {share:4.0%}"
    if progress.unit == "B":
        text += f"  {size(progress.done)} of {size(progress.total)}"
    elif progress.unit not in {"", "%"}:
        text += f"  {progress.done} of {progress.total} {progress.unit}"
    return text
