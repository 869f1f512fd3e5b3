"""What was read out of images, kept for as long as they do not change; thrown away where it cannot be read."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from anyvirt_host.storage.images.header import Header

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Sight

VERSION: Final = 1
_MOST: Final = 100_000


class Detail(NamedTuple):
    """What takes opening an image to know; None for what nobody has asked yet.

    :param generation: what tells the file from a later one with its inode.
    :param header: of the format that it was declared in.
    :param seeming: what its first bytes look like, for people.
    """

    generation: int | None = None
    header: Header | None = None
    seeming: str | None = None


class Details:
    """Of the volumes of one pool: one file, written whole and never put on the disk by force.

    :param home: what tells the pool's place from another one there.
    """

    def __init__(self, path: Path, home: str) -> None:
        self._path, self._home = path, home
        self._changed = False
        self._kept = self._read()

    def get(self, name: str, sight: Sight) -> Detail:
        """What is known of a volume that looks as ``sight`` has it."""
        found = self._kept.get(name)
        if not found or found[:4] != _key(sight):
            return Detail()
        generation, header, seeming = found[4:]
        return Detail(generation, Header(*header) if header else None, seeming)

    def put(self, name: str, sight: Sight, detail: Detail) -> None:
        """Know that of it from now on."""
        self._kept[name] = [*_key(sight), *detail]
        self._changed = True

    def keep(self) -> None:
        """Write it down, where something is new; where there is no room for it, it is read again the next time."""
        if not self._changed:
            return
        if len(self._kept) > _MOST:  # mostly of volumes that are gone
            self._kept = {}
        said = {"version": VERSION, "home": self._home, "volumes": self._kept}
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(fd, "w", encoding="ascii") as file:
                    json.dump(said, file, separators=(",", ":"))
                beside.replace(self._path)
            except OSError:
                beside.unlink(missing_ok=True)
        self._changed = False

    def _read(self) -> dict[str, list[Any]]:
        try:
            said = json.loads(self._path.read_bytes())
            if said["version"] == VERSION and said["home"] == self._home:
                kept: dict[str, list[Any]] = said["volumes"]
                if all(len(one) == 7 for one in kept.values()):
                    return kept
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return {}


def _key(sight: Sight) -> list[int]:
    return [sight.inode, sight.times[1], sight.times[2], sight.physical]
