"""Long work: a generator of ``Progress``, stepped on a lane, with a record that outlives the process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from dataclasses import replace
from enum import Enum
from threading import Condition
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from anyvirt.deadline import Deadline, within
from anyvirt.errors import BadDriver, Cancelled, Interrupted, VirtError
from anyvirt.lanes import lanes
from anyvirt.model.values import JobRecord
from anyvirt.progress import Progress

if TYPE_CHECKING:
    from types import TracebackType

    from anyvirt.ref import Ref

T = TypeVar("T")
STALL: Final = 30.0
UNDO: Final = 30.0


class JobState(Enum):
    """How a job stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobBook(Protocol):
    """Where records of jobs are kept while they run."""

    def write(self, record: JobRecord) -> None:
        """Keep the record, in place of an earlier one of its id; durable when this returns."""

    def drop(self, job: str) -> None:
        """Forget the record of a job that ended."""

    def all(self) -> tuple[JobRecord, ...]:
        """Every record, the oldest first."""


class MemoryBook:
    """A book for drivers whose objects end with the process."""

    def __init__(self) -> None:
        self._records: dict[str, JobRecord] = {}

    def write(self, record: JobRecord) -> None:
        self._records[record.id] = record

    def drop(self, job: str) -> None:
        self._records.pop(job, None)

    def all(self) -> tuple[JobRecord, ...]:
        return tuple(self._records.values())


class Job(Generic[T]):
    """A running piece of long work; from any thread: look, wait, cancel.

    :param steps: makes the generator; called on the job's own thread.
    :param stall: a step that takes longer is broken and ends the job with ``Interrupted("deadline")``;
        whoever waits for one that cannot be broken gets that after a further ``UNDO`` seconds.
    """

    def __init__(
        self,
        hook: str,
        ref: Ref | None,
        steps: Callable[[], Generator[Progress, None, T]],
        *,
        book: Callable[[], JobBook],
        key: str,
        owner: Callable[[], dict[str, Any]] = dict,
        timeout: float | None = None,
        stall: float = STALL,
        wrap: Callable[[Callable[[], T]], T] = lambda proceed: proceed(),
    ) -> None:
        self.id = os.urandom(6).hex()
        self.hook, self.ref = hook, ref
        self.progress = Progress()
        self.state = JobState.RUNNING
        self._steps, self._book, self._stall, self._wrap = steps, book, stall, wrap
        self._owner = owner
        self._record: JobRecord | None = None
        self._whole = Deadline(timeout)
        self._step = Deadline(stall if timeout is None else min(timeout, stall))
        self._ending: Deadline | None = None
        self._changed = Condition()
        self._watchers: list[Callable[[], None]] = []
        self._cancelled = self._leftovers = False
        self._pid = os.getpid()
        self._value: T | None = None
        self._error: BaseException | None = None
        lanes.start(f"{key}:job:{self.id}", self._run, Deadline(None))

    def wait(self, timeout: float | None = None) -> T:
        """The job's value when it is done; its error raised when it failed or was cancelled.

        :raises Interrupted: (``deadline``) when ``timeout`` passes first, the job goes on; or a step hangs;
            (``forked``) in a child of the process that began it.
        """
        end = Deadline(timeout)
        self._same_process()
        with self._changed:
            while self.state is JobState.RUNNING:
                self._changed.wait(self.patience(end))
        if self._error is not None:
            raise self._error
        value: Any = self._value
        result: T = value
        return result

    def cancel(self) -> None:
        """Ask it to stop and undo; ``wait`` tells when it has. Nothing happens to one that has ended."""
        self._cancelled = True
        self._step.cancel()

    def __iter__(self) -> Iterator[Progress]:
        """Progress as it changes, until the job has ended; ``wait`` gives its outcome."""
        last: Progress | None = None
        while True:
            self._same_process()
            with self._changed:
                while self.progress is last and self.state is JobState.RUNNING:
                    self._changed.wait(self.patience(Deadline(None)))
                if self.progress is last:
                    return
                last = self.progress
            yield last

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have ``watcher`` called, on some thread, whenever there is progress, and at the end."""
        with self._changed:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` no more."""
        with self._changed:
            self._watchers.remove(watcher)

    def patience(self, end: Deadline) -> float:
        """Seconds until ``end``, or until the step is so late that it must be stuck.

        :raises Interrupted: (``deadline``) when one of them is reached; (``forked``) in a child of its process.
        """
        self._same_process()
        end.check(self.hook)
        step = self._ending or self._step
        assert step.expires is not None
        stuck = step.expires + UNDO - time.monotonic()
        if stuck <= 0:
            raise Interrupted("deadline", f"{self.hook}: a step hangs and cannot be broken")
        left = end.left()
        return stuck if left is None else min(stuck, left)

    def phase(self, name: str, *, native: str = "", **undo: Any) -> None:
        """Write down what is about to be done, before it is done."""
        if self._record is None:
            self._record = JobRecord(self.id, self.hook, self.ref, name, owner=self._owner(), started=time.time())
        record = replace(
            self._record, phase=name, undo={**self._record.undo, **undo}, native=native or self._record.native
        )
        self._book().write(record)
        self._record = record

    def leftovers(self) -> None:
        """Keep the record when the job ends: something could not be taken back, and ``recover`` has to."""
        self._leftovers = True

    def _same_process(self) -> None:
        if os.getpid() != self._pid:
            raise Interrupted("forked", self.hook, hint="only the process that began a job can wait for it")

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
            watchers = tuple(self._watchers)
        for watcher in watchers:
            with suppress(Exception):  # an event loop that was closed meanwhile, say: the job goes on
                watcher()

    def _run(self) -> None:
        token = _job.set(self)
        try:
            self._value = self._wrap(self._drive)
            state = JobState.DONE
        except Cancelled as error:
            self._error, state = error, JobState.CANCELLED
        except VirtError as error:
            self._error, state = error, JobState.FAILED
        except BaseException as error:  # noqa: BLE001 - a plug-in's slip, sys.exit() too, must reach whoever waits
            self._error, state = self._slip(error), JobState.FAILED
        finally:
            _job.reset(token)
        try:
            self._close_record()
        except Exception as error:  # noqa: BLE001 - whoever waits must be told of the end all the same
            wrong = error if isinstance(error, VirtError) else self._slip(error)
            self._error, state = self._error or wrong, JobState.FAILED
        self.state = state
        self._tell()

    def _slip(self, error: BaseException) -> BadDriver:
        wrong = BadDriver(self.hook, f"{type(error).__name__}: {error}")
        wrong.__cause__ = error
        return wrong

    def _close_record(self) -> None:
        if self._record is None:
            return
        if self._leftovers:
            self._book().write(replace(self._record, owner={}))
        else:
            self._book().drop(self.id)

    def _drive(self) -> T:
        with within(self._step):
            steps = self._steps()
        try:
            while True:
                try:
                    progress = self._advance(steps)
                except StopIteration as stop:
                    value: T = stop.value
                    return value
                self.progress = progress
                self._tell()
        finally:
            steps.close()

    def _advance(self, steps: Generator[Progress, None, T]) -> Progress:
        if self._ending is not None:  # an undo in several steps
            self._ending.check(self.hook)
            with within(self._ending):
                return next(steps)
        left = self._whole.left()
        self._step = Deadline(self._stall if left is None else min(left, self._stall))
        end: VirtError | None = None
        if self._cancelled:
            end = Cancelled(self.hook)
        elif self._whole.over():
            end = Interrupted("deadline", self.hook)
        if end is not None:
            self._ending = Deadline(UNDO)  # the undo that this sets off has its own time
            with within(self._ending):
                return steps.throw(end)
        with within(self._step):
            return next(steps)


_job: ContextVar[Job[Any] | None] = ContextVar("anyvirt_job", default=None)


def phase(name: str, *, native: str = "", **undo: Any) -> None:
    """What a job's hook says *before* each lasting effect; see ``Job.phase``. Nothing outside of a job."""
    job = _job.get()
    if job is not None:
        job.phase(name, native=native, **undo)


class Undo(ExitStack):
    """Steps to take back, newest first, should the block fail; kept from the deadline that ended it.

    ::

        with Undo() as undo:
            files.mkdir(path)
            undo.callback(files.remove, path)
            ...                     # whatever fails here removes the folder again
            undo.keep()
    """

    def keep(self) -> None:
        """All went well: take nothing back."""
        self.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with within(Deadline(UNDO)):
            try:
                return bool(super().__exit__(kind, error, trace))
            except BaseException:
                job = _job.get()
                if job is not None:
                    job.leftovers()
                raise
