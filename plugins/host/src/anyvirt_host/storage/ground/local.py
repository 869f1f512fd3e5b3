"""``Ground`` of this host: system calls on descriptors, none of which follows a link."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from anyvirt.api import Busy, Exists, Invalid, Run

from anyvirt_host.storage.backend import Room, Sight
from anyvirt_host.storage.faults import coded, named
from anyvirt_host.storage.ground.ground import IMAGE, Entry

if TYPE_CHECKING:
    from anyvirt_host.storage.ground.ground import Berth

_GETVERSION: Final = 0x80087601  # FS_IOC_GETVERSION
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOK: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# QEMU locks single bytes of an image that it has open: what it does from 100 on, what it lets nobody do from 200 on.
_QEMU_LOCKS: Final = (100, 200)
_FLOCK: Final = "hhqqi4x"
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
_LETTERS: Final = {
    stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFBLK: "b", stat.S_IFLNK: "l", stat.S_IFSOCK: "s", stat.S_IFIFO: "p",
    stat.S_IFCHR: "c",
}  # fmt: skip


class LocalGround:
    """This host's folders."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def entries(self, folder: str) -> Iterator[Entry]:
        """Everything in a folder."""
        with _opened(folder) as fd, os.scandir(fd) as entries:
            for entry in entries:
                letter = _letter(entry)
                if letter:
                    yield Entry(entry.name, letter)

    def sights(self, folder: str, names: Sequence[str]) -> Mapping[str, Sight]:
        """What is known of each."""
        looked = {name: _sight(f"{folder}/{name}") for name in names}
        return {name: sight for name, sight in looked.items() if sight is not None}

    def heads(self, folder: str, names: Sequence[str], count: int) -> Mapping[str, bytes]:
        """The first bytes of each."""
        found = {}
        for name in names:
            with suppress(*_passed(names)), _image(folder, name) as fd:
                found[name] = os.pread(fd, count, 0)
        return found

    def generations(self, folder: str, names: Sequence[str]) -> Mapping[str, int]:
        """What tells each from a later one."""
        found = {}
        for name in names:
            with suppress(*_passed(names)), _image(folder, name) as fd:
                found[name] = _generation(fd)
        return found

    def room(self, folder: str) -> Room:
        """What its file system has."""
        with named(folder):
            found = os.statvfs(folder)
        return Room(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def home(self, folder: str) -> tuple[int, int]:
        """Its device and inode."""
        with named(folder):
            found = os.stat(folder)
        return found.st_dev, found.st_ino

    def in_use(self, folder: str, name: str) -> bool:
        """Whether some QEMU has it open."""
        start, end = _QEMU_LOCKS
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, end, 0)
        with _image(folder, name) as fd:
            try:
                kind = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
            except OSError:
                return False  # a file system that has no locks: then QEMU has none there either
        return bool(kind != fcntl.F_UNLCK)

    def remove(self, folder: str, name: str, *, is_folder: bool = False) -> None:
        """Remove one."""
        with _opened(folder) as fd, named(f"{folder}/{name}"):
            if is_folder:
                os.rmdir(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)
            os.fsync(fd)

    def berth(self, folder: str, hidden: str) -> Berth:
        """Make one."""
        with _opened(folder) as fd:
            return LocalBerth(folder, hidden, fd, self._run)

    def berths(self, folder: str, start: str, end: str) -> Iterator[tuple[str, bool]]:
        """Each, and whether somebody holds it."""
        with _opened(folder) as fd:
            for name in sorted(os.listdir(fd)):
                if name.startswith(start) and name.endswith(end) and _is_folder(name, fd):
                    yield name, _held(name, fd)

    def clear(self, folder: str, hidden: str) -> None:
        """Remove one."""
        with named(f"{folder}/{hidden}"):
            _clear(f"{folder}/{hidden}")

    def make_folder(self, path: str, mode: int, owner: tuple[int, int]) -> None:
        """Make it, closed until it has owner and mode."""
        with named(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                if not os.path.isdir(path):
                    raise
                return
            os.chown(path, *owner)
            os.chmod(path, mode & 0o7777)

    def remove_folder(self, path: str) -> None:
        """Remove it."""
        with named(path):
            os.rmdir(path)

    def same(self, one: str, other: str) -> bool:
        """Whether they are one place."""
        return os.path.realpath(one) == os.path.realpath(other)


class LocalBerth:
    """Held by a descriptor of this process.

    A tool that outlives this process finds no folder to make its file in, once recovery has removed it.
    """

    def __init__(self, folder: str, hidden: str, dirfd: int, run: Run) -> None:
        self._folder, self.run = folder, run
        self._place = f"{folder}/{hidden}"
        self._fd = self._held = -1
        with named(self._place):
            os.mkdir(hidden, 0o700, dir_fd=dirfd)
            try:
                self._held = os.open(hidden, _FOLDER | os.O_NOFOLLOW, dir_fd=dirfd)
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._fd = os.open(IMAGE, flags, 0o600, dir_fd=self._held)
            except OSError:
                _clear(self._place)
                self.close()
                raise
        # by the descriptor: who owns the pool's folder may put another in this one's place, and tools follow links
        self.path = f"/proc/{os.getpid()}/fd/{self._held}/{IMAGE}"
        self.inode = os.fstat(self._fd).st_ino
        self.generation = _generation(self._fd)

    def become_folder(self) -> None:
        """A folder in the file's place."""
        os.close(self._fd)
        self._fd = -1
        with named(self._place):
            os.unlink(IMAGE, dir_fd=self._held)
            os.mkdir(IMAGE, 0o700, dir_fd=self._held)
            self._fd = os.open(IMAGE, _FOLDER | os.O_NOFOLLOW, dir_fd=self._held)
        self.inode = os.fstat(self._fd).st_ino
        self.generation = _generation(self._fd)

    def sync(self) -> None:
        """Put the content on the disk."""
        with named(self._place):
            if os.stat(IMAGE, dir_fd=self._held, follow_symlinks=False).st_ino != self.inode:
                raise Busy(self._place, hint="somebody replaced it while it was being made")
            os.fsync(self._fd)

    def publish(self, name: str, mode: int, owner: tuple[int, int]) -> None:
        """Give it its name."""
        with named(self._place):
            os.fchmod(self._fd, mode)
            if owner != (-1, -1):
                os.fchown(self._fd, *owner)
        with _opened(self._folder) as fd, named(f"{self._folder}/{name}"):
            self._link(name, fd)
            self._shut()
            _clear(self._place)
            os.fsync(fd)

    def drop(self, name: str) -> None:
        """Remove it, also what has its name already."""
        self._shut()
        path = f"{self._folder}/{name}"
        with named(path), suppress(FileNotFoundError):
            if os.lstat(path).st_ino == self.inode:
                _remove(path)
        with named(self._place):
            _clear(self._place)

    def close(self) -> None:
        """Let go of it."""
        self._shut()
        if self._held >= 0:
            os.close(self._held)
        self._held = -1

    def _shut(self) -> None:
        """Close the file: NFS and FUSE give one that is removed while it is open another name in its folder."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _link(self, name: str, fd: int) -> None:
        try:
            os.link(IMAGE, name, src_dir_fd=self._held, dst_dir_fd=fd, follow_symlinks=False)
        except FileExistsError:
            raise taken(name, self._folder) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # vfat and its like have no hard links; ours are kept away by the pool's lock
            if os.path.lexists(f"{self._folder}/{name}"):
                raise taken(name, self._folder) from None
            os.rename(IMAGE, name, src_dir_fd=self._held, dst_dir_fd=fd)


def taken(name: str, folder: str) -> Exists:
    """The error for a name that something has."""
    return Exists("volume", name, holder=f"something in {folder}", hint="choose another name, or delete it")


def _letter(entry: os.DirEntry[str]) -> str:
    """What it is; empty where it is gone."""
    if entry.is_symlink():
        return "l"
    if entry.is_file(follow_symlinks=False):
        return "f"
    if entry.is_dir(follow_symlinks=False):
        return "d"
    try:
        return _LETTERS[stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)]
    except FileNotFoundError:
        return ""


def _sight(path: str) -> Sight | None:
    with named(path):
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
    kind = stat.S_IFMT(found.st_mode)
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    rest = (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, times)
    if kind == stat.S_IFREG:
        return Sight("file", found.st_ino, found.st_blocks * 512, found.st_size, *rest)
    if kind == stat.S_IFDIR:
        return Sight("dir", found.st_ino, 0, 0, *rest)
    if kind == stat.S_IFBLK:
        size = _device_size(found.st_rdev)
        return Sight("block", found.st_ino, size, size, *rest)
    return None


def _passed(names: Sequence[str]) -> tuple[type[Exception], ...]:
    """What goes unsaid of one of several."""
    from anyvirt.api import VirtError

    return (VirtError,) if len(names) > 1 else ()


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    try:
        fd = os.open(folder, _FOLDER)
    except NotADirectoryError:
        raise Invalid(f"{folder!r} is no folder", hint="correct the pool's target path") from None
    except OSError as error:
        raise coded(error, folder) from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _image(folder: str, name: str) -> Iterator[int]:
    path = f"{folder}/{name}"
    with _opened(folder) as dirfd, named(path):
        fd = os.open(name, _LOOK, dir_fd=dirfd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Invalid(f"{path!r} is no regular file")
        with named(path):
            yield fd
    finally:
        os.close(fd)


def _is_folder(name: str, folder: int) -> bool:
    """Whether it is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _held(name: str, folder: int) -> bool:
    try:
        fd = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _clear(place: str) -> None:
    """Remove a hidden folder and what is in it: the image, what tools left word of; a link in its place is let be."""
    for last in (False, False, True):  # a tool that outlived its maker may be quick enough to put one there again
        try:
            _empty(place)
            os.rmdir(place)
        except FileNotFoundError:
            return
        except OSError as error:
            if last or error.errno != errno.ENOTEMPTY:
                raise
        else:
            return


def _empty(place: str) -> None:
    """Remove what is in a folder that is one; through a link this would be somebody else's."""
    fd = os.open(place, _FOLDER | os.O_NOFOLLOW)
    try:
        for name in os.listdir(fd):
            with suppress(FileNotFoundError):
                try:
                    os.unlink(name, dir_fd=fd)
                except IsADirectoryError:
                    from shutil import rmtree

                    rmtree(name, dir_fd=fd)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    """Remove a file, or a folder with what is in it; no link is followed."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        from shutil import rmtree

        rmtree(path)


def _generation(fd: int) -> int:
    try:
        return int(struct.unpack("q", fcntl.ioctl(fd, _GETVERSION, bytes(8)))[0])
    except OSError:
        return 0


def _device_size(number: int) -> int:
    try:
        with open(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/size", encoding="ascii") as file:
            return int(file.read()) * 512
    except (OSError, ValueError):
        return 0
