"""File systems shared with the guest."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.devices.device import Boot, Device, VirtioModel
from anyvirt.model.element import Element, at
from anyvirt.model.security import IdMap
from anyvirt.model.source import ImageFormat
from anyvirt.model.types import Bytes, ByteSize, Count, Mode, OnOff, Present

Usage = Annotated[int, Bytes("KiB", "units")]


class FilesystemType(StrEnum):
    """What is shared."""

    MOUNT = "mount"
    BLOCK = "block"
    FILE = "file"
    TEMPLATE = "template"
    RAM = "ram"
    BIND = "bind"
    VOLUME = "volume"


class FilesystemDriver(Element, tag="driver"):
    """How it is shared."""

    type: Literal["path", "handle", "loop", "nbd", "ploop", "virtiofs", "mtp"] | None = at(
        "@type", "Back end", default=None
    )
    format: ImageFormat | None = at("@format", "Image format", default=None)
    wrpolicy: Literal["immediate"] | None = at("@wrpolicy", "When writes reach the host", default=None)
    queue: Count | None = at("@queue", "Entries of the virtqueue", default=None)
    iommu: OnOff | None = at("@iommu", "Send DMA through the guest's IOMMU", default=None)
    ats: OnOff | None = at("@ats", "Address translation services", default=None)
    packed: OnOff | None = at("@packed", "Packed virtqueues", default=None)
    page_per_vq: OnOff | None = at("@page_per_vq", "One notification page per queue", default=None)


class FilesystemBinary(Element, tag="binary"):
    """The program that serves virtiofs."""

    path: str | None = at("@path", "Path of the program", default=None)
    xattr: OnOff | None = at("@xattr", "Extended attributes", default=None)
    cache: Literal["none", "always"] | None = at("cache/@mode", "What the guest caches", default=None)
    sandbox: Literal["namespace", "chroot"] | None = at("sandbox/@mode", "How the program is confined", default=None)
    lock_posix: OnOff | None = at("lock/@posix", "POSIX locks", default=None)
    lock_flock: OnOff | None = at("lock/@flock", "BSD locks", default=None)
    open_files: Count | None = at("openfiles/@max", "Files open at most, since libvirt 10.6", default=None)
    thread_pool: Count | None = at("thread_pool/@size", "Threads", default=None)


class Filesystem(Device, tag="filesystem"):
    """A file system shared with the guest."""

    type: FilesystemType | None = at("@type", "What is shared", default=None)
    model: VirtioModel | None = at("@model", "Variant of the virtio device", default=None)
    accessmode: Literal["passthrough", "mapped", "squash"] | None = at("@accessmode", "How owners map", default=None)
    multidevs: Literal["default", "remap", "forbid", "warn"] | None = at(
        "@multidevs", "What is done about several host devices in one share", default=None
    )
    fmode: Mode | None = at("@fmode", "Permission bits of new files", default=None)
    dmode: Mode | None = at("@dmode", "Permission bits of new directories", default=None)
    driver: FilesystemDriver | None = at("driver", "How it is shared", default=None)
    idmap: IdMap | None = at("idmap", "User namespace of virtiofs, since libvirt 10.0", default=None)
    binary: FilesystemBinary | None = at("binary", "The program that serves virtiofs", default=None)
    source_dir: str | None = at("source/@dir", "Host directory", default=None)
    source_dev: str | None = at("source/@dev", "Host block device", default=None)
    source_file: str | None = at("source/@file", "Image file", default=None)
    source_name: str | None = at("source/@name", "Template", default=None)
    source_socket: str | None = at("source/@socket", "Socket of a server that runs already", default=None)
    source_pool: str | None = at("source/@pool", "Storage pool", default=None)
    source_volume: str | None = at("source/@volume", "Volume of the pool", default=None)
    source_usage: Usage | None = at("source/@usage", "Most bytes of a RAM file system", default=None)
    target: str | None = at("target/@dir", "Path in a container, mount tag in a VM", default=None, key=True)
    readonly: Present = at("readonly", "The guest cannot write", default=False)
    space_hard_limit: ByteSize | None = at("space_hard_limit", "Most space the guest can fill", default=None)
    space_soft_limit: ByteSize | None = at("space_soft_limit", "Space the guest may fill for long", default=None)
    boot: Boot | None = at("boot", "Place in the boot order", default=None)
