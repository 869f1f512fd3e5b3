"""Where on this host huge pages can be had as files."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from anyvirt_qemu.readiness.rights import Rights

MOUNTS: Final = Path("/proc/self/mounts")
USUAL_SIZE: Final = 2 << 20
SIZES: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
PAGE_SIZE: Final = re.compile(r"(?:^|,)pagesize=(\d+)([KMG])(?:,|$)")
USUAL: Final = re.compile(r"^Hugepagesize:\s+(\d+) kB$", re.MULTILINE)
ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def mounts(
    table: Path = MOUNTS,
    memory: Path = Path("/proc/meminfo"),
    *,
    rights: Rights | None = None,
    among: Collection[str] = (),
) -> tuple[int, dict[int, str]]:
    """The usual size of a huge page in bytes, and mounts that QEMU's user may write to, by size.

    Huge pages need no mount: where there is none, a guest gets them without a file.

    :param rights: those of that user; ours without them.
    :param among: the only mounts that count, where there are any.
    """
    user = rights or Rights()
    found: dict[int, str] = {}
    try:
        rows = [line.split(" ") for line in table.read_text("utf-8", "surrogateescape").splitlines()]
        usual = USUAL.search(memory.read_text("ascii", "replace"))
    except OSError:
        return USUAL_SIZE, {}
    default = int(usual[1]) << 10 if usual else USUAL_SIZE
    for _, place, kind, options, *_ in rows:
        if kind == "hugetlbfs":
            said = PAGE_SIZE.search(options)
            size = int(said[1]) * SIZES[said[2]] if said else default
            path = ESCAPED.sub(lambda match: chr(int(match[1], 8)), place)
            if size not in found and (not among or path in among) and user.may(path, "w") and user.may(path, "x"):
                found[size] = path
    return default, found
