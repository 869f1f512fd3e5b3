"""Secrets: what they are for, never their value."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, at
from anyvirt.model.types import UUID, YesNo


class KeptSecret(Element, tag="secret"):
    """A secret that the host keeps, without its value; libvirt's formatsecret."""

    ephemeral: YesNo | None = at("@ephemeral", "Kept in memory only", default=None)
    private: YesNo | None = at("@private", "The value is never given out", default=None)
    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None, key=True)
    description: str | None = at("description", "Description", default=None)
    usage_type: Literal["none", "volume", "ceph", "iscsi", "tls", "vtpm"] | None = at(
        "usage/@type", "What it is for", default=None
    )
    usage_volume: str | None = at("usage/volume", "Path of the volume that it opens", default=None)
    usage_name: str | None = at("usage/name", "Name by which ceph, tls and vtpm find it", default=None)
    usage_target: str | None = at("usage/target", "iSCSI target that it logs on to", default=None)
