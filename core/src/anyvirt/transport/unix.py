"""Unix sockets: connecting, listening and talking in lines, all over at the deadline."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from anyvirt import deadline
from anyvirt.errors import Busy, Denied, Failed, Interrupted, Invalid, Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

LONGEST: Final = 107
LINE: Final = 64 << 20
_CHUNK: Final = 1 << 16
_TRY: Final = struct.pack("@ll", 0, 100_000)
_FOREVER: Final = struct.pack("@ll", 0, 0)
_LETTERS_LEFT: Final = LONGEST - len("/proc/self/fd/1234567890/")

Place = str | Path | tuple[int, str]


def connect(place: Place, *, wait: bool = True) -> socket.socket:
    """A stream socket to the listener at a path, or at a name within an open folder ``(dirfd, name)``.

    Paths may be of any length; what counts is the last name.

    :param wait: wait for room in the listener's queue; otherwise a full one is ``Unreachable`` (stage ``queue``).
    :raises Unreachable: nobody listens there.
    :raises Denied: its mode, or that of a folder on the way.
    :raises Interrupted: the deadline passed while its queue was full.
    """
    shown = place[1] if isinstance(place, tuple) else str(place)
    if isinstance(place, tuple):
        return _connect(_within(*place), shown, wait=wait)
    if len(os.fsencode(place)) <= LONGEST:
        return _connect(str(place), shown, wait=wait)
    try:
        folder = os.open(os.path.dirname(place), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _coded(error, shown) from error
    try:
        return _connect(_within(folder, os.path.basename(place)), shown, wait=wait)
    finally:
        os.close(folder)


def listen(dirfd: int, name: str, *, backlog: int = 16) -> socket.socket:
    """A listening stream socket at ``name`` in an open folder, with mode 0600 from its first moment.

    Linux takes the mode of the new file from the socket's own, less the umask, so it
    is set on the descriptor before the name exists; a umask that took owner's bits away
    too is made up for afterwards.

    :raises Busy: the name exists; a caller who knows it to be dead removes it first.
    """
    place = _within(dirfd, name)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(place)
        mode = os.stat(name, dir_fd=dirfd, follow_symlinks=False).st_mode
        if stat.S_IMODE(mode) != 0o600:
            os.chmod(place, 0o600)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise _coded(error, name) from error
    return sock


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection that nobody else can come upon."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class LineSocket:
    """A conversation in lines over a stream socket.

    When the deadline passes inside a call the socket is shut down: half a line
    has gone over it then, so it is of no further use and says so in later calls.
    """

    def __init__(self, sock: socket.socket, what: str = "socket") -> None:
        self._sock, self._what = sock, what
        self._heard = bytearray()
        self._seen = 0
        self._broken = False

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send all of ``data``; ``fds`` travel with its first byte.

        :raises Interrupted: ``deadline``, or ``lost`` when the peer has gone.
        """
        with deadline.breaks(self._break, what=self._what):
            self._check()
            try:
                sent = socket.send_fds(self._sock, [data], list(fds)) if fds else 0
                self._sock.sendall(memoryview(data)[sent:])
            except OSError as error:
                deadline.current().check(self._what)
                raise Interrupted("lost", self._what) from error

    def readline(self, cap: int = LINE) -> bytes:
        """The next line without its newline.

        :param cap: bytes that a line may have.
        :raises Interrupted: ``deadline``, or ``lost`` when the peer has gone.
        :raises Failed: the line is longer than the cap.
        """
        with deadline.breaks(self._break, what=self._what):
            while (line := self._line(cap)) is None:
                self._check()
                self._take(self._receive())
        return line

    def ready(self, cap: int = LINE) -> list[bytes]:
        """Every whole line that is here already, without waiting; for a selector over many peers.

        :raises Interrupted: ``lost``, once the peer has gone and all its lines were given.
        """
        lines = self._lines(cap)
        while True:
            try:
                data = self._sock.recv(_CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return lines
            except OSError as error:
                raise Interrupted("lost", self._what) from error
            if not data and lines:
                return lines
            self._take(data)
            lines += self._lines(cap)

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close it; any number of times."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _break(self) -> None:
        self._broken = True
        self._sock.shutdown(socket.SHUT_RDWR)

    def _check(self) -> None:
        if self._broken:
            raise Interrupted("lost", f"{self._what}: an earlier call was cut off in its middle")

    def _receive(self) -> bytes:
        try:
            return self._sock.recv(_CHUNK)
        except OSError:  # reset, or closed by us in another thread
            return b""

    def _take(self, data: bytes) -> None:
        if not data:
            deadline.current().check(self._what)
            raise Interrupted("lost", self._what)
        self._heard += data

    def _line(self, cap: int) -> bytes | None:
        end = self._heard.find(b"\n", self._seen)
        if (len(self._heard) if end < 0 else end) > cap:
            raise Failed(f"{self._what} sent a line of more than {cap} bytes")
        if end < 0:
            self._seen = len(self._heard)
            return None
        line = bytes(self._heard[:end])
        del self._heard[: end + 1]
        self._seen = 0
        return line

    def _lines(self, cap: int) -> list[bytes]:
        lines = []
        while (line := self._line(cap)) is not None:
            lines.append(line)
        return lines


def _within(folder: int, name: str) -> str:
    if not name or "/" in name or "\0" in name or name in {".", ".."} or len(os.fsencode(name)) > _LETTERS_LEFT:
        raise Invalid(f"{name!r} is no name for a socket", hint=f"one part of a path, at most {_LETTERS_LEFT} bytes")
    return f"/proc/self/fd/{folder}/{name}"


def _connect(path: str, shown: str, *, wait: bool) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(wait)
        # A connect that waits for room in the queue is woken by nothing but its own time-out.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TRY)
        while True:
            deadline.current().check(shown)
            try:
                sock.connect(path)
            except BlockingIOError as error:
                if not wait:
                    raise Unreachable(shown, "queue", hint="the listener does not take new connections") from error
                continue
            break
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _FOREVER)
    except OSError as error:
        sock.close()
        raise _coded(error, shown) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _coded(error: OSError, shown: str) -> Exception:
    native = {"errno": error.errno, "text": error.strerror}
    if isinstance(error, PermissionError):
        return Denied(f"the socket {shown} is not open to this user", details=native)
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, NotADirectoryError)):
        return Unreachable(shown, "connect", details=native)
    if error.errno == errno.EADDRINUSE:
        return Busy(shown, purpose="listening", hint="remove the name when its owner is known to be gone")
    return Failed(f"{shown}: {error.strerror or error}", native=native)
