"""A blocking client for one QMP monitor: commands go out together, answers come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from anyvirt.api import Deadline, Interrupted, Unreachable, VirtError, current, unix, within

from anyvirt_qemu.closing import Closing
from anyvirt_qemu.qmp import command as commands
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.exchange import EVENTS_KEPT, Exchange
from anyvirt_qemu.qmp.wire import LINE_MAX, Event, Greeting

STATUS = Command("query-status")


class Monitor(Closing):
    """One connection to a monitor; for one thread at a time.

    ``events`` holds what happened while answers were awaited, the last 1,000.

    :param place: path of the socket, or ``(directory descriptor, name)``.
    :param guest: whose it is, for error messages.
    :param greeting: seconds to wait for the first word: somebody else may hold the monitor, or QEMU hang.
    :raises Unreachable: nobody listens (stage ``connect``), or nobody answers (stage ``greeting``).
    """

    def __init__(self, place: unix.Place, guest: str, *, greeting: float | None = 2.0) -> None:
        self.guest = guest
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        try:
            with _shorter(greeting):
                self._line = unix.LineSocket(unix.connect(place), f"the monitor of {guest}")
        except Interrupted as error:
            self._give_up(error)
        try:
            self.greeting = self._greet(greeting)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the monitor to the next one."""
        self._line.close()

    def execute(self, name: str, /, **arguments: Any) -> Any:
        """Run one command and give its answer; ``_`` in argument names stands for ``-``.

        :raises Failed, Denied, Busy, NotFound, Unsupported: QEMU refused; ``details`` has its words.
        :raises Interrupted: the deadline passed, or QEMU ended (``lost``).
        """
        command = Command(name, {key.replace("_", "-"): value for key, value in arguments.items()})
        (answer,) = self.execute_many([command])
        if isinstance(answer, VirtError):
            raise answer
        return answer

    def execute_many(self, batch: Sequence[Command]) -> list[Any]:
        """Run all the commands, and give answers or errors (``VirtError``) in their order; one that fails stops none.

        :raises Invalid, Failed: one of them is refused here; then none was sent.
        """
        for command in batch:
            commands.check(command, self.guest)
        saves = [command for command in batch if command.saves]
        if saves:
            (status,) = self._run([STATUS])
            if isinstance(status, VirtError):
                raise status
            for command in saves:
                commands.check_state(command, str(status.get("status")), self.guest)
        return self._run(batch)

    def _run(self, batch: Sequence[Command]) -> list[Any]:
        exchange = Exchange(batch, self.guest, self._wire)
        self._pump(exchange)
        return exchange.answers

    def _pump(self, exchange: Exchange) -> None:
        try:
            while exchange.outgoing:
                self._line.send(*exchange.outgoing.popleft())
            while not exchange.done:
                exchange.feed(self._line.readline(LINE_MAX) + b"\n")
        finally:
            self.events.extend(exchange.events)

    def _greet(self, seconds: float | None) -> Greeting:
        exchange = Exchange((), self.guest)
        try:
            with _shorter(seconds):
                self._pump(exchange)
        except Interrupted as error:
            self._give_up(error)
        self._wire = exchange.wire
        if exchange.greeting is None:
            raise Unreachable(f"the monitor of {self.guest}", "greeting", hint="something else listens there")
        return exchange.greeting

    def _give_up(self, error: Interrupted) -> NoReturn:
        """No greeting is our own short wait running out, unless the call itself is over."""
        outer = current()
        if error.reason != "deadline" or outer.over() or outer.cancelled:
            raise error
        raise Unreachable(
            f"the monitor of {self.guest}",
            "greeting",
            hint="somebody else holds it, or QEMU hangs: try again, or destroy the guest",
        ) from error


@contextmanager
def _shorter(seconds: float | None) -> Iterator[None]:
    """The current deadline, but not more than ``seconds`` from now."""
    outer = current()
    left = outer.left()
    if seconds is None or (left is not None and left <= seconds):
        yield
        return
    inner = Deadline(seconds)
    with outer.breaks(inner.cancel), within(inner):
        yield
