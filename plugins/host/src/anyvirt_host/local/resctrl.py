"""Parts of the processors' caches and of the bandwidth to memory, set aside through the kernel's resctrl."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from anyvirt.api import Denied, Failed, current

from anyvirt_host.local import files

ROOT: Final = "/sys/fs/resctrl"
CACHES: Final = "/sys/devices/system/cpu"
SUFFIX: Final = {"both": "", "code": "CODE", "data": "DATA"}
NAP: Final = 0.01
OURS: Final = frozenset({"info", "mon_groups", "mon_data"})
Schemata = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Part:
    """What some threads get of one cache.

    :param kind: ``both``, ``code`` or ``data``.
    :param size: bytes.
    """

    level: int
    number: int
    kind: str
    size: int

    @property
    def resource(self) -> str:
        """The kernel's name of what is divided, such as ``L3CODE``."""
        return f"L{self.level}{SUFFIX[self.kind]}"


def problem(root: str = ROOT) -> str:
    """Why caches cannot be divided here, as a sentence; ``""`` where they can."""
    if not os.path.isdir(f"{root}/info"):
        return "caches and bandwidth cannot be divided on this host (resctrl is not mounted, or the CPU has none)"
    if not os.access(root, os.W_OK | os.X_OK, effective_ids=True):
        return f"user {os.geteuid()} may not make groups in {root}"
    return ""


def lacking(part: Part, root: str = ROOT, caches: str = CACHES) -> str:
    """Why this part cannot be set aside, as a sentence; ``""`` where it can."""
    try:
        _found(part, root, caches)
    except Failed as error:
        return error.message
    return ""


def narrow(percent: int, root: str = ROOT) -> str:
    """Why this share of the bandwidth cannot be given, as a sentence; ``""`` where it can."""
    if not os.path.isdir(f"{root}/info/MB"):
        return "the bandwidth to memory cannot be divided on this host"
    least, step = (int(files.text(f"{root}/info/MB/{name}")) for name in ("min_bandwidth", "bandwidth_gran"))
    if percent < least or (percent - least) % step:
        return f"{percent} percent cannot be given: from {least} on in steps of {step}"
    return ""


def make(
    name: str, parts: Collection[Part], bandwidths: Iterable[tuple[int, int]], root: str = ROOT, caches: str = CACHES
) -> str:
    """Make a group that has these parts to itself; its folder.

    :param bandwidths: number of a node, and percent.
    :raises Denied: this user may not.
    :raises Failed: no room is left, or the kernel refuses.
    """
    folder = f"{root}/{name}"
    with _locked(root):
        usual = schemata(files.text(f"{root}/schemata"))
        lines: dict[str, dict[int, int]] = {x: dict(usual[x]) for x in usual if x.startswith("L")}
        for part in parts:
            lines[part.resource][part.number] = _found(part, root, caches)
        try:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o755)
            for resource, masks in lines.items():
                _put(f"{folder}/schemata", f"{resource}:" + ";".join(f"{n}={mask:x}" for n, mask in masks.items()))
            for node, percent in bandwidths:
                _put(f"{folder}/schemata", f"MB:{node}={percent}")
        except OSError as error:
            said = files.text(f"{root}/info/last_cmd_status")
            words = {"errno": error.errno, "text": error.strerror, "said": said}
            message = f"cannot divide the caches ({folder}): {said or error.strerror}"
            if error.errno in {1, 13}:
                raise Denied(message, hint="use qemu:///system as root", details=words) from error
            raise Failed(message, native=words) from error
    return folder


def join(folder: str, threads: Iterable[int]) -> None:
    """Have threads use the parts of a group; those that have ended are no error.

    :raises Failed: the kernel refuses.
    """
    for thread in threads:
        try:
            _put(f"{folder}/tasks", str(thread))
        except ProcessLookupError:
            continue
        except OSError as error:
            words = {"errno": error.errno, "text": error.strerror}
            raise Failed(f"cannot move thread {thread} into {folder}: {error.strerror}", native=words) from error


def remove(folder: str) -> None:
    """Give the parts back; a group that is gone is no error.

    :raises Failed: the kernel refuses.
    """
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        words = {"errno": error.errno, "text": error.strerror}
        raise Failed(f"cannot give the parts of {folder} back: {error.strerror}", native=words) from error


def schemata(text: str) -> Schemata:
    """What a group has: masks of caches in hexadecimal, by resource and by number of the cache."""
    found: dict[str, dict[int, int]] = {}
    for line in text.splitlines():
        resource, _, rest = line.strip().partition(":")
        pairs = (pair.partition("=") for pair in rest.split(";") if "=" in pair)
        found[resource] = {int(number): int(mask, 16) for number, _, mask in pairs if resource.startswith("L")}
    return found


def _found(part: Part, root: str, caches: str) -> int:
    """Neighbouring bits of a cache that nobody has."""
    info = f"{root}/info/{part.resource}"
    size = _sizes(caches).get((part.level, part.number))
    if size is None or not os.path.isdir(info):
        text = f"this host has no cache {part.number} of level {part.level} whose {part.kind} part can be divided"
        raise Failed(text, native={"resource": part.resource})
    every = int(files.text(f"{info}/cbm_mask"), 16)
    step = size // every.bit_length()
    bits = part.size // step
    if part.size % step or bits < int(files.text(f"{info}/min_cbm_bits")):
        least = int(files.text(f"{info}/min_cbm_bits")) * step >> 10
        text = f"cache {part.number} of level {part.level} is given in steps of {step >> 10} KiB, from {least} KiB on"
        raise Failed(text, native={"step": step})
    free = every
    for folder in [root, *(f"{root}/{name}" for name in os.listdir(root) if name not in OURS)]:
        free &= ~schemata(files.text(f"{folder}/schemata")).get(part.resource, {}).get(part.number, 0)
    run = (1 << bits) - 1
    fit = next((run << shift for shift in range(every.bit_length() - bits + 1) if not (run << shift) & ~free), 0)
    if not fit:
        text = f"cache {part.number} of level {part.level} has not {part.size >> 10} KiB left that nobody uses"
        raise Failed(text, native={"free": f"{free:x}"})
    return fit


def _sizes(folder: str) -> dict[tuple[int, int], int]:
    """Bytes of the host's caches for data, by level and number."""
    found = {}
    for cpu in os.listdir(folder):
        with suppress(OSError):
            for index in os.listdir(f"{folder}/{cpu}/cache"):
                place = f"{folder}/{cpu}/cache/{index}"
                words = [files.text(f"{place}/{name}") for name in ("level", "id", "size", "type")]
                if all(words) and words[3] != "Instruction":
                    found[int(words[0]), int(words[1])] = int(words[2].removesuffix("K")) << 10
    return found


@contextmanager
def _locked(root: str) -> Iterator[None]:
    """The lock that everybody who divides caches holds meanwhile.

    :raises Interrupted: somebody has it until the deadline.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                current().check("waiting for whoever divides caches")
                time.sleep(NAP)
        yield
    finally:
        os.close(fd)


def _put(file: str, text: str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_APPEND)
    try:
        os.write(fd, f"{text}\n".encode())
    finally:
        os.close(fd)
