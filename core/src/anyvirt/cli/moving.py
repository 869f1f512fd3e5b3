"""Bytes between a file on this side and a volume, with progress, and without the zeros where both ends know holes."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final

from anyvirt.errors import Denied, Invalid, NotFound, VirtError
from anyvirt.sparse import Hole

if TYPE_CHECKING:
    from anyvirt.cli.invocation import Invocation
    from anyvirt.transport.stream import Stream

PIECE: Final = 1 << 18
_ZEROS: Final = bytes(PIECE)
_PAUSE: Final = 0.1  # seconds between two looks of a progress bar
Part = bytes | Hole


class Bar:
    """Progress of bytes on a terminal; nothing where nobody looks.

    :param total: bytes that are expected; None where that is not known.
    """

    def __init__(self, cli: Invocation, phase: str, total: int | None, done: int = 0) -> None:
        self._cli, self._phase, self._total = cli, phase, total
        self._shown = cli.err.isatty() and not cli.options.quiet and not cli.options.json
        self._next, self.done = 0.0, done

    def counted(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The same parts, counted as they pass."""
        try:
            for part in parts:
                yield part
                self.done += part.length if isinstance(part, Hole) else len(part)
                self._draw()
        finally:
            if self._shown:
                print("\r\x1b[K", end="", file=self._cli.err, flush=True)

    def _draw(self) -> None:
        if self._shown and time.monotonic() >= self._next:
            from anyvirt.cli.jobs import drawn
            from anyvirt.progress import Progress

            text = drawn(Progress(self.done, self._total or 0, "B", self._phase))
            print(f"\r{text}\x1b[K", end="", file=self._cli.err, flush=True)
            self._next = time.monotonic() + _PAUSE


def opened(name: str) -> BinaryIO:
    """A file to read; ``-`` is what is piped in.

    :raises NotFound, Denied, Invalid: there is no such file, or it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer
    try:
        file = open(name, "rb")  # noqa: SIM115 - whoever asked closes it
    except OSError as error:
        raise said(error, name) from None
    if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Invalid(f"{name} is a folder", hint="name a file")
    return file


def said(error: OSError, name: str) -> VirtError:
    """What the operating system has against a file of the user's."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return NotFound(name, "file", hint="correct the path")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return VirtError(f"{name}: {os.strerror(error.errno)}", code="file.no-space")
    if error.errno == errno.EISDIR:
        return Invalid(f"{name} is a folder", hint="name a file")
    return Denied(f"{name}: {os.strerror(error.errno or 0)}", hint="check its mode, and that of its folders")


def size_of(file: BinaryIO) -> int | None:
    """Bytes of a file; None of a pipe."""
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return os.fstat(file.fileno()).st_size
    return None


def parts_of(file: BinaryIO, start: int, length: int | None, *, sparse: bool) -> Iterator[Part]:
    """The content of a file from a byte on; of a file with holes those are told, and of a pipe its zeros.

    :param length: bytes at most.
    """
    if size_of(file) is None:
        yield from _holed(_pieces(file, length)) if sparse else _pieces(file, length)
        return
    end = size_of(file) or 0
    end = end if length is None else min(end, start + length)
    at = start
    while at < end:
        data, after = _extent(file, at, end) if sparse else (at, end)
        if data > at:
            yield Hole(data - at)
        file.seek(data)
        yield from _pieces(file, after - data)
        at = after


def _extent(file: BinaryIO, at: int, end: int) -> tuple[int, int]:
    """Where the next bytes that are no hole begin and end."""
    try:
        data = min(os.lseek(file.fileno(), at, os.SEEK_DATA), end)
    except OSError as error:
        return (end, end) if error.errno == errno.ENXIO else (at, end)
    return data, min(os.lseek(file.fileno(), data, os.SEEK_HOLE), end) if data < end else end


def _pieces(file: BinaryIO, length: int | None) -> Iterator[bytes]:
    left = length
    while left is None or left > 0:
        piece = file.read(PIECE if left is None else min(PIECE, left))
        if not piece:
            return
        if left is not None:
            left -= len(piece)
        yield piece


def _holed(pieces: Iterable[bytes]) -> Iterator[Part]:
    for piece in pieces:
        yield Hole(len(piece)) if piece == _ZEROS[: len(piece)] else piece


def holed(pieces: Iterable[bytes]) -> Iterator[Part]:
    """The same bytes, with holes where pieces are nothing but zeros."""
    return _holed(pieces)


def send(stream: Stream, parts: Iterable[Part], *, sparse: bool) -> None:
    """Write parts into a stream; records where it takes them."""
    from anyvirt.sparse import encode

    for piece in encode(parts) if sparse else parts:
        assert isinstance(piece, bytes)
        stream.write(piece)


def received(stream: Stream, *, sparse: bool) -> Iterator[Part]:
    """What comes out of a stream, to its end."""
    from anyvirt.sparse import SparseDecoder

    decoder = SparseDecoder()
    while piece := stream.read():
        if sparse:
            yield from decoder.feed(piece)
        else:
            yield piece
    decoder.end()


def put(parts: Iterable[Part], write: Callable[[Part], None]) -> None:
    """Write parts away, one after the other."""
    for part in parts:
        write(part)
