"""How a run ends: asked for, by itself, or because its starter was killed; always under the guest's lock."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from anyvirt.api import STOPPED_BY, Busy, Change, NotFound, Reason, VirtError

from anyvirt_qemu import process
from anyvirt_qemu.guest import Run, stopped
from anyvirt_qemu.run_dir import clear
from anyvirt_qemu.site import KIND, STOPPED, lifecycle

if TYPE_CHECKING:
    from anyvirt.api import Row, Told

    from anyvirt_qemu.site import Site


def settle(site: Site, uuid: str, *, ask: bool = True) -> str | None:
    """Finish what has ended or was left half-done; running it twice does nothing the second time.

    :param ask: talk to QEMU where that is needed, to let a guest go on; without, such a guest is left as it is.
    :return: what was done, as a sentence; None for nothing.
    :raises Busy: QEMU runs where this process cannot see it.
    """
    try:
        row = site.store.get(KIND, uuid)
    except NotFound:
        row = None
    with site.run(uuid) as run:
        if run is None:
            return _without_run(site, uuid, row)
        run.launched()
        alive = run.alive()
        if alive is None:
            raise Busy(row.name if row else uuid, holder="a process in another pid namespace", purpose="running it")
        if alive:
            return _living(site, row, run, ask=ask)
        finish(site, row, run)
        return f"{row.name if row else uuid}: its run had ended; settled"


def roll_back(site: Site, uuid: str) -> None:
    """Take back a start that failed, as far as it had come."""
    try:
        row = site.store.get(KIND, uuid)
    except NotFound:
        row = None
    with site.run(uuid) as run:
        if run is None:
            _without_run(site, uuid, row)
            return
        run.launched()
        if run.alive():
            _end(run)
        finish(site, row, run)


def _without_run(site: Site, uuid: str, row: Row | None) -> str | None:
    """The starter was killed before it had made the run directory, or after the end had begun to remove it."""
    cleared = clear(site.runs, uuid)
    if row is None or not (row.run or row.transient):
        return f"{row.name if row else uuid}: what was left of its last run is removed" if cleared else None
    if row.transient:
        site.store.undefine(KIND, row.uuid)
    else:
        site.store.set_run(KIND, row.uuid, "")
    return f"{row.name}: its start had been cut off; settled"


def _living(site: Site, row: Row | None, run: Run, *, ask: bool) -> str | None:
    from anyvirt_qemu.rebooting import abandoned, come_up_again

    record = run.record
    if record is not None and record.phase == "telling" and not record.ending and site.heard(record):
        run.note(phase="booting")  # the world knows of it: it is finished, not taken back
        record = run.record
    if row is not None and record is not None and row.run == record.run and record.up:
        if record.ending:  # somebody began to end it and was killed
            _end(run)
            finish(site, row, run)
            return f"{row.name}: its end had been cut off; finished"
        if not ask:
            return None
        if record.phase == "booting":
            _go_on(run)
            return f"{row.name}: its start had been cut off just before its processors ran; finished"
        if abandoned(record):
            come_up_again(run)
            return f"{row.name}: its reboot had been cut off; finished"
        return None
    name = record.name if record is not None else run.place.name
    _end(run)
    finish(site, row, run)
    return f"{name}: its start had been cut off; rolled back"


def _go_on(run: Run) -> None:
    from anyvirt_qemu.qmp.monitor import Monitor
    from anyvirt_qemu.run_dir import CONTROL

    assert run.record is not None
    if not run.record.paused:
        with Monitor(run.place.place(CONTROL), run.record.name) as monitor:
            monitor.execute("cont")
    run.note(phase="running")


def _end(run: Run, *, graceful: bool = False) -> bool:
    assert run.process is not None
    name = run.record.name if run.record is not None else run.place.name
    return process.end(run.process, name, graceful=graceful)


def end(site: Site, row: Row, run: Run, reason: Reason, *, graceful: bool = False) -> None:
    """End a living QEMU and tell why.

    :raises Busy: it does not end.
    """
    site.step("note-ending")
    before = run.record.ending if run.record is not None else ""
    if run.record is not None:
        run.note(ending=reason.value)
    site.step("kill")
    try:
        _end(run, graceful=graceful)
    except BaseException:
        if graceful and run.record is not None:  # it lives on, and nobody goes on ending it
            run.note(ending=before)
        raise
    finish(site, row, run)


def finish(site: Site, row: Row | None, run: Run) -> None:
    """QEMU is gone: tell what it has told, and why it ended; then take away what is left of it.

    Where nobody has heard of its start there is nothing to lose, and what it occupies is given back first.
    """
    told = run.told if run.record is None else site.heard(run.record)
    if not told:
        _remove(site, run)
    if row is not None:
        _write_down(site, row, run, told=told)
    if told:
        _remove(site, run)


def _remove(site: Site, run: Run) -> None:
    site.step("remove-leftovers")
    if run.record is not None and run.record.left:
        from anyvirt_qemu import tpm
        from anyvirt_qemu.hosting import take_back

        take_back(run.place, run.record.left)
        tpm.ended(site, run.record)
    for path in run.record.sockets if run.record is not None else ():
        with suppress(OSError):
            os.unlink(path)
    site.step("remove-run-dir")
    run.place.remove()


def _write_down(site: Site, row: Row, run: Run, *, told: bool) -> None:
    """Note in the store that the domain is in no run any more, and the run's events for whoever asks later."""
    record = run.record
    if not row.run and not row.transient:
        return
    if row.run and record is not None and row.run != record.run:
        return  # a later run has begun; this one was told of before
    reason = stopped(run.events(ended=True), record)
    events = _events(row, run, reason) if told else []
    site.step("tell")
    if row.transient:
        site.store.undefine(KIND, row.uuid, event=events)
        return
    site.store.set_blob(KIND, row.uuid, STOPPED, reason.value.encode())
    site.store.set_run(KIND, row.uuid, "", event=events)


def _events(row: Row, run: Run, reason: Reason) -> list[Told]:
    record = run.record
    events: list[Told] = []
    if record is not None:
        from anyvirt_qemu.watch import of_run

        events += of_run(row, record, run)
    return [*events, lifecycle(row, Change.STOPPED, STOPPED_BY.get(reason, "failed"), run=row.run)]


def sweep(site: Site) -> list[str]:
    """Settle every guest that has something left, and what is left of guests that are no more.

    One that somebody works on now is left to him.
    """
    done = []
    names = {row.uuid for row in site.store.rows(KIND) if row.run or row.transient}
    with suppress(FileNotFoundError):
        names |= {entry.name for entry in os.scandir(site.runs) if entry.is_dir(follow_symlinks=False)}
    problems: list[VirtError] = []
    for uuid in sorted(names):
        try:
            with site.scope.locks.hold(uuid, "recovery", wait=0.2):
                sentence = settle(site, uuid)
        except Busy:
            continue
        except VirtError as error:
            problems.append(error)
            continue
        if sentence:
            done.append(sentence)
    try:
        _owners(site)
    except VirtError as error:
        problems.append(error)
    if problems:
        raise problems[0]
    return done


def _owners(site: Site) -> None:
    """Files that guests had when this host lost its power, or was started anew."""
    from anyvirt_qemu.hosting import ownership

    ownership.settle(site)
