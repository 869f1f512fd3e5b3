"""Deadlines: one point in time for a whole call, and actively breaking what is stuck at it.

A time-out per ``recv`` let a call of 1.0 s take 2.8 s; one deadline whose
expiry shuts the socket down took 1.0 s and freed every thread.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from anyvirt.errors import Cancelled, Interrupted, VirtError

FOREVER: Final = 1e9  # seconds; more than that (infinity too) no clock can wait for
CREW: Final = 16  # threads that break what is stuck; as many breakers may hang before one has to wait
IDLE: Final = 5.0  # seconds that such a thread waits for more to do
ROOM: Final = 1024  # deadlines that the timer keeps before it looks for ones that nobody needs any more


class Deadline:
    """A point in time by which a call must be over, or None for no limit.

    It can also be cancelled; both run the breakers that are registered then.
    """

    __slots__ = ("__weakref__", "_breakers", "_lock", "_numbers", "_scheduled", "cancelled", "expired", "expires")

    def __init__(self, timeout: float | None) -> None:
        self.expires = None if timeout is None or timeout >= FOREVER else time.monotonic() + timeout
        self.cancelled = False
        self.expired = False
        self._breakers: dict[int, _Breaker] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._scheduled = False

    def left(self) -> float | None:
        """Seconds left, never below 0; None without a limit."""
        return None if self.expires is None else max(0.0, self.expires - time.monotonic())

    def check(self, what: str = "") -> None:
        """Raise ``Cancelled`` or ``Interrupted("deadline")`` when it is over."""
        if self.cancelled:
            raise Cancelled(what)
        if self.over():
            raise Interrupted("deadline", what)

    def over(self) -> bool:
        """Whether the time is up."""
        return self.expired or (self.expires is not None and time.monotonic() >= self.expires)

    @contextmanager
    def breaks(self, breaker: Callable[..., Any], *args: Any, what: str = "") -> Iterator[None]:
        """Run ``breaker(*args)`` should the deadline pass, or a cancel come, inside the block.

        What the block raises because it was broken leaves as ``Interrupted`` or ``Cancelled``.
        """
        mine = _Breaker(partial(breaker, *args))
        with self._lock:
            number = next(self._numbers)
            self._breakers[number] = mine
            schedule = self.expires is not None and not self._scheduled
            self._scheduled |= schedule
        if schedule:
            _timer.at(self)
        try:
            self.check(what)
            yield
        except VirtError:
            raise
        except Exception as error:
            if self.cancelled:
                raise Cancelled(what) from error
            if self.over():
                raise Interrupted("deadline", what) from error
            raise
        finally:
            mine.let_go()
            with self._lock:
                del self._breakers[number]

    def idle(self) -> bool:
        """Whether nothing is to be broken; the timer forgets it then, until it has a breaker again."""
        with self._lock:
            self._scheduled = bool(self._breakers)
            return not self._breakers

    def cancel(self) -> None:
        """End the call early; from any thread, any number of times."""
        self.cancelled = True
        self._break()

    def expire(self) -> None:
        """Called by the timer thread when the time is up."""
        self.expired = True
        self._break()

    def _break(self) -> None:
        with self._lock:
            breakers = list(self._breakers.values())
        if breakers:
            _crew.take(breakers)


class _Breaker:
    """One breaker of a block; it never runs once the block has ended, and the block does not end while it runs.

    What it would break then (a socket that is kept, a number of a process) may be somebody else's by now.
    """

    __slots__ = ("_fn", "_lock")

    def __init__(self, fn: Callable[[], Any]) -> None:
        self._fn: Callable[[], Any] | None = fn
        self._lock = threading.RLock()

    def run(self) -> None:
        try:
            with self._lock:
                if self._fn is not None:
                    self._fn()
        except Exception as error:  # noqa: BLE001 - its thread is there for others too
            if not isinstance(error, OSError):  # closed meanwhile is broken enough
                import logging

                logging.getLogger(__name__).warning("breaking a call failed: %s: %s", type(error).__name__, error)

    def let_go(self) -> None:
        with self._lock:
            self._fn = None


class _Crew:
    """Daemon threads that run breakers, so that one that hangs holds up neither the timer nor the others."""

    def __init__(self) -> None:
        self._due: deque[_Breaker] = deque()
        self._wake = threading.Condition()
        self._threads = self._free = 0

    def take(self, breakers: Sequence[_Breaker]) -> None:
        """Run each of them soon; at once, and here, where the system gives no thread for it."""
        with self._wake:
            self._due.extend(breakers)
            try:
                while self._free < len(self._due) and self._threads < CREW:
                    threading.Thread(target=self._run, name="anyvirt-breaker", daemon=True).start()
                    self._threads += 1
                    self._free += 1
            except RuntimeError:  # the user's limit of processes, or the interpreter is ending
                left = () if self._threads else tuple(self._due)
            else:
                left = ()
            if left:
                self._due.clear()
            self._wake.notify_all()
        for breaker in left:
            breaker.run()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._wake.wait_for(lambda: self._due, IDLE):
                    self._threads -= 1
                    self._free -= 1
                    return
                breaker = self._due.popleft()
                self._free -= 1
            breaker.run()
            with self._wake:
                self._free += 1


class _Timer:
    """One daemon thread that expires deadlines; started with the first breaker."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()
        self._room = ROOM
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def at(self, deadline: Deadline) -> None:
        assert deadline.expires is not None
        with self._wake:
            if len(self._queue) >= self._room:  # calls that ended well long before their time
                self._queue = [entry for entry in self._queue if not entry[2].idle()]
                heapq.heapify(self._queue)
                self._room = max(ROOM, 2 * len(self._queue))
            heapq.heappush(self._queue, (deadline.expires, next(self._numbers), deadline))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="anyvirt-deadlines", daemon=True)
                self._thread.start()
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue:
                    self._wake.wait()
                due = self._queue[0][0] - time.monotonic()
                if due > 0:
                    self._wake.wait(due)
                    continue
                deadline = heapq.heappop(self._queue)[2]
            deadline.expire()


_crew = _Crew()
_timer = _Timer()
os.register_at_fork(after_in_child=_crew.__init__)  # type: ignore[misc]
os.register_at_fork(after_in_child=_timer.__init__)  # type: ignore[misc]
_current: ContextVar[Deadline | None] = ContextVar("anyvirt_deadline", default=None)


def current() -> Deadline:
    """The deadline of the call that this code runs in; one without a limit outside of any."""
    return _current.get() or Deadline(None)


@contextmanager
def within(deadline: Deadline) -> Iterator[Deadline]:
    """Make ``deadline`` the current one inside the block."""
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


@contextmanager
def breaks(breaker: Callable[..., Any], *args: Any, what: str = "") -> Iterator[None]:
    """``current().breaks(...)``: what a driver writes around a blocking call."""
    with current().breaks(breaker, *args, what=what):
        yield


def left(default: float | None = None) -> float | None:
    """Seconds left of the current call, for a library's own time-out."""
    remaining = current().left()
    return default if remaining is None else remaining
