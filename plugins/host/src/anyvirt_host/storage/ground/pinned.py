"""Tools that change a file by its path, held to the very file that has it: through a link they would change another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyvirt.api import Busy, Unsupported

if TYPE_CHECKING:
    from anyvirt.api import Output, Run

FILE: Final = "/proc/self/fd/3"  # what the tool is given in place of the path
_OTHER: Final = 75
_MISSING: Final = (126, 127)  # the shell's status for a program that is not there, or may not be run
# It is opened first and compared then: whoever puts a link there before or after that has not the number of its target.
_PINNED: Final = (
    'exec 3<"$1"; [ "$(stat -L -c %d:%i -- /proc/self/fd/3)" = "$(stat -c %d:%i -- "$1")" ] || exit 75; '
    'shift; exec "$@"'
)


def pinned(run: Run, path: str, *argv: str) -> Output:
    """Run a tool on a file that it calls ``FILE``.

    :raises Busy: what has the path is a link, or was replaced at that moment.
    :raises Unsupported: there is no such program.
    """
    out = run("sh", "-c", _PINNED, "sh", path, *argv)
    if out.code == _OTHER:
        raise Busy(path, holder="whoever replaced the file", purpose="a link", hint="look at the volume again")
    if out.code in _MISSING:
        raise Unsupported("this host", f"running {argv[0]!r} (there is no such program)")
    return replace(out, tool=argv[0])
