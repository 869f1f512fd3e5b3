"""Storage pools and volumes; libvirt's formatstorage."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.address import HostPci
from anyvirt.model.element import Element, Many, at
from anyvirt.model.source import Auth, Encryption
from anyvirt.model.types import (
    UUID,
    ByteSize,
    Count,
    Hostname,
    Mode,
    Pattern,
    PlainBytes,
    Port,
    Present,
    UserId,
    Wwn,
    YesNo,
)

Timestamp = Annotated[str, Pattern("number of seconds", r"-?[0-9]+(\.[0-9]{0,9})?", "1341933637.273190990", "0")]
Version = Annotated[str, Pattern("version", r"[0-9]+(\.[0-9]+)*", "1.1", "4.1", "3")]


class PoolType(StrEnum):
    """What a pool is made of."""

    DIR = "dir"
    FS = "fs"
    NETFS = "netfs"
    LOGICAL = "logical"
    DISK = "disk"
    ISCSI = "iscsi"
    ISCSI_DIRECT = "iscsi-direct"
    SCSI = "scsi"
    MPATH = "mpath"
    RBD = "rbd"
    SHEEPDOG = "sheepdog"
    GLUSTER = "gluster"
    ZFS = "zfs"
    VSTORAGE = "vstorage"


class PoolFormat(StrEnum):
    """File system, partition table or protocol of a pool."""

    AUTO = "auto"
    UNKNOWN = "unknown"
    EXT2 = "ext2"
    EXT3 = "ext3"
    EXT4 = "ext4"
    UFS = "ufs"
    ISO9660 = "iso9660"
    UDF = "udf"
    GFS = "gfs"
    GFS2 = "gfs2"
    VFAT = "vfat"
    HFSPLUS = "hfs+"
    XFS = "xfs"
    OCFS2 = "ocfs2"
    VMFS = "vmfs"
    NFS = "nfs"
    GLUSTERFS = "glusterfs"
    CIFS = "cifs"
    DOS = "dos"
    DVH = "dvh"
    GPT = "gpt"
    MAC = "mac"
    BSD = "bsd"
    PC98 = "pc98"
    SUN = "sun"
    LVM2 = "lvm2"


class VolumeFormat(StrEnum):
    """Format of an image, or kind of a partition."""

    UNKNOWN = "unknown"
    NONE = "none"
    AUTO = "auto"
    RAW = "raw"
    DIR = "dir"
    BOCHS = "bochs"
    CLOOP = "cloop"
    DMG = "dmg"
    ISO = "iso"
    VPC = "vpc"
    VDI = "vdi"
    VHD = "vhd"
    VHDX = "vhdx"
    FAT = "fat"
    PLOOP = "ploop"
    LUKS = "luks"
    COW = "cow"
    QCOW = "qcow"
    QCOW2 = "qcow2"
    QED = "qed"
    VMDK = "vmdk"
    LINUX = "linux"
    FAT16 = "fat16"
    FAT32 = "fat32"
    LINUX_SWAP = "linux-swap"
    LINUX_LVM = "linux-lvm"
    LINUX_RAID = "linux-raid"
    EXTENDED = "extended"
    EXT2 = "ext2"
    EXT3 = "ext3"
    EXT4 = "ext4"
    UFS = "ufs"
    ISO9660 = "iso9660"
    UDF = "udf"
    GFS = "gfs"
    GFS2 = "gfs2"
    VFAT = "vfat"
    HFSPLUS = "hfs+"
    XFS = "xfs"
    OCFS2 = "ocfs2"
    VMFS = "vmfs"


class VolumeType(StrEnum):
    """What a volume is."""

    FILE = "file"
    BLOCK = "block"
    DIR = "dir"
    NETWORK = "network"
    NETDIR = "netdir"
    PLOOP = "ploop"


class Permissions(Element, tag="permissions"):
    """Owner and mode of a path."""

    mode: Mode | None = at("mode", "Mode, octal", default=None)
    owner: UserId | None = at("owner", "Numeric user; -1 for no choice", default=None)
    group: UserId | None = at("group", "Numeric group; -1 for no choice", default=None)
    label: str | None = at("label", "SELinux label", default=None)


class PoolHost(Element, tag="host"):
    """A server that a pool is on."""

    name: Hostname | None = at("@name", "Host name or address", default=None, key=True)
    port: Port | None = at("@port", "Port", default=None)


class FreeExtent(Element, tag="freeExtent"):
    """Free space on a disk."""

    start: PlainBytes | None = at("@start", "First byte", default=None)
    end: PlainBytes | None = at("@end", "Last byte", default=None)


class PoolDevice(Element, tag="device"):
    """A device that a pool is on."""

    path: str | None = at("@path", "Path, or name on the server", default=None, key=True)
    part_separator: YesNo | None = at("@part_separator", "Partition names have a p", default=None)
    free_extents: Many[FreeExtent] = at("freeExtent", "Free space", default=())


class Adapter(Element, tag="adapter"):
    """The SCSI adapter that a pool is on."""

    type: Literal["scsi_host", "fc_host"] | None = at("@type", "Kind of adapter", default=None)
    name: str | None = at("@name", "Name, such as scsi_host2", default=None)
    parent: str | None = at("@parent", "Parent of a virtual adapter", default=None)
    parent_wwnn: Wwn | None = at("@parent_wwnn", "Node name of the parent", default=None)
    parent_wwpn: Wwn | None = at("@parent_wwpn", "Port name of the parent", default=None)
    parent_fabric_wwn: Wwn | None = at("@parent_fabric_wwn", "Fabric of the parent", default=None)
    managed: YesNo | None = at("@managed", "The adapter is removed with the pool", default=None)
    wwnn: Wwn | None = at("@wwnn", "Node name", default=None)
    wwpn: Wwn | None = at("@wwpn", "Port name", default=None)
    unique_id: Count | None = at("parentaddr/@unique_id", "Number among adapters of one parent", default=None)
    parent_address: HostPci | None = at("parentaddr/address", "PCI address of the parent", default=None)


class PoolSource(Element, tag="source"):
    """What a pool is made of; which fields count depends on its type."""

    hosts: Many[PoolHost] = at("host", "Servers", default=())
    devices: Many[PoolDevice] = at("device", "Devices", default=())
    dir: str | None = at("dir/@path", "Directory on the server", default=None)
    adapter: Adapter | None = at("adapter", "SCSI adapter", default=None)
    name: str | None = at("name", "Name, such as a volume group", default=None)
    initiator: str | None = at("initiator/iqn/@name", "iSCSI initiator name", default=None)
    format: PoolFormat | None = at("format/@type", "File system, partition table or protocol", default=None)
    protocol_ver: Version | None = at("protocol/@ver", "Version of NFS", default=None)
    auth: Auth | None = at("auth", "Credentials", default=None)
    vendor: str | None = at("vendor/@name", "Vendor", default=None)
    product: str | None = at("product/@name", "Product", default=None)


class PoolSources(Element, tag="sources"):
    """What pools could be made of, as a server or a host was asked."""

    sources: Many[PoolSource] = at("source", "One for each pool", default=())


class Pool(Element, tag="pool"):
    """A storage pool."""

    type: PoolType | None = at("@type", "What it is made of", default=None)
    name: str = at("name", "Name, unique on the host", key=True)
    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None)
    capacity: ByteSize | None = at("capacity", "All space", default=None)
    allocation: ByteSize | None = at("allocation", "Space in use", default=None)
    available: ByteSize | None = at("available", "Space left", default=None)
    cow: YesNo | None = at("features/cow/@state", "Copy on write in the pool's directory", default=None)
    source: PoolSource | None = at("source", "What it is made of", default=None)
    target: str | None = at("target/path", "Where it stands on the host", default=None)
    permissions: Permissions | None = at("target/permissions", "Owner and mode of that place", default=None)
    refresh_allocation: Literal["default", "capacity"] | None = at(
        "refresh/volume/@allocation", "What counts as the allocation of a volume", default=None
    )
    extensions: Many[Element] = at(".", "Elements of namespaces that plug-ins registered", default=())


class Extent(Element, tag="extent"):
    """A part of a device that a volume is on."""

    start: PlainBytes | None = at("@start", "First byte", default=None)
    end: PlainBytes | None = at("@end", "Last byte", default=None)


class VolumeSourceDevice(Element, tag="device"):
    """A device that a volume is on."""

    path: str | None = at("@path", "Path", default=None, key=True)
    extents: Many[Extent] = at("extent", "Parts in use", default=())


class Timestamps(Element, tag="timestamps"):
    """When a path was touched, in seconds since 1970 with fractions."""

    atime: Timestamp | None = at("atime", "Last read", default=None)
    mtime: Timestamp | None = at("mtime", "Last write", default=None)
    ctime: Timestamp | None = at("ctime", "Last change of owner or mode", default=None)
    btime: Timestamp | None = at("btime", "Birth", default=None)


class VolumeTarget(Element, tag="target"):
    """The image of a volume."""

    path: str | None = at("path", "Path on the host", default=None)
    format: VolumeFormat | None = at("format/@type", "Format, such as raw or qcow2", default=None)
    permissions: Permissions | None = at("permissions", "Owner and mode", default=None)
    timestamps: Timestamps | None = at("timestamps", "When it was touched", default=None)
    encryption: Encryption | None = at("encryption", "How it is encrypted", default=None)
    compat: Version | None = at("compat", "Version of qcow2: 0.10 or 1.1", default=None)
    nocow: Present = at("nocow", "No copy on write below the image", default=False)
    cluster_size: ByteSize | None = at("clusterSize", "Cluster of qcow2", default=None)
    lazy_refcounts: Present = at("features/lazy_refcounts", "Reference counts are written late", default=False)
    extended_l2: Present = at("features/extended_l2", "Subclusters", default=False)


class VolumeBackingStore(Element, tag="backingStore"):
    """The image below a volume's."""

    path: str | None = at("path", "Path on the host", default=None)
    format: VolumeFormat | None = at("format/@type", "Format", default=None)
    permissions: Permissions | None = at("permissions", "Owner and mode", default=None)
    timestamps: Timestamps | None = at("timestamps", "When it was touched", default=None)


class Volume(Element, tag="volume"):
    """A storage volume."""

    type: VolumeType | None = at("@type", "What it is", default=None)
    name: str = at("name", "Name, unique in the pool", key=True)
    key: str | None = at("key", "What identifies it on the host", default=None)
    source_devices: Many[VolumeSourceDevice] = at("source/device", "Devices it is on", default=())
    capacity: ByteSize | None = at("capacity", "Size that a guest sees", default=None)
    allocation: ByteSize | None = at("allocation", "Space in use", default=None)
    physical: ByteSize | None = at("physical", "Last offset of the image", default=None)
    target: VolumeTarget | None = at("target", "The image", default=None)
    backing_store: VolumeBackingStore | None = at("backingStore", "The image below", default=None)
