"""What the first bytes of images of the other formats say, as ``header`` has it of qcow2."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from anyvirt.api import Invalid

from anyvirt_host.storage.faults import needing
from anyvirt_host.storage.images.header import Header, qcow2

if TYPE_CHECKING:
    from anyvirt.api import Run

_SECTOR: Final = 512
_LONGEST: Final = 1023  # of a backing file's name
_EXACT: Final = (b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0")  # who writes a vpc image's size as it is
_LARGEST: Final = 65535 * 16 * 255  # of what cylinders, heads and sectors can tell
_PARENT: Final = b'parentFileNameHint="'


def header_of(kind: str, head: bytes, physical: int) -> Header:
    """The header of an image of a declared format.

    :param kind: the format, as QEMU calls it; ``raw`` and ``vhdx`` have none that can be read here.
    :param head: the image's first bytes, as many as ``header.HEAD``.
    :param physical: its length.
    :raises Invalid: it is none, or says what cannot be.
    """
    try:
        found = READERS[kind](head, physical)
    except (struct.error, UnicodeDecodeError):
        found = None
    if found is None or not 0 <= found.size < 1 << 63:
        raise Invalid(f"it has no {kind} header", hint=f"it was made as {kind}, and something else was written over it")
    return found


def vhdx(run: Run, path: str) -> Header:
    """The same of a vhdx image: asked of ``qemu-img``, which opens nothing else.

    :raises Invalid: it is none.
    """
    with needing("qemu-img"):
        out = run("qemu-img", "info", "-U", "-f", "vhdx", "--output=json", path)
    if out.code:
        raise Invalid(f"{path}: it has no vhdx header", hint="qemu-img check tells more")
    return Header(1, int(json.loads(out.text)["virtual-size"]), 0)


def _luks(head: bytes, physical: int) -> Header | None:
    version, payload = struct.unpack_from(">H", head, 6)[0], struct.unpack_from(">I", head, 104)[0]
    return Header(version, physical - payload * _SECTOR, 0) if head[:6] == b"LUKS\xba\xbe" and version == 1 else None


def _qed(head: bytes, _: int) -> Header | None:
    cluster = struct.unpack_from("<I", head, 4)[0]
    features, size, at, length = struct.unpack_from("<Q24xQII", head, 16)
    if head[:4] != b"QED\0" or length > _LONGEST:
        return None
    below = head[at : at + length].decode("utf-8", "surrogateescape") if features & 1 else ""
    return Header(1, size, cluster, below, "raw" if features & 4 else "")


def _vmdk(head: bytes, _: int) -> Header | None:
    version, sectors, grain, at, count = struct.unpack_from("<I4xQQQQ", head, 4)
    # without a size the header is followed by words that name any file of the host
    if head[:4] != b"KDMV" or not sectors:
        return None
    words = head[at * _SECTOR : (at + count) * _SECTOR]
    below = words.partition(_PARENT)[2].partition(b'"')[0].decode("utf-8", "surrogateescape")
    return Header(version, sectors * _SECTOR, grain * _SECTOR, below)


def _vdi(head: bytes, _: int) -> Header | None:
    signature, version = struct.unpack_from("<II", head, 64)
    return Header(version, struct.unpack_from("<Q", head, 368)[0], 0) if signature == 0xBEDA107F else None


def _vpc(head: bytes, physical: int) -> Header | None:
    if head[:8] == b"conectix":
        creator, said, cylinders, heads, sectors = struct.unpack_from(">28x4s16xQHBB", head)
        shape = cylinders * heads * sectors
        # whoever made it decides which of the two counts, as QEMU has it
        exact = creator in _EXACT or shape == _LARGEST
        return Header(1, said if exact else shape * _SECTOR, 0)
    return Header(1, physical - _SECTOR, 0) if physical % _SECTOR == 0 else None


READERS: Final[dict[str, Callable[[bytes, int], Header | None]]] = {
    "qcow2": lambda head, _: qcow2(head),
    "luks": _luks,
    "qed": _qed,
    "vmdk": _vmdk,
    "vdi": _vdi,
    "vpc": _vpc,
}
