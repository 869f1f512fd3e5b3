"""A folder of images on this host: seen without opening or following, changed under hidden names."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from anyvirt.api import Busy, Exists, Invalid, NotFound, Problem, Progress, Run

from anyvirt_host.storage.backend import Found, Room, Sight
from anyvirt_host.storage.faults import done, named, needing
from anyvirt_host.storage.wish import HIDDEN, bad_name

if TYPE_CHECKING:
    from anyvirt_host.storage.wish import Wish

END: Final = ".new"
IMAGE: Final = "image"
_GETVERSION: Final = 0x80087601  # FS_IOC_GETVERSION
_PART: Final = 256 << 20  # bytes that are set aside in one step
_PARTS: Final = 64
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOK: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# QEMU locks single bytes of an image that it has open: what it does from 100 on, what it lets nobody do from 200 on.
_QEMU_LOCKS: Final = (100, 200)
_FLOCK: Final = "hhqqi4x"
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
_ODD: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a fifo",
    stat.S_IFCHR: "a character device",
}


class Folder:
    """What can be done to the volumes in a folder; names are names of files, never paths."""

    def __init__(self, path: str, run: Run) -> None:
        self.path, self._run = path, run

    def check(self) -> None:
        """See that it is there and can be listed.

        :raises NotFound: it is not there.
        :raises Invalid: it is no folder.
        """
        with self._opened() as fd:
            os.listdir(fd)

    def room(self) -> Room:
        """What the file system that it is on has."""
        with named(self.path):
            found = os.statvfs(self.path)
        return Room(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def names(self) -> Iterator[Found]:
        """Everything in it; what is no volume says why."""
        with self._opened() as fd, os.scandir(fd) as entries:
            for entry in entries:
                odd = self._odd(entry)
                if odd is not None:
                    yield Found(entry.name, odd)

    def look(self, name: str) -> Sight | None:
        """What is known of a volume; None where there is none of that name, or what has it is none."""
        if bad_name(name):
            return None
        path = f"{self.path}/{name}"
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

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of a file."""
        with self._image(name) as fd:
            return os.pread(fd, count, 0)

    def in_use(self, name: str) -> bool:
        """Whether some QEMU has it open, as its locks on the image tell."""
        start, end = _QEMU_LOCKS
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, end, 0)
        with self._image(name) as fd:
            try:
                kind = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
            except OSError:
                return False  # a file system that has no locks: then QEMU has none there either
        return bool(kind != fcntl.F_UNLCK)

    def remove(self, name: str) -> None:
        """Remove a file, or an empty folder.

        :raises Invalid: a folder that is not empty, a device.
        """
        found = self.look(name)
        path = f"{self.path}/{name}"
        if found is None:
            raise NotFound(name, "volume")
        if found.type == "block":
            raise Invalid(f"{path!r} is a device, which is not removed", hint="remove it with what made it")
        with self._opened() as fd, named(path):
            if found.type == "dir":
                os.rmdir(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)
            os.fsync(fd)

    def draft(self, name: str, mark: str) -> FileDraft:
        """Begin a volume."""
        with self._opened() as fd:
            return FileDraft(self.path, name, mark, fd, self._run)

    def drafts(self) -> Iterator[tuple[str, bool]]:
        """The marks of volumes that are being made, and whether somebody still is at it."""
        with self._opened() as fd:
            for name in sorted(os.listdir(fd)):
                if name.startswith(HIDDEN) and name.endswith(END):
                    yield name[len(HIDDEN) : -len(END)], _held(name, fd)

    def sweep(self, mark: str = "") -> list[str]:
        """Remove what killed makers left; nobody may begin a volume meanwhile."""
        said = []
        for left, held in self.drafts():
            if held or (mark and left != mark):
                continue
            path = f"{self.path}/{HIDDEN}{left}{END}"
            with named(path):
                _clear(path)
            said.append(f"{path}: removed, a killed process was making a volume")
        return said

    def home(self) -> str:
        """What tells this folder from one that stands in its place while its file system is not mounted."""
        with named(self.path):
            found = os.stat(self.path)
        return f"{found.st_dev}:{found.st_ino}"

    def generation(self, name: str) -> int:
        """What tells a file from a later one with its inode; 0 where the file system has no such number."""
        with self._image(name) as fd:
            return _generation(fd)

    def _odd(self, entry: os.DirEntry[str]) -> str | None:
        """Why it is no volume; empty for one, None for what nobody needs to hear of."""
        if entry.name.startswith(HIDDEN):
            return "a volume that is being made, or what a killed process left of one"
        if bad := bad_name(entry.name):
            return bad[0]
        if entry.is_symlink():
            return _ODD[stat.S_IFLNK]
        if entry.is_file(follow_symlinks=False):
            return ""
        if entry.is_dir(follow_symlinks=False):
            return None if entry.name == "lost+found" else ""
        try:
            kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return None
        return _ODD.get(kind, "")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            fd = os.open(self.path, _FOLDER)
        except NotADirectoryError:
            raise Invalid(f"{self.path!r} is no folder", hint="correct the pool's target path") from None
        except OSError as error:
            from anyvirt_host.storage.faults import coded

            raise coded(error, self.path) from error
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _image(self, name: str) -> Iterator[int]:
        path = f"{self.path}/{name}"
        with self._opened() as folder, named(path):
            fd = os.open(name, _LOOK, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Invalid(f"{path!r} is no regular file")
            with named(path):
                yield fd
        finally:
            os.close(fd)


class FileDraft:
    """A file in a hidden folder; this process holds that, so that others see that somebody is at it.

    A tool that outlives this process finds no folder to make its file in, once recovery has removed it.
    """

    def __init__(self, folder: str, name: str, mark: str, dirfd: int, run: Run) -> None:
        self._folder, self._name, self._run = folder, name, run
        self._hidden = f"{HIDDEN}{mark}{END}"
        self._place = f"{folder}/{self._hidden}"
        self.path = f"{self._place}/{IMAGE}"
        self._wish: Wish | None = None
        self._fd = self._held = -1
        with named(self._place):
            os.mkdir(self._hidden, 0o700, dir_fd=dirfd)
            try:
                self._held = os.open(self._hidden, _FOLDER | os.O_NOFOLLOW, dir_fd=dirfd)
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._fd = os.open(IMAGE, flags, 0o600, dir_fd=self._held)
            except OSError:
                _clear(self._place)
                self.close()
                raise
        self.inode = os.fstat(self._fd).st_ino
        self.generation = _generation(self._fd)

    def fill(self, wish: Wish) -> Generator[Progress, None, None]:
        """Give it its content."""
        self._wish = wish
        if wish.nocow:
            self._run("chattr", "+C", self.path)  # what has no copy on write has nothing to turn off
        yield Progress(0, wish.allocation or None, "B", "making")
        if wish.format == "raw":
            yield from self._raw(wish)
        else:
            with needing("qemu-img"):
                self._tool("qemu-img", *qcow2_words(wish), self.path, *_size(wish))
        with named(self.path):
            if os.lstat(self.path).st_ino != self.inode:
                raise Busy(self.path, hint="somebody replaced it while it was being made")
            os.fsync(self._fd)
        yield Progress(wish.allocation, wish.allocation or None, "B", "making")

    def publish(self) -> None:
        """Give it its name, its mode and its owner."""
        assert self._wish is not None
        if self._wish.backing:
            _check_backing(self._wish.backing)
        with named(self.path):
            os.fchmod(self._fd, self._wish.mode)
            if self._wish.owner != (-1, -1):
                os.fchown(self._fd, *self._wish.owner)
        fd = os.open(self._folder, _FOLDER)
        try:
            with named(f"{self._folder}/{self._name}"):
                self._link(fd)
                _clear(self._place)
                os.fsync(fd)
        finally:
            os.close(fd)

    def drop(self) -> None:
        """Remove it, also what has its name already."""
        path = f"{self._folder}/{self._name}"
        with named(path), suppress(FileNotFoundError):
            if os.lstat(path).st_ino == self.inode:
                os.unlink(path)
        with named(self._place):
            _clear(self._place)

    def close(self) -> None:
        """Let go of it."""
        for fd in (self._fd, self._held):
            if fd >= 0:
                os.close(fd)
        self._fd = self._held = -1

    def _link(self, fd: int) -> None:
        try:
            os.link(IMAGE, self._name, src_dir_fd=self._held, dst_dir_fd=fd, follow_symlinks=False)
        except FileExistsError:
            raise _taken(self._name, self._folder) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # vfat and its like have no hard links; ours are kept away by the pool's lock
            if os.path.lexists(f"{self._folder}/{self._name}"):
                raise _taken(self._name, self._folder) from None
            os.rename(IMAGE, self._name, src_dir_fd=self._held, dst_dir_fd=fd)

    def _raw(self, wish: Wish) -> Generator[Progress, None, None]:
        size, aside = wish.capacity or 0, wish.allocation
        with needing("truncate"):
            out = self._run("truncate", "-s", str(size), self.path)
        if out.code and b"File too large" in out.err:
            text = f"{size} bytes are more than a file can have there"
            raise Invalid([Problem("config.range", "/capacity", None, text, "choose a smaller size")])
        done(out, self.path)
        step = max(_PART, -(-aside // _PARTS))
        for start in range(0, aside, step):
            yield Progress(start, aside, "B", "allocating")
            with needing("fallocate"):
                self._set_aside(start, min(step, aside - start))

    def _set_aside(self, start: int, count: int) -> None:
        words = ("fallocate", "-o", str(start), "-l", str(count), self.path)
        out = self._run(*words)
        if out.code and b"not supported" in out.err:  # then zeros are written
            out = self._run(words[0], "--posix", *words[1:])
        done(out, self.path)

    def _tool(self, *argv: str) -> None:
        done(self._run(*argv), self.path)


def qcow2_words(wish: Wish) -> list[str]:
    """The words of ``qemu-img`` before path and size."""
    options = {"compat": wish.compat or "1.1"}
    if wish.cluster is not None:
        options["cluster_size"] = str(wish.cluster)
    if wish.lazy:
        options["lazy_refcounts"] = "on"
    if wish.extended_l2:
        options["extended_l2"] = "on"
    if wish.allocation:
        options["preallocation"] = "falloc"
    # Nothing below is opened: what an image says that it stands on is its own word.
    below = ["-u", "-b", wish.backing, "-F", wish.backing_format] if wish.backing else []
    # Everything in the comma-separated word is a number or a word of ours.
    return ["create", "-q", "-f", "qcow2", *below, "-o", ",".join(f"{key}={value}" for key, value in options.items())]


def _size(wish: Wish) -> list[str]:
    return [] if wish.capacity is None else [str(wish.capacity)]


def _check_backing(path: str) -> None:
    """See that an image below is there still."""
    with named(path):
        os.lstat(path)


def _taken(name: str, folder: str) -> Exists:
    return Exists("volume", name, holder=f"something in {folder}", hint="choose another name, or delete it")


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
    """Remove a hidden folder and the image in it."""
    for last in (False, False, True):  # a tool that outlived its maker may be quick enough to put one there again
        with suppress(FileNotFoundError):
            os.unlink(f"{place}/{IMAGE}")
        try:
            os.rmdir(place)
        except FileNotFoundError:
            return
        except OSError as error:
            if last or error.errno != errno.ENOTEMPTY:
                raise
        else:
            return


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
