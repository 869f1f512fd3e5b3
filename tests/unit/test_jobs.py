from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pytest
from anyvirt import jobs
from anyvirt.deadline import breaks, current, left
from anyvirt.errors import BadDriver, Busy, Cancelled, Failed, Interrupted
from anyvirt.jobs import UNDO, Job, JobState, MemoryBook, Undo, phase
from anyvirt.model.values import JobRecord
from anyvirt.progress import Progress
from anyvirt.ref import Ref

ONE = Ref("domain", "1", name="one")
Steps = Generator[Progress, None, Any]


class Book(MemoryBook):
    """A book that remembers everything that was ever written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[JobRecord] = []

    def write(self, record: JobRecord) -> None:
        super().write(record)
        self.pages.append(record)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def job(book: Book) -> Callable[..., Job[Any]]:
    def begin(steps: Callable[[], Steps], **rest: Any) -> Job[Any]:
        return Job("domain_save", ONE, steps, book=lambda: book, key="test", owner=lambda: {"pid": 1}, **rest)

    return begin


def test_a_job_gives_its_value_and_its_progress(job: Callable[..., Job[Any]]) -> None:
    gate = threading.Semaphore(0)

    def steps() -> Steps:
        for done in (1, 2, 3):
            gate.acquire(timeout=5)
            yield Progress(done, 3, "steps", "counting")
        return "value"

    running = job(steps)
    assert running.state.value == "running"
    seen = []
    for progress in running:
        seen.append(progress)
        gate.release()
    assert running.wait(5) == "value"
    assert running.state is JobState.DONE
    assert seen[-1] == Progress(3, 3, "steps", "counting")
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert list(running) == [seen[-1]]


def test_an_error_reaches_whoever_waits_each_time(job: Callable[..., Job[Any]]) -> None:
    def steps() -> Steps:
        yield Progress(1)
        raise Failed("no")

    running = job(steps)
    for _ in range(2):
        with pytest.raises(Failed):
            running.wait(5)
    assert running.state is JobState.FAILED


def test_a_slip_of_the_plug_in_reaches_whoever_waits(job: Callable[..., Job[Any]]) -> None:
    def steps() -> Steps:
        yield Progress(1)
        raise KeyError("native")

    with pytest.raises(BadDriver, match="KeyError") as bad:
        job(steps).wait(5)
    assert isinstance(bad.value.__cause__, KeyError)


def test_waiting_ends_at_its_own_time_and_the_job_goes_on(job: Callable[..., Job[Any]]) -> None:
    gate = threading.Event()

    def steps() -> Steps:
        gate.wait(20)
        yield Progress(1)
        return "late"

    running = job(steps)
    with pytest.raises(Interrupted) as late:
        running.wait(0.05)
    assert late.value.reason == "deadline"
    assert running.state is JobState.RUNNING
    gate.set()
    assert running.wait(5) == "late"


def test_a_cancel_is_raised_at_the_yield_in_the_jobs_own_thread(job: Callable[..., Job[Any]]) -> None:
    threads: list[Any] = []
    gate = threading.Event()

    def steps() -> Steps:
        threads.append(threading.get_ident())
        try:
            for number in range(1000):
                gate.set()
                time.sleep(0.002)
                yield Progress(number)
        except Cancelled:
            threads.append(threading.get_ident())
            raise

    running = job(steps)
    assert gate.wait(5)
    running.cancel()
    with pytest.raises(Cancelled):
        running.wait(5)
    assert running.state is JobState.CANCELLED
    assert threads[0] == threads[1] != threading.get_ident()


def test_a_cancel_breaks_the_call_that_blocks(job: Callable[..., Job[Any]]) -> None:
    over, begun = threading.Event(), threading.Event()

    def steps() -> Steps:
        yield Progress(1)
        with breaks(over.set, what="copying"):
            begun.set()
            over.wait(20)
            current().check("copying")

    running = job(steps)
    assert begun.wait(5)
    at = time.monotonic()
    running.cancel()
    with pytest.raises(Cancelled):
        running.wait(5)
    assert time.monotonic() - at < 2


def test_cancelling_what_has_ended_does_nothing(job: Callable[..., Job[Any]]) -> None:
    def steps() -> Steps:
        yield Progress(1)
        return 1

    running = job(steps)
    assert running.wait(5) == 1
    running.cancel()
    assert running.wait(5) == 1
    assert list(running)


def test_what_was_done_is_taken_back_newest_first_with_time_of_its_own(job: Callable[..., Job[Any]]) -> None:
    undone: list[Any] = []
    begun = threading.Event()

    def take_back(what: str) -> None:
        current().check(what)  # the cancel that ended the job must not end its undo
        undone.append((what, left()))

    def steps() -> Steps:
        with Undo() as undo:
            undo.callback(take_back, "first")
            undo.callback(take_back, "second")
            for number in range(1000):
                begun.set()
                time.sleep(0.002)
                yield Progress(number)
            undo.keep()

    running = job(steps)
    assert begun.wait(5)
    running.cancel()
    with pytest.raises(Cancelled):
        running.wait(5)
    assert [what for what, _ in undone] == ["second", "first"]
    assert all(UNDO - 5 < seconds <= UNDO for _, seconds in undone)


def test_what_is_kept_is_not_taken_back(job: Callable[..., Job[Any]]) -> None:
    undone: list[str] = []

    def steps() -> Steps:
        with Undo() as undo:
            undo.callback(undone.append, "it")
            yield Progress(1)
            undo.keep()

    job(steps).wait(5)
    assert undone == []


def test_a_step_that_stalls_ends_the_job(job: Callable[..., Job[Any]]) -> None:
    over = threading.Event()

    def steps() -> Steps:
        yield Progress(1)
        with breaks(over.set, what="copying"):
            over.wait(20)
            current().check("copying")

    with pytest.raises(Interrupted) as late:
        job(steps, stall=0.1).wait(5)
    assert late.value.reason == "deadline"


def test_many_short_steps_may_take_longer_than_one_may(job: Callable[..., Job[Any]]) -> None:
    def steps() -> Steps:
        for number in range(10):
            time.sleep(0.03)
            yield Progress(number)
        return "done"

    assert job(steps, stall=0.2).wait(5) == "done"


def test_a_time_for_the_whole_job_ends_it_between_steps(job: Callable[..., Job[Any]]) -> None:
    def steps() -> Steps:
        for number in range(1000):
            time.sleep(0.01)
            yield Progress(number)

    with pytest.raises(Interrupted) as late:
        job(steps, timeout=0.1).wait(5)
    assert late.value.reason == "deadline"


def test_a_phase_is_written_before_what_it_announces_and_dropped_in_the_end(
    job: Callable[..., Job[Any]], book: Book
) -> None:
    there: list[Any] = []

    def steps() -> Steps:
        phase("one", path="/a")
        there.append([record.phase for record in book.all()])
        yield Progress(1)
        phase("two", native="job-7", more=1)
        there.append([record.phase for record in book.all()])

    running = job(steps)
    running.wait(5)
    assert there == [["one"], ["two"]]
    assert book.all() == ()
    first, second = book.pages
    assert (first.id, first.hook, first.ref, first.owner, first.undo) == (
        running.id, "domain_save", ONE, {"pid": 1}, {"path": "/a"},
    )  # fmt: skip
    assert (second.undo, second.native) == ({"path": "/a", "more": 1}, "job-7")
    assert second.started == first.started > 0


def test_a_job_without_lasting_effects_writes_nothing(job: Callable[..., Job[Any]], book: Book) -> None:
    def steps() -> Steps:
        yield Progress(1)

    job(steps).wait(5)
    assert book.pages == []


def test_a_record_that_cannot_be_written_ends_the_job_before_the_effect(job: Callable[..., Job[Any]]) -> None:
    done: list[str] = []

    class Full(MemoryBook):
        def write(self, record: JobRecord) -> None:
            raise Busy("the store")

    def steps() -> Steps:
        phase("one")
        done.append("effect")
        yield Progress(1)

    running = Job("domain_save", ONE, steps, book=Full, key="test")
    with pytest.raises(Busy):
        running.wait(5)
    assert done == []


def test_a_phase_outside_of_a_job_is_nothing() -> None:
    phase("one", path="/a")


def test_two_jobs_at_once_keep_their_records_apart(book: Book) -> None:
    gate = threading.Event()

    def steps(name: str) -> Steps:
        phase(name)
        gate.wait(5)
        yield Progress(1)

    jobs = [Job(name, None, partial(steps, name), book=lambda: book, key="test") for name in ("a", "b")]
    end = time.monotonic() + 5
    while len(book.all()) < 2 and time.monotonic() < end:
        time.sleep(0.001)
    assert {(record.hook, record.phase) for record in book.all()} == {("a", "a"), ("b", "b")}
    gate.set()
    for one in jobs:
        one.wait(5)
    assert book.all() == ()


def test_a_plug_in_that_ends_the_interpreter_ends_its_job_and_nothing_else(job: Callable[..., Job[Any]]) -> None:
    def steps() -> Steps:
        yield Progress(1)
        raise SystemExit(3)

    with pytest.raises(BadDriver, match="SystemExit"):
        job(steps).wait(5)


def test_a_book_that_breaks_at_the_end_is_told_and_the_job_has_ended() -> None:
    class Torn(MemoryBook):
        def drop(self, job: str) -> None:
            raise OSError("torn")

    def steps() -> Steps:
        phase("writing")
        yield Progress(1)

    running: Job[Any] = Job("domain_save", ONE, steps, book=Torn, key="test")
    with pytest.raises(BadDriver, match="torn"):
        running.wait(5)
    assert running.state is JobState.FAILED


def test_an_undo_in_several_steps_is_not_cancelled_once_more(job: Callable[..., Job[Any]]) -> None:
    undone: list[int] = []
    begun = threading.Event()

    def steps() -> Steps:
        try:
            while True:
                begun.set()
                time.sleep(0.002)
                yield Progress(1)
        except Cancelled:
            for number in (2, 3):
                yield Progress(number, phase="undo")
                undone.append(number)
            raise

    running = job(steps)
    assert begun.wait(5)
    running.cancel()
    with pytest.raises(Cancelled):
        running.wait(5)
    assert undone == [2, 3]


def test_the_making_of_the_steps_is_a_step_too(job: Callable[..., Job[Any]]) -> None:
    over = threading.Event()

    def steps() -> Steps:
        with breaks(over.set):
            over.wait(20)
            current().check("making")
        return (_ for _ in ())

    with pytest.raises(Interrupted) as late:
        job(steps, stall=0.1).wait(5)
    assert late.value.reason == "deadline"


def test_waiting_for_a_step_that_cannot_be_broken_ends(
    job: Callable[..., Job[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()

    def steps() -> Steps:
        yield Progress(1)
        stuck.wait(20)

    monkeypatch.setattr(jobs, "UNDO", 0.2)
    running = job(steps, stall=0.1)
    with pytest.raises(Interrupted, match="hangs"):
        running.wait(10)
    with pytest.raises(Interrupted, match="hangs"):
        list(running)
    assert running.state is JobState.RUNNING
    stuck.set()


def test_what_could_not_be_taken_back_stays_on_record_for_the_next_recovery(
    job: Callable[..., Job[Any]], book: Book
) -> None:
    def fail() -> None:
        raise Busy("the disk")

    def steps() -> Steps:
        phase("copying", path="/x")
        with Undo() as undo:
            undo.callback(fail)
            yield Progress(1)
            raise Failed("no")

    with pytest.raises(Busy):
        job(steps).wait(5)
    [record] = book.all()
    assert (record.phase, record.undo, record.owner) == ("copying", {"path": "/x"}, {})


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_cannot_wait_for_its_parents_job(job: Callable[..., Job[Any]]) -> None:
    stuck = threading.Event()

    def steps() -> Steps:
        stuck.wait(20)
        yield Progress(1)

    running = job(steps)
    child = os.fork()
    if not child:
        try:
            running.wait(5)
        except Interrupted as error:
            os._exit(7 if error.reason == "forked" else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    stuck.set()
