"""What the first bytes of an image say; read of images whose format was declared, and believed in nothing else."""

from __future__ import annotations

import json
import os.path
import struct
from typing import Any, Final, NamedTuple

from anyvirt.api import Invalid

HEAD: Final = 4096
_QCOW2: Final = b"QFI\xfb"
_BACKING_FORMAT: Final = 0xE2792ACA
_LONGEST: Final = 1023  # of a backing file's name, as the format has it
_LAZY: Final = 1
_EXTENDED_L2: Final = 1 << 4
_DATA_FILE: Final = 1 << 2


class Header(NamedTuple):
    """A qcow2 header.

    :param size: bytes that a guest sees.
    :param backing: the image below as it is written there; empty where there is none.
    :param data_file: its content is in another file, which its header names.
    :param snapshots: how many it has inside.
    """

    version: int
    size: int
    cluster: int
    backing: str = ""
    backing_format: str = ""
    lazy: bool = False
    extended_l2: bool = False
    data_file: bool = False
    snapshots: int = 0


def looks_like(head: bytes) -> str:
    """What an image seems to be: a hint for people, never a reason to open it so."""
    for magic, name in (
        (_QCOW2, "qcow2"),
        (b"KDMV", "vmdk"),
        (b"QED\0", "qed"),
        (b"vhdxfile", "vhdx"),
        (b"conectix", "vpc"),
        (b"LUKS\xba\xbe", "luks"),
    ):
        if head.startswith(magic):
            return name
    return ""


def qcow2(head: bytes) -> Header:
    """The header of a qcow2 image.

    :param head: its first ``HEAD`` bytes.
    :raises Invalid: it is none, or says what cannot be.
    """
    if len(head) < 72 or head[:4] != _QCOW2:
        raise Invalid("it has no qcow2 header", hint="it was made as qcow2, and something else was written over it")
    version, at, length, bits, size = struct.unpack_from(">IQIIQ", head, 4)
    if version not in (2, 3) or not 9 <= bits <= 21 or size >= 1 << 63 or length > _LONGEST:
        raise Invalid("its qcow2 header says what cannot be", hint="qemu-img check tells more")
    compatible = incompatible = 0
    extensions = 72
    if version == 3 and len(head) >= 104:
        incompatible, compatible = struct.unpack_from(">QQ", head, 72)
        (extensions,) = struct.unpack_from(">I", head, 100)
    name = head[at : at + length].decode("utf-8", "surrogateescape") if at else ""
    if at and len(name.encode("utf-8", "surrogateescape")) != length:
        raise Invalid("its qcow2 header tells of a backing file where there is none", hint="qemu-img check tells more")
    below = _extension(head, extensions, at or len(head)) if at else ""
    features = (bool(compatible & _LAZY), bool(incompatible & _EXTENDED_L2), bool(incompatible & _DATA_FILE))
    return Header(version, size, 1 << bits, name, below, *features, struct.unpack_from(">I", head, 60)[0])


def _extension(head: bytes, at: int, end: int) -> str:
    """The format of the backing file, where the header names it."""
    while at + 8 <= min(end, len(head)):
        kind, length = struct.unpack_from(">II", head, at)
        if not kind:
            return ""
        if kind == _BACKING_FORMAT:
            return head[at + 8 : at + 8 + min(length, 64)].decode("ascii", "replace")
        at += 8 + (length + 7) // 8 * 8
    return ""


def backing_path(name: str, folder: str) -> str:
    """The absolute path that a backing file's name means in an image of ``folder``; empty where it is no file."""
    if name.startswith("json:"):
        try:
            name = _filename(json.loads(name[5:]))
        except (ValueError, RecursionError):
            return ""
    name = name.removeprefix("file:")
    if ":" in name.partition("/")[0]:  # a protocol, as QEMU sees it
        return ""
    return os.path.normpath(os.path.join(folder, name)) if name else ""


def _filename(found: Any) -> str:
    while isinstance(found, dict):
        if isinstance(found.get("filename"), str):
            return str(found["filename"])
        if isinstance(found.get("file.filename"), str):
            return str(found["file.filename"])
        found = found.get("file")
    return ""
