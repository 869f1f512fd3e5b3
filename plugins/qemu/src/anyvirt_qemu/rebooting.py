"""A reboot through the power button: the guest powers itself off, and is reset instead of ending.

The guest's lock is free while it shuts down, so that it can be destroyed meanwhile. If whoever
waits is killed, the next changing call does what he would have done.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from anyvirt.api import Deadline, Failed, ProcessId, Ref, VirtError, within

from anyvirt_qemu.closing import Closing
from anyvirt_qemu.qmp import journal
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.qmp.wire import Event
from anyvirt_qemu.run_dir import CONTROL

if TYPE_CHECKING:
    from anyvirt_qemu.guest import Record, Run
    from anyvirt_qemu.site import Site

SETTLING = 10.0  # for the second half, which is done also when the call's time is up


class Reboot(Closing):
    """A guest that has been asked to power itself off; ``finish`` waits for it. Made under the guest's lock.

    :raises VirtError: it could not be asked; then its power-off is one again.
    """

    def __init__(self, site: Site, ref: Ref, run: Run) -> None:
        assert run.record is not None
        assert run.process is not None
        self._site, self._ref, self._record = site, ref, run.record
        self._journal = journal.open_out(run.place.q, uid=run.record.uid)
        self._qemu = -1
        try:
            self._offset = os.fstat(self._journal).st_size
            self._qemu = os.pidfd_open(run.process.pid)
            self._ask(run)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop looking."""
        for fd in (self._journal, self._qemu):
            if fd >= 0:
                os.close(fd)
        self._journal = self._qemu = -1

    def finish(self) -> None:
        """Wait for the power-off, without the lock, and let the guest come up again.

        :raises Interrupted: it did not power off in time; when it does later, it stays off.
        :raises Failed: its QEMU has ended.
        """
        try:
            off = any(
                isinstance(entry.what, Event) and entry.what.name == "SHUTDOWN"
                for entry in journal.follow(self._journal, self._offset, until=self._qemu)
            )
        finally:
            with within(Deadline(SETTLING)):
                again = self._come_up()
        if not (off and again):
            raise Failed(f"{self._record.name} ended while it was to reboot", hint="start it")

    def _ask(self, run: Run) -> None:
        self._site.step("note-rebooting")
        run.note(rebooting=ProcessId.own().to_json())
        try:
            with Monitor(run.place.place(CONTROL), self._record.name) as monitor:
                monitor.execute("set-action", shutdown="pause")
                self._site.step("power-button")
                monitor.execute("system_powerdown")
        except BaseException:
            with suppress(VirtError), within(Deadline(SETTLING)):
                come_up_again(run)
            raise

    def _come_up(self) -> bool:
        """Whether the guest is still the same run, and goes on."""
        site = self._site
        site.step("come-up-again")
        with site.hold(self._ref, "reboot", ask=False) as row, site.run(row.uuid) as run:
            if run is None or run.record is None or run.record.run != self._record.run or run.record.ending:
                return False
            come_up_again(run)
            return True


def abandoned(record: Record) -> bool:
    """Whether a reboot has begun and whoever waited for it is no more."""
    return bool(record.rebooting) and ProcessId.from_json(record.rebooting).alive() is False


def come_up_again(run: Run) -> None:
    """The second half: power-off is power-off again, and a guest that is off is reset and goes on."""
    assert run.record is not None
    with Monitor(run.place.place(CONTROL), run.record.name) as monitor:
        monitor.execute("set-action", shutdown="poweroff")
        if monitor.execute("query-status").get("status") == "shutdown":
            monitor.execute("system_reset")
            monitor.execute("cont")
    run.note(rebooting={})
