"""Writing a cpio archive in the newc form, as the Linux kernel unpacks it, without root and the same each time."""

from __future__ import annotations

import gzip
import io
import stat
from pathlib import Path
from typing import Final

_FIELDS: Final = "070701" + "{:08X}" * 13
_TRAILER: Final = "TRAILER!!!"


class Archive:
    """A cpio archive in memory. Everything belongs to root and is dated 1970."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._inode = 0
        self._folders: set[str] = set()

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Add a folder and the folders above it; once is enough."""
        name = name.strip("/")
        if not name or name in self._folders:
            return
        self.folder(name.rpartition("/")[0])
        self._folders.add(name)
        self._entry(name, stat.S_IFDIR | mode)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self._under(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._under(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int, mode: int = 0o600) -> None:
        """Add a character device node."""
        self._under(name, stat.S_IFCHR | mode, device=(major, minor))

    def tree(self, root: Path) -> None:
        """Add everything below ``root``; a file whose first line is ``#!`` becomes executable."""
        for path in sorted(root.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                self.file(str(path.relative_to(root)), data, 0o755 if data.startswith(b"#!") else 0o644)

    def gzipped(self) -> bytes:
        """The whole archive, ended and compressed."""
        self._entry(_TRAILER, 0)
        return gzip.compress(self._out.getvalue(), 9, mtime=0)

    def _under(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        name = name.strip("/")
        self.folder(name.rpartition("/")[0])
        self._entry(name, mode, data, device)

    def _entry(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        header = _FIELDS.format(self._inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._padded(header.encode() + encoded)
        self._padded(data)

    def _padded(self, data: bytes) -> None:
        self._out.write(data + b"\0" * (-len(data) % 4))
