"""Why QEMU would not open an image: damaged, cut off, encrypted without a secret, on what takes no changes."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from anyvirt.api import Problem

from anyvirt_qemu.image import MAGIC, OPEN
from anyvirt_qemu.readiness.rights import sealed

if TYPE_CHECKING:
    from anyvirt.api import Disk

    from anyvirt_qemu.planning.plan import NodeUse

LUKS: Final = b"LUKS\xba\xbe"
# version and its length, backing file, bits, capacity, encryption, length and place of the first table
HEAD: Final = struct.Struct(">4sIQIIQIIQ")
CORRUPT: Final = 1 << 1
KNOWN: Final = 0b11111  # dirty, corrupt, external data, compression, extended tables


def blockers(place: str, node: NodeUse, disk: Disk, *, writes: bool, top: bool) -> Iterator[Problem]:
    """What is wrong with one image that is there and may be read.

    :param top: it is the disk's own, and what the disk says of encryption is about it.
    """
    if writes and sealed(node.path) and stat.S_ISREG(os.stat(node.path).st_mode):
        text = f"{node.path} is on a file system that is mounted read-only"
        yield Problem("denied", place, None, text, "mount it for writing, move the image, or add <readonly/>")
    try:
        fd = os.open(node.path, OPEN)
    except OSError:
        return
    try:
        kind = os.fstat(fd).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISBLK(kind):
            return
        yield from _opened(fd, place, node, disk, writes=writes, top=top)
    except OSError as error:
        text = f"{node.path} cannot be read: {error.strerror}"
        yield Problem("file.not-found", place, None, text, "look at the disk that it is on")
    finally:
        os.close(fd)


def _opened(fd: int, place: str, node: NodeUse, disk: Disk, *, writes: bool, top: bool) -> Iterator[Problem]:
    found = os.fstat(fd)
    size = found.st_size if stat.S_ISREG(found.st_mode) else os.lseek(fd, 0, os.SEEK_END)
    head = os.pread(fd, 112, 0)
    asked = bool(top and ((disk.source and disk.source.encryption) or disk.encryption))
    if node.format == "qcow2" and head[:4] == MAGIC and len(head) >= HEAD.size:
        yield from _qcow2(head, size, place, node.path, asked=asked, top=top, writes=writes)
    elif node.format == "raw" and asked and not head.startswith(LUKS):
        text = f"{node.path} is no LUKS volume"
        yield Problem("config.invalid", place, None, text, "take <encryption> out, or name the encrypted image")


def _qcow2(head: bytes, size: int, place: str, path: str, *, asked: bool, top: bool, writes: bool) -> Iterator[Problem]:
    _, version, _, _, bits, _, crypt, entries, table = HEAD.unpack_from(head)
    (features,) = struct.unpack_from(">Q", head, 72) if version >= 3 and len(head) >= 80 else (0,)
    if features & CORRUPT and writes:
        hint = f"have it repaired: qemu-img check -r all {path}"
        yield Problem("config.invalid", place, None, f"{path} is marked as corrupt", hint)
    if features & ~KNOWN:
        text = f"{path} has features that are not known here ({features & ~KNOWN:#x})"
        yield Problem("unsupported.config", place, None, text, "convert it with the program that made it")
    if bits <= 30 and table + entries * 8 > size:
        text = f"{path} is cut off: it has {size} bytes, and its first table ends at {table + entries * 8}"
        yield Problem("config.invalid", place, None, text, "put back a whole copy")
    if top and crypt and not asked:
        text = f"{path} is encrypted, and no secret is named"
        yield Problem("config.missing", place, None, text, "write <encryption format='luks'> with its <secret>")
    elif top and asked and not crypt:
        text = f"{path} is not encrypted"
        yield Problem("config.invalid", place, None, text, "take <encryption> out, or name the encrypted image")
