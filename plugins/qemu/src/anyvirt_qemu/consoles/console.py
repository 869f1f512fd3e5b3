"""Consoles: one who writes, any number who read, and every byte in a log whether somebody reads or not."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Hashable
from contextlib import ExitStack, suppress
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Busy,
    Cancelled,
    Deadline,
    Failed,
    Invalid,
    Op,
    Ref,
    Stream,
    Unsupported,
    VirtError,
    WrongState,
    lanes,
    require,
)
from anyvirt_host.local import follow

from anyvirt_qemu.consoles.console_log import ConsoleLog
from anyvirt_qemu.consoles.line import Line
from anyvirt_qemu.consoles.seat import Seat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyvirt_qemu.guest import Record, Run
    from anyvirt_qemu.site import Site

CHUNK: Final = 65536
TYPES: Final = ("pty", "unix")
LEAVING: Final = 5.0  # seconds until what was typed last is given up
_numbers: Final = count()


class Consoles:
    """The consoles of the guests of one connection."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def open(self, ref: Ref, device: str | None, *, force: bool, readonly: bool, replay: bool) -> Stream:
        row = self._site.row(ref)
        require(self._site.status(row), Op.CONSOLE, ref)
        with self._site.run(row.uuid) as run:
            if run is None or run.record is None or run.alive() is False:
                raise WrongState("shut off", ["running"], Op.CONSOLE.value, what=ref, hint="it has just ended")
            alias, use = _device(run.record, device)
            talk = Talk(f"console {alias} of {row.name}", row.name)
            with ExitStack() as undo:
                undo.callback(talk.close)
                talk.attach(run, alias, use, force=force, readonly=readonly, replay=replay)
                stream = talk.begin(f"{row.uuid}:console:{next(_numbers)}")
                undo.pop_all()
        return stream


def _device(record: Record, wanted: str | None) -> tuple[str, Mapping[str, str]]:
    """Alias and facts of the console that is meant.

    :raises Invalid: there is no such console; those that there are are named.
    """
    consoles = {alias: use for alias, use in record.consoles.items() if use.get("kind") != "channel"}
    if wanted is None and consoles:
        return next(iter(consoles.items()))
    found = record.consoles.get(wanted or "")
    if found is None:
        hint = (
            f"it has {', '.join(record.consoles)}" if record.consoles else "give it a serial port, and start it again"
        )
        raise Invalid(f"{record.name} has no console {wanted or ''}".rstrip(), hint=hint)
    return wanted or "", found


class Talk:
    """What happens behind one stream: the log and the device on one side, two pipes on the other."""

    def __init__(self, what: str, guest: str) -> None:
        self._what, self._guest = what, guest
        self._watch = follow.Watch()
        self._log: ConsoleLog | None = None
        self._seat: Seat | None = None
        self._line: Line | None = None
        self._pidfd = self._out = self._in = -1
        self._offset = 0
        self._to_user: deque[bytes] = deque()
        self._to_guest: deque[bytes] = deque()
        self._listening = True
        self._waits: set[Hashable] = set()
        self._over = self._leaving = False
        self._taken_by = ""
        self._error: Exception | None = None
        self._deadline = Deadline(None)
        self._left = Event()

    def attach(
        self, run: Run, alias: str, use: Mapping[str, str], *, force: bool, readonly: bool, replay: bool
    ) -> None:
        """Take what is needed.

        :raises Busy: somebody else writes, and ``force`` is not given.
        :raises Unsupported: this device cannot be written to, or has no log to read from.
        """
        assert run.record is not None
        assert run.process is not None
        if use.get("log"):
            self._log = ConsoleLog.open(use["log"], run.place.q, run.place.guest_path, uid=run.record.uid)
            self._log.trim()
            self._watch.file("log", self._log.fd)
        elif readonly or replay:
            raise Unsupported("qemu", f"reading {alias} of {self._guest} without a log", hint="attach as its writer")
        if not readonly:
            self._sit(run, alias, use, force=force)
        # from here on nothing is missed
        self._offset = self._log.size if self._log is not None and not replay else 0
        with suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(run.process.pid)
            self._watch.process("end", self._pidfd)
        self._over = run.process.alive() is False

    def _sit(self, run: Run, alias: str, use: Mapping[str, str], *, force: bool) -> None:
        """Become the writer."""
        if use.get("type") not in TYPES or not use.get("path"):
            hint = "attach with readonly, or make it a pty"
            raise Unsupported("qemu", f"typing on a console of type {use.get('type')}", hint=hint)
        self._seat = Seat(run.place.fd, alias, self._guest)
        self._seat.take(run, force=force)
        self._watch.file("asked", self._seat.asked)
        self._watch.directory("seat", run.place.fd)
        self._line = Line(run, use, brief=use["type"] == "unix" and self._log is not None)
        if not self._line.brief:
            self._open()

    def begin(self, key: str) -> Stream:
        """The stream, and the lane that serves it until its end."""
        reader, self._out = os.pipe2(os.O_CLOEXEC)
        writer = None
        if self._seat is not None:
            self._in, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._watch.process("in", self._in)
        os.set_blocking(self._out, False)
        stream = Stream(reader, writer, what=self._what, finish=self._finish, abandon=self._abandon)
        lanes.start(key, self._serve, self._deadline).watch(self._ended)
        return stream

    def close(self) -> None:
        """Give everything back."""
        for fd in (self._pidfd, self._out, self._in):
            if fd >= 0:
                os.close(fd)
        self._pidfd = self._out = self._in = -1
        for part in (self._line, self._log, self._watch):
            if part is not None:
                part.close()
        if self._seat is not None:
            self._seat.leave()

    # -- the stream's ends -----------------------------------------------------------------

    def _abandon(self) -> None:
        self._deadline.cancel()
        self._left.wait(LEAVING)

    def _finish(self) -> None:
        """What was typed still reaches the guest, as far as it takes it."""
        self._leaving = True
        self._watch.wake()
        self._left.wait(LEAVING)
        self._abandon()
        if self._taken_by:
            hint = "attach with force to take it back, or only read"
            raise Busy(self._guest, holder=self._taken_by, purpose="its console, which was taken over", hint=hint)
        if self._error is not None:
            raise Failed(f"{self._what}: {self._error}") from self._error

    def _ended(self) -> None:
        """The lane is through, or was cancelled before it had begun."""
        if not self._left.is_set():
            self.close()
            self._left.set()

    # -- on the lane -----------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while self._carry():
                for key in self._watch.wait(self._pause()):
                    self._heed(key)
        except (Cancelled, BrokenPipeError):
            return  # the stream was closed
        except (VirtError, OSError) as error:
            self._error = error
        finally:
            self.close()
            self._left.set()

    def _heed(self, key: Hashable) -> None:
        if key == "end":
            self._over |= self._log is not None
            self._watch.forget("end")
        elif key == "in":
            self._typed()
        elif key == "device":
            self._printed()
        elif key in {"asked", "seat"} and self._seat is not None:
            self._taken_by = self._seat.lost(asked=key == "asked")
        elif key in self._waits:
            self._waits.discard(key)
            self._watch.forget(key)

    def _carry(self) -> bool:
        """Move what can be moved; whether there is more to come."""
        if self._taken_by:
            return False
        self._type()
        if self._leaving:
            self._listen()  # what was typed before is still taken, also where the lane began late
            return self._line is not None and (bool(self._to_guest) or self._in >= 0 or bool(self._line))
        self._show()
        while not self._to_user and self._log is not None:
            data, self._offset = self._log.read(self._offset)
            if not data:
                break
            self._to_user.append(data)
            self._show()
            self._log.trim()
        self._listen()
        return bool(self._to_user) or not self._over

    def _listen(self) -> None:
        """Look out for what is typed, while the guest has taken what was typed before."""
        listen = not self._to_guest and self._in >= 0
        if listen != self._listening:
            self._listening = listen
            if listen:
                self._watch.process("in", self._in)
            else:
                self._watch.forget("in")

    def _pause(self) -> float | None:
        """How long to wait for news at most."""
        if self._line and (self._line.brief or self._leaving):
            return self._line.busy()
        return None

    def _show(self) -> None:
        """Give the user what stands in the queue; when there is no room, wait for some."""
        while self._to_user and "user" not in self._waits:
            data = self._to_user.popleft()
            try:
                written = os.write(self._out, data)
            except BlockingIOError:
                written = 0
            if written < len(data):
                self._to_user.appendleft(data[written:])
                self._waits.add("user")
                self._watch.room("user", self._out)

    def _type(self) -> None:
        """Give the guest what stands in the queue; a line that is open only for that is closed when it was heard."""
        line = self._line
        if line is None:
            return
        if self._to_guest and not line and line.brief and not self._over:
            self._open()
        while self._to_guest and line and "guest" not in self._waits:
            data = self._to_guest.popleft()
            try:
                written = line.write(data)
            except OSError:
                self._hang_up()
                return
            if written < len(data):
                self._to_guest.appendleft(data[written:])
                self._waits.add("guest")
                self._watch.room("guest", line.out)
        all_read = self._leaving and self._in < 0  # or what stands in the pipe would find a closed line
        if line and (line.brief or all_read) and not (self._to_guest or line.busy()):
            self._hang_up()

    def _open(self) -> None:
        assert self._line is not None
        self._line.open()
        self._watch.process("device", self._line.fd)

    def _typed(self) -> None:
        try:
            data = os.read(self._in, CHUNK)
        except BlockingIOError:
            return
        if data:
            self._to_guest.append(data)
            return
        self._watch.forget("in")  # nothing more will be typed
        os.close(self._in)
        self._in, self._listening = -1, False

    def _printed(self) -> None:
        """Empty the device; what it says stands in the log, where there is one."""
        data = self._line.read() if self._line else None
        if data == b"":
            self._hang_up()
            self._over |= self._log is None
        elif data and self._log is None:
            self._to_user.append(data)

    def _hang_up(self) -> None:
        """Close the line, or see that QEMU has, which it does when it ends."""
        self._watch.forget("device")
        self._watch.forget("guest")
        self._waits.discard("guest")
        self._to_guest.clear()
        if self._line is not None:
            self._line.hang_up()
