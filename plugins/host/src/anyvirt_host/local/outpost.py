"""Do what may hang in the kernel in a process of its own, which is left alone where it does not come back.

A call into a file system whose server is gone cannot be ended, not even by SIGKILL, before that server answers.
So it is made elsewhere: the caller goes on at its deadline, the process dies whenever it can, and until then it
counts, on the whole machine: with ``CAP`` of them stuck on one thing, nobody begins another.
"""

from __future__ import annotations

import os
import pickle
import re
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Final, NoReturn

import anyvirt.api as core
from anyvirt.api import Interrupted, Unreachable, VirtError, current, left

from anyvirt_host.local.spawn import spawn

PROC: Final = Path("/proc")
CAP: Final = 4
IDLE: Final = 2
_ASKED: Final = 3  # the descriptor that it is asked by
_LENGTH: Final = struct.Struct("Q")
_PIECE: Final = 1 << 20
_TICK: Final = 100.0  # ms after which a call that was cancelled is seen
_BEGIN: Final = "import sys; sys.path[:0] = sys.argv[3:]; from anyvirt_host.local.outpost import serve; serve()"
_HERE: Final = (str(Path(core.__file__).parents[1]), str(Path(__file__).parents[2]))
_PENDING: Final = re.compile(r"^S(?:ig|hd)Pnd:\t([0-9a-f]+)$", re.MULTILINE)
_KILL: Final = 1 << (signal.SIGKILL - 1)


class Outpost:
    """One process with one object, whose methods it calls for us, one at a time.

    :param target: ``module:Class`` of the object, which is made without arguments.
    :param name: what it is known by on this machine, at most 15 letters.
    """

    def __init__(self, target: str, name: str, about: str) -> None:
        self._about = about
        self.usable = False
        ours, theirs = socket.socketpair()
        self._line = ours.detach()
        try:
            argv = [sys.executable, "-I", "-c", _BEGIN, target, name, *_HERE]
            self._pid = spawn(argv, {"LC_ALL": "C.UTF-8"}, {}, keep={_ASKED: theirs.fileno()})
        except BaseException:
            os.close(self._line)
            raise
        finally:
            theirs.close()
        self.usable = True

    def __del__(self) -> None:
        self.leave()

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method there.

        :raises Interrupted: it did not come back before the deadline, and is left alone; or it was killed.
        :raises VirtError: what the method raised.
        """
        try:
            _send(self._line, (method, arguments, named))
            self._wait()
            well, value = _received(self._line)
        except (EOFError, OSError) as error:
            self.leave()
            raise Interrupted("lost", f"{self._about}: the process that looked at it was killed") from error
        except BaseException:
            self.leave()
            raise
        if not well:
            raise value
        return value

    def leave(self) -> None:
        """Let go of it: it ends now, or when what it hangs in lets it. Any number of times."""
        if not self.usable:
            return
        self.usable = False
        os.close(self._line)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)  # its number is ours until it was waited for
        for _ in range(20):
            with suppress(ChildProcessError):
                if os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                    time.sleep(0.002)
                    continue
            return

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        while True:
            current().check(self._about)
            seconds = left()
            if poll.poll(_TICK if seconds is None else max(1.0, min(_TICK, seconds * 1000))):
                return


class Outposts:
    """Those that look at one thing, such as a mount; used again while they answer.

    :param about: what they look at, for messages and to count by.
    :param proc: where the processes of the machine are told.
    """

    def __init__(self, target: str, about: str, proc: Path = PROC) -> None:
        self._target, self._about, self._proc = target, about, proc
        self.name = f"anyvirt {sha256(about.encode('utf-8', 'surrogateescape')).hexdigest()[:7]}"
        self._idle: list[Outpost] = []
        self._lock = Lock()

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method in one of them."""
        with self.one() as outpost:
            return outpost.ask(method, *arguments, **named)

    @contextmanager
    def one(self) -> Iterator[Outpost]:
        """One of them for some time; it goes back afterwards.

        :raises Unreachable: (``stage`` is ``stuck``) too many are stuck on it.
        """
        outpost = self.take()
        try:
            yield outpost
        finally:
            self.give_back(outpost)

    def take(self) -> Outpost:
        """One of them, until it is given back."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        if len(stuck(self.name, self._proc)) >= CAP:
            hint = "see what serves it; calls work again as soon as it answers"
            raise Unreachable(self._about, "stuck", hint=hint)
        return Outpost(self._target, self.name, self._about)

    def give_back(self, outpost: Outpost) -> None:
        """Keep it for the next who asks, or let go of it where there are enough."""
        with self._lock:
            if outpost.usable and len(self._idle) < IDLE:
                self._idle.append(outpost)
                return
        outpost.leave()


def stuck(name: str, proc: Path = PROC) -> list[int]:
    """Processes of that name, of whoever on this machine, that were killed and cannot die yet.

    Neither file has to ask the memory of a process, which one that hangs may have locked.
    """
    found = []
    for entry in proc.iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and (entry / "comm").read_bytes().rstrip(b"\n") == name.encode():
                masks = _PENDING.findall((entry / "status").read_text("ascii", "replace"))
                if any(int(mask, 16) & _KILL for mask in masks):
                    found.append(int(entry.name))
    return found


def serve() -> NoReturn:
    """What the process does: answer until nobody asks any more."""
    target, name = sys.argv[1:3]
    os.chdir("/")
    Path("/proc/self/comm").write_text(name, encoding="ascii")
    module, _, cls = target.partition(":")
    answer(_ASKED, getattr(import_module(module), cls)())
    os._exit(0)


def answer(line: int, target: Any) -> None:
    """Call the methods of an object as they are asked for."""
    while True:
        try:
            method, arguments, named = _received(line)
        except EOFError:
            return
        call: Callable[..., Any] = getattr(target, method)
        try:
            value = call(*arguments, **named)
            said = (True, list(value) if isinstance(value, Iterator) else value)
        except VirtError as error:
            said = (False, error)
        except OSError as error:
            said = (False, core.Failed(error.strerror or str(error), native={"errno": error.errno}))
        with suppress(BrokenPipeError):
            _send(line, said)


def _send(line: int, value: Any) -> None:
    data = pickle.dumps(value)
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        left = left[os.write(line, left) :]


def _received(line: int) -> Any:
    """The next message; ``EOFError`` where the other end is gone."""
    (length,) = _LENGTH.unpack(_exactly(line, _LENGTH.size))
    return pickle.loads(_exactly(line, length))  # noqa: S301 - from this program, on a line that nobody else has


def _exactly(line: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = os.read(line, min(count - len(data), _PIECE))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
