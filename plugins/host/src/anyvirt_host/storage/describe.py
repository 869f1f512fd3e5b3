"""A volume's description, made of what is known of it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Encryption,
    Permissions,
    SecretRef,
    Timestamps,
    Volume,
    VolumeBackingStore,
    VolumeFormat,
    VolumeTarget,
    VolumeType,
)

from anyvirt_host.storage.images.header import backing_path

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Sight
    from anyvirt_host.storage.images.header import Header
    from anyvirt_host.storage.site import Declared

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def described(path: str, name: str, sight: Sight, said: Declared | None, header: Header | None) -> Volume:
    """The description.

    :param name: in the pool; not always the last word of the path.
    :param said: what it was declared as; None for what was found.
    :param header: of a volume that was made in a format that has one; None where it has none, or none that can be.
    """
    word = "dir" if sight.type == "dir" else said.word or said.format if said else "raw"
    target = VolumeTarget(
        path=path,
        format=VolumeFormat(word),
        permissions=Permissions(mode=sight.mode, owner=sight.owner, group=sight.group),
        timestamps=Timestamps(
            **{name: _seconds(at) for name, at in zip(("atime", "mtime", "ctime"), sight.times, strict=True)}
        ),
    )
    plainly = said is None or said.format == "raw"
    capacity = sight.physical if plainly else header.size if header else None
    if said and said.secret:
        target = target.replace(encryption=_encryption(said.secret))
    if header and said and said.format == "qcow2":
        target = target.replace(
            compat="0.10" if header.version == 2 else "1.1",
            cluster_size=header.cluster,
            lazy_refcounts=header.lazy,
            extended_l2=header.extended_l2,
        )
    return Volume(
        type=VolumeType(sight.type),
        name=name,
        key=path,
        capacity=capacity,
        allocation=sight.allocation,
        physical=sight.physical,
        target=target,
        backing_store=_below(path, said, header),
    )


def _encryption(secret: str) -> Encryption:
    """How it is encrypted: with a secret that is known by its UUID, or else by its usage."""
    by_uuid = _UUID.fullmatch(secret) is not None
    named = SecretRef(type="passphrase", uuid=secret if by_uuid else None, usage=None if by_uuid else secret)
    return Encryption(format="luks", secrets=(named,))


def _below(path: str, said: Declared | None, header: Header | None) -> VolumeBackingStore | None:
    """The image below: what was declared, as long as the header tells of the same one."""
    if header is None or not header.backing:
        return None
    below = backing_path(header.backing, os.path.dirname(path)) or header.backing
    known = said is not None and said.backing == below
    word = said.backing_format if said and known else header.backing_format
    known_word = word in VolumeFormat._value2member_map_
    return VolumeBackingStore(path=below, format=VolumeFormat(word) if known_word else None)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
