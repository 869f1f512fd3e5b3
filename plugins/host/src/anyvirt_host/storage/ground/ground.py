"""What a folder of images needs from the host that it is on: ``Ground``; this one by system calls, a far one by few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    from anyvirt.api import FarRun, Run

    from anyvirt_host.storage.backend import Room, Sight

IMAGE = "image"


class Entry(NamedTuple):
    """A name in a folder.

    :param kind: ``f`` file, ``d`` folder, ``b`` block device, ``l`` link, ``s`` socket, ``p`` fifo, ``c`` character
        device.
    """

    name: str
    kind: str


class Berth(Protocol):
    """A hidden folder with a file in it that is to become a volume; held, so that others see that somebody is at it."""

    @property
    def path(self) -> str:
        """The file's, which is there and empty."""
        ...

    @property
    def run(self) -> Run:
        """Runs the tools that fill it."""
        ...

    @property
    def inode(self) -> int:
        """The file's."""
        ...

    @property
    def generation(self) -> int:
        """What tells the file from a later one with its inode."""
        ...

    def become_folder(self) -> None:
        """Put a folder in the file's place; ``inode`` and ``generation`` are the folder's then."""
        ...

    def sync(self) -> None:
        """Put the content on the disk.

        :raises Busy: the file was replaced meanwhile.
        """
        ...

    def publish(self, name: str, mode: int, owner: tuple[int, int]) -> None:
        """Give the file mode, owner (-1: as it is) and name, on the disk when this returns; the hidden folder goes.

        :raises Exists: something has that name.
        """
        ...

    def drop(self, name: str) -> None:
        """Remove hidden folder and file, also under the name where it is this file that has it."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Ground(Protocol):
    """Folders and the files in them, by a folder's absolute path and names in it, which are never paths.

    What goes wrong is a coded error that names the path. Nothing follows a link in a folder.
    """

    def entries(self, folder: str) -> Iterable[Entry]:
        """Everything in a folder, without looking at it.

        :raises Invalid: it is no folder.
        """
        ...

    def sights(self, folder: str, names: Sequence[str]) -> Mapping[str, Sight]:
        """What is known of files, folders and block devices; what is missing or something else is left out."""
        ...

    def heads(self, folder: str, names: Sequence[str], count: int) -> Mapping[str, bytes]:
        """The first bytes of regular files; with several names, what cannot be read is left out."""
        ...

    def generations(self, folder: str, names: Sequence[str]) -> Mapping[str, int]:
        """What tells regular files from later ones with their inodes; 0 where the file system has no such number."""
        ...

    def room(self, folder: str) -> Room:
        """What the folder's file system has."""
        ...

    def home(self, folder: str) -> tuple[int, int]:
        """The folder's device and inode, links followed."""
        ...

    def in_use(self, folder: str, name: str) -> bool:
        """Whether some QEMU has the image open, as its locks on it tell."""
        ...

    def remove(self, folder: str, name: str, *, is_folder: bool = False) -> None:
        """Remove a file, or an empty folder where ``is_folder``; on the disk when this returns."""
        ...

    def berth(self, folder: str, hidden: str) -> Berth:
        """Make a hidden folder and a file in it, both held."""
        ...

    def berths(self, folder: str, start: str, end: str) -> Iterator[tuple[str, bool]]:
        """Hidden folders, by how their names start and end, and whether somebody holds them."""
        ...

    def clear(self, folder: str, hidden: str) -> None:
        """Remove a hidden folder and all that is in it; nothing happens where it is gone."""
        ...

    def make_folder(self, path: str, mode: int, owner: tuple[int, int]) -> None:
        """Make a folder and what leads to it; one that is there stays as it is."""
        ...

    def remove_folder(self, path: str) -> None:
        """Remove a folder, which has to be empty."""
        ...

    def same(self, one: str, other: str) -> bool:
        """Whether two paths lead to the same place."""
        ...


def ground_of(run: Run) -> Ground:
    """The ground of the host whose programs ``run`` runs."""
    if getattr(run, "far", False):
        from anyvirt_host.storage.ground.far import FarGround

        return FarGround(cast("FarRun", run))
    from anyvirt_host.storage.ground.apart import GuardedGround

    return GuardedGround(run)
