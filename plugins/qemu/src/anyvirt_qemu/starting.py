"""Bringing a guest up: every step told before it is done, and taken back together when one fails."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Busy,
    Change,
    Document,
    Event,
    Failed,
    Interrupted,
    Undo,
    Unreachable,
    VirtError,
    unix,
    without_passwords,
)
from anyvirt_host.local import files
from anyvirt_host.local.launch import Spec, launch

from anyvirt_qemu import ending, image
from anyvirt_qemu.guest import LOG, Record
from anyvirt_qemu.hosting import Preparation, assigned, links, tuned
from anyvirt_qemu.qmp import failure, journal
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.readiness import reserves
from anyvirt_qemu.readiness.reached import reached
from anyvirt_qemu.run_dir import CONTROL, RECORD, RunDir
from anyvirt_qemu.site import KIND, lifecycle

if TYPE_CHECKING:
    from anyvirt.api import Domain, ProcessId, Row

    from anyvirt_qemu.planning.plan import Account, FdUse, Plan
    from anyvirt_qemu.site import Site

GREETING: Final = 30.0


def start(site: Site, row: Row, plan: Plan, *, paused: bool, accelerator: str) -> None:
    """Start QEMU as planned and let the guest run; under the guest's lock, with its row there.

    :raises VirtError: something failed; nothing is left of the start.
    """
    run = secrets.token_hex(8)
    with Undo() as undo:
        undo.callback(ending.roll_back, site, row.uuid)
        site.step("mark-run")
        record = Record(
            run=run,
            uuid=row.uuid,
            name=row.name,
            uid=plan.account.uid if plan.account is not None else None,
            number=site.store.begin_run(KIND, row.uuid, run),
            phase="starting",
            paused=paused,
            xml=_live(plan.domain),
            boot=site.scope.boot_id,
            began=time.time(),
            accelerator=accelerator,
            binary=plan.argv[0],
            disks=_disks(plan),
            sockets=(*plan.sockets, *(use.target for use in plan.fds if use.kind == "listen")),
            warnings=tuple(plan.warnings),
        )
        _copy(site, plan)
        site.step("make-run-dir")
        with _run_dir(site, row, plan.account) as place, _speaking(plan, place, row.name):
            _launched(site, row, plan, place, record)
        undo.keep()


def _speaking(plan: Plan, place: RunDir, guest: str) -> AbstractContextManager[None]:
    """A block whose failures are explained by what runs beside QEMU."""
    if not plan.programs:
        return nullcontext()
    from anyvirt_qemu.hosting import programs

    return programs.speaking(place, plan.programs, guest)


def _beside(ready: Preparation, plan: Plan, ours: ExitStack, joins: tuple[str, ...]) -> dict[str, int]:
    """Start what runs beside QEMU; its ends of connections to that."""
    if not plan.programs:
        return {}
    from anyvirt_qemu.hosting import programs

    return programs.start(ready, plan, ours, joins)


def _launched(site: Site, row: Row, plan: Plan, place: RunDir, record: Record) -> None:
    site.step("prepare-run-dir")
    ready = Preparation(site, place, record)
    ready.note()  # first of all: it names what may be left behind
    journal.prepare(place.q, uid=record.uid)
    _overlay(site, plan)
    plan = assigned.take(ready, plan)
    _kept_in(ready, plan)
    nets: dict[str, Mapping[str, str]] = {}
    with ExitStack() as ours:  # what QEMU has inherited is no longer needed here, whatever becomes of it
        joins = tuned.before(ready, plan.tuning, ours)
        ends = _beside(ready, plan, ours, joins)
        site.step("bind-sockets")
        fds = _descriptors(ready, plan, ours, nets, ends)
        ready.note(nets=nets)
        site.step("launch")
        place.hold()
        process = launch(_spec(site, plan, place, fds, joins), name=row.name)
        place.release()
    site.step("connect")
    with _connected(place, process, row.name) as monitor:
        site.step("configure")
        consoles, domain = _configured(monitor, plan)
        tuned.after(ready, plan.tuning, monitor, process)
        ready.note(consoles=consoles, xml=_live(domain))
        site.step("tell")
        ready.note(phase="telling")
        try:
            site.store.append(_told(row, ready.record))
        except VirtError:  # nobody has heard of it
            ready.note(phase="starting")
            raise
        ready.note(phase="booting")
        site.step("cont")
        if not ready.record.paused:
            monitor.execute("cont")
        site.step("note-running")
        ready.note(phase="running")


def _kept_in(ready: Preparation, plan: Plan) -> None:
    """What keeps QEMU to what is its guest's, and gives it that."""
    if plan.account is not None:
        from anyvirt_qemu.hosting import ownership

        ownership.give(ready, plan)
    if plan.profile is not None:
        from anyvirt_qemu.hosting import confined

        confined.load(ready, plan)


def _run_dir(site: Site, row: Row, account: Account | None) -> RunDir:
    """The run directory, and the way to it and to what is the guest's own, for the user that QEMU will be."""
    if account is None:
        return RunDir.create(site.runs, row.uuid)
    site.scope.folder("qemu", run=True, passable=True)
    for name in ("nvram", "overlays", "memory"):
        place = site.scope.folder("qemu", name, passable=True)
    own = place / str(account.uid)  # where memory comes from files, they are made here
    own.mkdir(0o700, exist_ok=True)
    os.chown(own, account.uid, account.gid, follow_symlinks=False)
    return RunDir.create(site.runs, row.uuid, uid=account.uid, gid=account.gid)


def _spec(site: Site, plan: Plan, place: RunDir, fds: Mapping[int, int], joins: tuple[str, ...]) -> Spec:
    account = plan.account
    return Spec(
        argv=plan.argv,
        env=environment(plan),
        fds=fds,
        limits=(*reserves.limits(plan), *site.configured.rlimits()),
        oom=site.configured.limits.get("oom"),
        uid=account.uid if account is not None else None,
        gid=account.gid if account is not None else None,
        label=f"exec {plan.profile.name}" if plan.profile is not None else "",
        groups=account.groups if account is not None else (),
        cgroups=joins,
        cpus=tuple(sorted(plan.tuning.cpus)),
        cwd=plan.cwd,
        log=(place.q, LOG),
        record=(place.fd, RECORD),
    )


def environment(plan: Plan) -> dict[str, str]:
    """All that QEMU finds in its environment."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": plan.cwd, **plan.env}


def _told(row: Row, record: Record) -> list[Event]:
    events: list[Event] = [lifecycle(row, Change.STARTED, "booted", run=record.run)]
    if record.paused:
        events.append(lifecycle(row, Change.SUSPENDED, "paused", run=record.run))
    return events


def _connected(place: RunDir, process: ProcessId, name: str) -> Monitor:
    """The monitor for changes, as soon as QEMU greets; if it ends first, its last words say why."""
    try:
        return Monitor(place.place(CONTROL), name, greeting=GREETING)
    except (Interrupted, Unreachable, Failed) as error:
        with suppress(VirtError):
            process.wait(0.5)
        if process.alive() is False:
            raise failure.ended(place.log_tail(LOG), name) from error
        raise


def _live(domain: Domain) -> str:
    return without_passwords(Document.of(domain.replace(id=None))).text


def _configured(monitor: Monitor, plan: Plan) -> tuple[dict[str, dict[str, str]], Domain]:
    """Run what the plan wants run while the guest stands; say where its consoles are, and where it is reached."""
    batch = [Command("query-chardev"), *(Command(step.command, step.arguments) for step in plan.steps)]
    if "-vnc" in plan.argv:
        batch.append(Command("query-vnc"))
    answers = monitor.execute_many(batch)
    for answer in answers:
        if isinstance(answer, VirtError):
            raise answer
    found = {str(row["label"]): str(row["filename"]) for row in answers[0]}
    consoles = {}
    for use in plan.consoles:
        place = use.socket
        if use.type == "pty":
            place = found.get(use.chardev, "").partition("pty:")[2]
        consoles[use.alias] = {"kind": use.kind, "type": use.type, "log": use.log, "path": place}
    lines = {alias: use["path"] for alias, use in consoles.items() if use["type"] == "pty" and use["path"]}
    screen = answers[-1] if "-vnc" in plan.argv else None
    return consoles, reached(plan.domain, plan.cwd, screen, lines)


def _disks(plan: Plan) -> dict[str, dict[str, str]]:
    return {
        disk.target: {
            "alias": disk.alias,
            "path": disk.nodes[0].path,
            "format": disk.nodes[0].format,
            "node": disk.nodes[0].node,
            "protocol": disk.nodes[0].protocol,
        }
        for disk in plan.disks
        if disk.nodes
    }


def _overlay(site: Site, plan: Plan) -> None:
    """Images for what is dropped when the guest ends; what an earlier run has left goes first."""
    for use in plan.overlays:
        site.step("make-overlay")
        with suppress(FileNotFoundError):
            os.unlink(use.path)
        image.create(use.path, image.look(use.below, use.format).capacity)


def _copy(site: Site, plan: Plan) -> None:
    """Files that the guest gets a copy of, such as firmware variables; one that is there already stays."""
    for use in plan.copies:
        target = Path(use.target)
        if target.exists():
            continue
        site.step("copy-file")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        try:
            with Path(use.source).open("rb") as source, open(new, "wb", opener=files.private) as out:
                shutil.copyfileobj(source, out)
                out.flush()
                os.fsync(out.fileno())
            new.replace(target)
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            words = {"errno": error.errno, "text": error.strerror}
            raise Failed(f"cannot copy {use.source} to {use.target}: {error.strerror}", native=words) from error


def _descriptors(
    ready: Preparation, plan: Plan, ours: ExitStack, nets: dict[str, Mapping[str, str]], ends: Mapping[str, int]
) -> dict[int, int]:
    """Everything that QEMU inherits: number that it has there -> ours."""
    place = ready.place
    taps = links.connect(ready, plan, ours, nets)
    known = {"pair": ends, "secret": {name: _private_bytes(name, value, ours) for name, value in plan.secrets.items()}}
    return {
        use.number: known[use.kind][use.target] if use.kind in known else _descriptor(use, place, ours, taps)
        for use in plan.fds
    }


def _private_bytes(name: str, value: bytes, ours: ExitStack) -> int:
    """A file without a name, for QEMU alone: what is in it is on no disk and on no command line."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    ours.callback(os.close, fd)
    os.write(fd, value)
    return fd


def _descriptor(use: FdUse, place: RunDir, ours: ExitStack, taps: Mapping[str, list[int]]) -> int:
    if use.kind in {"monitor", "socket"}:
        listening = place.listen(use.target)
        ours.callback(listening.close)
        return listening.fileno()
    if use.kind == "tap":
        return taps[use.target].pop(0)
    if use.kind == "listen":
        folder, name = os.path.split(use.target)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        ours.callback(os.close, directory)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        return ours.enter_context(unix.listen(directory, name)).fileno()
    fd = _cancelling(use.target) if use.kind == "cancel" else _device(use.target)
    ours.callback(os.close, fd)
    return fd


def _device(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise Busy(path, holder="another program", hint=f"fuser -v {path} shows which") from error
        words = {"errno": error.errno, "text": error.strerror, "device": path}
        raise Failed(f"cannot open {path} for QEMU: {error.strerror}", native=words) from error


def _cancelling(device: str) -> int:
    """Where a command of this TPM is cancelled; nowhere, for those of version 2, which the kernel cancels itself."""
    name = os.path.basename(device)
    for place in (f"/sys/class/tpm/{name}/device/cancel", f"/sys/class/misc/{name}/device/cancel"):
        with suppress(OSError):
            return os.open(place, os.O_WRONLY | os.O_CLOEXEC)
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
