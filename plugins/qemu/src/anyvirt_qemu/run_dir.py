"""The directory of one run of one guest: the manager's part, and the part that QEMU's user writes.

::

    ID/              the manager's; sockets are bound here and reach QEMU as descriptors
    ├─ process.json  who QEMU is, written before it is one
    ├─ ctl end r0-r3 monitors, by use; rN.lock beside those that readers share
    └─ q/            of the user that QEMU runs as, and hostile: journal, log, what QEMU binds itself
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from anyvirt.api import Busy, Denied, Exists, Failed, NotFound, VirtError, unix

from anyvirt_qemu.closing import Closing

CONTROL: Final = "ctl"
ENDING: Final = "end"
READERS: Final = ("r0", "r1", "r2", "r3")
MONITORS: Final = (CONTROL, ENDING, *READERS)
RECORD: Final = "process.json"
GUEST: Final = "q"
DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_MAX: Final = 16 << 20
DEPTH_MAX: Final = 20
LAUNCH: Final = 5.0  # seconds that a launcher may outlive whoever started it
LOOK: Final = 0.005


class Listening(Protocol):
    """A socket that listens: its descriptor goes to QEMU, our end is closed then."""

    def fileno(self) -> int:
        """The descriptor."""
        ...

    def close(self) -> None:
        """Close our end."""
        ...


class RunDir(Closing):
    """An open run directory: ``fd`` is the manager's part, ``q`` the guest's; closed by ``close``."""

    def __init__(self, root: Path, name: str, fd: int, q: int) -> None:
        self.root, self.name, self.fd, self.q = root, name, fd, q

    @classmethod
    def create(cls, root: Path, name: str, *, uid: int | None = None, gid: int | None = None) -> RunDir:
        """Make it anew.

        :param uid: the user that QEMU will run as, where that is another one.
        :raises Exists: it is there (kind ``run``).
        :raises Failed: the disk is full, or the root is not there.
        """
        made = fd = q = -1
        try:
            made = os.open(root, DIRECTORY)
            os.mkdir(name, 0o700, dir_fd=made)
            fd = os.open(name, DIRECTORY, dir_fd=made)
            # another user has to pass through it to its own part, and must not list it
            os.fchmod(fd, 0o700 if uid is None else 0o711)
            os.mkdir(GUEST, 0o700, dir_fd=fd)
            q = os.open(GUEST, DIRECTORY, dir_fd=fd)
            os.fchmod(q, 0o700)
            if uid is not None:
                os.fchown(q, uid, -1 if gid is None else gid)
        except OSError as error:
            _close(fd, q)
            if isinstance(error, FileExistsError):
                raise Exists("run", name, hint="remove what the last run has left") from error
            raise _coded(error, f"{root}/{name}") from error
        finally:
            _close(made)
        return cls(root, name, fd, q)

    @classmethod
    def open(cls, root: Path, name: str) -> RunDir:
        """Open the one that is there.

        :raises NotFound: it is not (kind ``run``).
        :raises Denied: it is not ours.
        """
        fd = -1
        try:
            fd = os.open(f"{root}/{name}", DIRECTORY)
            if os.fstat(fd).st_uid != os.geteuid():
                raise Denied(f"the run directory {name} belongs to another user")
            return cls(root, name, fd, os.open(GUEST, DIRECTORY, dir_fd=fd))
        except FileNotFoundError as error:
            _close(fd)
            raise NotFound(name, "run") from error
        except OSError as error:
            _close(fd)
            raise _coded(error, f"{root}/{name}") from error
        except VirtError:
            _close(fd)
            raise

    def close(self) -> None:
        """Close both parts; nothing on disk changes."""
        _close(self.fd, self.q)
        self.fd = self.q = -1

    @property
    def guest_path(self) -> str:
        """Absolute path of the guest's part, for options that take no descriptor."""
        return f"{self.root}/{self.name}/{GUEST}"

    def listen(self, name: str) -> Listening:
        """A listening socket in the manager's part, for QEMU to inherit.

        :raises Busy, Failed: the name is taken, or the disk is full.
        """
        return unix.listen(self.fd, name)

    def place(self, name: str) -> tuple[int, str]:
        """Where to connect to the monitor of this name."""
        return self.fd, name

    def write(self, name: str, data: bytes) -> None:
        """Put a file whole into the manager's part; a reader sees the old one or the new one.

        :raises Failed: the disk is full.
        """
        new = f".{name}.new"
        try:
            fd = os.open(
                new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd
            )
            try:
                os.fchmod(fd, 0o600)
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
            finally:
                os.close(fd)
            os.replace(new, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as error:
            with suppress(OSError):
                os.unlink(new, dir_fd=self.fd)
            raise _coded(error, f"{self.name}/{name}") from error

    def read(self, name: str) -> bytes | None:
        """A file of the manager's part, at most 16 MiB of it, or None where there is none."""
        return _read(self.fd, name, READ_MAX)

    def log_tail(self, name: str, start: int = 0, limit: int = 65536) -> str:
        """The end of a log in the guest's part, from ``start`` on, at most ``limit`` bytes; empty without one."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.q)
        except OSError:
            return ""
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return ""
            return os.pread(fd, limit, max(start, found.st_size - limit)).decode(errors="replace")
        finally:
            os.close(fd)

    def hold(self) -> None:
        """Mark a launch: until ``release``, or until this process and every launcher that has ``fd`` are gone."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def release(self) -> None:
        """The launch is over."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def launched(self, seconds: float = LAUNCH) -> None:
        """Wait until nobody launches here: a launcher outlives whoever started it, ends by itself, or becomes QEMU.

        :raises Busy: it goes on.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise Busy(self.name, holder="a launcher that hangs", purpose="starting it") from error
                time.sleep(LOOK)
            else:
                fcntl.flock(self.fd, fcntl.LOCK_UN)
                return

    def remove(self) -> None:
        """Take everything away, whatever the guest's user has put there; links are removed, not followed.

        :raises Failed: something does not go.
        """
        try:
            _empty(self.fd, 0)
            os.rmdir(self.root / self.name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _coded(error, f"{self.root}/{self.name}") from error


def clear(root: Path, name: str) -> bool:
    """Take away a run directory that somebody was killed in the middle of making or removing.

    :return: whether there was one.
    :raises Failed: something does not go.
    """
    fd = -1
    try:
        fd = os.open(root / name, DIRECTORY)
        _empty(fd, 0)
        os.rmdir(root / name)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _coded(error, f"{root}/{name}") from error
    finally:
        _close(fd)
    return True


def reader_seat(fd: int) -> tuple[str, int] | None:
    """Take one of the monitors that readers share: its name and the lock, which closing gives back.

    :param fd: the manager's part of a run directory.
    :return: None when all are taken, or the run is over.
    """
    for name in READERS:
        try:
            lock = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        return name, lock
    return None


def monitor_options(fds: dict[str, int]) -> list[str]:
    """QEMU's options for monitors on inherited listening sockets, by name."""
    words = []
    for name, fd in fds.items():
        words += ["-chardev", f"socket,id=mon-{name},fd={fd},server=on,wait=off"]
        words += ["-mon", f"chardev=mon-{name},mode=control"]
    return words


def _read(dirfd: int, name: str, limit: int) -> bytes | None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dirfd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _coded(error, name) from error
    try:
        parts = []
        while limit > 0 and (part := os.read(fd, min(limit, 1 << 20))):
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def _empty(fd: int, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise OSError(40, "directories are nested too deeply")
    with os.scandir(fd) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_dir in names:
        if not is_dir:
            with suppress(FileNotFoundError):  # QEMU may take away its own at the same time
                os.unlink(name, dir_fd=fd)
            continue
        inner = os.open(name, DIRECTORY, dir_fd=fd)
        try:
            _empty(inner, depth + 1)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=fd)


def _close(*fds: int) -> None:
    for fd in fds:
        if fd >= 0:
            os.close(fd)


def _coded(error: OSError, what: str) -> VirtError:
    words = {"errno": error.errno, "text": error.strerror}
    if error.errno in {1, 13}:
        return Denied(f"{what}: {error.strerror}", details=words, hint="the state directory has to be this user's")
    if error.errno == 28:
        return Failed(f"{what}: no room left", native=words, hint="make room on the disk that holds the run directory")
    if error.errno == 17:
        return Busy(what, purpose="another run")
    return Failed(f"{what}: {error.strerror}", native=words)
