"""QMP's codec: commands out as bytes, bytes in as greeting, replies and events; no input or output here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from anyvirt.api import Failed

LINE_MAX = 64 * 1024 * 1024
SHOWN = 120


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first thing a monitor says.

    :param version: major, minor, micro; ``package`` is the distribution's own word for it.
    """

    version: tuple[int, int, int]
    package: str
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the command with this id."""

    id: int
    value: Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """The command with this id (None: QEMU could not even read it) failed, in QEMU's own words."""

    id: int | None
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in the guest or to it.

    :param at: when, in ns since 1970 by the host's clock; None where QEMU did not know.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    at: int | None = None


Message = Greeting | Reply | Refusal | Event


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


DECODER: Final = json.JSONDecoder(parse_constant=_refuse)


class Wire:
    """One conversation: numbers the commands and takes the answers apart.

    The peer is not trusted: what is not QMP, or answers what was not asked,
    raises ``Failed``, and the conversation is over.
    """

    def __init__(self, peer: str = "the monitor") -> None:
        self._peer = peer
        self._next = 1
        self._open: set[int] = set()
        self._parts: list[bytes] = []
        self._size = 0
        self._greeted = False

    @property
    def unanswered(self) -> int:
        """How many commands wait for their answer."""
        return len(self._open)

    def command(self, name: str, arguments: Mapping[str, Any] | None = None, *, oob: bool = False) -> tuple[int, bytes]:
        """Give the id and the bytes of a command."""
        number = self._next
        self._next += 1
        request: dict[str, Any] = {"exec-oob" if oob else "execute": name}
        if arguments:
            request["arguments"] = arguments
        request["id"] = number
        self._open.add(number)
        # ASCII only: QEMU takes UTF-8, but a lone surrogate would not survive the way
        return number, json.dumps(request, separators=(",", ":"), allow_nan=False).encode() + b"\n"

    def feed(self, data: bytes) -> list[Message]:
        """Take what arrived and give the messages that are complete now.

        :raises Failed: this is not QMP.
        """
        head, newline, tail = data.rpartition(b"\n")
        if not newline:
            self._keep(data)
            return []
        self._keep(head)
        lines = b"".join(self._parts).split(b"\n")
        self._parts.clear()
        self._size = 0
        self._keep(tail)
        return [self._message(line) for line in lines if line.strip()]

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > LINE_MAX:
            self._wrong(f"sent a line of more than {LINE_MAX >> 20} MiB")
        if data:
            self._parts.append(data)

    def _message(self, line: bytes) -> Message:
        found = self._parsed(line)
        if "event" in found:
            return event(found) or self._wrong("sent a malformed event", line)
        if "QMP" in found:
            if self._greeted:
                self._wrong("greeted twice", line)
            self._greeted = True
            return _greeting(found["QMP"]) or self._wrong("sent a malformed greeting", line)
        if ("return" in found) == ("error" in found) or not isinstance(found.get("error", {}), dict):
            self._wrong("sent something that is no QMP message", line)
        number = found.get("id")
        if "error" in found:
            error = found["error"]
            refusal = Refusal(number, str(error.get("class", "GenericError")), str(error.get("desc", "")))
            if number is None:
                return refusal
        if not isinstance(number, int) or isinstance(number, bool) or number not in self._open:
            self._wrong("answered what was not asked", line)
        self._open.discard(number)
        return refusal if "error" in found else Reply(number, found["return"])

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            found = parse(line)
        except ValueError as error:
            self._wrong(f"sent something that is no JSON object ({error})", line)
        return found

    def _wrong(self, what: str, line: bytes = b"") -> NoReturn:
        shown = line[:SHOWN].decode(errors="replace")
        raise Failed(
            f"{self._peer} {what}", native={"received": shown}, hint="destroy the guest: its QEMU is not to be trusted"
        )


def parse(line: bytes) -> dict[str, Any]:
    """One line of QMP as an object.

    :raises ValueError: it is none, or nested too deeply.
    """
    try:
        found = DECODER.decode(line.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004  - a value problem of the peer's, not a type problem of ours
    return found


def event(found: Mapping[str, Any]) -> Event | None:
    """An event's plain form, or None when it is not shaped like one."""
    name, data, stamp = found["event"], found.get("data", {}), found.get("timestamp", {})
    if not (isinstance(name, str) and isinstance(data, dict) and isinstance(stamp, dict)):
        return None
    seconds, micros = stamp.get("seconds"), stamp.get("microseconds")
    at = None
    if isinstance(seconds, int) and isinstance(micros, int) and seconds >= 0:
        at = seconds * 1_000_000_000 + micros * 1000
    return Event(name, data, at)


def _greeting(found: Any) -> Greeting | None:
    try:
        version = found["version"]["qemu"]
        numbers = (int(version["major"]), int(version["minor"]), int(version["micro"]))
        return Greeting(
            numbers, str(found["version"].get("package", "")), tuple(map(str, found.get("capabilities", ())))
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
