"""What a guest has printed: the log of one character device, kept from growing for ever."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from anyvirt.api import Denied, NotFound, VirtError

LIMIT: Final = 16 << 20  # a log that occupies more is cut
KEEP: Final = 4 << 20  # to its last bytes
PIECE: Final = 65536
GRAIN: Final = 4096
PUNCH_AND_KEEP_SIZE: Final = 0x2 | 0x1
FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class ConsoleLog:
    """An open log; offsets count from the guest's first byte, also when the beginning has been cut off.

    QEMU appends to it, reader or not. Cutting makes a hole in the file, so that nobody's
    offset changes and QEMU need not know.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def open(cls, path: str, guest: int, folder: str, *, uid: int | None = None) -> ConsoleLog:
        """Open it.

        :param guest: descriptor of ``folder``, the guest's part of the run directory, where the log usually lies.
        :param uid: the user that it must belong to; None stands for ours.
        :raises NotFound: (kind ``file``) there is none.
        :raises Denied: it is no regular file of that user.
        """
        within = os.path.dirname(path) == folder
        try:
            fd = os.open(os.path.basename(path), FLAGS, dir_fd=guest) if within else os.open(path, FLAGS)
        except FileNotFoundError as error:
            raise NotFound(path, "file") from error
        except OSError as error:
            raise Denied(f"the console's log {path}: {error.strerror}") from error
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or (within and found.st_uid != (os.geteuid() if uid is None else uid)):
            os.close(fd)
            hint = "the guest's QEMU user may have changed it: destroy the guest and look at its image and devices"
            raise Denied(f"the console's log {path} is no plain file of QEMU's", hint=hint)
        return cls(fd)

    def close(self) -> None:
        """Close it."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    @property
    def size(self) -> int:
        """How much was ever printed, in bytes."""
        return os.fstat(self.fd).st_size

    def read(self, offset: int) -> tuple[bytes, int]:
        """What stands at an offset, ``b""`` at the end, and the offset after it; a cut is told as ``[gap N bytes]``."""
        size = self.size  # before the search: what is printed during it is no hole
        size = self.size  # looked at first: what is printed meanwhile stands after it
        try:
            start = os.lseek(self.fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            start = size
        if size < offset:  # somebody else cut it short
            return b"\r\n[gap: the log was cut short]\r\n", 0
        if start > offset:
            return b"\r\n[gap %d bytes]\r\n" % (start - offset), start
        data = os.pread(self.fd, PIECE, offset)
        return data, offset + len(data)

    def trim(self) -> bool:
        """Cut off the beginning of a log that has become too large; False where there was nothing to cut."""
        found = os.fstat(self.fd)
        if found.st_blocks * 512 <= LIMIT:
            return False
        end = (found.st_size - KEEP) // GRAIN * GRAIN
        libc = ctypes.CDLL(None, use_errno=True)
        length = ctypes.c_longlong(end)
        return bool(libc.fallocate(self.fd, PUNCH_AND_KEEP_SIZE, ctypes.c_longlong(0), length) == 0)


def tidy(consoles: Iterable[Mapping[str, str]], guest: int, folder: str, *, uid: int | None = None) -> None:
    """Cut the logs of a guest that have become too large; what cannot be cut stays as it is.

    For whoever looks at a guest: nobody may be attached to its consoles for weeks.

    :param consoles: ``Record.consoles``' values; the rest as for ``ConsoleLog.open``.
    """
    for use in consoles:
        path = use.get("log", "")
        if os.path.dirname(path) != folder:
            continue  # the user's own, named in the definition
        with suppress(OSError, VirtError):
            name = os.path.basename(path)
            if os.stat(name, dir_fd=guest, follow_symlinks=False).st_blocks * 512 > LIMIT:
                log = ConsoleLog.open(path, guest, folder, uid=uid)
                try:
                    log.trim()
                finally:
                    log.close()
