"""What a kind of pool has to know: ``Backend``; one file each, found by the pool's type."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast, runtime_checkable

from anyvirt.api import Invalid, Problem

if TYPE_CHECKING:
    from anyvirt.api import Pool, PoolSource, PoolSources, Progress, Run, Secret, Volume

    from anyvirt_host.storage.images.origin import Origin
    from anyvirt_host.storage.site import Live
    from anyvirt_host.storage.wish import Wish

KINDS: Final = {
    "dir": "folder",
    "fs": "fs",
    "logical": "logical",
    "netfs": "net",
    "disk": "disk",
    "iscsi": "iscsi",
    "scsi": "scsi",
    "mpath": "mpath",
    "rbd": "rbd",
    "iscsi-direct": "iscsi_direct",
    "gluster": "gluster",
    "zfs": "zfs",
    "vstorage": "vstorage",
}
SHARED: Final = ("disk", "iscsi", "scsi", "rbd")  # kinds whose target path has volumes of other pools, too
ASKING: Final = ("rbd", "iscsi", "iscsi-direct", "netfs")  # kinds whose servers ask who one is


class Room(NamedTuple):
    """Bytes of a pool: all, and what is left."""

    capacity: int
    available: int


class Found(NamedTuple):
    """A name in a pool.

    :param odd: why it is no volume, such as ``a socket``; empty for one.
    """

    name: str
    odd: str = ""


class Sight(NamedTuple):
    """What the host knows of a volume without opening it.

    :param type: file, block, dir or network.
    :param allocation: bytes that it takes, as ``du`` counts.
    :param physical: its last offset, or the size of the device.
    :param times: atime, mtime and ctime, ns since 1970.
    """

    type: str
    inode: int
    allocation: int
    physical: int
    mode: int
    owner: int
    group: int
    times: tuple[int, int, int]


class About(NamedTuple):
    """What a kind of pool is like: ``ABOUT`` in its file.

    :param formats: of pools, as ``source/format`` has them, the one of a pool that names none first; empty where
        pools have none.
    :param volumes: formats of volumes, the default one first; empty where volumes have none.
    :param tools: without which no such pool works here.
    :param root: whether they take root.
    :param makes: the tool that makes a format of pools, where not every pool needs it.
    """

    formats: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    root: bool = False
    makes: Mapping[str, str] = MappingProxyType({})


class Draft(Protocol):
    """A volume that is being made, where no listing shows it, until ``publish``.

    ``inode`` and ``generation`` are what it will be told by.
    """

    inode: int
    generation: int

    def fill(self, wish: Wish) -> Generator[Progress, None, None]:
        """Give it its content; every step is short.

        :raises Failed: (``file.no-space``) there is no room for it.
        """
        ...

    def publish(self) -> None:
        """Give it its name, on the disk when this returns.

        :raises Exists: something has that name now.
        """
        ...

    def drop(self) -> None:
        """Remove it, under whatever name it is; nothing happens where it is gone."""
        ...

    def close(self) -> None:
        """Let go of it, whatever became of it."""
        ...


@runtime_checkable
class Copies(Protocol):
    """A draft that can get the content of another volume; one that has none of this cannot."""

    def copy(self, wish: Wish, origin: Origin, *, reflink: bool = False) -> Generator[Progress, None, None]:
        """Give it its content, like ``fill``; what is beyond the original's end is empty.

        :param reflink: it shares its blocks with the original.
        :raises Unsupported: blocks cannot be shared there.
        """
        ...


@runtime_checkable
class Reached(Protocol):
    """A kind of pool whose volumes QEMU reaches otherwise than by a path."""

    def protocol(self, live: Live, name: str) -> Mapping[str, Any]:
        """The node of QEMU's block layer that has a volume's bytes: ``{"driver": "rbd", "pool": ...}``."""
        ...


@runtime_checkable
class Stands(Protocol):
    """A kind of pool whose volumes stand on others of the pool in a way of its own, such as snapshots of LVM."""

    def stand(self, live: Live, wish: Wish) -> Wish:
        """The wish, with the size of what is below where it names none.

        :raises NotFound: there is no such volume.
        """
        ...


@runtime_checkable
class Resizes(Protocol):
    """A kind of pool whose raw volumes can become larger or smaller."""

    def resize(self, live: Live, name: str, size: int, *, allocate: bool) -> Generator[Progress, None, None]:
        """Make it that large, at one moment: an error, or a kill, leaves the old size.

        :param allocate: with its new space taken.
        """
        ...

    def settle(self, live: Live, name: str, size: int) -> None:
        """Give it the size that it had back, and let go of what a killed process had taken for a larger one."""
        ...


@runtime_checkable
class Blanks(Protocol):
    """A kind of pool whose volumes may be images of a format."""

    def blank(self, live: Live, name: str, mark: str, wish: Wish) -> Generator[Progress, None, None]:
        """Make a volume that is there an empty image, and leave it the same volume.

        :param mark: as for ``draft``.
        """
        ...


@runtime_checkable
class Wipes(Protocol):
    """A kind of pool whose volumes are overwritten otherwise than by writing to their path."""

    def wipe(self, live: Live, name: str, algorithm: str) -> Generator[Progress, None, None]:
        """Overwrite all its content.

        :raises Unsupported: that algorithm is none for such a pool.
        """
        ...


class Backend(Protocol):
    """A kind of pool. What it does to a pool happens under that pool's lock; reads take none."""

    def live(self, pool: Pool) -> Live:
        """What has to be known of the pool while it is active; reads its definition only.

        :raises Invalid: what the definition lacks, or asks for and cannot have.
        """
        ...

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:
        """Make what the pool is to be in: a folder, a file system.

        :raises Exists: something is there, and it is not to be overwritten.
        :raises Failed: it broke off half-way; every other error comes before anything changed.
        """
        ...

    def start(self, live: Live) -> Live:
        """Make its volumes reachable, and give what is known of it from then on; twice does no harm."""
        ...

    def stop(self, live: Live) -> None:
        """Let go of it; twice does no harm."""
        ...

    def delete(self, live: Live, *, zeroed: bool = False) -> None:
        """Undo what ``build`` made; a folder has to be empty.

        :param zeroed: leave nothing of its content to be read.
        """
        ...

    def refresh(self, live: Live) -> None:
        """Have the host look anew at what is there, where it does not see that by itself."""
        ...

    def sources(self, asked: PoolSource | None) -> PoolSources:
        """What pools of this kind could be made of, found by asking the host, or the server in ``asked``.

        :raises Unsupported: such pools are not found by asking.
        :raises Invalid: ``asked`` lacks something.
        """
        ...

    def room(self, live: Live) -> Room:
        """How large it is, and how much is left."""
        ...

    def names(self, live: Live) -> Iterator[Found]:
        """Everything in it, without opening anything."""
        ...

    def place(self, live: Live, name: str) -> str:
        """Where a volume of that name is: its key, and what a hypervisor opens."""
        ...

    def called(self, live: Live, place: str) -> str:
        """The name of the volume of that key; empty where the pool can have none there."""
        ...

    def pool_told(self, live: Live, model: Pool) -> Pool:
        """The description of an active pool, with what its place says of itself, such as free parts of a disk."""
        ...

    def volume_told(self, live: Live, name: str, model: Volume) -> Volume:
        """The description of a volume, with what its place says of it, such as the part of a disk that it is on."""
        ...

    def looks(self, live: Live, names: Sequence[str]) -> Mapping[str, Sight]:
        """Several volumes, in as few questions as can be; without those that are not there."""
        ...

    def heads(self, live: Live, names: Sequence[str], count: int) -> Mapping[str, bytes]:
        """The first bytes of the images of several volumes; without those that cannot be read."""
        ...

    def generations(self, live: Live, names: Sequence[str]) -> Mapping[str, int]:
        """What tells volumes from later ones with their inodes; 0 where nothing does."""
        ...

    def look(self, live: Live, name: str) -> Sight | None:
        """A volume; None where there is none of that name."""
        ...

    def head(self, live: Live, name: str, count: int) -> bytes:
        """The first bytes of a volume's image."""
        ...

    def wish(self, model: Volume) -> Wish:
        """What the description of a new volume asks for.

        :raises Invalid: with everything in it that such a pool's volumes cannot have.
        """
        ...

    def draft(self, live: Live, name: str, mark: str) -> Draft:
        """Begin a volume; ``mark`` tells it from others that are being made."""
        ...

    def making(self, live: Live) -> int:
        """How many volumes are being made by processes that live."""
        ...

    def sweep(self, live: Live, mark: str = "") -> list[str]:
        """Remove what killed makers left behind, or one of them; a sentence each."""
        ...

    def home(self, live: Live) -> str:
        """What tells the place of the volumes from another that stands there, such as a bare mount point."""
        ...

    def generation(self, live: Live, name: str) -> int:
        """What tells a volume from a later one with its inode; 0 where nothing does."""
        ...

    def in_use(self, live: Live, name: str) -> bool:
        """Whether some QEMU has the image open."""
        ...

    def remove(self, live: Live, name: str) -> None:
        """Remove a volume and its content."""
        ...


def backend_of(kind: str, run: Run, secret: Callable[[str, str], Secret] | None = None) -> Backend:
    """The back-end of a type of pool.

    :param secret: gives the value of a secret for a use (``ceph``, ``iscsi``) and its UUID or name.
    :raises Invalid: (``unsupported.config``) there is none.
    """
    home = KINDS.get(kind)
    if home is None:
        way_out = "libvirt has no back-end for it either" if kind == "sheepdog" else f"there are {', '.join(KINDS)}"
        text = f"there is no back-end for pools of the type {kind!r}"
        raise Invalid([Problem("unsupported.config", "/@type", None, text, way_out)])
    made = import_module(f"anyvirt_host.storage.kinds.{home}").backend
    return cast("Backend", made(run, secret) if kind in ASKING else made(run))


def about(kind: str) -> About:
    """What a type of pool that has a back-end is like."""
    found: About = getattr(import_module(f"anyvirt_host.storage.kinds.{KINDS[kind]}"), "ABOUT", About())
    return found
