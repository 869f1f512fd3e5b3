"""Where a store of plain files stands: reading it, and changing several files as one under its lock."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from anyvirt.errors import Denied
from anyvirt.locks import Lock
from anyvirt.store.faults import coded

HEAD: Final = "head.json"
META: Final = "store.json"
LOG: Final = "events.jsonl"
OLD_LOG: Final = "events.1.jsonl"
DRAFT: Final = ".new-"
FAR: Final = "far-"  # begins the nonces of drafts that are written before the lock is taken
_ABANDONED: Final = 600.0  # seconds after which nobody can still be writing a draft


class Put(NamedTuple):
    """Write a file as a whole; ``lasting`` ones are on the disk when the change is done."""

    path: str
    data: bytes
    lasting: bool = True


class Drop(NamedTuple):
    """Remove a file where it is there."""

    path: str


class Move(NamedTuple):
    """Give a file another name, over what has it now."""

    path: str
    to: str


class Seen(NamedTuple):
    """What a change was worked out from; another one means that somebody else was first."""

    head: bytes
    log_size: int


Step = Put | Drop | Move


def draft(step: Put, number: int, nonce: str) -> str:
    """Where what is to become a file is written first, in the same folder."""
    folder = step.path.rpartition("/")[0]
    return f"{folder}/{DRAFT}{nonce}-{number}".lstrip("/")


def renames(steps: Sequence[Step], nonce: str) -> list[Step]:
    """What is left of steps once their drafts are there; taking it twice does no harm."""
    return [
        Move(draft(step, number, nonce), step.path) if isinstance(step, Put) else step
        for number, step in enumerate(steps)
    ]


class Place(Protocol):
    """A folder of one host; paths are relative to it, such as ``domain/web~UUID.xml``."""

    def names(self, folder: str) -> Sequence[str]:
        """The names in a folder; none where it is missing."""
        ...

    def nonce(self) -> str:
        """A new name for drafts, different from all others."""
        ...

    def abandoned(self, folder: str) -> Sequence[str]:
        """Drafts in a folder that nobody will put in place any more, where that can be told; inside ``locked``."""
        ...

    def read(self, path: str) -> bytes | None:
        """A file's content, or None where it is missing."""
        ...

    def reads(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """The content of many files, those that are missing left out."""
        ...

    def tail(self, path: str, count: int) -> tuple[int, bytes]:
        """A file's size, and its last ``count`` bytes; ``(0, b"")`` where it is missing."""
        ...

    @contextmanager
    def locked(self, purpose: str) -> Iterator[None]:
        """Keep others from changing anything inside the block, where that can be done from here.

        :raises Busy: others changed it until the deadline.
        """
        ...

    def change(self, seen: Seen, append: bytes, steps: Sequence[Step], nonce: str = "") -> bool:
        """Append to the log, then take the steps in order; all on the disk when it returns.

        False, and nothing changed, where head or log are not as ``seen`` any more. A kill before the log's line is
        whole leaves nothing; one after it leaves the drafts, so that ``renames`` can be taken by whoever comes next.

        :param nonce: names the drafts; a random one where nobody has to find them.
        :raises Failed: (``store.full``) there was no room; nothing was changed.
        """
        ...


class LocalPlace:
    """``Place`` in a folder of this host."""

    def __init__(self, folder: Path, lock: Lock) -> None:
        self.folder, self._lock = folder, lock

    def names(self, folder: str) -> Sequence[str]:
        try:
            return os.listdir(self.folder / folder)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise coded(error, self.folder / folder) from error

    def nonce(self) -> str:
        return secrets.token_hex(8)

    def abandoned(self, folder: str) -> Sequence[str]:
        # Who writes here holds the lock, which is ours now; who writes from afar is given time.
        return [
            name
            for name in self.names(folder)
            if name.startswith(DRAFT) and (not name.startswith(DRAFT + FAR) or self._is_old(f"{folder}/{name}"))
        ]

    def _is_old(self, path: str) -> bool:
        with suppress(FileNotFoundError):
            return time.time() - (self.folder / path).lstat().st_mtime > _ABANDONED
        return False

    def read(self, path: str) -> bytes | None:
        with self._opened(path) as fd:
            return None if fd is None else _whole(fd)

    def reads(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        return {path: data for path in paths if (data := self.read(path)) is not None}

    def tail(self, path: str, count: int) -> tuple[int, bytes]:
        with self._opened(path) as fd:
            if fd is None:
                return 0, b""
            size = os.fstat(fd).st_size
            start = max(0, size - count)
            return size, os.pread(fd, size - start, start)

    @contextmanager
    def locked(self, purpose: str) -> Iterator[None]:
        self._lock.acquire(purpose)
        try:
            yield
        finally:
            self._lock.release()

    def change(self, seen: Seen, append: bytes, steps: Sequence[Step], nonce: str = "") -> bool:
        # Called under the lock, so what was seen is so still.
        drafts: dict[int, Path] = {}
        nonce, told = nonce or self.nonce(), False
        try:
            for number, step in enumerate(steps):
                if isinstance(step, Put):
                    drafts[number] = self._draft(step, self.folder / draft(step, number, nonce))
            if append:
                self._append(append, seen.log_size)
                told = True
            folders = {self._step(step, drafts.pop(number, None)) for number, step in enumerate(steps)}
            for folder in folders:
                if folder is not None:
                    _sync(folder)
        except OSError as error:
            raise coded(error, self.folder) from error
        finally:
            for path in () if told else drafts.values():
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        return True

    def _draft(self, step: Put, path: Path) -> Path:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            self._make(path.parent)
            fd = os.open(path, flags, 0o600)
        try:
            os.fchmod(fd, 0o600)
            _write(fd, step.data)
            if step.lasting:
                os.fsync(fd)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        return path

    def _make(self, folder: Path) -> None:
        if not folder.parent.is_dir():
            self._make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(0o700)
            folder.chmod(0o700)
            _sync(folder.parent)

    def _append(self, data: bytes, size: int) -> None:
        path = self.folder / LOG
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not size:
                os.fchmod(fd, 0o600)
                _sync(path.parent)
            try:
                _write(fd, data)
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, size)  # what there was room for is no line
                raise
        finally:
            os.close(fd)

    def _step(self, step: Step, written: Path | None) -> Path | None:
        """Take one step; the folder that has to be synced for it."""
        path = self.folder / step.path
        match step:
            case Put():
                assert written is not None
                written.rename(path)
                return path.parent if step.lasting else None
            case Drop():
                path.unlink(missing_ok=True)
            case Move():
                with suppress(FileNotFoundError):
                    path.rename(self.folder / step.to)
        return path.parent

    @contextmanager
    def _opened(self, path: str) -> Iterator[int | None]:
        full = self.folder / path
        fd = -1
        try:
            fd = os.open(full, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            yield fd
        except FileNotFoundError:
            yield None
        except IsADirectoryError as error:
            raise Denied(f"{full} is a folder, where a file should be", hint="move it away") from error
        except OSError as error:
            raise coded(error, full) from error
        finally:
            if fd >= 0:
                os.close(fd)


def _whole(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return file.read()


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
