"""An image that is copied, as QEMU is told to open it: as what it was declared to be, on what it was declared to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from anyvirt_host.storage.images.imaging import FROM
from anyvirt_host.storage.wish import STANDING

if TYPE_CHECKING:
    from anyvirt.api import Secret


class Origin(NamedTuple):
    """An image that is read.

    :param path: where it is, for people and for what copies whole files.
    :param format: as QEMU calls it.
    :param protocol: how QEMU reaches its bytes.
    :param capacity: bytes that a guest sees.
    :param below: what it stands on, as QEMU is told; None where it stands on nothing.
    :param type: what the volume is: file, block, network.
    """

    path: str
    format: str
    protocol: Mapping[str, Any]
    capacity: int
    below: Mapping[str, Any] | None = None
    key: Secret | None = None
    type: str = "file"

    @property
    def spec(self) -> str:
        """The file name by which a tool of QEMU opens it and nothing that its header names."""
        return self.sealed(self.format, self.protocol, FROM if self.key else "", self.below)

    @property
    def key_id(self) -> str:
        """The id of its passphrase in ``spec``."""
        return FROM

    @staticmethod
    def sealed(kind: str, protocol: Mapping[str, Any], key: str = "", below: Mapping[str, Any] | None = None) -> str:
        """The file name of any image.

        :param key: the id of its passphrase.
        """
        return "json:" + json.dumps(node(kind, protocol, key, below))


def node(
    kind: str, protocol: Mapping[str, Any], key: str = "", below: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A node of QEMU's block layer; what stands on nothing is told so, whatever its header says."""
    made: dict[str, Any] = {"driver": kind, "file": dict(protocol)}
    if kind in STANDING:
        made["backing"] = None if below is None else dict(below)
    if key:
        made |= {"key-secret": key} if kind == "luks" else {"encrypt": {"format": "luks", "key-secret": key}}
    return made
