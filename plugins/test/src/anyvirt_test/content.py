"""Bytes of volumes: a sparse file each, as long as what was written; what is behind that are zeros."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

CHUNK: Final = 1 << 18
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Image:
    """The content of one volume. Each change makes another file and puts it in place of the old one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> int:
        """A descriptor to read it as it is now, whatever becomes of it; of nothing where nothing was written."""
        try:
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            with TemporaryFile() as nothing:
                return os.dup(nothing.fileno())

    def size(self) -> int:
        """Bytes of it that take room."""
        try:
            return self.path.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def put(self, part: Image, offset: int, length: int) -> None:
        """Have the bytes of ``part`` in place of ``length`` bytes from ``offset`` on."""
        with _Draft(self.path) as draft:
            draft.copy(self, 0, offset)
            draft.copy(part, 0, length, shift=offset)
            draft.copy(self, offset + length, None)

    def copy(self, source: Image) -> None:
        """Put what another one has over it; where that has nothing, it stays."""
        with _Draft(self.path) as draft:
            draft.copy(self, 0, None)
            draft.copy(source, 0, None)

    def cut(self, size: int) -> None:
        """Forget what is behind ``size``."""
        with suppress(FileNotFoundError):
            os.truncate(self.path, min(size, self.path.stat().st_size))

    def wipe(self, *, noise: bool) -> None:
        """Have zeros, or noise, in place of everything that was written."""
        if not noise:
            self.drop()
            return
        with _Draft(self.path) as draft:
            for start, end in _extents(self, 0, None):
                draft.write(start, os.urandom(end - start))

    def drop(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)

    def move(self, path: Path) -> None:
        """Put it somewhere else."""
        with suppress(FileNotFoundError):
            self.path.replace(path)


class Part(Image):
    """What has come of an upload so far."""

    def length(self) -> int:
        """Bytes of the volume that have come, holes included."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self) -> int:
        """A descriptor to add to it."""
        return os.open(self.path, _NEW, 0o600)


def pieces(fd: int, offset: int, end: int) -> Iterator[tuple[bytes, int]]:
    """What is there from ``offset`` to ``end``: bytes and their number; for a hole no bytes."""
    while offset < end:
        start, stop = _extent(fd, offset)
        if start > offset:
            yield b"", min(start, end) - offset
            offset = min(start, end)
            continue
        data = os.pread(fd, min(CHUNK, stop - offset, end - offset), offset)
        yield data, len(data)
        offset += len(data)


def _extent(fd: int, offset: int) -> tuple[int, int]:
    """The next bytes that were written: first and end; both behind everything where there are none."""
    try:
        start = os.lseek(fd, offset, os.SEEK_DATA)
        return start, os.lseek(fd, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return 1 << 62, 1 << 62


def _extents(image: Image, offset: int, end: int | None) -> Iterator[tuple[int, int]]:
    fd = image.open()
    try:
        place = offset
        while True:
            start, stop = _extent(fd, place)
            if start >= (1 << 62 if end is None else end):
                return
            yield start, stop if end is None else min(stop, end)
            place = stop
    finally:
        os.close(fd)


class _Draft:
    """A new file that takes the old one's place when the block ends well."""

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, path.with_suffix(".new")

    def __enter__(self) -> _Draft:
        self._fd = os.open(self._new, _NEW | os.O_TRUNC, 0o600)
        return self

    def copy(self, source: Image, start: int, end: int | None, *, shift: int = 0) -> None:
        fd = source.open()
        try:
            for first, last in _extents(source, start, end):
                for place in range(first, last, CHUNK):
                    self.write(place + shift, os.pread(fd, min(CHUNK, last - place), place))
        finally:
            os.close(fd)

    def write(self, offset: int, data: bytes) -> None:
        if data.strip(b"\0"):
            os.pwrite(self._fd, data, offset)
        elif os.fstat(self._fd).st_size > offset:
            os.pwrite(self._fd, data, offset)  # there may be other bytes below

    def __exit__(self, kind: object, *_: object) -> None:
        os.close(self._fd)
        if kind is None:
            self._new.replace(self._path)
        else:
            self._new.unlink()
