"""Disks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.devices.device import Boot, Device, VirtioModel
from anyvirt.model.element import Element, Many, at
from anyvirt.model.source import Auth, BackingStore, Encryption, ImageFormat, NodeName, Source, SourceType
from anyvirt.model.types import ByteSize, Count, OnOff, Pattern, Present, TrueFalse, Unsigned, Word, Wwn, YesNo

Vendor = Annotated[str, Pattern("text of up to 8 printable characters", r"[ -~]{0,8}", "SEAGATE")]
Product = Annotated[str, Pattern("text of up to 16 printable characters", r"[ -~]{0,16}", "ST3146707LC")]


class DiskDevice(StrEnum):
    """What a disk looks like to the guest."""

    DISK = "disk"
    CDROM = "cdrom"
    FLOPPY = "floppy"
    LUN = "lun"


class DiskBus(StrEnum):
    """Bus that a disk hangs from."""

    IDE = "ide"
    FDC = "fdc"
    SCSI = "scsi"
    VIRTIO = "virtio"
    XEN = "xen"
    USB = "usb"
    SATA = "sata"
    SD = "sd"
    NVME = "nvme"
    UML = "uml"
    NONE = "none"


class DiskCache(StrEnum):
    """How the host caches a disk."""

    DEFAULT = "default"
    NONE = "none"
    WRITETHROUGH = "writethrough"
    WRITEBACK = "writeback"
    DIRECTSYNC = "directsync"
    UNSAFE = "unsafe"


class DiskQueue(Element, tag="queue"):
    """A virtqueue."""

    id: Count | None = at("@id", "Number of the queue", default=None, key=True)


class DiskThread(Element, tag="iothread"):
    """An I/O thread and the virtqueues that it serves; without any they are spread."""

    id: Count | None = at("@id", "Number of the thread", default=None, key=True)
    queues: Many[DiskQueue] = at("queue", "Its queues", default=())


class DiskDriver(Element, tag="driver"):
    """How the hypervisor works on the image."""

    name: Word | None = at("@name", "Back end: qemu; with xen tap, tap2, phy, file, qemu", default=None)
    type: ImageFormat | None = at("@type", "Image format", default=None)
    cache: DiskCache | None = at("@cache", "How the host caches", default=None)
    error_policy: Literal["stop", "report", "ignore", "enospace"] | None = at(
        "@error_policy", "What happens on a write error", default=None
    )
    rerror_policy: Literal["stop", "report", "ignore"] | None = at(
        "@rerror_policy", "What happens on a read error", default=None
    )
    io: Literal["native", "threads", "io_uring"] | None = at("@io", "How the host does I/O", default=None)
    ioeventfd: OnOff | None = at("@ioeventfd", "Handle I/O outside the vCPU's thread", default=None)
    event_idx: OnOff | None = at("@event_idx", "Fewer interrupts and exits", default=None)
    copy_on_read: OnOff | None = at("@copy_on_read", "Copy what is read from the backing file", default=None)
    discard: Literal["unmap", "ignore"] | None = at("@discard", "What discard requests do", default=None)
    detect_zeroes: Literal["off", "on", "unmap"] | None = at(
        "@detect_zeroes", "Whether written zeroes are detected", default=None
    )
    iothread: Count | None = at("@iothread", "I/O thread that serves the disk", default=None)
    queues: Count | None = at("@queues", "Number of virtqueues", default=None)
    queue_size: Count | None = at("@queue_size", "Entries of a virtqueue", default=None)
    iommu: OnOff | None = at("@iommu", "Send DMA through the guest's IOMMU", default=None)
    ats: OnOff | None = at("@ats", "Address translation services", default=None)
    packed: OnOff | None = at("@packed", "Packed virtqueues", default=None)
    page_per_vq: OnOff | None = at("@page_per_vq", "One notification page per queue", default=None)
    discard_no_unref: OnOff | None = at(
        "@discard_no_unref", "Discarded clusters of qcow2 keep their place, since libvirt 9.5", default=None
    )
    metadata_cache: ByteSize | None = at("metadata_cache/max_size", "Most memory for cached metadata", default=None)
    iothreads: Many[DiskThread] = at(
        "iothreads/iothread", "I/O threads that serve the queues, since libvirt 10.0", default=()
    )


class Mirror(Element, tag="mirror"):
    """A running copy of the disk; live only."""

    type: SourceType | None = at("@type", "Kind of storage of the copy", default=None)
    job: Literal["copy", "active-commit"] | None = at("@job", "Which job made it", default=None)
    ready: Literal["yes", "abort", "pivot"] | None = at("@ready", "How far the job is", default=None)
    file: str | None = at("@file", "Path of the copy, old form", default=None)
    old_format: ImageFormat | None = at("@format", "Format of the copy, old form", default=None)
    index: Count | None = at("@index", "Number of the copy in its chain, live only", default=None)
    format: ImageFormat | None = at("format/@type", "Format of the copy", default=None)
    metadata_cache: ByteSize | None = at(
        "format/metadata_cache/max_size", "Most memory for cached metadata", default=None
    )
    source: Source | None = at("source", "Where the copy is", default=None)
    backing_store: BackingStore | None = at("backingStore", "The image below the copy", default=None)


class IoTune(Element, tag="iotune"):
    """Limits of a disk, in bytes and operations a second; 0 is no limit."""

    total_bytes_sec: Unsigned | None = at("total_bytes_sec", "Bytes read and written a second", default=None)
    read_bytes_sec: Unsigned | None = at("read_bytes_sec", "Bytes read a second", default=None)
    write_bytes_sec: Unsigned | None = at("write_bytes_sec", "Bytes written a second", default=None)
    total_iops_sec: Unsigned | None = at("total_iops_sec", "Operations a second", default=None)
    read_iops_sec: Unsigned | None = at("read_iops_sec", "Reads a second", default=None)
    write_iops_sec: Unsigned | None = at("write_iops_sec", "Writes a second", default=None)
    total_bytes_sec_max: Unsigned | None = at("total_bytes_sec_max", "Burst of total_bytes_sec", default=None)
    read_bytes_sec_max: Unsigned | None = at("read_bytes_sec_max", "Burst of read_bytes_sec", default=None)
    write_bytes_sec_max: Unsigned | None = at("write_bytes_sec_max", "Burst of write_bytes_sec", default=None)
    total_iops_sec_max: Unsigned | None = at("total_iops_sec_max", "Burst of total_iops_sec", default=None)
    read_iops_sec_max: Unsigned | None = at("read_iops_sec_max", "Burst of read_iops_sec", default=None)
    write_iops_sec_max: Unsigned | None = at("write_iops_sec_max", "Burst of write_iops_sec", default=None)
    size_iops_sec: Unsigned | None = at("size_iops_sec", "Bytes that count as one operation", default=None)
    group_name: str | None = at("group_name", "Disks of one group share the limits", default=None)
    total_bytes_sec_max_length: Unsigned | None = at(
        "total_bytes_sec_max_length", "Seconds of the burst of total_bytes_sec", default=None
    )
    read_bytes_sec_max_length: Unsigned | None = at(
        "read_bytes_sec_max_length", "Seconds of the burst of read_bytes_sec", default=None
    )
    write_bytes_sec_max_length: Unsigned | None = at(
        "write_bytes_sec_max_length", "Seconds of the burst of write_bytes_sec", default=None
    )
    total_iops_sec_max_length: Unsigned | None = at(
        "total_iops_sec_max_length", "Seconds of the burst of total_iops_sec", default=None
    )
    read_iops_sec_max_length: Unsigned | None = at(
        "read_iops_sec_max_length", "Seconds of the burst of read_iops_sec", default=None
    )
    write_iops_sec_max_length: Unsigned | None = at(
        "write_iops_sec_max_length", "Seconds of the burst of write_iops_sec", default=None
    )


class Geometry(Element, tag="geometry"):
    """Geometry that a disk claims."""

    cyls: Count | None = at("@cyls", "Cylinders", default=None)
    heads: Count | None = at("@heads", "Heads", default=None)
    secs: Count | None = at("@secs", "Sectors a track", default=None)
    trans: Literal["auto", "none", "lba"] | None = at("@trans", "Translation by the BIOS", default=None)


class Disk(Device, tag="disk"):
    """A disk, CD-ROM or floppy drive."""

    type: SourceType | None = at("@type", "Kind of storage, which says what of the source counts", default=None)
    device: DiskDevice | None = at("@device", "What the guest sees; disk without it", default=None)
    model: VirtioModel | None = at("@model", "Variant of a virtio disk", default=None)
    rawio: YesNo | None = at("@rawio", "The disk needs the right to raw I/O", default=None)
    sgio: Literal["filtered", "unfiltered"] | None = at("@sgio", "Which SCSI commands pass", default=None)
    snapshot: Literal["no", "internal", "external", "manual"] | None = at(
        "@snapshot", "How snapshots treat the disk", default=None
    )
    driver: DiskDriver | None = at("driver", "How the hypervisor works on the image", default=None)
    auth: Auth | None = at("auth", "Credentials, in their old place", default=None)
    source: Source | None = at("source", "Where the image is; none for an empty drive", default=None)
    backing_store: BackingStore | None = at("backingStore", "The image below", default=None)
    backenddomain: str | None = at("backenddomain/@name", "Xen domain that serves the disk", default=None)
    geometry: Geometry | None = at("geometry", "Geometry that the disk claims", default=None)
    logical_block_size: Count | None = at(
        "blockio/@logical_block_size", "Bytes of a block as the guest sees it", default=None
    )
    physical_block_size: Count | None = at(
        "blockio/@physical_block_size", "Bytes of a block of the medium", default=None
    )
    mirror: Mirror | None = at("mirror", "A running copy, live only", default=None)
    target: str | None = at(
        "target/@dev", "Name of the disk, unique in the domain, such as vda", default=None, key=True
    )
    bus: DiskBus | None = at("target/@bus", "Bus; guessed from the name without it", default=None)
    tray: Literal["open", "closed"] | None = at("target/@tray", "State of the tray of a removable drive", default=None)
    removable: OnOff | None = at("target/@removable", "A USB disk says that it can be removed", default=None)
    rotation_rate: Count | None = at("target/@rotation_rate", "Turns a minute, 1 for solid state", default=None)
    iotune: IoTune | None = at("iotune", "Limits", default=None)
    readonly: Present = at("readonly", "The guest cannot write", default=False)
    shareable: Present = at("shareable", "Several guests may use it at the same time", default=False)
    transient: Present = at("transient", "Changes are dropped when the guest ends", default=False)
    transient_share_backing: YesNo | None = at(
        "transient/@shareBacking", "Several guests may use the transient disk's image", default=None
    )
    serial: str | None = at("serial", "Serial number; virtio shows 20 characters", default=None)
    wwn: Wwn | None = at("wwn", "World wide name, 16 hexadecimal digits", default=None)
    vendor: Vendor | None = at("vendor", "SCSI vendor, up to 8 characters", default=None)
    product: Product | None = at("product", "SCSI product, up to 16 characters", default=None)
    encryption: Encryption | None = at("encryption", "Encryption, in its old place", default=None)
    boot: Boot | None = at("boot", "Place in the boot order", default=None)
    auth_beside_source: TrueFalse | None = at(
        "diskSecretsPlacement/@auth", "The credentials stood in their old place, in status only", default=None
    )
    encryption_beside_source: TrueFalse | None = at(
        "diskSecretsPlacement/@enc", "The encryption stood in its old place, in status only", default=None
    )
    qom: str | None = at("privateData/qom/@name", "QEMU's object of the disk, in status only", default=None)
    nodenames: Many[NodeName] = at(
        "privateData/nodenames/nodename", "QEMU's block nodes of the disk itself, in status only", default=()
    )
