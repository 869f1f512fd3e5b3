"""Carries bytes between a pipe and a volume; run as ``python -I -S pump.py`` by pumping.py, never imported there.

Storage that hangs, hangs this process and nobody else. Standard input has orders: a line of JSON at first, then words;
its end means that whoever gave them is gone or wants no more. Answers go to standard output, a line of JSON each.
Descriptor 3 is the pipe.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import struct
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from anyvirt.api import SparseDecoder

DATA = 3
CHUNK = 1 << 20
AHEAD = 256 << 20  # bytes that are set aside, or written, before the next of that
ZEROS = bytes(CHUNK)
IMAGE, ABOUT, DONE = "image", "about", "done"
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CLONE_RANGE = 0x4020940D  # FICLONERANGE
_GETVERSION = 0x80087601  # FS_IOC_GETVERSION
_GETFLAGS, _SETFLAGS, _NOCOW = 0x80086601, 0x40086602, 0x00800000
_ZERO_OUT = 0x127F  # BLKZEROOUT
_BLOCK_SIZE = 0x80081272  # BLKGETSIZE64
_ALIGNED = 64 << 10  # no file system has larger blocks
_NO_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)


class Refused(Exception):
    """What the other side sends, or asks for, cannot be had: a word for what, and a text."""


class Abandoned(Exception):
    """Nobody wants it any more; what came is kept."""


def say(**words: Any) -> None:
    """Answer; nobody has to listen."""
    try:
        os.write(1, json.dumps(words).encode() + b"\n")
    except OSError:
        return


def order() -> str:
    """The next order; empty at their end."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return ""
        line += byte
    return line.decode().rstrip("\n")


def gone() -> bool:
    """Whether the orders have ended."""
    import select

    return bool(select.select([0], [], [], 0)[0])  # nothing but their end comes while somebody waits for an answer


def write(fd: int, data: bytes | memoryview) -> None:
    """Write all of it to a pipe."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def write_at(fd: int, data: bytes | memoryview, at: int) -> None:
    """Write all of it to a place in a file."""
    left = memoryview(data)
    while left:
        count = os.pwrite(fd, left, at)
        left, at = left[count:], at + count


def opened(spec: dict[str, Any], mode: int) -> tuple[int, int]:
    """The volume and its size; it has to be what whoever gave the order saw."""
    if spec["block"]:
        fd = os.open(spec["path"], mode | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(fd)
        if spec["served"] and stat.S_ISREG(found.st_mode):
            return fd, found.st_size
        if not stat.S_ISBLK(found.st_mode):
            raise OSError(errno.ENOTBLK, os.strerror(errno.ENOTBLK))
        return fd, struct.unpack("Q", fcntl.ioctl(fd, _BLOCK_SIZE, bytes(8)))[0]
    fd = os.open(spec["path"], mode | _OPEN)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_ino != spec["inode"]:
        raise OSError(errno.ESTALE, "somebody put another file in its place")
    return fd, found.st_size


# -- reading --------------------------------------------------------------------------------------


def download(spec: dict[str, Any]) -> None:
    """Send a range of the volume."""
    fd, size = opened(spec, os.O_RDONLY)
    start, length = spec["offset"], spec["length"]
    end = size if length is None else min(size, start + length)
    if start > size:
        raise Refused("past", f"it has {size} bytes, and {start} is past them")
    say(ready=True, size=size)
    if spec["sparse"]:
        from anyvirt.api import sparse

        for at, stop, full in parts(fd, start, end, zeros=spec["block"]):
            if full:
                write(DATA, sparse.data_head(stop - at))
                send(fd, at, stop)
            else:
                write(DATA, sparse.hole(stop - at))
    else:
        send(fd, start, end)
    say(done=end - start)


def send(fd: int, at: int, end: int) -> None:
    """Send bytes as they are."""
    while at < end:
        data = os.pread(fd, min(CHUNK, end - at), at)
        if not data:
            raise Refused("shrunk", "it became smaller while it was read")
        write(DATA, data)
        at += len(data)


def parts(fd: int, at: int, end: int, *, zeros: bool = False) -> Iterator[tuple[int, int, bool]]:
    """Where there are bytes, and where there is a hole.

    :param zeros: look for zeros, as a device does not tell of holes.
    """
    while at < end:
        if zeros:
            data = os.pread(fd, min(CHUNK, end - at), at)
            if not data:
                raise Refused("shrunk", "it became smaller while it was read")
            yield at, at + len(data), data != ZEROS[: len(data)]
            at += len(data)
            continue
        try:
            begin = min(os.lseek(fd, at, os.SEEK_DATA), end)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            begin = end
        if begin > at:
            yield at, begin, False
        at = begin
        if at < end:
            stop = min(os.lseek(fd, at, os.SEEK_HOLE), end)
            yield at, stop, True
            at = stop


# -- writing --------------------------------------------------------------------------------------


class Target:
    """What is written to, how far it is, and what is not to be passed.

    :param start: the first byte of the volume that was to be written.
    :param limit: bytes that may come; None for as many as there is room for.
    """

    def __init__(self, fd: int, start: int, limit: int | None) -> None:
        self.fd, self.start, self.limit = fd, start, limit
        self.done = 0

    @property
    def at(self) -> int:
        return self.start + self.done

    def admit(self, count: int) -> None:
        """See that as many more may come."""
        if self.limit is not None and self.done + count > self.limit:
            raise Refused("too-much", f"more than {self.limit} bytes came, and there is room for no more")

    def data(self, data: bytes | memoryview) -> None:
        self.admit(len(data))
        write_at(self.fd, data, self.at)
        self.done += len(data)

    def hole(self, count: int) -> None:
        self.admit(count)
        self.done += count


class Device(Target):
    """A device is written where it is."""

    def hole(self, count: int) -> None:
        self.admit(count)
        at, end = self.at, self.at + count
        first, last = min(end, -(-at // 4096) * 4096), max(at, end // 4096 * 4096)
        if first < last:
            self._zeros(at, first)
            for begin in range(first, last, AHEAD):
                self._zero_out(begin, min(last, begin + AHEAD))
            at = last
        self._zeros(at, end)
        self.done += count

    def _zero_out(self, at: int, end: int) -> None:
        try:
            fcntl.ioctl(self.fd, _ZERO_OUT, struct.pack("QQ", at, end - at))
        except OSError:
            self._zeros(at, end)

    def _zeros(self, at: int, end: int) -> None:
        for begin in range(at, end, CHUNK):
            write_at(self.fd, ZEROS[: min(CHUNK, end - begin)], begin)


class Part(Target):
    """A hidden folder beside the volume: the bytes at their places in a file with holes, and how far they are.

    The file takes the volume's place when everything has come, and what lies around the bytes was taken over.
    """

    def __init__(self, spec: dict[str, Any], limit: int | None, old: int, size: int) -> None:
        super().__init__(-1, spec["offset"], limit)
        self.spec, self.old, self.size = spec, old, size
        self.synced = 0
        found = os.fstat(old)
        full = found.st_blocks * 512 >= found.st_size > 0
        self.reserve = size if full and not spec["grows"] else 0
        self.home = os.open(spec["folder"], _FOLDER)
        if not spec["resume"]:
            with suppress(FileExistsError):
                os.mkdir(spec["part"], 0o700, dir_fd=self.home)
        self.folder = os.open(spec["part"], _FOLDER | os.O_NOFOLLOW, dir_fd=self.home)
        fcntl.flock(self.folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if spec["resume"]:
            self._go_on()
        else:
            self._begin()

    def _begin(self) -> None:
        self.clear()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.fd = os.open(IMAGE, flags, 0o600, dir_fd=self.folder)
        self._like_the_old()
        self.count = os.open(DONE, flags, 0o600, dir_fd=self.folder)
        self.note()
        about = os.open(ABOUT, flags, 0o600, dir_fd=self.folder)
        told = {key: self.spec[key] for key in ("name", "inode", "offset", "boot", "grows")}
        write_at(about, json.dumps({**told, "since": time.time()}).encode(), 0)
        for fd in (about, self.count, self.folder, self.home):
            os.fsync(fd)
        os.close(about)

    def _like_the_old(self) -> None:
        try:
            flags = struct.unpack("l", fcntl.ioctl(self.old, _GETFLAGS, bytes(8)))[0]
            if flags & _NOCOW:
                fcntl.ioctl(self.fd, _SETFLAGS, struct.pack("l", _NOCOW))
        except OSError:
            return  # a file system without such flags

    def _go_on(self) -> None:
        self.fd = os.open(IMAGE, os.O_RDWR | _OPEN, dir_fd=self.folder)
        self.count = os.open(DONE, os.O_RDWR | _OPEN, dir_fd=self.folder)
        self.done = self.synced = self.spec["done"]
        self.note()

    def data(self, data: bytes | memoryview) -> None:
        self.admit(len(data))
        super().data(data)
        self.note()
        if self.done - self.synced >= AHEAD:
            os.fdatasync(self.fd)
            self.synced = self.done
            self.note()

    def hole(self, count: int) -> None:
        super().hole(count)
        self.note()

    def note(self) -> None:
        """Write down how far it is: how far it surely is after a crash of the machine, too."""
        os.pwrite(self.count, f"{self.done:<20d} {self.synced:<20d}\n".encode(), 0)

    def prepare(self) -> None:
        """Take over from the volume what lies around the bytes that came."""
        end = self.at
        if self.spec["grows"] and not self.start and self.limit is None:  # another image altogether
            final = end
        else:
            final = max(self.size, end)
            os.ftruncate(self.fd, max(final, os.fstat(self.fd).st_size))
            take_over(self.old, self.fd, 0, min(self.start, self.size))
            take_over(self.old, self.fd, end, self.size)
        os.ftruncate(self.fd, final)
        self._set_aside()
        os.fsync(self.fd)

    def publish(self) -> None:
        """Take the volume's place, with its owner, its mode and what else is said of it."""
        found = os.fstat(self.old)
        now = os.open(self.spec["name"], os.O_RDONLY | _OPEN, dir_fd=self.home)
        seen = os.fstat(now)
        os.close(now)
        if (seen.st_dev, seen.st_ino, seen.st_size) != (found.st_dev, found.st_ino, self.size):
            raise OSError(errno.ESTALE, "somebody put another file in its place, or changed its size")
        if os.fstat(self.fd).st_uid != found.st_uid or os.fstat(self.fd).st_gid != found.st_gid:
            os.fchown(self.fd, found.st_uid, found.st_gid)
        os.fchmod(self.fd, stat.S_IMODE(found.st_mode))
        labelled(self.old, self.fd)
        os.fsync(self.fd)
        os.rename(IMAGE, self.spec["name"], src_dir_fd=self.folder, dst_dir_fd=self.home)
        os.fsync(self.home)
        self.clear()
        self.remove()

    def clear(self) -> None:
        """Remove what is in the folder; what says what it is goes last."""
        for name in (IMAGE, DONE, ABOUT):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.folder)

    def remove(self) -> None:
        try:
            os.rmdir(self.spec["part"], dir_fd=self.home)
        except OSError:
            return  # found by the next refresh
        os.fsync(self.home)

    def _set_aside(self) -> None:
        """Have no holes where the volume had none."""
        for at in range(0, self.reserve, AHEAD):
            if gone():
                raise Abandoned
            os.posix_fallocate(self.fd, at, min(AHEAD, self.reserve - at))


def labelled(old: int, new: int) -> None:
    """Give a file the extended attributes of another, as far as that is allowed: labels and access lists."""
    with suppress(OSError):
        for name in os.listxattr(old):
            with suppress(OSError):
                os.setxattr(new, name, os.getxattr(old, name))


def take_over(old: int, new: int, at: int, end: int) -> None:
    """Have the same bytes in a range of another file: shared where the file system can, else copied without holes."""
    first, last = -(-at // _ALIGNED) * _ALIGNED, end // _ALIGNED * _ALIGNED
    if first < last:
        try:
            fcntl.ioctl(new, _CLONE_RANGE, struct.pack("qQQQ", old, first, last - first, first))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
        else:
            copied(old, new, at, first)
            at = last
    copied(old, new, at, end)


def copied(old: int, new: int, at: int, end: int) -> None:
    """Copy a range, but for its holes; whoever gave up meanwhile has not to wait for all of it."""
    for begin, stop, full in parts(old, at, end):
        here = begin
        while full and here < stop:
            if gone():
                raise Abandoned
            here += copied_once(old, new, here, min(stop - here, CHUNK * 32))


def copied_once(old: int, new: int, at: int, count: int) -> int:
    """Copy some of a range; the bytes that were."""
    try:
        done = os.copy_file_range(old, new, count, at, at)
    except OSError as error:
        if error.errno not in _NO_COPY:
            raise
        done = 0
    if done:
        return done
    data = os.pread(old, min(count, CHUNK), at)
    if not data:
        raise Refused("shrunk", "the volume became smaller while it was copied")
    write_at(new, data, at)
    return len(data)


def upload(spec: dict[str, Any]) -> None:
    """Take bytes, and with further orders put them where they belong."""
    volume, size = opened(spec, os.O_RDWR if spec["block"] else os.O_RDONLY)
    if spec["offset"] > size:
        raise Refused("past", f"it has {size} bytes, and {spec['offset']} is past them")
    limit = spec["length"]
    if not spec["grows"]:
        room = size - spec["offset"]
        if limit is not None and limit > room:
            raise Refused("too-much", f"{limit} bytes are more than it has from byte {spec['offset']} on: {room}")
        limit = room if limit is None else limit
    if spec["block"]:
        fcntl.flock(volume, fcntl.LOCK_EX | fcntl.LOCK_NB)
        target: Target = Device(volume, spec["offset"], limit)
        say(ready=True, size=size, inode=0, generation=0)
    else:
        target = Part(spec, limit, volume, size)
        say(ready=True, size=size, inode=os.fstat(target.fd).st_ino, generation=generation(target.fd))
    try:
        received(target, sparse=spec["sparse"])
    except Refused:
        if isinstance(target, Part):  # what came can never be brought to an end
            target.clear()
            target.remove()
        raise
    finish(target)


def finish(target: Target) -> None:
    """What follows the last byte, each step at an order."""
    if order() != "prepare":
        raise Abandoned
    if isinstance(target, Part):
        target.prepare()
    else:
        os.fsync(target.fd)
    say(prepared=target.done)
    if order() != "publish":
        raise Abandoned
    if isinstance(target, Part):
        target.publish()
    say(done=target.done)


def received(target: Target, *, sparse: bool) -> None:
    """Take all that comes."""
    decoder: SparseDecoder | None = None
    if sparse:
        from anyvirt.api import SparseDecoder

        decoder = SparseDecoder()
    while data := os.read(DATA, CHUNK):
        if decoder is None:
            target.data(data)
            continue
        for part in records(decoder, data):
            if isinstance(part, bytes):
                target.data(part)
            else:
                target.hole(part)
    if decoder is not None:
        decoder_end(decoder)


def records(decoder: SparseDecoder, data: bytes) -> Iterator[bytes | int]:
    """Bytes, and lengths of holes."""
    from anyvirt.api import Invalid

    try:
        for part in decoder.feed(data):
            yield part if isinstance(part, bytes) else part.length
    except Invalid as error:
        raise Refused("records", error.message) from None


def decoder_end(decoder: SparseDecoder) -> None:
    """See that the records are whole, unless whoever sent them was cut short."""
    from anyvirt.api import Invalid

    try:
        decoder.end()
    except Invalid as error:
        if order() != "prepare":
            raise Abandoned from None
        raise Refused("records", error.message) from None


def generation(fd: int) -> int:
    """What tells a file from a later one with its inode; 0 where nothing does."""
    try:
        return int(struct.unpack("q", fcntl.ioctl(fd, _GETVERSION, bytes(8)))[0])
    except OSError:
        return 0


def main() -> int:
    """Follow the orders."""
    spec = json.loads(order() or "{}")
    if not spec:
        return 1
    sys.path.append(spec["core"])
    try:
        {"download": download, "upload": upload}[spec["do"]](spec)
    except Abandoned:
        return 0
    except Refused as error:
        say(refused=error.args[0], text=error.args[1])
    except OSError as error:
        say(error=error.errno, text=error.strerror)
    return 1


if __name__ == "__main__":
    sys.exit(main())
