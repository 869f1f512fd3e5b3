"""A far program with pipes to it: what carries a stream of bytes over a line."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import suppress
from typing import Final

from anyvirt import deadline
from anyvirt.errors import Interrupted

_LOOK: Final = 100.0  # ms after which a deadline that was cancelled is seen
_LONGEST: Final = 4096
_GRACE: Final = 2.0


class Pipe:
    """It runs until its input ends and it has nothing more to say, or until ``kill``.

    ``reader`` and ``writer`` are descriptors of its output and its input, for whoever takes them: a ``Stream``.
    """

    def __init__(self, process: subprocess.Popen[bytes], what: str) -> None:
        self._process, self.what = process, what
        assert process.stdin
        assert process.stdout
        self.writer, self.reader = os.dup(process.stdin.fileno()), os.dup(process.stdout.fileno())
        process.stdin.close()
        process.stdout.close()
        self._pidfd = os.pidfd_open(process.pid)
        self._errors = b""

    def line(self) -> str:
        """The first line of its output, or what there is of it where it ends before.

        :raises Interrupted: the deadline passed.
        """
        said = b""
        while not said.endswith(b"\n") and len(said) < _LONGEST:
            self._ready(self.reader)
            byte = os.read(self.reader, 1)
            if not byte:
                break
            said += byte
        return said.decode("utf-8", "replace").rstrip("\n")

    def wait(self) -> int:
        """Its status when it has ended; it may be asked for again.

        :raises Interrupted: the deadline passed, and it goes on.
        """
        if self._process.returncode is None and self._pidfd >= 0:
            self._ready(self._pidfd)
        return self._process.wait()

    def errors(self) -> str:
        """What it said on standard error, once it has ended."""
        if self._process.stderr and not self._process.stderr.closed:
            os.set_blocking(self._process.stderr.fileno(), False)
            with suppress(OSError):
                self._errors += self._process.stderr.read() or b""
        return self._errors.decode("utf-8", "replace").strip()

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    def lost(self) -> Interrupted:
        """The error for a line that ended before the program."""
        error = Interrupted("lost", self.what)
        error.details["stderr"] = self.errors()
        return error

    def kill(self) -> None:
        """End the line; the program there sees its end."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)

    def drop(self) -> None:
        """Let go of everything but ``reader`` and ``writer``; any number of times."""
        self.kill()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._process.stderr:
            self._process.stderr.close()

    def _ready(self, fd: int) -> None:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while True:
            deadline.current().check(self.what)
            seconds = deadline.left()
            if poll.poll(_LOOK if seconds is None else max(1.0, min(_LOOK, seconds * 1000))):
                return
