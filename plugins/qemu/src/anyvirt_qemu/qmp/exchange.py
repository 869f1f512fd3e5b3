"""One batch of commands over one monitor, as a machine that bytes go through; no input or output here."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from anyvirt.api import VirtError

from anyvirt_qemu.qmp import failure
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.wire import Event, Greeting, Refusal, Reply, Wire

NEGOTIATE = Command("qmp_capabilities")
EVENTS_KEPT = 1000


class Exchange:
    """Sends everything at once and puts the answers into the commands' order.

    :param wire: the conversation; a new one starts with the negotiation, which needs no round trip of its own.
    """

    def __init__(self, commands: Sequence[Command], guest: str, wire: Wire | None = None) -> None:
        self.guest = guest
        self.wire = wire or Wire(f"the monitor of {guest}")
        self.greeting: Greeting | None = None
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.answers: list[Any | VirtError] = [None] * len(commands)
        self.outgoing: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._places: dict[int, int] = {}
        self._names = {index: command.name for index, command in enumerate(commands)}
        if wire is None:
            self._send(-1, NEGOTIATE)
        for index, command in enumerate(commands):
            self._send(index, command)

    @property
    def done(self) -> bool:
        """Whether every command has its answer."""
        return not self._places

    def feed(self, data: bytes) -> None:
        """Take what the monitor sent.

        :raises Failed: it is not QMP, or the negotiation was refused.
        """
        for message in self.wire.feed(data):
            if isinstance(message, Event):
                self.events.append(message)
            elif isinstance(message, Greeting):
                self.greeting = message
            elif isinstance(message, Reply):
                self._put(self._places.pop(message.id), message.value)
            else:
                self._refuse(message)

    def _send(self, index: int, command: Command) -> None:
        number, data = self.wire.command(command.name, command.arguments)
        self._places[number] = index
        if command.fds or not self.outgoing or self.outgoing[-1][1]:
            self.outgoing.append((data, command.fds))
        else:
            self.outgoing[-1] = (self.outgoing[-1][0] + data, ())

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.id is None:
            raise failure.refused("a command it could not read", refusal, self.guest)
        index = self._places.pop(refusal.id)
        if index < 0:
            raise failure.refused(NEGOTIATE.name, refusal, self.guest)
        self._put(index, failure.refused(self._names[index], refusal, self.guest))

    def _put(self, index: int, answer: Any) -> None:
        if index >= 0:
            self.answers[index] = answer
