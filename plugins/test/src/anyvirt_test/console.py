"""Consoles: a guest's log, one who writes, any number who read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final
from uuid import uuid4

from anyvirt.api import (
    Busy,
    Deadline,
    Interrupted,
    Invalid,
    NotFound,
    Op,
    ProcessId,
    Ref,
    Stream,
    current,
    impl,
    lanes,
    require,
)

from anyvirt_test.world import Guest, World

PROMPT: Final = b"$ "
DEVICES: Final = ("console0", "serial0")
CHUNK: Final = 65536
LOOK: Final = 0.02
APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Typed(Stream):
    """The writer's end: what is typed reaches the guest at once, as long as nobody else has taken its place."""

    def __init__(self, reader: int, hear: Callable[[bytes], None], **rest: Any) -> None:
        super().__init__(reader, **rest)
        self._hear = hear

    def write(self, data: bytes) -> None:
        self._hear(data)


class Consoles:
    """What guests print goes into one file each; whoever reads follows it from where it was."""

    def __init__(self, world: World) -> None:
        self.world = world

    def boot(self, guest: Guest) -> None:
        """The guest comes up and shows its prompt."""
        self.say(guest, f"{guest.row.name}: up on the test host, run {guest.run.id}\r\n".encode() + PROMPT)

    def end(self, guest: Guest, words: str) -> None:
        """The guest is gone: readers come to an end, and nobody writes any more."""
        self.say(guest, f"\r\n{words}\r\n".encode())
        self._hold(guest.ref, None)

    def say(self, guest: Guest, data: bytes) -> None:
        """The guest prints."""
        log = os.open(self._log(guest.ref), APPEND, 0o600)
        try:
            os.write(log, data)
        finally:
            os.close(log)

    def open(self, guest: Guest, *, force: bool, readonly: bool, replay: bool) -> Stream:
        """A console of a running guest; see the hook."""
        what = f"console of {guest.row.name}"
        mine = "" if readonly else self._take(guest, force=force)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        log = self._log(guest.ref)
        start = 0 if replay or not log.exists() else log.stat().st_size
        deadline = Deadline(None)
        lanes.start(f"{guest.row.uuid}:console:{uuid4()}", partial(self._pump, guest, writer, start), deadline)
        done = partial(self._let_go, guest.ref, mine, deadline)
        if readonly:
            return Stream(reader, what=what, finish=done, abandon=done)
        return Typed(reader, partial(self._hear, guest, mine), what=what, finish=done, abandon=done)

    def _take(self, guest: Guest, *, force: bool) -> str:
        holder = self._holder(guest.ref)
        if holder and not force and ProcessId.from_json(holder["process"]).alive() is not False:
            who = f"process {holder['process']['pid']}"
            raise Busy(guest.ref, holder=who, purpose="its console", hint="take it over with force, or only read")
        mine = uuid4().hex
        self._hold(guest.ref, {"token": mine, "process": ProcessId.own().to_json()})
        return mine

    def _hear(self, guest: Guest, mine: str, data: bytes) -> None:
        """Type on a guest that echoes, and knows ``echo`` and nothing else."""
        if self._holder(guest.ref).get("token") != mine:
            raise Interrupted(
                "lost", f"console of {guest.row.name}", hint="somebody took it over, or the guest is gone"
            )
        line = self.world.store.blob("domain", guest.row.uuid, "line") or b""
        for byte in data:
            key = bytes([byte])
            if key not in b"\r\n":
                line += key
                self.say(guest, key)
                continue
            word, _, rest = line.partition(b" ")
            answer = rest + b"\r\n" if word == b"echo" else b"" if not line else word + b": not found\r\n"
            self.say(guest, b"\r\n" + answer + PROMPT)
            line = b""
        self.world.store.set_blob("domain", guest.row.uuid, "line", line)

    def _pump(self, guest: Guest, writer: int, place: int) -> None:
        """Carry the log from ``place`` on into a pipe, until the guest or the reader is gone."""
        log, stopped = self._log(guest.ref), Event()
        try:
            with current().breaks(stopped.set):
                over = False
                while not (over or stopped.is_set()):
                    over = not self._runs(guest)  # asked first: its last words are written before it is gone
                    while data := _piece(log, place):
                        place += os.write(writer, data)
                    stopped.wait(0 if over else LOOK)
        except BrokenPipeError:
            return  # the reader has gone
        finally:
            os.close(writer)

    def _runs(self, guest: Guest) -> bool:
        try:
            now = self.world.guest(guest.ref)
        except NotFound:
            return False
        return now.run.active and now.run.id == guest.run.id

    def _let_go(self, ref: Ref, mine: str, deadline: Deadline) -> None:
        deadline.cancel()
        if mine and self._holder(ref).get("token") == mine:
            self._hold(ref, None)

    def _holder(self, ref: Ref) -> dict[str, Any]:
        found = self.world.store.blob("domain", ref.key, "writer")
        holder: dict[str, Any] = json.loads(found) if found else {}
        return holder

    def _hold(self, ref: Ref, holder: dict[str, Any] | None) -> None:
        self.world.store.set_blob("domain", ref.key, "writer", json.dumps(holder).encode() if holder else None)

    def _log(self, ref: Ref) -> Path:
        return self.world.folder() / f"{ref.key}.log"


class Console:
    """The hook."""

    world: World
    consoles: Consoles

    @impl
    def domain_console(self, ref: Ref, device: str | None, force: bool, readonly: bool, replay: bool) -> Stream:
        if device is not None and device not in DEVICES:
            raise Invalid(f"{ref} has no console {device!r}", hint=f"it has {' and '.join(DEVICES)}")
        with self.world.hold(ref, "console") as guest:
            require(guest.run.status, Op.CONSOLE, guest.ref)
            return self.consoles.open(guest, force=force, readonly=readonly, replay=replay)


def _piece(log: Path, place: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(place)
            return file.read(CHUNK)
    except FileNotFoundError:
        return b""
