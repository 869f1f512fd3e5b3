"""``Ground`` of a host that has a shell, coreutils, findutils, util-linux and e2fsprogs: a few calls for any number.

Names travel as input, each ended by NUL, so that nothing in one means anything. A far shell cannot open without
following links: looking and opening are two steps there.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from anyvirt.api import Failed, FarRun, Invalid, NotFound, Unsupported, VirtError

from anyvirt_host.storage.backend import Room, Sight
from anyvirt_host.storage.faults import PACKAGES, coded
from anyvirt_host.storage.ground.ground import Entry

if TYPE_CHECKING:
    from anyvirt.api import Output

    from anyvirt_host.storage.ground.ground import Berth

_NO_FOLDER: Final = 45
_LINK: Final = 46
_IRREGULAR: Final = 47
_SHUT: Final = 48
_MISSING: Final = (126, 127)
# Goes into the folder; the complaint about one where that cannot be done is stat's, which tells why.
_IN: Final = (
    'cd -- "$1" 2>/dev/null || { stat -L -- "$1" >/dev/null || exit 1; [ -d "$1" ] && exit 48; exit 45; }; shift; '
)
_FILE: Final = '[ ! -h "$1" ] || exit 46; [ -f "$1" ] || { stat -- "$1" >/dev/null || exit 1; exit 47; }; '
_ENTRIES: Final = _IN + r"exec find . -mindepth 1 -maxdepth 1 -printf '%f\0%y\0'"
_SIGHTS: Final = _IN + r"exec xargs -0 -r stat --printf='%n\0%f %i %b %B %s %u %g %t %T %.9X %.9Y %.9Z\0' --"
_DEVICES: Final = 'for one; do cat "/sys/dev/block/$one/size" 2>/dev/null || echo 0; done'
_HEAD: Final = _IN + _FILE + 'exec head -c "$2" <"$1"'
_HEADS: Final = _IN + 'exec xargs -0 -r head -v -c "$1" --'
_GENERATION: Final = _IN + _FILE + 'exec lsattr -v -d -- "./$1"'
_GENERATIONS: Final = _IN + "exec xargs -0 -r lsattr -v -d --"
_ROOM: Final = _IN + "exec stat -f --printf='%S %b %a' ."
_HOME: Final = r"exec stat -L --printf='%d %i' -- " + '"$1"'
_LOCKS: Final = _IN + _FILE + r"stat --printf='%d %i\n' -- " + '"./$1" && exec cat /proc/locks'
_REMOVE: Final = _IN + '"$2" -- "./$1" && sync .'
# A shell whose line was cut takes a moment to end.
_BERTHS: Final = (
    _IN + r"find . -mindepth 1 -maxdepth 1 -type d -name "
    r""""$1" -printf '%f\0' | xargs -0 -r -n 1 sh -c 'flock -w 0.3 "./$0" true; printf "%s\0%s\0" "$0" $?'"""
)
_CLEAR: Final = _IN + 'exec rm -rf -- "./$1"'
_MAKE: Final = """case $1 in */*) mkdir -p -- "${1%/*}/" || exit ;; esac
[ ! -d "$1/" ] || exit 0
(umask 077 && exec mkdir -- "$1") && { [ -z "$3" ] || chown -- "$3" "$1"; } && exec chmod -- "$2" "$1" """
_SAME: Final = r'a=$(realpath -m -- "$1"; echo .) && b=$(realpath -m -- "$2"; echo .) && [ "$a" = "$b" ]'
_OF_ONE: Final = (_HEAD, _GENERATION, _LOCKS, _REMOVE, _CLEAR)  # their second word is a name in the folder
# QEMU locks single bytes of an image that it has open: what it does from 100 on, what it lets nobody do from 200 on.
_QEMU_LOCKS: Final = range(100, 300)
_LOCK: Final = re.compile(rb"^\d+: +(?:OFDLCK|POSIX) .* ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) (\d+|EOF)$", re.MULTILINE)
_LSATTR: Final = re.compile(r"^(\d+) +\S+ (?:\./)?(.*)$", re.MULTILINE)
_TOLD: Final = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP,
    errno.ENOTDIR, errno.ENOENT,
)  # fmt: skip


class FarGround:
    """Another host's folders."""

    def __init__(self, run: FarRun) -> None:
        self._run = run

    def entries(self, folder: str) -> Iterator[Entry]:
        """Everything in a folder, in one go."""
        words = self._sh(_ENTRIES, folder).text.split("\0")[:-1]
        return (Entry(name, kind) for name, kind in zip(words[::2], words[1::2], strict=True))

    def sights(self, folder: str, names: Sequence[str]) -> Mapping[str, Sight]:
        """What is known of each, in one go, and one more for the sizes of devices."""
        try:
            out = self._sh(_SIGHTS, folder, names=names, content=(0, 123))
        except (Invalid, NotFound):
            return {}
        words = out.text.split("\0")[:-1]
        found: dict[str, Sight] = {}
        devices: dict[str, str] = {}
        for name, said in zip(words[::2], words[1::2], strict=True):
            sight, number = _sight(said)
            if sight is not None:
                found[name] = sight
                devices.update({name: number} if number else {})
        if devices:
            sizes = self._run("sh", "-c", _DEVICES, "sh", *devices.values()).ok().text.split()
            for name, size in zip(devices, sizes, strict=True):
                found[name] = found[name]._replace(allocation=int(size) * 512, physical=int(size) * 512)
        return found

    def heads(self, folder: str, names: Sequence[str], count: int) -> Mapping[str, bytes]:
        """The first bytes of one; of many in two goes, but for those that changed meanwhile."""
        if len(names) == 1:
            return {names[0]: self._sh(_HEAD, folder, names[0], str(count)).out}
        sizes = {name: one.physical for name, one in self.sights(folder, names).items() if one.type == "file"}
        out = self._sh(_HEADS, folder, str(count), names=[f"./{name}" for name in sizes], content=(0, 1, 123)).out
        found = _parted(out, {name: min(size, count) for name, size in sizes.items()})
        for name in [] if len(found) == len(sizes) else sizes.keys() - found.keys():
            try:
                found[name] = self._sh(_HEAD, folder, name, str(count)).out
            except VirtError:
                continue
        return found

    def generations(self, folder: str, names: Sequence[str]) -> Mapping[str, int]:
        """What tells each from a later one, in one go."""
        if len(names) == 1:
            out = self._sh(_GENERATION, folder, names[0], content=(0, 1))
            if b"denied" in out.err:
                raise coded(OSError(errno.EACCES, os.strerror(errno.EACCES)), f"{folder}/{names[0]}")
        else:
            out = self._sh(_GENERATIONS, folder, names=[f"./{name}" for name in names], content=(0, 123))
        said = {name: int(number) & 0xFFFFFFFF for number, name in _LSATTR.findall(out.text)}
        if len(names) == 1:
            return {names[0]: said.get(names[0], 0)}
        return {name: said.get(name, 0) for name in names}

    def room(self, folder: str) -> Room:
        """What its file system has."""
        size, blocks, left = map(int, self._sh(_ROOM, folder).text.split())
        return Room(blocks * size, left * size)

    def home(self, folder: str) -> tuple[int, int]:
        """Its device and inode."""
        device, inode = self._sh(_HOME, folder).text.split()
        return int(device), int(inode)

    def in_use(self, folder: str, name: str) -> bool:
        """Whether some QEMU has it open, as the kernel's list of locks tells."""
        first, _, lines = self._sh(_LOCKS, folder, name).out.partition(b"\n")
        device, inode = map(int, first.split())
        for major, minor, locked, start, end in _LOCK.findall(lines):
            # Where a file system has no device of its own (btrfs), it shows another number here than there.
            same = (int(major, 16), int(minor, 16)) == (os.major(device), os.minor(device))
            last = _QEMU_LOCKS.stop if end == b"EOF" else int(end)
            meant = int(start) < _QEMU_LOCKS.stop and last >= _QEMU_LOCKS.start
            if int(locked) == inode and meant and (same or int(major, 16) == os.major(device) == 0):
                return True
        return False

    def remove(self, folder: str, name: str, *, is_folder: bool = False) -> None:
        """Remove one."""
        self._sh(_REMOVE, folder, name, "rmdir" if is_folder else "unlink")

    def berth(self, folder: str, hidden: str) -> Berth:
        """Make one."""
        from anyvirt_host.storage.ground.far_berth import FarBerth

        return FarBerth(folder, hidden, self._run)

    def berths(self, folder: str, start: str, end: str) -> Iterator[tuple[str, bool]]:
        """Each, and whether somebody holds it."""
        words = self._sh(_BERTHS, folder, f"{start}*{end}").text.split("\0")[:-1]
        return iter(sorted((name, said == "1") for name, said in zip(words[::2], words[1::2], strict=True)))

    def clear(self, folder: str, hidden: str) -> None:
        """Remove one."""
        self._sh(_CLEAR, folder, hidden)

    def make_folder(self, path: str, mode: int, owner: tuple[int, int]) -> None:
        """Make it, closed until it has owner and mode."""
        self._sh(_MAKE, path, f"{mode & 0o7777:o}", owner_word(owner))

    def remove_folder(self, path: str) -> None:
        """Remove it."""
        self._sh('exec rmdir -- "$1"', path)

    def same(self, one: str, other: str) -> bool:
        """Whether they are one place."""
        return self._run("sh", "-c", _SAME, "sh", one, other).code == 0

    def _sh(
        self, script: str, folder: str, *words: str, names: Sequence[str] = (), content: tuple[int, ...] = (0,)
    ) -> Output:
        given = b"".join(os.fsencode(name) + b"\0" for name in names)
        out = self._run("sh", "-c", script, "sh", folder, *words, input=given)
        if out.code not in content:
            raise told(out, f"{folder}/{words[0]}" if script in _OF_ONE else folder)
        return out


def told(out: Output, path: str) -> VirtError:
    """The coded error for what a script complained of."""
    said = out.err.decode("utf-8", "replace").strip()
    known = {_LINK: errno.ELOOP, _SHUT: errno.EACCES}
    if out.code in known:
        return coded(OSError(known[out.code], os.strerror(known[out.code])), path)
    if out.code == _NO_FOLDER:
        return Invalid(f"{path!r} is no folder", hint="correct the pool's target path")
    if out.code == _IRREGULAR:
        return Invalid(f"{path!r} is no regular file")
    if out.code in _MISSING:
        tool = next((word for word in PACKAGES if re.search(rf"\b{re.escape(word)}\b", said)), "")
        return Unsupported("the far host", said or "a program", hint=f"install {PACKAGES.get(tool, 'it')} there")
    for number in _TOLD:
        if os.strerror(number) in said:
            return coded(OSError(number, os.strerror(number)), path)
    return Failed(f"{path!r}: {said or 'it cannot be looked at'}", native={"code": out.code, "stderr": said})


def owner_word(owner: tuple[int, int]) -> str:
    """As chown wants it; empty where both stay as they are."""
    user, group = ("" if number == -1 else str(number) for number in owner)
    return user + (f":{group}" if group else "")


def _sight(said: str) -> tuple[Sight | None, str]:
    """What stat says, and the number of a device."""
    mode, inode, blocks, block, size, user, group, major, minor, *times = said.split()
    kind = int(mode, 16)
    changed = tuple(int(seconds) * 10**9 + int(rest) for seconds, _, rest in (one.partition(".") for one in times))
    rest = (kind & 0o7777, int(user), int(group), (changed[0], changed[1], changed[2]))
    match kind & 0o170000:
        case 0o100000:
            return Sight("file", int(inode), int(blocks) * int(block), int(size), *rest), ""
        case 0o040000:
            return Sight("dir", int(inode), 0, 0, *rest), ""
        case 0o060000:
            return Sight("block", int(inode), 0, 0, *rest), f"{int(major, 16)}:{int(minor, 16)}"
    return None, ""


def _parted(out: bytes, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """What head wrote of each file; nothing at all where it does not fit what they were known to be."""
    found: dict[str, bytes] = {}
    at = 0
    for name, size in sizes.items():
        head = b"==> ./%s <==\n" % os.fsencode(name)
        at += out[at : at + 1] == b"\n"
        if not out.startswith(head, at):
            continue
        at += len(head)
        found[name] = out[at : at + size]
        at += size
    return found if at == len(out) else {}
