"""Volumes from and into files of this machine: jobs over the streams of a connection."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from anyvirt import sparse as records
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Busy, Denied, Exists, Failed, Interrupted, Invalid, NotFound, VirtError
from anyvirt.progress import Progress

if TYPE_CHECKING:
    from anyvirt.client._generated_sync import Connection
    from anyvirt.ref import Ref
    from anyvirt.transport.stream import Stream

PART: Final = ".part"
ABOUT: Final = ".part.about"
CHUNK: Final = 1 << 20
_PATIENCE: Final = 1.0  # seconds after which progress is told again while the other side makes the end of it


def upload(
    calls: Connection, volume: Ref, path: str, offset: int, *, sparse: bool, resume: bool
) -> Generator[Progress, None, int]:
    """See ``derived.volume_upload_file``."""
    with _opened(path, os.O_RDONLY) as fd:
        size = os.fstat(fd).st_size
        start = _begun(calls, volume, offset, size) if resume else None
        # without a length, an image of another size takes the place of the one that is there
        length = size if offset else None
        stream = calls.volume_upload(volume, offset, length, sparse, resume=start is not None)
        at = start or 0
        try:
            yield Progress(at, size, "B", "uploading")
            for piece in _pieces(fd, at, size, sparse=sparse):
                _sent(stream, piece, sparse=sparse)
                at += piece.length if isinstance(piece, records.Hole) else len(piece)
                yield Progress(at, size, "B", "uploading")
            yield from _closed(stream, Progress(size, size, "B", "finishing"))
        except BaseException:
            stream.abort()
            raise
    return size - (start or 0)


def download(
    calls: Connection, volume: Ref, path: str, offset: int, length: int | None, *, sparse: bool, resume: bool
) -> Generator[Progress, None, int]:
    """See ``derived.volume_download_file``."""
    state = _state(calls, volume, offset, length)
    total = state["physical"] - offset if state["physical"] is not None else None
    total = length if total is None else total if length is None else min(total, length)
    with _opened(path + PART, os.O_RDWR | os.O_CREAT) as fd:
        _hold(fd, path)
        at = _known(fd, path, state) if resume else 0
        os.ftruncate(fd, at)
        _note(path, state)
        rest = None if length is None else max(0, length - at)
        with calls.volume_download(volume, offset + at, rest, sparse) as stream:
            yield Progress(at, total, "B", "downloading")
            for piece in _received(stream, sparse=sparse):
                at = _kept(fd, piece, at, path)
                yield Progress(at, total, "B", "downloading")
        os.fsync(fd)
        with _named(path):
            os.rename(path + PART, path)
    with suppress(OSError):
        os.unlink(path + ABOUT)
    return at


def _begun(calls: Connection, volume: Ref, offset: int, size: int) -> int | None:
    """Bytes of the file that came before; None where nothing did."""
    kept = calls.volume_unfinished(volume) if "volume_unfinished" in calls.supports else None
    if kept is None:
        return None
    if kept.offset != offset or kept.length > size:
        text = f"the unfinished upload has {kept.length} bytes from byte {kept.offset} on, and is not of this file"
        raise Invalid(text, hint="begin a new one, without resume")
    return kept.length


def _pieces(fd: int, at: int, size: int, *, sparse: bool) -> Iterator[bytes | records.Hole]:
    while at < size:
        stop = size
        if sparse:
            begin = _seek(fd, at, os.SEEK_DATA, size)
            if begin > at:
                yield records.Hole(begin - at)
                at = begin
                continue
            stop = min(_seek(fd, at, os.SEEK_HOLE, size), size)
        data = os.pread(fd, min(CHUNK, stop - at), at)
        if not data:
            raise Failed("the file became smaller while it was uploaded", hint="upload it again")
        yield data
        at += len(data)


def _seek(fd: int, at: int, what: int, size: int) -> int:
    try:
        return os.lseek(fd, at, what)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        return at if what == os.SEEK_DATA else size  # a file system that does not tell of holes


def _sent(stream: Stream, piece: bytes | records.Hole, *, sparse: bool) -> None:
    if isinstance(piece, records.Hole):
        stream.write(records.hole(piece.length))
    else:
        stream.write(records.data_head(len(piece)) + piece if sparse else piece)


def _closed(stream: Stream, progress: Progress) -> Iterator[Progress]:
    """Wait for the other side's word that all is there, which may take long."""
    while True:
        yield progress
        try:
            with within(Deadline(_PATIENCE)):
                stream.close()
        except Interrupted as error:
            if error.reason != "deadline":
                raise
        else:
            return


def _received(stream: Stream, *, sparse: bool) -> Iterator[bytes | records.Hole]:
    pieces = iter(lambda: stream.read(CHUNK), b"")
    return records.decode(pieces) if sparse else pieces


def _kept(fd: int, piece: bytes | records.Hole, at: int, path: str) -> int:
    """Put a piece where it belongs; the file ends where the next one begins, so that its size tells how far it is."""
    with _named(path + PART):
        if isinstance(piece, records.Hole):
            os.ftruncate(fd, at + piece.length)
            return at + piece.length
        left = memoryview(piece)
        while left:
            count = os.pwrite(fd, left, at)
            left, at = left[count:], at + count
    return at


def _state(calls: Connection, volume: Ref, offset: int, length: int | None) -> dict[str, Any]:
    """What tells the volume's content now from another one's, and what is wanted of it."""
    info = calls.volume_info([volume])[volume].get()
    target = calls.volume_config([volume])[volume].get().model.target
    times = target.timestamps if target else None
    changed = [times.mtime, times.ctime] if times else None
    wanted = {"uri": str(calls.uri), "key": volume.key, "offset": offset, "length": length}
    return {**wanted, "physical": info.physical, "capacity": info.capacity, "changed": changed}


def _known(fd: int, path: str, state: dict[str, Any]) -> int:
    """Bytes of the same content that are there already."""
    try:
        with open(path + ABOUT, encoding="utf-8") as file:
            before = json.load(file)
    except (OSError, ValueError):
        return 0
    return os.fstat(fd).st_size if before == state and state["changed"] else 0


def _note(path: str, state: dict[str, Any]) -> None:
    with _opened(path + ABOUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
        os.write(fd, json.dumps(state).encode())


def _hold(fd: int, path: str) -> None:
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(path, holder="another download", hint="wait for it, or choose another file") from None


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    with _named(path):
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """What goes wrong with a file of this machine, as coded errors."""
    try:
        yield
    except OSError as error:
        raise _coded(error, path) from error


def _coded(error: OSError, path: str) -> VirtError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(path, "file")
    if isinstance(error, PermissionError):
        return Denied(f"{path!r}: {error.strerror}", hint="check owner and mode, and those of its folders")
    if isinstance(error, IsADirectoryError):
        return Exists("file", path, holder="a folder", hint="choose another name")
    failed = Failed(f"{path!r}: {error.strerror}", native={"errno": errno.errorcode.get(error.errno or 0, "?")})
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        failed.code, failed.hint = "file.no-space", "free space there and resume the download"
    return failed
