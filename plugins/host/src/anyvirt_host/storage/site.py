"""Where the service is at home: its definitions, its locks, and the host's programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from anyvirt.api import Busy, NotFound, Ref, VirtError, WrongState

if TYPE_CHECKING:
    from pathlib import Path

    from anyvirt.api import Event, Row, Run, Secret, Store

HALF: Final = "half-built"  # under this key, the place of a pool whose building was cut short
STARTING: Final = "starting"  # and what is known of one whose start has not been written down yet
STOPPING: Final = "stopping"  # and that one is being let go of
_DECLARED: Final = "declared"
FEW: Final = 8
MOMENT: Final = 2.0  # seconds that a change of a volume's content may take for others to wait


class Locks(Protocol):
    """One lock per pool, for all threads and processes."""

    def hold(self, key: str, purpose: str, *, wait: float | None = None) -> AbstractContextManager[Any]:
        """Hold it inside the block.

        :raises Busy: somebody kept it until the deadline.
        """
        ...


class Live(NamedTuple):
    """An active pool as it was started; what is defined later counts from its next start.

    :param type: what it is made of, as its definition says.
    :param path: the folder that its volumes are in.
    :param source: what it was made of there, such as a device; empty where that is the folder itself.
    :param format: of what is on the source, where that was said.
    :param device: number of the file system that was mounted; 0 where the pool has none of its own.
    :param options: of the mount, beyond those that every one has; commas between them.
    :param cow: ``yes`` or ``no`` where the definition says whether its folder copies on write.
    :param counts: ``capacity`` where the definition says that this is the allocation of each volume.
    :param more: what only its kind has, such as the servers; None where there is nothing.
    :param home: what tells the place from others, whatever name it is called by; empty before the start.
    """

    type: str
    path: str
    source: str = ""
    boot: str = ""
    format: str = ""
    device: int = 0
    options: str = ""
    cow: str = ""
    counts: str = ""
    more: dict[str, Any] | None = None
    home: str = ""

    @classmethod
    def of(cls, text: str, boot: str) -> Live | None:
        """What ``text`` tells; None for an inactive pool, and for one that another boot had started."""
        if not text:
            return None
        kept = json.loads(text)
        found = cls(**{name: kept[name] for name in cls._fields if name in kept})  # of whatever version started it
        return found if found.boot == boot else None

    @property
    def text(self) -> str:
        """It as the store keeps it."""
        return json.dumps(self._asdict())


class Declared(NamedTuple):
    """What was said of a volume when it was made.

    :param inode: of the file that it was said of, with the ``generation`` that tells it from a later file with that
        inode; another file of that name is another volume.
    :param home: what tells its folder from another one in that place.
    :param format: of the image, as QEMU calls it.
    :param backing: path of the image below, and its format.
    :param word: the format as its description calls it, where that is another word: ``iso`` of raw, ``raw`` of luks.
    :param secret: UUID or usage of the secret that opens it; empty where it is not encrypted.
    :param heir: inode of a file with another content of the volume that may take its place, with its generation.
    """

    path: str
    inode: int
    format: str
    generation: int = 0
    home: str = ""
    backing: str = ""
    backing_format: str = ""
    word: str = ""
    secret: str = ""
    heir: int = 0
    heir_generation: int = 0


@dataclass(frozen=True)
class Site:
    """The store is the only truth about pools; the folders are the only truth about volumes.

    :param boot: a pool that another boot started is inactive.
    :param secret: gives the value of a secret for a use and its UUID or name; None where nobody keeps any.
    :param caches: gives the folder of what was read out of images; None where nothing is kept.
    :param stores: of every driver that keeps guests beside this one's pools.
    """

    store: Store
    locks: Locks
    boot: str
    run: Run
    secret: Callable[[str, str], Secret] | None = None
    stores: Callable[[], Iterable[Store]] = tuple
    caches: Callable[[], Path] | None = None

    def row(self, ref: Ref) -> Row:
        """The pool's row.

        :raises NotFound: there is no such pool.
        """
        found = self.store.get_many("pool", [ref.key])
        if not found:
            raise NotFound(ref)
        return found[0]

    def live(self, ref: Ref, operation: str) -> Live:
        """The pool, which has to be active.

        :raises NotFound: there is no such pool.
        :raises WrongState: it is not active.
        """
        row = self.row(ref)
        found = Live.of(row.run, self.boot)
        if found is None:
            raise WrongState("inactive", ["active"], operation, what=pool_ref(row), hint="start it first")
        return found

    @contextmanager
    def content(self, ref: Ref, purpose: str, *, wait: float | None = None) -> Iterator[None]:
        """Hold the content of a volume inside the block; whoever needs its pool's lock, too, takes that one then.

        :raises Busy: a job that changes it went on until the deadline, or for ``wait`` seconds.
        """
        with ExitStack() as held:
            try:
                held.enter_context(self.locks.hold(lock_of(ref), purpose, wait=wait))
            except Busy as error:
                raise Busy(ref, holder=error.holder, purpose=error.purpose, hint=error.hint) from error
            yield

    def half(self, ref: Ref) -> str:
        """The place of a pool whose building was cut short; empty where none was."""
        return (self.store.blob("pool", ref.key, HALF) or b"").decode()

    def tell(self, *events: Event) -> None:
        """Write down what was done; where there is no room for that, it has been done all the same."""
        with suppress(VirtError):
            self.store.append(events)

    def declared(self, path: str, inode: int) -> Declared | None:
        """What was said of the file that is at ``path`` now; None where nobody made it through this service."""
        return _declared(self.store.blob("volume", digest(path), _DECLARED), path, inode)

    def declared_among(self, inodes: Mapping[str, int]) -> Mapping[str, Declared]:
        """What was said of several files, by path; asked for at once where there are many.

        :param inodes: of the files that are at those paths now.
        """
        if len(inodes) <= FEW:
            kept = {path: self.declared(path, inode) for path, inode in inodes.items()}
            return {path: said for path, said in kept.items() if said}
        found = self.store.blobs("volume", _DECLARED)
        kept = {path: _declared(found.get(digest(path)), path, inode) for path, inode in inodes.items()}
        return {path: said for path, said in kept.items() if said}

    def all_declared(self) -> Iterator[Declared]:
        """What was said of every volume."""
        for found in self.store.blobs("volume", _DECLARED).values():
            yield Declared(**json.loads(found))

    def declare(self, said: Declared) -> None:
        """Keep what is said of a volume; on the disk when this returns."""
        self.store.set_blob("volume", digest(said.path), _DECLARED, json.dumps(said._asdict()).encode())

    def forget(self, path: str) -> None:
        """Keep nothing of a volume any more."""
        self.store.set_blob("volume", digest(path), _DECLARED, None)


def lock_of(ref: Ref) -> str:
    """The key of the lock of one volume's content."""
    return f"volume-{digest(ref.key)}"


def _declared(found: bytes | None, path: str, inode: int) -> Declared | None:
    kept = Declared(**json.loads(found)) if found else None
    if kept and kept.heir and kept.heir == inode:
        kept = kept._replace(inode=inode, generation=kept.heir_generation, heir=0, heir_generation=0)
    return kept if kept and (kept.path, kept.inode) == (path, inode) else None


def pool_ref(row: Row) -> Ref:
    """A pool's handle is its UUID."""
    return Ref("pool", row.uuid, name=row.name, uuid=row.uuid)


def digest(path: str) -> str:
    """A short name for a path."""
    from hashlib import sha256

    # of a fixed length: a path, quoted as the name of a file, may be too long for one
    return sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
