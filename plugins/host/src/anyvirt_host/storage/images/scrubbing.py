"""Overwriting what a file or a device holds, pass by pass, with tools of the host that it is on."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Failed, Invalid, Progress, Run, Unsupported

from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.ground.pinned import FILE, pinned

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Sight

RANDOM: Final = b""
_MARKS: Final = (b"\x92\x49\x24", b"\x49\x24\x92", b"\x24\x92\x49")
_RUNS: Final = (b"\x6d\xb6\xdb", b"\xb6\xdb\x6d", b"\xdb\x6d\xb6")
_NIBBLES: Final = tuple(bytes([value * 0x11]) for value in range(16))
# What each pass writes; libvirt's names, which are those of scrub(1).
PASSES: Final[dict[str, tuple[bytes, ...]]] = {
    "zero": (b"\0",),
    "nnsa": (RANDOM, RANDOM, b"\0"),
    "dod": (RANDOM, b"\0", b"\xff"),
    "bsi": (b"\xff", b"\xfe", b"\xfd", b"\xfb", b"\xf7", b"\xef", b"\xdf", b"\xbf", b"\x7f"),
    "gutmann": ((RANDOM,) * 4 + (b"\x55", b"\xaa", *_MARKS, *_NIBBLES, *_MARKS, *_RUNS) + (RANDOM,) * 4),
    "schneier": (b"\0", b"\xff", *(RANDOM,) * 5),
    "pfitzner7": (RANDOM,) * 7,
    "pfitzner33": (RANDOM,) * 33,
    "random": (RANDOM,),
}
TRIM: Final = "trim"
_READ_BACK: Final = ("nnsa", "dod")  # their last pass is read back
_PART: Final = 96 << 20  # bytes that are written in one step; a multiple of every pattern's length
_PIECES: Final = 10_000  # parts of a file, beyond which all of it is written
_REPEATED: Final = """yes "$(printf "$1")" | tr -d '\\n' | """
_SAME: Final = 'if [ "$1" = "\\\\000" ]; then cmp -s -n "$4" -i "$3:0" -- "$2" /dev/zero; else ' + (
    _REPEATED + 'cmp -s -n "$4" -i "$3:0" -- "$2" -; fi'
)


class Part(NamedTuple):
    """Bytes of a volume."""

    start: int
    length: int


def scrubbed(run: Run, path: str, sight: Sight, algorithm: str) -> Generator[Progress, None, None]:
    """Overwrite what was ever written to it and is still there; holes of a file stay holes.

    :raises Invalid: there is no such algorithm.
    :raises Unsupported: its file system, or the device, cannot ``trim``.
    :raises Failed: what was written reads otherwise.
    """
    if algorithm == TRIM:
        yield Progress(0, sight.physical, "B", "wiping")
        _trim(run, path, sight)
        return
    passes = passes_of(algorithm)
    parts = list(_cut(_written(run, path) if sight.type == "file" else [Part(0, sight.physical)]))
    each = sum(part.length for part in parts)
    written, total = 0, each * (len(passes) + (algorithm in _READ_BACK))
    for pattern in passes:
        for part in parts:
            yield Progress(written, total, "B", "wiping")
            _write(run, path, pattern, part, device=sight.type == "block")
            written += part.length
    if algorithm in _READ_BACK:
        _forget_cached(run, path)
        for part in parts:
            yield Progress(written, total, "B", "reading back")
            _read_back(run, path, passes[-1], part)
            written += part.length
    yield Progress(total, total, "B", "wiping")


def passes_of(algorithm: str) -> tuple[bytes, ...]:
    """What each pass of an algorithm writes.

    :raises Invalid: there is no such algorithm.
    """
    found = PASSES.get(algorithm)
    if found is None:
        raise Invalid(f"{algorithm!r} is no way to wipe a volume", hint=f"use {', '.join([*PASSES, TRIM])}")
    return found


def _written(run: Run, path: str) -> list[Part]:
    """The parts of a file that are no holes."""
    with needing("qemu-img"):
        out = done(run("qemu-img", "map", "-f", "raw", "--output=json", path), path)
    rows = [row for row in json.loads(out.text) if row["data"]]
    if len(rows) > _PIECES:
        return [Part(0, rows[-1]["start"] + rows[-1]["length"])]
    return [Part(row["start"], row["length"]) for row in rows]


def _cut(parts: list[Part]) -> Iterator[Part]:
    for part in parts:
        for start in range(0, part.length, _PART):
            yield Part(part.start + start, min(_PART, part.length - start))


def _write(run: Run, path: str, pattern: bytes, part: Part, *, device: bool) -> None:
    flags = "seek_bytes" if device else "seek_bytes,nofollow"
    words = [
        "dd", f"of={path}", "bs=1M", "iflag=fullblock,count_bytes", f"oflag={flags}", "conv=notrunc,nocreat,fdatasync",
        "status=none", f"seek={part.start}", f"count={part.length}",
    ]  # fmt: skip
    if pattern in (RANDOM, b"\0"):
        out = run(*words, "if=/dev/zero" if pattern else "if=/dev/urandom")
    else:
        out = run("sh", "-c", _REPEATED + '{ shift; exec "$@"; }', "sh", _octal(pattern), *words)
    done(out, path)


def _octal(pattern: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in pattern)


def _forget_cached(run: Run, path: str) -> None:
    """Have what is read come from the disk."""
    done(run("dd", f"of={path}", "oflag=nocache", "conv=notrunc,nocreat,fdatasync", "count=0", "status=none"), path)


def _read_back(run: Run, path: str, pattern: bytes, part: Part) -> None:
    with needing("cmp"):
        out = run("sh", "-c", _SAME, "sh", _octal(pattern), path, str(part.start), str(part.length))
    if out.code:
        raise Failed(
            f"{path!r}: what was written from byte {part.start} on reads otherwise", hint="its disk is failing"
        )


def _trim(run: Run, path: str, sight: Sight) -> None:
    if sight.type == "block":
        with needing("blkdiscard"):
            out = run("blkdiscard", "--", path)
    else:
        with needing("fallocate"):
            out = pinned(run, path, "fallocate", "-p", "-o", "0", "-l", str(max(sight.physical, 1)), FILE)
    if out.code and b"not supported" in out.err:
        raise Unsupported("what it is on", f"trimming {path!r}", hint="choose another algorithm")
    done(out, path)
