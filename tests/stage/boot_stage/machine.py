"""A machine of any definition, with its console on ``ttyS0``, and the figures of what booted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

import guest as small_guest
from anyvirt.api import Interrupted, State, Stream
from anyvirt.client._generated_sync import Connection, Domain
from qemu_stage.small import Small

COMPRESSED: Final = 200  # characters of what a guest said that a figure keeps


class Machine(Small):
    """A guest of that definition, defined; ``booted`` brings it to its prompt, ``started`` only on its way.

    :param guest: what it boots, in whatever way; its prompt is waited for.
    """

    patience = 150.0  # most are at their prompt after 8

    def __init__(self, connection: Connection, xml: str, guest: small_guest.Guest) -> None:
        self.connection, self.guest, self.xml = connection, guest, xml
        self.seconds, self.kernel = 0.0, ""
        self._console: Stream | None = None
        self._seen = b""
        self.domain: Domain = connection.domain_define(xml)

    def booted(self) -> Machine:
        """Start it where it is off; it is at its prompt then."""
        began = time.monotonic()
        super().booted()
        if not self.kernel:
            self.seconds = time.monotonic() - began
            self.kernel = self.run("uname -r").strip()
        return self

    def until(self, text: str) -> str:
        """What its console showed up to and with ``text``; where that does not come, what it showed instead."""
        try:
            return super().until(text)
        except Interrupted as late:
            raise AssertionError(f"{text!r} did not come; shown was {self._seen[-500:]!r}") from late

    def watched(self) -> Machine:
        """Start it where it is off, and look at what it prints."""
        self.started()
        self._console = self._console or self.domain.console(replay=True)
        return self

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Whatever it does, it is gone afterwards, and so are its variables."""
        self.hang_up()
        if self.state().state is not State.SHUTOFF:
            self.domain.destroy()
        self.domain.undefine()


@dataclass
class Kinds:
    """What was booted, kind by kind: what the guest itself said of it, and the seconds to its prompt."""

    rows: dict[str, dict[str, str | float]] = field(default_factory=dict)

    def note(self, kind: str, said: str, machine: Machine) -> None:
        """A kind was booted."""
        words = " ".join(said.split())[:COMPRESSED]
        self.rows[kind] = {"said": words, "kernel": machine.kernel, "seconds": round(machine.seconds, 1)}
