"""The same queries for many guests at once: one selector loop, each guest with its own short time."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from anyvirt.api import Busy, Interrupted, Invalid, Unreachable, VirtError, current, left, unix

from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.exchange import Exchange
from anyvirt_qemu.run_dir import reader_seat

K = TypeVar("K")
CHUNK: Final = 1 << 18
SEAT_WAIT: Final = 0.2
SEAT_LOOK: Final = 0.01
EACH: Final = 1.0


@dataclass(frozen=True, slots=True)
class Target(Generic[K]):
    """One guest to ask.

    :param name: for error messages.
    :param run: descriptor of the manager's part of its run directory; it stays the caller's.
    :param commands: what this one is asked, where that is not the same for all.
    """

    key: K
    name: str
    run: int
    commands: Sequence[Command] = ()


@dataclass(slots=True)
class Answers:
    """What one guest answered, in the commands' order: a value or the error of that command.

    :param at: ``time.time()`` when the last answer came.
    """

    values: list[Any]
    at: float


def ask_all(
    targets: Iterable[Target[K]], commands: Sequence[Command], *, each: float = EACH, seat_wait: float = SEAT_WAIT
) -> Generator[tuple[K, Answers | VirtError], None, None]:
    """Ask all guests, each in one exchange, and yield each answer as it is complete, errors too.

    A guest that hangs costs the others nothing: its place is ``Unreachable``
    after ``each`` seconds, or ``Busy`` when no reader's monitor came free within
    ``seat_wait``. At the deadline of the call the rest are ``Interrupted``.

    :raises Invalid: a command is none that only reads.
    """
    for command in commands:
        _check(command)
    loop: _Loop[K] = _Loop(commands, each, seat_wait)
    try:
        yield from loop.run(targets)
    finally:
        loop.close()


def _check(command: Command) -> None:
    if not command.reads:
        raise Invalid(f"{command.name} is no query: it is not asked of many guests at once")


class _Talk(Generic[K]):
    """One guest's conversation: its seat, its socket, what is still to be sent."""

    def __init__(self, target: Target[K], commands: Sequence[Command]) -> None:
        self.target = target
        self.until = 0.0
        for command in target.commands:
            _check(command)
        self.exchange = Exchange(target.commands or commands, target.name)
        self.unsent = b"".join(data for data, _ in self.exchange.outgoing)
        self.lock = -1
        self.seat = ""
        self.refused: VirtError | None = None

    def sit(self) -> bool:
        found = reader_seat(self.target.run)
        if found is None:
            return False
        self.seat, self.lock = found
        return True

    def connect(self) -> None:
        self.sock = unix.connect((self.target.run, self.seat), wait=False)

    def send(self) -> None:
        try:
            sent = self.sock.send(self.unsent)
        except BlockingIOError:
            return
        self.unsent = self.unsent[sent:]

    def receive(self) -> bool:
        """Take one piece, and only one: a peer that never stops talking gets its turns, no more."""
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return False
        if not data:
            raise Interrupted("lost", f"the monitor of {self.target.name}")
        self.exchange.feed(data)
        return self.exchange.done

    def close(self) -> None:
        if self.lock >= 0:
            if hasattr(self, "sock"):
                self.sock.close()
            os.close(self.lock)
            self.lock = -1


class _Loop(Generic[K]):
    def __init__(self, commands: Sequence[Command], each: float, seat_wait: float) -> None:
        self._commands, self._each, self._seat_wait = commands, each, seat_wait
        self._selector = selectors.DefaultSelector()
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._waker, selectors.EVENT_READ)
        self._talks: set[_Talk[K]] = set()
        self._standing: list[_Talk[K]] = []

    def close(self) -> None:
        for talk in self._talks:
            talk.close()
        self._selector.close()
        os.close(self._waker)

    def run(self, targets: Iterable[Target[K]]) -> Iterator[tuple[K, Answers | VirtError]]:
        deadline = current()
        for target in targets:
            talk = _Talk(target, self._commands)
            yield from self._seat(talk, time.monotonic())
            yield from self._turn(0)
        while self._talks or self._standing:
            if deadline.cancelled or deadline.over():
                yield from self._give_up()
                return
            with deadline.breaks(os.eventfd_write, self._waker, 1):
                done = list(self._turn(self._pause()))
            yield from done
            yield from self._late()

    def _seat(self, talk: _Talk[K], since: float) -> Iterator[tuple[K, Answers | VirtError]]:
        """Give the guest a seat and greet it, or let it stand in line."""
        if not talk.sit():
            talk.until = since + self._seat_wait
            self._standing.append(talk)
            return
        try:
            talk.connect()
            talk.send()
        except (VirtError, OSError) as error:
            talk.until = since + self._seat_wait
            if isinstance(error, Unreachable) and error.stage == "queue" and time.monotonic() < talk.until:
                talk.refused = error  # QEMU has not come to those before us yet
                talk.close()
                self._standing.append(talk)
            else:
                yield self._end(talk, error)
            return
        talk.until = time.monotonic() + self._each
        self._talks.add(talk)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if talk.unsent else 0)
        self._selector.register(talk.sock, events, talk)

    def _turn(self, seconds: float) -> Iterator[tuple[K, Answers | VirtError]]:
        for key, events in self._selector.select(seconds):
            talk = key.data
            if talk is None:
                continue
            try:
                if events & selectors.EVENT_WRITE:
                    talk.send()
                    if not talk.unsent:
                        self._selector.modify(talk.sock, selectors.EVENT_READ, talk)
                if events & selectors.EVENT_READ and talk.receive():
                    yield self._end(talk, None)
            except (VirtError, OSError) as error:
                yield self._end(talk, error)

    def _pause(self) -> float:
        remaining = left()
        times = [talk.until for talk in self._talks]
        pause = max(0.0, min(times) - time.monotonic()) if times else self._each
        if self._standing:
            pause = min(pause, SEAT_LOOK)
        return pause if remaining is None else min(pause, remaining)

    def _late(self) -> Iterator[tuple[K, Answers | VirtError]]:
        """Give up those whose time is over, after one more look: it may have been us, or our caller, who was late."""
        now = time.monotonic()
        standing, self._standing = self._standing, []
        for talk in standing:
            yield from self._seat(talk, talk.until - self._seat_wait)
        for talk in [talk for talk in self._standing if now >= talk.until]:
            self._standing.remove(talk)
            holder, hint = "other readers", "try again, or ask less often"
            busy = Busy(talk.target.name, holder=holder, purpose="its monitors", hint=hint)
            yield talk.target.key, talk.refused or busy
        late = [talk for talk in self._talks if now >= talk.until]
        if late:
            yield from self._turn(0)
        for talk in self._talks.intersection(late):
            stage = "greeting" if talk.exchange.greeting is None else "answer"
            hint = "QEMU hangs, or a disk of the guest does: destroy it if it stays so"
            yield self._end(talk, Unreachable(f"the monitor of {talk.target.name}", stage, hint=hint))

    def _give_up(self) -> Iterator[tuple[K, Answers | VirtError]]:
        for talk in [*self._talks, *self._standing]:
            yield self._end(talk, Interrupted("deadline", f"the monitor of {talk.target.name}"))
        self._standing.clear()

    def _end(self, talk: _Talk[K], error: Exception | None) -> tuple[K, Answers | VirtError]:
        if talk in self._talks:
            self._talks.discard(talk)
            self._selector.unregister(talk.sock)
        talk.close()
        if error is None:
            return talk.target.key, Answers(talk.exchange.answers, time.time())
        if not isinstance(error, VirtError):
            lost = Interrupted("lost", f"the monitor of {talk.target.name}")
            lost.__cause__ = error
            return talk.target.key, lost
        return talk.target.key, error
