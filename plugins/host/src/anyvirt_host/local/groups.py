"""Control groups of the kernel, versions 1 and 2: where they are, what they limit; made, written and taken away."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from anyvirt.api import Busy, Denied, Failed, VirtError

from anyvirt_host.local import files

MOUNTS: Final = "/proc/self/mountinfo"
OWN: Final = "/proc/self/cgroup"
EMPTY: Final = 5.0  # seconds that the kernel may take to let go of a process that has ended
LOOK: Final = 0.02
# controllers that this code knows, in the words of version 2
CONTROLLERS: Final = frozenset({"cpu", "cpuset", "memory", "io"})
THREADED: Final = frozenset({"cpu", "cpuset"})
OLD: Final = {"blkio": "io"}
ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A tree of control groups that is mounted here.

    :param version: 1 or 2.
    :param controllers: what it can limit, in the words of version 2, whose ``io`` is ``blkio`` of version 1.
    :param mount: absolute path of its root.
    :param own: absolute path of the group that this process is in.
    """

    version: int
    controllers: frozenset[str]
    mount: str
    own: str


class Limit(NamedTuple):
    """What a group takes at most, or its weight: ``cpu.shares``, ``cpu.quota`` and so on.

    ``cpu.quota`` has two numbers: microseconds, and the period that they are for (0 for the usual one).
    """

    name: str
    numbers: tuple[int, ...]
    device: str = ""

    @property
    def controller(self) -> str:
        """What enforces it."""
        return self.name.partition(".")[0]


def hierarchies(mounts: str = MOUNTS, own: str = OWN) -> tuple[Hierarchy, ...]:
    """Those of this host that this code knows what to do with."""
    groups: dict[str, str] = {}
    for line in files.text(own).splitlines():
        _, names, path = line.split(":", 2)
        groups |= dict.fromkeys(names.split(","), path)
    found: dict[str, Hierarchy] = {}
    for line in files.text(mounts).splitlines():
        words, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, mount = (ESCAPE.sub(lambda x: chr(int(x[1], 8)), word) for word in words.split()[3:5])
        if kind == "cgroup2":
            told = frozenset(files.text(f"{mount}/cgroup.controllers").split()) & CONTROLLERS
            here = groups.get("", "/")
        elif kind == "cgroup":
            known = [name for name in options.split(",") if name in groups]
            told = frozenset(OLD.get(name, name) for name in known) & CONTROLLERS
            here = groups[known[0]] if known else "/"
        else:
            continue
        below = here.removeprefix(root.rstrip("/")).strip("/")
        found.setdefault(mount, Hierarchy(2 if kind == "cgroup2" else 1, told, mount, f"{mount}/{below}".rstrip("/")))
    return tuple(one for one in found.values() if one.controllers)


def refusal(tree: Hierarchy, parent: str, controllers: Collection[str]) -> str:
    """Why this user cannot make a group with these controllers below ``parent``, as a sentence; ``""`` where he can."""
    here, missing = parent, False
    while here != tree.mount and not os.path.isdir(here):
        here, missing = os.path.dirname(here), True
    if not os.access(here, os.W_OK | os.X_OK, effective_ids=True):
        return f"user {os.geteuid()} may not make groups in {here}"
    if tree.version == 1:
        return ""
    for folder in _down(tree, here):
        lacking = set(controllers) - set(files.text(f"{folder}/cgroup.controllers").split())
        if lacking:
            return f"{folder} has no controller {', '.join(sorted(lacking))}"
        if not set(controllers) - set(files.text(f"{folder}/cgroup.subtree_control").split()):
            continue
        if not os.access(f"{folder}/cgroup.subtree_control", os.W_OK, effective_ids=True):
            return f"user {os.geteuid()} may not change {folder}/cgroup.subtree_control"
        # the root of the whole host has no type, and is the only one that may hold processes and divide, too
        if os.path.exists(f"{folder}/cgroup.type") and files.text(f"{folder}/cgroup.procs"):
            return f"{folder} holds processes of its own, and cannot be divided"
    if missing or os.access(f"{here}/cgroup.procs", os.W_OK, effective_ids=True):
        return ""
    return f"user {os.geteuid()} may not move processes into {here}"


def absent(folder: str) -> list[str]:
    """Folders on the way to this one, and itself, that are not there yet, the outermost first."""
    found = []
    while not os.path.isdir(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found[::-1]


def make(tree: Hierarchy, folder: str, controllers: Collection[str]) -> None:
    """Make a group, and whatever is missing above it; no error where it is there.

    :raises VirtError: the kernel refuses.
    """
    for _ in range(10):  # somebody may take an empty one away as we pass
        try:
            for place in _down(tree, os.path.dirname(folder)):
                _made(tree, place)
                if tree.version == 2:
                    _enable(place, controllers)
            _made(tree, folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _coded(error, folder, "make") from error
        return
    raise Failed(f"{folder}: somebody takes away the groups that lead there", native={"folder": folder})


def divide(tree: Hierarchy, folder: str, parts: Iterable[str], controllers: Collection[str]) -> None:
    """Make groups within a guest's own, for threads of one process.

    :raises VirtError: the kernel refuses.
    """
    wanted = sorted(set(controllers) & THREADED)
    try:
        for part in parts:
            _made(tree, f"{folder}/{part}")
            if tree.version == 2:
                _put(f"{folder}/{part}/cgroup.type", "threaded")
        if tree.version == 2:
            _enable(folder, wanted)
    except OSError as error:
        raise _coded(error, folder, "divide") from error


def limit(tree: Hierarchy, folder: str, given: Iterable[Limit]) -> None:
    """Write limits of one group.

    :raises VirtError: the kernel refuses one of them; the file is named.
    """
    limits = sorted(given, key=lambda one: one.name != "memory.hard")  # the bound of memory with swap stands above it
    for one in limits:
        for name, text in written(tree.version, one, limits):
            file = next((file for file in (f"{folder}/{x}" for x in name.split("|")) if os.path.exists(file)), "")
            if not file:
                raise Failed(
                    f"{folder} has no {name.replace('|', ' or ')}: this kernel does not limit that",
                    native={"file": name},
                    hint="take the element out",
                )
            try:
                _put(file, text)
            except OSError as error:
                raise _coded(error, file, f"write {text!r} into") from error


def written(version: int, one: Limit, all_: Collection[Limit] = ()) -> Iterator[tuple[str, str]]:
    """Files of a group, with alternatives after ``|``, and what a limit writes there.

    :param all_: those of the same group: what one means may depend on another.
    """
    value = one.numbers[0]
    match one.name, version:
        case "cpu.shares", _:
            yield ("cpu.shares", "cpu.weight")[version - 1], str(value)
        case "cpu.quota", 1:
            if one.numbers[1]:
                yield "cpu.cfs_period_us", str(one.numbers[1])
            yield "cpu.cfs_quota_us", str(value)
        case "cpu.quota", _:
            yield "cpu.max", f"{value} {one.numbers[1] or 100_000}"
        case "cpuset.mems", _:
            yield "cpuset.mems", ",".join(map(str, one.numbers))
        case "memory.hard", _:
            yield ("memory.limit_in_bytes", "memory.max")[version - 1], str(value)
        case "memory.soft", 1:
            yield "memory.soft_limit_in_bytes", str(value)
        case "memory.soft", _:  # version 1 reclaims what is above it first; with 0 in version 2 nothing would run
            yield "memory.high", str(value or "max")
        case "memory.total", 1:
            if not any(x.name == "memory.hard" for x in all_):  # that of memory alone never stands above it
                yield "memory.limit_in_bytes", str(value)
            yield "memory.memsw.limit_in_bytes", str(value)
        case "memory.total", _:
            hard = next(x.numbers[0] for x in all_ if x.name == "memory.hard")
            yield "memory.swap.max", str(max(0, value - hard))
        case _:
            yield _io(version, one)


def _io(version: int, one: Limit) -> tuple[str, str]:
    value, word = one.numbers[0], one.name.removeprefix("io.")
    if not one.device:
        return ("blkio.bfq.weight|blkio.weight", "io.bfq.weight|io.weight")[version - 1], str(value)
    number = os.stat(one.device).st_rdev
    device = f"{os.major(number)}:{os.minor(number)}"
    if word == "weight":
        files = ("blkio.bfq.weight_device|blkio.weight_device", "io.bfq.weight|io.weight")
        return files[version - 1], f"{device} {value}"
    if version == 2:
        return "io.max", f"{device} {word}={value}"
    way, rate = ("read" if word.startswith("r") else "write"), word[1:]
    return f"blkio.throttle.{way}_{rate}_device", f"{device} {value}"


def join(folder: str, thread: int) -> None:
    """Move a thread of a process into a group; one that has ended is no error.

    :raises VirtError: the kernel refuses.
    """
    old = f"{folder}/tasks"
    try:
        _put(old if os.path.exists(old) else f"{folder}/cgroup.threads", str(thread))
    except ProcessLookupError:
        return
    except OSError as error:
        raise _coded(error, folder, f"move thread {thread} into") from error


def remove(folder: str, *, seconds: float = EMPTY) -> None:
    """Take a group and those within away; one that is gone is no error.

    :raises Busy: it holds processes still.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            with os.scandir(folder) as entries:
                inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            for one in inner:
                remove(one, seconds=max(0.0, end - time.monotonic()))
            os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != 16:
                raise _coded(error, folder, "remove") from error
            if time.monotonic() > end:
                raise Busy(folder, holder="a process", purpose="using this control group") from error
            time.sleep(LOOK)
        else:
            return


def prune(folders: Iterable[str]) -> None:
    """Take those away that nobody uses, the innermost first."""
    for folder in sorted(folders, key=len, reverse=True):
        with suppress(OSError):
            os.rmdir(folder)


def _down(tree: Hierarchy, folder: str) -> Iterator[str]:
    """The groups from the root to this one."""
    yield tree.mount
    here = tree.mount
    for part in folder.removeprefix(tree.mount).strip("/").split("/"):
        if part:
            here = f"{here}/{part}"
            yield here


def _made(tree: Hierarchy, folder: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o755)
    if tree.version == 1 and "cpuset" in tree.controllers:  # it holds nobody until it has CPUs and nodes
        for name in ("cpuset.cpus", "cpuset.mems"):
            if os.path.exists(f"{folder}/{name}") and not files.text(f"{folder}/{name}"):
                _put(f"{folder}/{name}", files.text(f"{os.path.dirname(folder)}/{name}"))


def _enable(folder: str, controllers: Iterable[str]) -> None:
    missing = set(controllers) - set(files.text(f"{folder}/cgroup.subtree_control").split())
    if missing:
        _put(f"{folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(missing)))


def _coded(error: OSError, place: str, what: str) -> VirtError:
    native = {"errno": error.errno, "text": error.strerror, "place": place}
    message = f"cannot {what} {place}: {error.strerror}"
    if error.errno in {1, 13}:
        return Denied(message, hint=f"user {os.geteuid()} needs the right to do this", details=native)
    return Failed(message, native=native)


def _put(file: str, text: str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
