"""Overwriting what QEMU reaches by a node of its block layer and nobody by a path."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Failed, Progress, Unsupported

from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.images.errand import errand
from anyvirt_host.storage.images.sealing import objects

if TYPE_CHECKING:
    from anyvirt.api import Run, Secret

ALGORITHMS: Final = ("zero", "trim")
_PART: Final = 256 << 20  # bytes of one command, which is a step of the job
_WRITE: Final = 4 << 20  # bytes of one request


def overwritten(
    run: Run, node: Mapping[str, Any], size: int, algorithm: str, name: str, key: Secret | None = None
) -> Generator[Progress, None, None]:
    """Write zeros over it, or let go of all its blocks.

    :param key: the password that its server wants; the node calls it ``key``.
    :raises Unsupported: any other algorithm: patterns are for disks that keep what was there before.
    """
    if algorithm not in ALGORITHMS:
        raise Unsupported("storage", f"wiping {name!r} by {algorithm}", hint=f"use {' or '.join(ALGORITHMS)}")
    names, keys = (["key"], [key]) if key else ([], [])
    file = "json:" + json.dumps({"driver": "raw", "file": dict(node)})
    for at in range(0, size, _PART):
        yield Progress(at, size, "B", "wiping")
        end = min(size, at + _PART)
        words = []
        for start in range(at, end, _WRITE):
            count = min(_WRITE, end - start)
            words += ["-c", f"discard {start} {count}" if algorithm == "trim" else f"write -q -P 0 {start} {count}"]
        with needing("qemu-io"):
            out = yield from errand(
                run, "qemu-io", *objects(names), *words, file, keys=keys, total=size, about="wiping"
            )
        done(out, name)
        if b"failed" in out.out + out.err:
            raise Failed(f"{name!r} could not be overwritten", native={"stderr": out.err.decode("utf-8", "replace")})
    yield Progress(size, size, "B", "wiping")
