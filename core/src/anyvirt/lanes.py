"""Lanes: where hook calls run, so that a hung one never holds its caller or its neighbours.

Daemon threads of our own, because ``concurrent.futures`` and ``to_thread`` have a
bounded pool that 100 hung calls starve, and are joined when the interpreter exits.
"""

from __future__ import annotations

import contextvars
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Generic, TypeVar

from anyvirt.deadline import Deadline, current, within
from anyvirt.errors import BadDriver, Cancelled, Failed, Interrupted, Unreachable, VirtError
from anyvirt.ref import Answer, Ref

R = TypeVar("R")
T = TypeVar("T")

_lane: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("anyvirt_lane", default="")
STUCK_PER_KEY: Final = 4
IDLE_SECONDS: Final = 5.0


class Call(Generic[R]):
    """One piece of work on a lane; the caller waits for it until its deadline and no longer."""

    __slots__ = (
        *("_done", "_error", "_finishing", "_fn", "_value", "_watchers"),
        *("context", "deadline", "key", "since", "what"),
    )

    def __init__(self, key: str, deadline: Deadline, fn: Callable[[], R], what: str) -> None:
        self.key, self.deadline, self._fn, self.what = key, deadline, fn, what
        self.context = contextvars.copy_context()
        self.since = time.time()
        self._done = threading.Event()
        self._finishing = threading.Lock()
        self._watchers: list[Callable[[], None]] = []
        self._value: R | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do the work; called on the lane's thread."""
        _lane.set(self.key)
        try:
            self.deadline.check(self.what)
            with within(self.deadline):
                self._value = self._fn()
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            self._error = error

    def finish(self) -> None:
        """Wake everybody who waits."""
        with self._finishing:
            self._done.set()
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            with suppress(Exception):  # an event loop that was closed meanwhile, say: the lane lives on
                watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have ``watcher`` called, once, when the work is done; at once where it is done already."""
        with self._finishing:
            if not self._done.is_set():
                self._watchers.append(watcher)
                return
        watcher()

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` no more."""
        with self._finishing, suppress(ValueError):
            self._watchers.remove(watcher)

    def result(self) -> R:
        """The value, or the error raised; ``Interrupted("deadline")`` when the time is up first."""
        if not self._done.wait(self.deadline.left()):
            raise Interrupted("deadline", self.what)
        if self._error is not None:
            raise self._error
        value: Any = self._value
        done: R = value
        return done

    def done(self) -> bool:
        """Whether the work has ended, well or badly."""
        return self._done.is_set()


class Lanes:
    """A pool of daemon threads that grows with what is stuck and shrinks when idle.

    Calls are grouped by ``key`` (a connection, a pool, a guest): at most
    ``STUCK_PER_KEY`` of one key may hang past their deadline; the next fails at once
    with ``Unreachable(stage="stuck")`` while other keys are untouched.
    """

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[Call[Any] | None]] = []
        self._calls: dict[str, list[Call[Any]]] = {}
        self._lock = threading.Lock()

    def start(self, key: str, fn: Callable[[], R], deadline: Deadline | None = None, what: str = "") -> Call[R]:
        """Begin ``fn`` on a lane of ``key`` and return at once.

        :param what: what it is, for people; the key without.

        :raises Unreachable: where too many earlier calls of ``key`` are still stuck.
        :raises Failed: where the system gives this process no more threads.
        """
        call = Call(key, deadline or current(), fn, what or key)
        with self._lock:
            stuck = [c for c in self._calls.get(key, ()) if c.deadline.over()]
            if len(stuck) >= STUCK_PER_KEY:
                raise Unreachable(key, "stuck", since=stuck[0].since, hint="earlier calls of it have not come back")
            self._calls.setdefault(key, []).append(call)
            lane = self._idle.pop() if self._idle else None
        if lane is None:
            lane = queue.SimpleQueue()
            try:
                threading.Thread(target=self._run, args=(lane,), name="anyvirt-lane", daemon=True).start()
            except RuntimeError as error:  # the user's limit of processes, or the interpreter is ending
                self._left(call)
                raise Failed(
                    f"{call.what}: {error}", hint="raise the limit of processes, or do less at once"
                ) from error
        lane.put(call)
        return call

    def call(self, key: str, fn: Callable[[], R], deadline: Deadline | None = None) -> R:
        """Run ``fn`` on a lane and wait for it, until the deadline and no longer."""
        return self.start(key, fn, deadline).result()

    def _run(self, lane: queue.SimpleQueue[Call[Any] | None]) -> None:
        while True:
            try:
                call = lane.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if lane in self._idle:
                        self._idle.remove(lane)
                        return
                continue  # a call is on its way to this lane
            assert call is not None
            call.context.run(call.run)
            self._left(call)
            with self._lock:
                self._idle.append(lane)
            call.finish()
            del call

    def _left(self, call: Call[Any]) -> None:
        with self._lock:
            calls = self._calls[call.key]
            calls.remove(call)
            if not calls:
                del self._calls[call.key]

    def forget(self) -> None:
        """Called in a forked child, where no lane's thread came along."""
        self.__init__()  # type: ignore[misc]


lanes: Final = Lanes()
os.register_at_fork(after_in_child=lanes.forget)


def fan_out(refs: Sequence[Ref], fn: Callable[[Ref], T]) -> Iterator[tuple[Ref, Answer[T]]]:
    """Ask ``fn`` for each ref on a lane of its own; yield answers as they come.

    A ref that raises gives an ``Answer`` with that error; one that hangs is left
    out when the deadline passes, and core fills it in.
    """
    done: queue.SimpleQueue[tuple[Ref, Answer[T]] | None] = queue.SimpleQueue()
    deadline, waiting = current(), 0
    for ref in refs:
        try:
            lanes.start(f"{_lane.get()}/{ref.kind}:{ref.key}", partial(_ask, fn, ref, done), deadline)
        except VirtError as error:
            yield ref, Answer(error=error)
        else:
            waiting += 1
    while waiting:
        pair = _next(done, deadline)
        if pair is None:
            return
        waiting -= 1
        yield pair


def _next(done: queue.SimpleQueue[tuple[Ref, Answer[T]] | None], deadline: Deadline) -> tuple[Ref, Answer[T]] | None:
    with suppress(queue.Empty):
        return done.get_nowait()
    try:
        with deadline.breaks(done.put, None, what="asking many"):
            pair = done.get()
    except Cancelled:
        raise
    except Interrupted:
        return None
    if pair is None and deadline.cancelled:
        raise Cancelled("asking many")
    return pair


def _ask(fn: Callable[[Ref], T], ref: Ref, done: queue.SimpleQueue[tuple[Ref, Answer[T]] | None]) -> None:
    answer: Answer[T]
    try:
        answer = Answer(fn(ref))
    except VirtError as error:
        answer = Answer(error=error)
    except Exception as error:  # noqa: BLE001 - one broken member must not take the others' answers away
        answer = Answer(error=BadDriver(getattr(fn, "__module__", "driver"), f"{type(error).__name__}: {error}"))
    done.put((ref, answer))
