"""The way to type on a guest's character device: a terminal, or a socket."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import time
import tty
from typing import TYPE_CHECKING, Final

from anyvirt.api import Failed, Interrupted, Unreachable, unix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyvirt_qemu.guest import Run

PTS: Final = "/dev/pts/"
CHUNK: Final = 65536
NOTICED: Final = 3.5  # seconds after which QEMU, which looks every second, has seen that a terminal was opened
HEARD: Final = 0.3  # in which it reads what was typed then, also on a busy host
GLANCE: Final = 0.0005  # between looks at whether a socket was emptied


class Line:
    """A device's other end, opened and closed any number of times; it neither echoes nor waits.

    A terminal is open all the time, and has to be read, or it would stop the guest. A socket whose
    output stands in a log is open only while something is on its way: QEMU writes a byte twice
    into the log when it finds the socket full, and 280 bytes fill it.

    :param brief: it is such a socket.
    """

    def __init__(self, run: Run, use: Mapping[str, str], *, brief: bool) -> None:
        self.brief = brief
        self._kind, self._path = use["type"], use["path"]
        self._folder = os.dup(run.place.fd)
        self._typed = self._noticed = 0.0
        self.fd = self.out = -1

    def __bool__(self) -> bool:
        return self.fd >= 0

    def open(self) -> None:
        """Open it.

        :raises Unreachable: nobody listens there.
        :raises Failed: it is no terminal.
        """
        if self._kind == "unix":
            place = self._path if self._path.startswith("/") else (self._folder, self._path)
            self.fd = unix.connect(place).detach()
            os.set_blocking(self.fd, False)
        else:
            self.fd = self._terminal()
            self._noticed = time.monotonic() + NOTICED
        self.out = os.dup(self.fd)  # one descriptor can be watched for one thing

    def hang_up(self) -> None:
        """Close it; it can be opened again."""
        for fd in (self.fd, self.out):
            if fd >= 0:
                os.close(fd)
        self.fd = self.out = -1

    def close(self) -> None:
        """Close it for good."""
        self.hang_up()
        if self._folder >= 0:
            os.close(self._folder)
        self._folder = -1

    def write(self, data: bytes) -> int:
        """Type; how much of it the device took.

        :raises OSError: QEMU has closed it.
        """
        try:
            written = os.write(self.out, data)
        except BlockingIOError:
            return 0
        self._typed = time.monotonic()
        return written

    def read(self) -> bytes | None:
        """What came back; None where nothing did, ``b""`` when QEMU has closed it."""
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if data:
            self._noticed = 0.0  # or it would not have been written here
        return data

    def busy(self) -> float:
        """For how many seconds it has to stay open, so that what was typed is heard; 0.0 when it was."""
        if self._kind == "pty":
            return max(0.0, max(self._noticed, self._typed + HEARD) - time.monotonic()) if self._typed else 0.0
        waiting = struct.unpack("i", fcntl.ioctl(self.out, termios.TIOCOUTQ, b"\0" * 4))[0]
        return GLANCE if waiting else 0.0

    def _terminal(self) -> int:
        if not self._path.startswith(PTS):
            raise Failed(f"{self._path} is no terminal", hint="QEMU is not to be trusted: destroy the guest")
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Unreachable(self._path, "open", hint="the guest has just ended") from error
        try:
            tty.setraw(fd)
        except termios.error as error:
            os.close(fd)
            raise Interrupted("lost", self._path) from error
        return fd
