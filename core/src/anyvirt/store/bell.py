"""A small file beside a log: touched after each commit, and the place to note that entries were lost."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_WIDTH: Final = 20


class Bell:
    """The bell of one log.

    Watchers see it touched when a change can be read, which the log's own files do not
    show. Its bytes exist before they are needed: on a full disk a number can still be
    written over another of the same width, so that a lost entry does not go unnoticed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def ring(self) -> None:
        """Wake whoever watches; never fails, since watchers also look by themselves."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            with suppress(OSError):
                os.close(self._open())
        except OSError:
            return

    def lose(self, count: int) -> None:
        """Note that ``count`` entries could not be written."""
        with suppress(OSError):
            fd = self._open()
            try:
                os.pwrite(fd, b"%0*d\n" % (_WIDTH, self.lost() + count), 0)
                os.fsync(fd)
            finally:
                os.close(fd)

    def lost(self) -> int:
        """How many entries were ever lost."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return 0
        try:
            text = os.pread(fd, _WIDTH, 0)
        finally:
            os.close(fd)
        return int(text) if text.isdigit() else 0

    def _open(self) -> int:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if not os.fstat(fd).st_size:
            os.fchmod(fd, 0o600)
            os.pwrite(fd, b"%0*d\n" % (_WIDTH, 0), 0)
        return fd
