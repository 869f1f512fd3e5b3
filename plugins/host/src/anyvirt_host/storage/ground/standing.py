"""Which folders of this host are on storage that may hang: told from what is mounted, without touching it."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

# What they are on is in this machine; every other kind may have a server that does not answer, also all of FUSE.
_LOCAL: Final = frozenset({
    "bcachefs", "binfmt_misc", "bpf", "btrfs", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
    "efivarfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fusectl", "hfsplus", "hugetlbfs", "iso9660", "jfs",
    "mqueue", "nilfs2", "nsfs", "ntfs3", "overlay", "proc", "pstore", "ramfs", "reiserfs", "securityfs", "selinuxfs",
    "squashfs", "sysfs", "tmpfs", "tracefs", "udf", "ufs", "vfat", "xfs", "zfs",
})  # fmt: skip
# Devices whose disk is elsewhere, as the kernel's own names of them tell.
_ELSEWHERE: Final = re.compile(r"/(session\d+|nbd\d+|rbd\d+|drbd\d+|aoe|etherd|fc_rports|rport-[^/]+)(/|$)")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_BLOCKS: Final = Path("/sys/dev/block")
_DEEPEST: Final = 40  # symbolic links on one way, as the kernel has it


class Mount(NamedTuple):
    """Something that is mounted: where, which device number, and what kind of file system."""

    place: str
    device: str
    kind: str


@lru_cache(maxsize=2)
def _mounts(table: str, blocks: Path) -> tuple[list[Mount], frozenset[Mount]]:
    """What is mounted, in order of mounting, and which of it may hang."""
    found = []
    for line in table.splitlines():
        words = line.split(" ")
        found.append(Mount(_plain(words[4]), words[2], words[words.index("-") + 1]))
    return found, frozenset(mount for mount in found if mount.kind not in _LOCAL or _far(mount, blocks, found))


def may_hang(path: str, table: Path = _MOUNTS, blocks: Path = _BLOCKS) -> Mount | None:
    """The mount on the way to a folder, or over something in it, whose storage may hang.

    None where all of it is in this machine. Links are followed step by step, and never on such a mount.

    :param path: absolute.
    """
    there, bad = _mounts(table.read_text("utf-8", "surrogateescape"), blocks)
    if not bad:
        return None
    left, at = path.split("/"), ""
    for _ in range(_DEEPEST):
        while left:
            word = left.pop(0)
            if word in ("", "."):
                continue
            if word == "..":
                at = at.rpartition("/")[0]
                continue
            if (mount := _over(f"{at}/{word}", there)) in bad:
                return mount
            at = f"{at}/{word}"
            try:
                target = os.readlink(at)
            except OSError:
                continue  # no link, or nothing is there
            left = target.split("/") + left
            at = "" if target.startswith("/") else at.rpartition("/")[0]
            break
        else:
            break
    inside = (mount for mount in there if mount.place.rpartition("/")[0] == at and mount.place != "/")
    return next((mount for mount in (_over(at or "/", there), *inside) if mount in bad), None)


def _over(path: str, there: list[Mount]) -> Mount:
    """The mount that a path is on, where no link leads elsewhere; the last of several in one place counts."""
    best = Mount("", "0:0", "tmpfs")
    for mount in there:
        at = mount.place
        if (at in {path, "/"} or path.startswith(f"{at}/")) and len(at) >= len(best.place):
            best = mount
    return best


def _far(mount: Mount, blocks: Path, there: list[Mount]) -> bool:
    """Whether the disk under a file system is elsewhere; what a loop device or a mapping is on counts."""
    home = os.path.realpath(blocks / mount.device)
    if _ELSEWHERE.search(home):
        return True
    for below in _listed(f"{home}/slaves"):
        if _ELSEWHERE.search(os.path.realpath(f"{home}/slaves/{below}")):
            return True
    try:
        backing = Path(home, "loop/backing_file").read_text("utf-8", "surrogateescape").rstrip("\n")
    except OSError:
        return False
    return _over(backing, there).kind not in _LOCAL


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _plain(place: str) -> str:
    return re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), place) if "\\" in place else place
