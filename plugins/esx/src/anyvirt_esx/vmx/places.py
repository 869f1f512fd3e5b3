"""Names of files: as VMX files write them, and as definitions do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

# a name as a VMX file has it -> as a definition has it; None where there is no such file
Locate = Callable[[str], str | None]
VOLUMES: Final = re.compile(r"/vmfs/volumes/([^/\[\]]+)/+(.+)")
DATASTORE: Final = re.compile(r"\[([^/\[\]]+)\] *(.+)")
WINDOWS: Final = re.compile(r"[A-Za-z]:[/\\]|\\\\")


def located(name: str, folder: str = "") -> str:
    """A file's name in a definition: ``[datastore] path`` where it is on a datastore.

    :param folder: where the VMX file is, such as ``[datastore] web``; relative names are below it.
    """
    found = VOLUMES.fullmatch(name)
    if found is not None:
        return f"[{found[1]}] {found[2]}"
    if not folder or name.startswith(("/", "[")) or WINDOWS.match(name):
        return name
    return f"{folder}/{name}"


def spelled(name: str) -> str:
    """A file's name in a VMX file: below ``/vmfs/volumes`` where it is on a datastore."""
    found = DATASTORE.fullmatch(name)
    return name if found is None else f"/vmfs/volumes/{found[1]}/{found[2]}"
