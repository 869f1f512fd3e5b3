"""The QEMU guest agent over its channel: one command at a time, and nothing it says is believed unchecked."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

from anyvirt.api import Domain, Failed, Interrupted, LineSocket, Unreachable, deadline, unix

from anyvirt_qemu.closing import Closing

CHANNEL: Final = "org.qemu.guest_agent.0"
LINE_MAX: Final = 1 << 20
SYNC: Final = 5.0


def channel(domain: Domain) -> str | None:
    """Alias of the agent's channel, where the definition has one."""
    for one in domain.channels:
        if one.target is not None and one.target.name == CHANNEL:
            return one.alias
    return None


class Agent(Closing):
    """A conversation with the agent; close it.

    :param place: where the channel's socket is.
    :param guest: whose it is, for error messages.
    :raises Unreachable: the agent does not answer (stage ``greeting``).
    """

    def __init__(self, place: unix.Place, guest: str) -> None:
        self._guest = guest
        self._line = LineSocket(unix.connect(place), f"the agent of {guest}")
        try:
            self._synchronise()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the channel to the next one."""
        self._line.close()

    def shutdown(self, mode: str) -> None:
        """Ask for ``powerdown``, ``reboot`` or ``halt``; the agent answers only when it refuses.

        :raises Failed: it refuses; its words are in ``details``.
        """
        self._send({"execute": "guest-shutdown", "arguments": {"mode": mode}})
        try:
            with _shorter(0.5):
                answer = self._receive()
        except Interrupted:
            return
        if "error" in answer:
            text = str(answer["error"])[:200]
            raise Failed(f"the agent of {self._guest} refuses to {mode}", native={"text": text})

    def _synchronise(self) -> None:
        number = secrets.randbelow(1 << 30)
        self._line.send(b"\xff")
        self._send({"execute": "guest-sync-delimited", "arguments": {"id": number}})
        try:
            with _shorter(SYNC):
                while self._receive().get("return") != number:
                    continue
        except Interrupted as error:
            if deadline.current().over():
                raise
            hint = "is qemu-guest-agent running in the guest? use mode acpi otherwise"
            raise Unreachable(f"the agent of {self._guest}", "greeting", hint=hint) from error

    def _send(self, message: dict[str, Any]) -> None:
        self._line.send(json.dumps(message).encode() + b"\n")

    def _receive(self) -> dict[str, Any]:
        line = self._line.readline(LINE_MAX).rpartition(b"\xff")[2]
        try:
            found = json.loads(line or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def _shorter(seconds: float) -> Any:
    left = deadline.left()
    return deadline.within(deadline.Deadline(seconds if left is None else min(seconds, left)))
