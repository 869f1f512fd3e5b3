"""What the operating system and its tools say of storage, as coded errors with a way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from anyvirt.api import Denied, Exists, Failed, Invalid, NotFound, Output, Unsupported, VirtError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_ROOT: Final = ("must be superuser", "only root can")
# What brings a tool, where its name does not say so.
PACKAGES: Final = {
    "qemu-img": "qemu-utils (Debian, Ubuntu), qemu-img (Fedora)",
    "fallocate": "util-linux",
    "blkdiscard": "util-linux",
    "cmp": "diffutils",
    "ploop": "ploop, from Virtuozzo's or OpenVZ's repositories",
    "mount": "mount (Debian, Ubuntu), util-linux (Fedora)",
    "findmnt": "util-linux",
    "losetup": "mount (Debian, Ubuntu), util-linux (Fedora)",
    "blkid": "util-linux",
    "umount": "mount (Debian, Ubuntu), util-linux (Fedora)",
    "truncate": "coreutils",
    "lsattr": "e2fsprogs",
    "xargs": "findutils",
    "flock": "util-linux",
    "setsid": "util-linux",
    "mkfs.ext2": "e2fsprogs",
    "mkfs.ext3": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mkfs.vfat": "dosfstools",
    "sfdisk": "fdisk (Debian, Ubuntu), util-linux (Fedora)",
    "lsblk": "util-linux",
    "addpart": "util-linux",
    "delpart": "util-linux",
    "resizepart": "util-linux",
    "blockdev": "util-linux",
    "kpartx": "kpartx",
    "rbd": "ceph-common",
    "ceph": "ceph-common",
    "iscsi-ls": "libiscsi-bin (Debian, Ubuntu), libiscsi-utils (Fedora)",
    "iscsi-readcapacity16": "libiscsi-bin (Debian, Ubuntu), libiscsi-utils (Fedora)",
    "iscsi-inq": "libiscsi-bin (Debian, Ubuntu), libiscsi-utils (Fedora)",
    "qemu-storage-daemon": "qemu-system-common (Debian, Ubuntu), qemu-img (Fedora)",
    "qemu-io": "qemu-utils (Debian, Ubuntu), qemu-img (Fedora)",
    "gluster": "glusterfs-cli",
    "mount.glusterfs": "glusterfs-client (Debian, Ubuntu), glusterfs-fuse (Fedora)",
    "zfs": "zfsutils-linux (Debian contrib, Ubuntu), zfs (elsewhere)",
    "zpool": "zfsutils-linux (Debian contrib, Ubuntu), zfs (elsewhere)",
    "vstorage-mount": "vstorage-client (Virtuozzo)",
    "vstorage": "vstorage-client (Virtuozzo)",
    "mkfs.udf": "udftools",
    "mkfs.ocfs2": "ocfs2-tools",
    "wipefs": "util-linux",
    "chattr": "e2fsprogs",
    "chcon": "coreutils",
    "stat": "coreutils",
    **dict.fromkeys(
        ("vgs", "lvs", "pvs", "vgchange", "vgcreate", "vgremove", "pvcreate", "pvremove", "lvcreate", "lvremove"),
        "lvm2",
    ),
    **dict.fromkeys(("lvrename", "lvextend", "lvreduce"), "lvm2"),
    "showmount": "nfs-common (Debian, Ubuntu), nfs-utils (Fedora)",
    "mount.nfs": "nfs-common (Debian, Ubuntu), nfs-utils (Fedora)",
    "mount.cifs": "cifs-utils",
    "iscsiadm": "open-iscsi (Debian, Ubuntu), iscsi-initiator-utils (Fedora)",
    "dmsetup": "dmsetup (Debian, Ubuntu), device-mapper (Fedora)",
    "multipath": "multipath-tools (Debian, Ubuntu), device-mapper-multipath (Fedora)",
    "getent": "libc-bin (Debian, Ubuntu), glibc-common (Fedora)",
}


@contextmanager
def named(path: str) -> Iterator[None]:
    """What goes wrong inside is told of ``path``."""
    try:
        yield
    except OSError as error:
        raise coded(error, path) from error


def coded(error: OSError, path: str) -> VirtError:
    """The coded error for one of the operating system at ``path``."""
    words = error.strerror or str(error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(path, "file")
    if error.errno == errno.EEXIST:
        return Exists("file", path)
    if error.errno in _DENIED:
        return Denied(f"{path!r}: {words}", hint="check owner and mode, and those of its folders")
    if error.errno == errno.ELOOP:
        return Denied(f"{path!r} is a symbolic link, which is not followed here")
    if error.errno == errno.ENOTEMPTY:
        return Invalid(f"{path!r} is not empty", hint="remove what is in it first")
    failed = Failed(f"{path!r}: {words}", native={"errno": errno.errorcode.get(error.errno or 0, "?"), "path": path})
    if error.errno in _FULL:
        failed.code, failed.hint = "file.no-space", "free space there; nothing was left half-made"
    return failed


def full(text: str, hint: str) -> Failed:
    """The error for what has no room left, where no tool has to fail first."""
    failed = Failed(text, hint=hint)
    failed.code = "file.no-space"
    return failed


def done(out: Output, path: str) -> Output:
    """What a tool left, if it was content; its usual complaints in their own codes."""
    said = out.err.decode("utf-8", "replace")
    if out.code and any(word in said for word in _ROOT):
        raise Denied(f"{path!r}: {out.tool} takes root", hint="use storage:///system as root")
    if out.code:
        for number in (*_FULL, *_DENIED):
            if os.strerror(number) in said:
                raise coded(OSError(number, os.strerror(number)), path)
    return out.ok()


def package_of(tool: str) -> str:
    """The package that brings a tool."""
    return PACKAGES.get(tool, tool)


@contextmanager
def needing(tool: str) -> Iterator[None]:
    """Name the package where the tool is missing."""
    try:
        yield
    except Unsupported as error:
        error.hint = f"install {package_of(tool)}"
        raise
