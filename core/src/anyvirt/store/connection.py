"""Connections to one SQLite file: opened as needed, kept for the next call, errors coded."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from anyvirt.errors import Busy, Denied, StoreNewer, VirtError
from anyvirt.identity import command_of
from anyvirt.locks import Patience
from anyvirt.store.faults import coded, corrupt, failed, full
from anyvirt.store.schema import OLDEST_WRITER, SCHEMA, STEPS, TABLES
from anyvirt.store.stops import held

T = TypeVar("T")
_KEPT: Final = 4
_WRITER: Final = b"120 120"  # the byte of the -shm file that a writer locks, as /proc/locks prints it


class Connections:
    """Connections to the store at ``path``; each is used by one call at a time.

    Opening one costs 60 us and the last one's end a checkpoint, so up to four are kept.
    Nothing but SQLite may open the files: closing them would drop this process's locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[tuple[sqlite3.Connection, tuple[int, int]]] = []
        self._guard = threading.Lock()
        _every.add(self)
        weakref.finalize(self, _close, self._idle)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads, trying again while a writer recovers or begins.

        :raises Busy: that took until the deadline.
        """
        patience = Patience()
        with self._coded():
            while True:
                try:
                    with self._taken(patience) as connection:
                        return work(connection)
                except sqlite3.OperationalError as error:
                    if not _is_busy(error):
                        raise
                if not patience.nap():
                    raise self._busy("reading it")

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which does nothing but SQL, in one transaction that is on the disk when this returns.

        :raises Busy: others wrote until the deadline.
        """
        patience = Patience()
        with self._coded(), self._taken(patience) as connection:
            while True:
                with held():
                    if self._begun(connection):
                        return _finished(connection, work, self._checked)
                if not patience.nap():
                    raise self._busy("writing to it")

    def close(self) -> None:
        """Close what nobody uses."""
        with self._guard:
            idle, self._idle[:] = list(self._idle), []
        _close(idle)

    def _begun(self, connection: sqlite3.Connection) -> bool:
        # IMMEDIATE: a deferred transaction that has read cannot wait for the lock, it fails.
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                return False
            raise
        return True

    def _checked(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT value FROM meta WHERE key = 'oldest_writer'").fetchone()
        if row is None or int(row[0]) > SCHEMA:
            raise StoreNewer(str(self.path), int(row[0]) if row else SCHEMA + 1, SCHEMA)

    @contextmanager
    def _taken(self, patience: Patience) -> Iterator[sqlite3.Connection]:
        connection, identity = self._take() or self._open(patience)
        keep = False
        try:
            yield connection
            keep = True
        except sqlite3.OperationalError as error:
            keep = _is_busy(error)
            raise
        except VirtError:
            keep = True
            raise
        finally:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.rollback()
            with self._guard:
                keep = keep and len(self._idle) < _KEPT and not connection.in_transaction
                if keep:
                    self._idle.append((connection, identity))
            if not keep:
                connection.close()

    def _take(self) -> tuple[sqlite3.Connection, tuple[int, int]] | None:
        try:
            now = _identity(self.path)
        except FileNotFoundError:
            now = (0, 0)
        while True:
            with self._guard:
                found = self._idle.pop() if self._idle else None
            if found is None or found[1] == now:
                return found
            found[0].close()  # the file was replaced: what is written there would be lost

    def _open(self, patience: Patience) -> tuple[sqlite3.Connection, tuple[int, int]]:
        if not self.path.exists():
            _create(self.path)
        while True:
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                identity = _identity(self.path)
                connection.execute("PRAGMA synchronous=FULL")
                self._fit(connection)
            except sqlite3.OperationalError as error:
                connection.close()
                if not _is_busy(error):
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                return connection, identity
            if not patience.nap():
                raise self._busy("opening it")

    def _fit(self, connection: sqlite3.Connection) -> None:
        """See that the file is a store that this version may use, bringing an older one up to date."""
        try:
            meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
            schema, oldest = int(meta["schema"]), int(meta["oldest_writer"])
        except (KeyError, ValueError) as error:
            raise corrupt(self.path, "its schema cannot be told") from error
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                raise corrupt(self.path, "it has no tables") from error
            raise
        if oldest > SCHEMA:
            raise StoreNewer(str(self.path), oldest, SCHEMA)
        if schema < SCHEMA:
            with held():
                connection.execute("BEGIN IMMEDIATE")
                _finished(connection, _bring_up, self._checked)

    def _busy(self, doing: str) -> Busy:
        pid = _writer(self.path)
        name = command_of(pid) if pid else ""
        holder = f"process {pid} ({name})" if name else "another process"
        hint = "wait for it, or allow more time"
        if pid and _is_stopped(pid):
            hint = f"that process is stopped: kill -CONT {pid}"
        error = Busy(f"the store {self.path}", holder=holder, purpose="writing", hint=hint)
        error.details.update(pid=pid, while_=doing)
        return error

    @contextmanager
    def _coded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translated(error, self.path) from error
        except OSError as error:
            raise coded(error, self.path) from error


def _finished(
    connection: sqlite3.Connection,
    work: Callable[[sqlite3.Connection], T],
    check: Callable[[sqlite3.Connection], None],
) -> T:
    try:
        check(connection)
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _bring_up(connection: sqlite3.Connection) -> None:
    schema = int(connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0])
    for step in range(schema, SCHEMA):  # another process may have done it meanwhile
        for statement in STEPS[step]:
            connection.execute(statement)
    for key, value in (("schema", SCHEMA), ("oldest_writer", OLDEST_WRITER)):
        connection.execute(
            "UPDATE meta SET value = ? WHERE key = ? AND CAST(value AS INTEGER) < ?", (value, key, value)
        )


def _create(path: Path) -> None:
    """Make the file whole beside its place and link it there: nobody ever sees half a store."""
    draft = path.with_name(f"{path.name}.new-{os.getpid()}-{threading.get_native_id()}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    try:
        draft.chmod(0o600)  # -wal and -shm take this mode over
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in TABLES:
                connection.execute(statement)
            meta = {"schema": SCHEMA, "oldest_writer": OLDEST_WRITER, "store": os.urandom(8).hex()}
            connection.executemany("INSERT INTO meta VALUES(?, ?)", [(key, str(value)) for key, value in meta.items()])
            connection.execute("COMMIT")
        finally:
            connection.close()
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)
    finally:
        for leftover in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm")):
            leftover.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _translated(error: sqlite3.Error, path: Path) -> VirtError:
    number = getattr(error, "sqlite_errorcode", 0)
    primary = number & 0xFF
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return corrupt(path, str(error))
    if primary == sqlite3.SQLITE_FULL or (
        primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _no_room(path)
    ):
        return full(path)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN):
        return Denied(
            f"{path}: {error}", hint="check owner and rights of the file and its folder, and that it can be written"
        )
    name = getattr(error, "sqlite_errorname", "")
    return failed("store.io", f"{path}: {error}", sqlite=name, number=number)


def _no_room(path: Path) -> bool:
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 1 << 20 or not (found.f_favail or not found.f_files)


def _writer(path: Path) -> int:
    """Pid of the process that writes now, as far as ``/proc/locks`` tells; 0 where it does not."""
    try:
        inode = str(os.stat(f"{path}-shm").st_ino).encode()
        lines = Path("/proc/locks").read_bytes().splitlines()
    except OSError:
        return 0
    for line in lines:
        words = line.split()
        if b"->" not in words and line.endswith(_WRITER) and words[5].rpartition(b":")[2] == inode:
            return max(0, int(words[4]))
    return 0


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] in b"Tt"


def _close(idle: list[tuple[sqlite3.Connection, tuple[int, int]]]) -> None:
    while idle:
        idle.pop()[0].close()


_every: Final[weakref.WeakSet[Connections]] = weakref.WeakSet()


def _before_fork() -> None:
    # A child must neither use nor close a connection of its parent, so there is none that it could find.
    for connections in list(_every):
        connections.close()


def _in_child() -> None:
    for connections in list(_every):
        connections._guard = threading.Lock()  # noqa: SLF001 - ours; another thread may have held it


os.register_at_fork(before=_before_fork, after_in_child=_in_child)
