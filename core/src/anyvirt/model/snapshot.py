"""Snapshots and checkpoints."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.devices.disk import DiskDriver
from anyvirt.model.domain import Domain
from anyvirt.model.element import Element, Many, at
from anyvirt.model.rest import Xml
from anyvirt.model.source import Source, SourceType
from anyvirt.model.types import Bit, Unsigned, YesNo


class SnapshotKind(StrEnum):
    """How a part of the guest is kept."""

    NO = "no"
    INTERNAL = "internal"
    EXTERNAL = "external"
    MANUAL = "manual"


SnapshotState = Literal[
    "nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended", "disk-snapshot"
]


class SnapshotDisk(Element, tag="disk"):
    """A disk in a snapshot."""

    name: str | None = at("@name", "Target or path of the disk", default=None, key=True)
    snapshot: SnapshotKind | None = at("@snapshot", "How it is kept", default=None)
    type: SourceType | None = at("@type", "Kind of storage of the new image", default=None)
    driver: DiskDriver | None = at("driver", "Format of the new image", default=None)
    source: Source | None = at("source", "Where the new image is", default=None)
    revert_type: SourceType | None = at("revertOverlay/@type", "Kind of storage of the revert overlay", default=None)
    revert_source: Source | None = at("revertOverlay/source", "Where the revert overlay is", default=None)


class Snapshot(Element, tag="domainsnapshot"):
    """A snapshot of a domain."""

    name: str | None = at("name", "Name, unique in the domain", default=None, key=True)
    description: str | None = at("description", "Description", default=None)
    state: SnapshotState | None = at("state", "State of the domain; disk-snapshot without memory", default=None)
    parent: str | None = at("parent/name", "Snapshot that it was made from", default=None)
    creation_time: Unsigned | None = at("creationTime", "Seconds since 1970", default=None)
    memory: SnapshotKind | None = at("memory/@snapshot", "How memory is kept", default=None)
    memory_file: str | None = at("memory/@file", "File that keeps memory", default=None)
    disks: Many[SnapshotDisk] = at("disks/disk", "Disks", default=())
    domain: Domain | None = at("domain", "The domain at that time", default=None)
    inactive_domain: Domain | None = at("inactiveDomain", "Its definition for the next boot", default=None)
    active: Bit | None = at("active", "It is the current one, in lists and old documents", default=None)
    cookie: Xml | None = at("cookie", "The driver's own notes", default=None)


class CheckpointDisk(Element, tag="disk"):
    """A disk in a checkpoint."""

    name: str | None = at("@name", "Target of the disk", default=None, key=True)
    checkpoint: Literal["no", "bitmap"] | None = at("@checkpoint", "Whether changes are tracked", default=None)
    bitmap: str | None = at("@bitmap", "Name of the bitmap", default=None)
    size: Unsigned | None = at("@size", "Bytes changed since", default=None)


class Checkpoint(Element, tag="domaincheckpoint"):
    """A point in time that an incremental backup starts from."""

    name: str | None = at("name", "Name, unique in the domain", default=None, key=True)
    description: str | None = at("description", "Description", default=None)
    parent: str | None = at("parent/name", "Checkpoint before", default=None)
    creation_time: Unsigned | None = at("creationTime", "Seconds since 1970", default=None)
    disks: Many[CheckpointDisk] = at("disks/disk", "Disks", default=())
    domain: Domain | None = at("domain", "The domain at that time", default=None)
    current: YesNo | None = at("@current", "It is the current one", default=None)
