"""Consoles: one who writes, any number who read, and every byte in a log whether somebody reads or not."""

from __future__ import annotations

import os
import tty
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
    Interrupted,
    Invalid,
    Op,
    Ref,
    Stream,
    Unsupported,
    VirtError,
    WrongState,
    impl,
    lanes,
    require,
    unix,
)
from anyvirt_host.local import follow

from anyvirt_qemu.console_log import ConsoleLog
from anyvirt_qemu.seat import Seat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyvirt_qemu.guest import Record, Run
    from anyvirt_qemu.site import Site

CHUNK: Final = 65536
TYPES: Final = ("pty", "unix")
PTS: Final = "/dev/pts/"
LEAVING: Final = 2.0
_numbers: Final = count()


class Consoles:
    """The hook."""

    _site: Site

    @impl
    def domain_console(self, ref: Ref, device: str | None, force: bool, readonly: bool, replay: bool) -> Stream:
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
    """What happens behind one stream: the log and the device on one side, two pipes on the other.

    The device is read although the log has it all: a terminal that is open and not read
    would stop the guest.
    """

    def __init__(self, what: str, guest: str) -> None:
        self._what, self._guest = what, guest
        self._watch = follow.Watch()
        self._log: ConsoleLog | None = None
        self._seat: Seat | None = None
        self._device = self._line = self._pidfd = self._out = self._in = -1
        self._offset = 0
        self._to_user: deque[bytes] = deque()
        self._to_guest: deque[bytes] = deque()
        self._listening = True
        self._waits: set[Hashable] = set()
        self._over = False
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
        if use.get("log"):
            self._log = ConsoleLog.open(use["log"], run.place.q, run.place.guest_path, uid=run.record.uid)
            self._log.trim()
            self._watch.file("log", self._log.fd)
        elif readonly or replay:
            raise Unsupported("qemu", f"reading {alias} of {self._guest} without a log", hint="attach as its writer")
        if not readonly:
            if use.get("type") not in TYPES or not use.get("path"):
                hint = "attach with readonly, or make it a pty"
                raise Unsupported("qemu", f"typing on a console of type {use.get('type')}", hint=hint)
            self._seat = Seat(run.place.fd, alias, self._guest)
            self._seat.take(run, force=force)
            self._watch.file("asked", self._seat.asked)
            self._watch.directory("seat", run.place.fd)
            self._device = _opened(run, use)
            self._line = os.dup(self._device)  # one descriptor is watched for one thing
            self._watch.process("device", self._device)
        # from here on nothing is missed
        self._offset = self._log.size if self._log is not None and not replay else 0
        assert run.process is not None
        with suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(run.process.pid)
            self._watch.process("end", self._pidfd)
        self._over = run.process.alive() is False

    def begin(self, key: str) -> Stream:
        """The stream, and the lane that serves it until its end."""
        reader, self._out = os.pipe2(os.O_CLOEXEC)
        writer = None
        if self._seat is not None:
            self._in, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._watch.process("in", self._in)
        os.set_blocking(self._out, False)
        stream = Stream(reader, writer, what=self._what, finish=self._finish, abandon=self._abandon)
        lanes.start(key, self._serve, self._deadline)
        return stream

    def close(self) -> None:
        """Give everything back."""
        for fd in (self._device, self._line, self._pidfd, self._out, self._in):
            if fd >= 0:
                os.close(fd)
        self._device = self._line = self._pidfd = self._out = self._in = -1
        if self._seat is not None:
            self._seat.leave()
        if self._log is not None:
            self._log.close()
        self._watch.close()

    # -- the stream's ends -----------------------------------------------------------------

    def _abandon(self) -> None:
        self._deadline.cancel()
        self._left.wait(LEAVING)

    def _finish(self) -> None:
        self._abandon()
        if self._taken_by:
            hint = "attach with force to take it back, or only read"
            raise Busy(self._guest, holder=self._taken_by, purpose="its console, which was taken over", hint=hint)
        if self._error is not None:
            raise Failed(f"{self._what}: {self._error}") from self._error

    # -- on the lane -----------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while self._carry():
                for key in self._watch.wait():
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
        self._push("guest", self._line, self._to_guest)
        while not self._to_user and self._log is not None:
            data, self._offset = self._log.read(self._offset)
            if not data:
                break
            self._to_user.append(data)
            self._push("user", self._out, self._to_user)
            self._log.trim()
        self._push("user", self._out, self._to_user)
        listen = not self._to_guest and self._in >= 0
        if listen != self._listening:
            self._listening = listen
            if listen:
                self._watch.process("in", self._in)
            else:
                self._watch.forget("in")
        return bool(self._to_user) or not self._over

    def _push(self, key: str, fd: int, queue: deque[bytes]) -> None:
        """Write what stands in the queue; when there is no room, wait for some."""
        while queue and fd >= 0 and key not in self._waits:
            data = queue.popleft()
            try:
                written = os.write(fd, data)
            except BlockingIOError:
                written = 0
            except OSError:
                if key == "user":
                    raise
                self._hang_up()
                return
            if written < len(data):
                queue.appendleft(data[written:])
                self._waits.add(key)
                self._watch.room(key, fd)

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
        try:
            data = os.read(self._device, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        elif self._log is None:
            self._to_user.append(data)

    def _hang_up(self) -> None:
        """QEMU has closed the device, which it does when it ends."""
        self._watch.forget("device")
        self._watch.forget("guest")
        self._waits.discard("guest")
        self._to_guest.clear()
        os.close(self._device)
        os.close(self._line)
        self._device = self._line = -1
        self._over |= self._log is None


def _opened(run: Run, use: Mapping[str, str]) -> int:
    """A descriptor of the device, which neither echoes nor waits.

    :raises Unreachable: nobody listens there.
    """
    path = use["path"]
    if use["type"] == "unix":
        found = unix.connect(path if path.startswith("/") else run.place.place(path)).detach()
        os.set_blocking(found, False)
        return found
    if not path.startswith(PTS):
        raise Failed(f"{path} is no terminal", hint="QEMU is not to be trusted: destroy the guest")
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Interrupted("lost", path) from error
    try:
        tty.setraw(fd)
    except BaseException as error:
        os.close(fd)
        raise Failed(f"{path} is no terminal: {error}") from error
    return fd
