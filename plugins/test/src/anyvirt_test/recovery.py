"""What is done about processes that were killed half-way."""

from __future__ import annotations

from collections.abc import Sequence

from anyvirt.api import JobRecord, impl

from anyvirt_test.saving import Saving
from anyvirt_test.storage import Storage


class Recovery(Saving, Storage):
    """Guests live in the store, so only long work can be left half-done."""

    @impl
    def connect_recover(self) -> Sequence[str]:
        guests = [guest for guest in self.world.guests() if guest.run.job]
        known = {record.ref.key for record in self.host.jobs.all() if record.ref is not None}
        done = []
        for guest in guests:
            if guest.row.uuid not in known:  # its record was dropped, and nothing ended the job
                self.world.become(guest, guest.run.status, job="")
                done.append(f"{guest.row.name}: no job has it any more")
        return done

    @impl
    def job_recover(self, record: JobRecord) -> str | None:
        return self.roll_back(record) or self.settle(record)
