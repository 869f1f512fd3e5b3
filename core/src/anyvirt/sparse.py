"""Records of a sparse stream of a volume: bytes, and holes that stand for zeros; a codec that does no I/O.

A record is a byte, ``D`` for bytes or ``H`` for a hole, its length as eight bytes in network order, and, after ``D``,
that many bytes. Nothing ends the last record but the end of the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from anyvirt.errors import Invalid

DATA: Final = b"D"
HOLE: Final = b"H"
HEAD: Final = 9
LONGEST: Final = (1 << 63) - 1  # no file has more bytes


class Hole(NamedTuple):
    """A run of zeros that takes no room on its way.

    :param length: bytes that it stands for.
    """

    length: int


def data_head(length: int) -> bytes:
    """What goes before ``length`` bytes.

    :raises Invalid: no volume has that many.
    """
    return DATA + _packed(length)


def hole(length: int) -> bytes:
    """The record of a hole.

    :raises Invalid: no volume is that large.
    """
    return HOLE + _packed(length)


def encode(parts: Iterable[bytes | Hole]) -> Iterator[bytes]:
    """The stream of bytes and holes, a record for each; what is empty has none."""
    for part in parts:
        if isinstance(part, Hole):
            if part.length:
                yield hole(part.length)
        elif part:
            yield data_head(len(part))
            yield part


class SparseDecoder:
    """Reads records out of a stream in whatever pieces it comes; keeps no more than the head of a record.

    ``position`` is the bytes of the volume that came so far, holes included.
    """

    def __init__(self) -> None:
        self.position = 0
        self._head = b""
        self._left = 0

    def feed(self, piece: bytes) -> Iterator[bytes | Hole]:
        """The bytes and holes in the next piece; the bytes of a long record come in parts.

        :raises Invalid: it is no such stream; nothing behind that is read.
        """
        at = 0
        while at < len(piece):
            if self._left:
                part = piece[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                self.position += len(part)
                yield part
                continue
            take = HEAD - len(self._head)
            self._head += piece[at : at + take]
            at += take
            if len(self._head) == HEAD:
                found = self._begin()
                if found is not None:
                    yield found

    def end(self) -> None:
        """See that the stream ended behind a record.

        :raises Invalid: it ended inside of one.
        """
        if self._left or self._head:
            raise Invalid("the sparse stream ended inside a record", hint="send it again, or resume it")

    def _begin(self) -> Hole | None:
        kind, length = self._head[:1], int.from_bytes(self._head[1:], "big")
        if kind not in (DATA, HOLE):
            text = f"{kind!r} begins no record of a sparse stream"
            raise Invalid(text, hint="send what was read with sparse as well, or leave sparse out")
        if self.position + length > LONGEST:
            raise Invalid("the sparse stream is longer than any volume", hint="it is no stream of a volume")
        self._head = b""
        if kind == DATA:
            self._left = length
            return None
        self.position += length
        return Hole(length) if length else None


def decode(pieces: Iterable[bytes]) -> Iterator[bytes | Hole]:
    """The bytes and holes of a whole stream.

    :raises Invalid: it is no such stream, or ends inside a record.
    """
    decoder = SparseDecoder()
    for piece in pieces:
        yield from decoder.feed(piece)
    decoder.end()


def _packed(length: int) -> bytes:
    if not 0 <= length <= LONGEST:
        raise Invalid(f"no volume has {length} bytes", hint="choose a length that a file can have")
    return length.to_bytes(8, "big")
