"""The bytes of a volume's image as streams: ``Carrier``, and what it carries."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast, runtime_checkable

from anyvirt.api import Invalid

from anyvirt_host.storage.wish import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyvirt.api import FarRun, Run, Stream

    from anyvirt_host.storage.backend import Sight
    from anyvirt_host.storage.site import Live

PART: Final = ".part"
GONE: Final = ".gone"


class Span(NamedTuple):
    """A range of a volume, and how it goes over.

    :param length: bytes at most; None is until the end.
    :param sparse: in records that tell of holes.
    """

    offset: int = 0
    length: int | None = None
    sparse: bool = False


class Kept(NamedTuple):
    """What is there of an upload.

    :param inode: of the file that it was meant for; another file in that place is another volume.
    :param offset: where it began, with the bytes ``done`` since then, at the time ``since``.
    :param held: somebody is at it.
    """

    inode: int
    offset: int
    done: int
    since: float
    held: bool = False


class Upload(Protocol):
    """Bytes on their way into a volume: what was written to ``writer`` counts from ``publish`` on.

    ``inode`` and ``generation`` are what the volume will be told by then; 0 where it stays the file that it is.
    ``process`` is what carries them here; 0 where nothing does.
    """

    writer: int
    process: int
    inode: int
    generation: int

    def prepare(self) -> None:
        """Have everything ready behind the last byte; a deadline ends the wait only: it may be called again.

        :raises VirtError: what was wrong with the bytes, or with the storage.
        """
        ...

    def publish(self) -> None:
        """Let it count; as ``prepare`` at a deadline."""
        ...

    def abandon(self) -> None:
        """Leave what came for later; nothing happens to one that has ended."""
        ...

    def wrong(self) -> None:
        """Say why nobody takes the bytes any more.

        :raises VirtError: that, where it is known.
        """
        ...


class Carrier(Protocol):
    """Carries bytes from and to images, by where they are on the host."""

    def download(self, place: str, sight: Sight, span: Span) -> Stream:
        """The bytes of a range."""
        ...

    def upload(self, place: str, sight: Sight, span: Span, *, grows: bool, kept: Kept | None = None) -> Upload:
        """Take bytes for a range.

        :param grows: the image may become larger than it is, since its length is not what a guest sees.
        :param kept: go on behind these.
        :raises Busy: somebody else is at it.
        """
        ...

    def kept(self, place: str) -> Kept | None:
        """What is there of an upload to that image."""
        ...

    def drop(self, place: str) -> None:
        """Remove that; nothing happens where there is none.

        :raises Busy: somebody is at it.
        """
        ...

    def sweep(self, folder: str, inode: Callable[[str], int]) -> list[str]:
        """Remove what came for volumes of a folder that are gone; a sentence each.

        :param inode: of the volume of a name; 0 where there is none.
        """
        ...


@runtime_checkable
class Carrying(Protocol):
    """A kind of pool that carries the bytes of its volumes itself."""

    def carrier(self, live: Live) -> Carrier:
        """What does it."""
        ...


def part_name(name: str) -> str:
    """The hidden folder with what is there of an upload to a volume of that name."""
    return f"{HIDDEN}{sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}{PART}"


def span_of(offset: int, length: int | None, *, sparse: bool) -> Span:
    """A range that was asked for.

    :raises Invalid: no image has it.
    """
    if offset < 0 or (length is not None and length < 0) or offset + (length or 0) >= 1 << 63:
        raise Invalid(f"no volume has {length} bytes from byte {offset} on", hint="offset and length are from 0 up")
    return Span(offset, length, sparse)


def carrier_of(run: Run) -> Carrier:
    """What carries the bytes of files and devices of the host whose programs ``run`` runs."""
    if getattr(run, "far", False):
        from anyvirt_host.storage.carrying.far_carrier import FarCarrier

        return FarCarrier(cast("FarRun", run))
    from anyvirt_host.storage.carrying.pumping import LocalCarrier

    return LocalCarrier()
