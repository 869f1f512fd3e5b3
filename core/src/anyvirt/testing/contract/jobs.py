"""Long work: progress, cancel, what it takes back, and what is left when its process is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anyvirt.client._generated_sync import Connection
from anyvirt.errors import Cancelled, Interrupted, VirtError
from anyvirt.jobs import JobState
from anyvirt.model.state import Reason, State, Status
from anyvirt.model.values import JobRecord
from anyvirt.progress import Progress
from anyvirt.ref import Ref
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import needs, proves

Observe = Callable[[Ref], State]


@proves("domain_save", "domain_restore")
@needs("domain_define", "domain_start", "domain_state")
def test_a_saved_guest_comes_back(
    connection: Connection, guests: Guests, observe: Observe, tmp_path: Path, patience: float
) -> None:
    domain, path = guests.running(), tmp_path / "saved"
    job = connection.domain_save(domain, str(path))
    assert job.wait(patience) is None
    assert job.state is JobState.DONE
    assert path.stat().st_size > 0
    assert observe(domain.ref) is State.SHUTOFF
    assert guests.fits(domain, Status(State.SHUTOFF, Reason.SAVED)), domain.state()
    assert connection.domain_restore(str(path)).wait(patience) == domain.ref
    assert observe(domain.ref) is State.RUNNING
    assert guests.fits(domain, Status(State.RUNNING, Reason.RESTORED)), domain.state()


@proves("domain_restore.paused")
@needs("domain_define", "domain_start", "domain_state", "domain_save")
def test_a_guest_can_come_back_paused(
    connection: Connection, guests: Guests, observe: Observe, tmp_path: Path, patience: float
) -> None:
    domain, path = guests.running(), str(tmp_path / "saved")
    connection.domain_save(domain, path).wait(patience)
    connection.domain_restore(path, paused=True).wait(patience)
    assert observe(domain.ref) is State.PAUSED


@proves("domain_save")
@needs("domain_define", "domain_start")
def test_progress_grows_and_reaches_its_end(
    connection: Connection, guests: Guests, tmp_path: Path, patience: float
) -> None:
    job = connection.domain_save(guests.running(), str(tmp_path / "saved"))
    seen = list(job)
    job.wait(patience)
    assert all(isinstance(step, Progress) for step in seen)
    counted = [step for step in seen if step.total]
    assert [step.done for step in counted] == sorted(step.done for step in counted)
    assert counted[-1].done == counted[-1].total
    assert counted[-1].unit


@proves("domain_save")
@needs("domain_define", "domain_start", "domain_state")
def test_a_cancelled_save_leaves_the_guest_running_and_no_file(
    connection: Connection, guests: Guests, observe: Observe, tmp_path: Path, patience: float
) -> None:
    domain, path = guests.running(), tmp_path / "saved"
    job = connection.domain_save(domain, str(path))
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(patience)
    assert job.state is JobState.CANCELLED
    assert observe(domain.ref) is State.RUNNING
    assert not path.exists()
    job.cancel()


@proves("domain_save")
@needs("domain_define", "domain_start", "domain_state")
def test_a_save_that_fails_takes_everything_back(
    connection: Connection, guests: Guests, observe: Observe, tmp_path: Path, patience: float
) -> None:
    domain = guests.running()
    job = connection.domain_save(domain, str(tmp_path / "no" / "such" / "folder" / "saved"))
    with pytest.raises(VirtError):
        job.wait(patience)
    assert job.state is JobState.FAILED
    assert observe(domain.ref) is State.RUNNING


@proves("domain_save")
@needs("domain_define", "domain_start")
def test_waiting_for_a_job_ends_and_the_job_goes_on(
    connection: Connection, guests: Guests, tmp_path: Path, patience: float
) -> None:
    job = connection.domain_save(guests.running(), str(tmp_path / "saved"))
    try:
        job.wait(0.0)
    except Interrupted as late:
        assert late.reason == "deadline"  # noqa: PT017 - it may be done that fast
    job.wait(patience)


@proves("domain_save")
@needs("domain_define", "domain_start")
def test_a_job_that_has_ended_leaves_no_record(
    connection: Connection, guests: Guests, tmp_path: Path, patience: float
) -> None:
    before = {record.id for record in connection.session.host.jobs.all()}
    job = connection.domain_save(guests.running(), str(tmp_path / "saved"))
    job.wait(patience)
    assert {record.id for record in connection.session.host.jobs.all()} == before


@proves("domain_restore")
@needs("domain_list")
def test_what_was_never_saved_is_not_restored(connection: Connection, tmp_path: Path, patience: float) -> None:
    before = {domain.ref for domain in connection.domain_list()}
    wrong = tmp_path / "rubbish"
    wrong.write_bytes(b"\0\1\2 no guest \xff" * 64)
    for path in (str(wrong), str(tmp_path / "missing")):
        with pytest.raises(VirtError):
            connection.domain_restore(path).wait(patience)
    assert {domain.ref for domain in connection.domain_list()} == before


@proves("job_recover")
def test_a_record_that_is_nobodys_is_left_alone(connection: Connection) -> None:
    record = JobRecord("0" * 12, "no_such_hook", None, "somewhere")
    answers = connection.session.call("job_recover", {"record": record})
    assert [answer.get() for answer in answers.values()] == [None] * len(answers)


@proves("connect_recover")
def test_what_a_killed_process_left_is_cleaned_up_once(
    connection: Connection, litter: Callable[[], Callable[[], bool]] | None
) -> None:
    if litter is None:
        pytest.skip("no fixture litter: nothing is left behind")
    is_clean = litter()
    assert not is_clean()
    assert connection.recover()
    assert is_clean()
    assert connection.recover() == ()


@needs("connect_recover")
def test_recovering_twice_does_nothing_the_second_time(connection: Connection) -> None:
    connection.recover()
    assert connection.recover() == ()
