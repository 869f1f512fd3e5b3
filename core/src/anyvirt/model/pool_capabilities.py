"""What kinds of storage pools a host offers; libvirt's formatstoragecaps."""

from __future__ import annotations

from anyvirt.model.element import Element, Many, at
from anyvirt.model.storage import PoolFormat, PoolType, VolumeFormat
from anyvirt.model.types import YesNo


class SourceFormats(Element, tag="enum"):
    """Formats that a pool of a kind can have."""

    name: str | None = at("@name", "Always sourceFormatType", default=None, key=True)
    values: Many[PoolFormat] = at("value", "The formats", default=())


class TargetFormats(Element, tag="enum"):
    """Formats that volumes in a pool of a kind can have."""

    name: str | None = at("@name", "Always targetFormatType", default=None, key=True)
    values: Many[VolumeFormat] = at("value", "The formats", default=())


class PoolCapability(Element, tag="pool"):
    """One kind of pool."""

    type: PoolType | None = at("@type", "Kind of pool", default=None, key=True)
    supported: YesNo | None = at("@supported", "The host has it", default=None)
    source_default: PoolFormat | None = at(
        "poolOptions/defaultFormat/@type", "Format of a pool that names none", default=None
    )
    source_formats: Many[SourceFormats] = at("poolOptions/enum", "Formats of pools", default=())
    target_default: VolumeFormat | None = at(
        "volOptions/defaultFormat/@type", "Format of a volume that names none", default=None
    )
    target_formats: Many[TargetFormats] = at("volOptions/enum", "Formats of volumes", default=())


class StoragePoolCapabilities(Element, tag="storagepoolCapabilities"):
    """What kinds of pools a host offers."""

    pools: Many[PoolCapability] = at("pool", "Kinds of pools", default=())
