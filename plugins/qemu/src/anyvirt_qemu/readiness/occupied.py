"""Images that somebody else has open: QEMU's own locks on them, mounts, and whose they are."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt.api import Problem

if TYPE_CHECKING:
    from anyvirt.api import Disk, Domain

    from anyvirt_qemu.planning.plan import Plan

PROC: Final = Path("/proc")
# QEMU takes a read lock on one byte for each thing that it does with an image, and on another for each thing that it
# lets nobody else do; whoever tests for a write lock there sees them
HELD: Final = 100
REFUSED: Final = 200
READ: Final = 0
WRITE: Final = 1
# type, whence, start, length, process; as the kernel has it on machines of 64 bits
LOCK: Final = struct.Struct("hhqqi4x")
NAME: Final = re.compile(r"(?:^|,)guest=((?:[^,]|,,)*)")


def blockers(domain: Domain, plan: Plan) -> Iterator[Problem]:
    """Images that another guest or program has, so that QEMU would refuse them."""
    overlays = {use.path for use in plan.overlays}
    disks = {disk.target: disk for disk in domain.disks}
    seen: set[str] = set()
    for use in plan.disks:
        disk = disks[use.target]
        nodes = [node for node in use.nodes if node.path not in overlays]
        for depth, node in enumerate(nodes):
            if not node.path.startswith("/") or node.path in seen:
                continue
            seen.add(node.path)
            writes = depth == 0 and not disk.readonly and not disk.transient
            shared = bool(disk.shareable and depth == 0)
            text = taken(node.path, writes=writes, shared=shared, uuid=str(domain.uuid))
            if text:
                hint = "stop that guest, or give each an image of its own"
                yield Problem("resource.busy", image_place(disk, depth), None, text, hint)
    nvram = domain.os.nvram if domain.os else None
    text = taken(nvram, writes=True, shared=False, uuid=str(domain.uuid)) if nvram else ""
    if text:
        yield Problem(
            "resource.busy", "/os/nvram", None, text, "name another file: each guest has variables of its own"
        )


def image_place(disk: Disk, depth: int = 0) -> str:
    """The path of what names an image of a disk: its own, or one that far below."""
    if depth:
        return f"/devices/disk[{disk.target}]" + "/backingStore" * depth
    return f"/devices/disk[{disk.target}]/source/@{'dev' if disk.type == 'block' else 'file'}"


def taken(path: str, *, writes: bool, shared: bool, uuid: str = "") -> str:
    """Who keeps QEMU from opening an image, as a sentence; ``""`` where nobody does.

    :param writes: it is to be opened for writing.
    :param shared: others may write to it at the same time.
    :param uuid: the guest that is to have it; its own QEMU is nobody else.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return ""  # which is told elsewhere
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISBLK(found.st_mode):
            return ""
        if not locked(fd, writes=writes, shared=shared):
            return mounted(path, found) if writes and stat.S_ISBLK(found.st_mode) else ""
    finally:
        os.close(fd)
    who = holder((found.st_dev, found.st_ino), uuid)
    return f"{path} is in use by {who}" if who else ""


def locked(fd: int, *, writes: bool, shared: bool) -> bool:
    """Whether locks on an image keep another QEMU out."""
    tests = [REFUSED + READ]
    if writes:
        tests.append(REFUSED + WRITE)
    if not shared:
        tests.append(HELD + WRITE)
    return any(_is_locked(fd, byte) for byte in tests)


def _is_locked(fd: int, byte: int) -> bool:
    asked = LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    try:
        kind: int = LOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
    except OSError:  # a file system without locks
        return False
    return kind != fcntl.F_UNLCK


def mounted(path: str, found: os.stat_result, table: Path = PROC / "self/mountinfo") -> str:
    """Where a block device is mounted, as a sentence; ``""`` where it is not."""
    device = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        words = line.split()
        if len(words) > 4 and words[2] == device:
            return f"{path} is mounted on this host, at {words[4]}"
    return ""


def holder(identity: tuple[int, int], uuid: str = "", proc: Path = PROC) -> str:
    """Who has a file open, in words; ``""`` where that is the guest with this UUID itself."""
    for entry in proc.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if "qemu" not in words[0] and not any("qemu" in word for word in words[1:3]):
                continue
            if not any(_is(one, identity) for one in (entry / "fd").iterdir()):
                continue
        except OSError:
            continue
        return "" if uuid and uuid in words else _described(words, int(entry.name))
    return "another process, which this user may not see"


def _is(link: Path, identity: tuple[int, int]) -> bool:
    try:
        found = link.stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == identity


def _described(words: list[str], pid: int) -> str:
    for flag, value in pairwise(words):
        if flag == "-name":
            found = NAME.search(value)
            name = found[1].replace(",,", ",") if found else value.partition(",")[0]
            return f"the guest {name} (QEMU, process {pid})"
    return f"{os.path.basename(words[0])} (process {pid})"
