"""A tool that may run long, as steps of a job: it goes on beside them, and ends with the job."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyvirt.api import Progress, Unsupported, VirtError

from anyvirt_host.storage.images.lengthy import lengthy
from anyvirt_host.storage.images.sealing import FEED, fed

if TYPE_CHECKING:
    from anyvirt.api import Output, Run, Secret

# It stands in the folder and leaves its number there, so that recovery finds it and nobody else's process.
_INSIDE: Final = 'cd "$1" && shift && echo $$ >pid && exec "$@" >told'
_OUTSIDE: Final = 'shift; exec "$@"'
_END: Final = 'read -r p <"$1/pid" && [ "/proc/$p/cwd" -ef "$1" ] && kill -KILL "$p"'
_MISSING: Final = (126, 127)  # the shell's status for a program that is not there, or may not be run
_PERCENT: Final = re.compile(rb"\(([0-9.]+)/100%\)")


def errand(
    run: Run,
    *argv: str,
    keys: Sequence[Secret] = (),
    folder: str = "",
    total: int | None = None,
    about: str = "making",
) -> Generator[Progress, None, Output]:
    """Run a tool to its end, with a step now and then; what ends the generator ends the tool.

    :param keys: passphrases that it reads, at most two; see ``sealing.objects``.
    :param folder: a hidden folder where it leaves its number and its standard output, which tells of its progress as
        that of ``qemu-img -p`` does. Without one nothing is known of its progress.
    :param total: bytes that it deals with.
    """
    words = [*argv]
    if folder or keys:
        script = _INSIDE if folder else _OUTSIDE
        words = ["sh", "-c", FEED, script, folder, *argv] if keys else ["sh", "-c", script, "sh", folder, *argv]
    given = fed(keys) if keys else None
    steps = lengthy(lambda: run(*words, input=given), f"storage:{os.urandom(6).hex()}", about)
    try:
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return _judged(stop.value, argv[0])
            yield Progress(_done(run, folder, total), total, "B", about)
    except BaseException:
        if folder:
            with suppress(VirtError):  # what ended it counts
                halt(run, folder)
        raise
    finally:
        steps.close()


def halt(run: Run, folder: str) -> None:
    """End the tool that a killed process left at work in that hidden folder, if there is one."""
    run("sh", "-c", _END, "sh", folder)


def _judged(out: Output, tool: str) -> Output:
    if out.tool == "sh" and out.code in _MISSING:
        raise Unsupported("this host", f"running {tool!r} (there is no such program)")
    return replace(out, tool=tool)


def _done(run: Run, folder: str, total: int | None) -> int:
    if not folder or not total:
        return 0
    found = _PERCENT.findall(run("tail", "-c", "64", f"{folder}/told").out)
    return int(float(found[-1]) * total / 100) if found else 0
