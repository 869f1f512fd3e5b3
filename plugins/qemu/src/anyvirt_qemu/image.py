"""Facts about image files, read from their headers: sizes, formats, chains; hostile until proved to be in order.

A format is never guessed from content: a guest that owns a raw disk may write
whatever header it likes into it.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from anyvirt.api import BlockInfo, Denied, Failed, Invalid, NotFound, Unsupported, VirtError

from anyvirt_qemu.planning.plan import NodeUse

if TYPE_CHECKING:
    from anyvirt.api import Disk, Domain

MAGIC: Final = b"QFI\xfb"
DEPTH_MAX: Final = 200
NAME_MAX: Final = 1023
CLUSTER_BITS: Final = range(9, 22)
CAPACITY_MAX: Final = 1 << 62
BACKING_FORMAT: Final = 0xE2792ACA
DATA_FILE: Final = 0x44415441
EXTERNAL_DATA: Final = 1 << 2
OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
CLUSTER: Final = 1 << 16
SECTOR: Final = 512
# magic, version, backing file, bits of a cluster, capacity, encryption, first and second table, counts, snapshots,
# features, bits of a count, length
HEADER: Final = ">4sIQIIQIIQQIIQQQQII"
FORMATS: Final = ("raw", "qcow2", "qcow", "qed", "vmdk")
BASED: Final = ("qcow2", "qcow", "qed", "vmdk")
QED: Final = b"QED\0"
QED_BACKING: Final = 1
QED_RAW: Final = 4
VMDK: Final = b"KDMV"
VMDK_ALONE: Final = b"parentcid=ffffffff"
VMDK_TEXT_MAX: Final = 1 << 20


# capacity, name of the image below, its format where the header tells
Header = tuple[int, bytes | None, str | None]


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of one image without QEMU.

    :param capacity: bytes that a guest can see.
    :param allocation: bytes that it occupies; for a block device its size.
    :param physical: bytes up to its end, as ``ls`` shows them; for a block device its size.
    :param block: it is a block device.
    :param backing: path of the image below, absolute, or None.
    :param backing_format: format of that image, where the header tells.
    :param identity: device and inode.
    """

    path: str
    format: str
    capacity: int
    allocation: int
    physical: int
    block: bool
    backing: str | None = None
    backing_format: str | None = None
    identity: tuple[int, int] = (0, 0)

    def info(self, target: str) -> BlockInfo:
        """The three sizes, for the disk of that name."""
        return BlockInfo(target, self.capacity, self.allocation, self.physical)


def look(path: str, form: str = "raw", *, below: bool = True) -> Image:
    """Open an image and read its sizes and, of other formats, its header.

    :param form: the declared format.
    :param below: look which image this one is based on, too.
    :raises NotFound: there is no such file (``file.not-found``).
    :raises Denied: this user may not read it.
    :raises Invalid: it is neither a file nor a block device, or its header is not in order.
    :raises Unsupported: another format, an external data file, a backing file that is not on this host.
    """
    if form not in FORMATS:
        raise Unsupported("qemu", f"image format {form}", hint=f"use {' or '.join(FORMATS)}")
    fd = _open(path)
    try:
        return _look(fd, path, form, below)
    except OSError as error:
        raise _coded(error, path) from error
    finally:
        os.close(fd)


def _look(fd: int, path: str, form: str, below: bool) -> Image:
    found = os.fstat(fd)
    block = stat.S_ISBLK(found.st_mode)
    if not block and not stat.S_ISREG(found.st_mode):
        raise Invalid(f"{path} is neither a file nor a block device", code="config.invalid", hint="name an image")
    physical = os.lseek(fd, 0, os.SEEK_END) if block else found.st_size
    allocation = physical if block else found.st_blocks * 512
    identity = (found.st_dev, found.st_rdev if block else found.st_ino)
    if form == "raw":
        return Image(path, form, physical, allocation, physical, block, identity=identity)
    capacity, name, backing_format = HEADERS[form](fd, path)
    backing = _resolved(name, path) if below and name is not None else None
    return Image(path, form, capacity, allocation, physical, block, backing, backing_format, identity)


def create(path: str, capacity: int) -> None:
    """Make an empty qcow2 image, mode 0600, that nothing is below.

    :raises Failed, Denied: there is such a file, or no room for it.
    """
    capacity = -(-capacity // SECTOR) * SECTOR
    tables = -(-max(capacity, 1) // (CLUSTER // 8 * CLUSTER))
    clusters = 3 + -(-tables * 8 // CLUSTER)
    fields = (MAGIC, 3, 0, 0, 16, capacity, 0, tables, 3 * CLUSTER, CLUSTER, 1, 0, 0, 0, 0, 0, 4, 104)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as out:
            out.write(struct.pack(HEADER, *fields))
            out.seek(CLUSTER)
            out.write(struct.pack(">Q", 2 * CLUSTER))
            out.seek(2 * CLUSTER)
            out.write(b"\0\1" * clusters)
            out.truncate(clusters * CLUSTER)
    except OSError as error:
        raise _coded(error, path) from error


def chain(path: str, form: str = "raw") -> tuple[NodeUse, ...]:
    """The images of a disk from the top down, each with the format that is declared for it.

    :raises NotFound, Denied, Invalid, Unsupported: as ``look``, of any image; a loop; more than 200 images;
        a backing file whose format nobody declares and that is not plainly raw.
    """
    images: list[Image] = []
    seen: set[tuple[int, int]] = set()
    here: str | None = path
    while here is not None:
        image = look(here, form)
        if image.identity in seen:
            raise _wrong(path, f"its chain of images comes back to {here}", "rebase the image that does")
        if len(images) == DEPTH_MAX:
            raise _wrong(path, f"its chain has more than {DEPTH_MAX} images", "commit some of them")
        seen.add(image.identity)
        images.append(image)
        here = image.backing
        if here is not None:
            form = image.backing_format or _undeclared(image, here)
    return tuple(NodeUse("", "host_device" if x.block else "file", x.path, x.format) for x in images)


def chains(domain: Domain) -> dict[str, tuple[NodeUse, ...]]:
    """The chains of all disks whose definition does not list them to the end, by target.

    Each begins with the last image that the definition lists.

    :raises NotFound, Denied, Invalid, Unsupported: as ``chain``.
    """
    found = {}
    for disk in domain.disks:
        last = open_end(disk)
        if last is not None:
            found[disk.target or ""] = chain(*last)
    return found


def open_end(disk: Disk) -> tuple[str, str] | None:
    """Path and format of the last image that a definition lists, where it does not say that it is the last."""
    path, form = source_path(disk), (disk.driver.type if disk.driver else None) or "raw"
    store = disk.backing_store
    while store is not None:
        if store.source is None:
            return None
        path = store.source.dev if store.type == "block" else store.source.file
        form = store.format or "raw"
        store = store.backing_store
    return (path, form) if path is not None and form in BASED else None


def source_path(disk: Disk) -> str | None:
    """Path of a disk's image on this host, or None where it has none."""
    if disk.source is None:
        return None
    return disk.source.dev if disk.type == "block" else disk.source.file


def _undeclared(image: Image, backing: str) -> str:
    """Raw, where nothing speaks against it: a guess that a guest could steer is never made."""
    fd = _open(backing)
    try:
        start = os.pread(fd, 4, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
    if start == MAGIC:
        hint = f"declare it: qemu-img rebase -u -F qcow2 -b {backing!r} {image.path!r}, or list it in <backingStore>"
        raise _wrong(image.path, f"the format of its backing file {backing} is declared nowhere", hint)
    return "raw"


def _header(fd: int, path: str) -> Header:
    """Capacity, backing file and its format, of qcow2 version 2 or 3."""
    head = os.pread(fd, 104, 0)
    if len(head) < 72 or head[:4] != MAGIC:
        raise _wrong(path, "it is no qcow2 image", "name its real format in <driver type=...>")
    version, offset, size, bits, capacity = struct.unpack_from(">IQIIQ", head, 4)
    features, length = 0, 72
    if version == 3 and len(head) >= 104:
        (features,) = struct.unpack_from(">Q", head, 72)
        (length,) = struct.unpack_from(">I", head, 100)
    if version not in {2, 3} or bits not in CLUSTER_BITS or capacity > CAPACITY_MAX:
        raise _broken(path)
    cluster = 1 << bits
    if length < 72 or length > cluster or size > NAME_MAX or (offset and offset + size > cluster):
        raise _broken(path)
    first = os.pread(fd, cluster, 0)
    extensions = _extensions(first, length, offset or len(first), path)
    if features & EXTERNAL_DATA or DATA_FILE in extensions:
        raise Unsupported("qemu", f"the external data file of {path}", hint="convert the image to one file")
    if not offset or not size:
        return capacity, None, None
    name = first[offset : offset + size]
    if len(name) != size or b"\0" in name:
        raise _broken(path)
    form = extensions.get(BACKING_FORMAT)
    return capacity, name, None if form is None else form.decode("ascii", "replace")


def _qcow(fd: int, path: str) -> Header:
    """The same of qcow, the format before qcow2."""
    head = os.pread(fd, 48, 0)
    if len(head) < 48 or head[:8] != MAGIC + b"\0\0\0\1":
        raise _wrong(path, "it is no qcow image", "name its real format in <driver type=...>")
    offset, size, _, capacity = struct.unpack_from(">QIIQ", head, 8)
    return _checked(path, capacity), _named(fd, path, offset, size), None


def _qed(fd: int, path: str) -> Header:
    """The same of QED."""
    head = os.pread(fd, 64, 0)
    if len(head) < 64 or head[:4] != QED:
        raise _wrong(path, "it is no QED image", "name its real format in <driver type=...>")
    (features,) = struct.unpack_from("<Q", head, 16)
    capacity, offset, size = struct.unpack_from("<QII", head, 48)
    if not features & QED_BACKING:
        return _checked(path, capacity), None, None
    return _checked(path, capacity), _named(fd, path, offset, size), "raw" if features & QED_RAW else None


def _vmdk(fd: int, path: str) -> Header:
    """The same of VMDK in one file; one whose text names other files is refused, and so is one with a parent."""
    head = os.pread(fd, 64, 0)
    if len(head) < 64 or head[:4] != VMDK:
        raise _wrong(path, "it is no VMDK image in one file", "convert it: qemu-img convert -O qcow2")
    (capacity,) = struct.unpack_from("<Q", head, 12)
    start, length = struct.unpack_from("<QQ", head, 28)
    text = os.pread(fd, min(length * SECTOR, VMDK_TEXT_MAX), start * SECTOR) if start < CAPACITY_MAX // SECTOR else b""
    if not capacity:
        raise _wrong(path, "it names other files", "convert it: qemu-img convert -O qcow2")
    parent = None if VMDK_ALONE in text.lower() else b"vmdk:parent"
    return _checked(path, capacity * SECTOR), parent, None


def _checked(path: str, capacity: int) -> int:
    if capacity > CAPACITY_MAX:
        raise _broken(path)
    return capacity


def _named(fd: int, path: str, offset: int, size: int) -> bytes | None:
    """The backing file that a header names."""
    if not offset or not size:
        return None
    if size > NAME_MAX or offset > CAPACITY_MAX:
        raise _broken(path)
    name = os.pread(fd, size, offset)
    if len(name) != size or b"\0" in name:
        raise _broken(path)
    return name


HEADERS: Final = {"qcow2": _header, "qcow": _qcow, "qed": _qed, "vmdk": _vmdk}


def _extensions(data: bytes, at: int, end: int, path: str) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while at + 8 <= min(end, len(data)):
        kind, size = struct.unpack_from(">II", data, at)
        if kind == 0:
            break
        if at + 8 + size > len(data):
            raise _broken(path)
        found.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + (size + 7) // 8 * 8
    return found


def _resolved(name: bytes, path: str) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise _broken(path) from None
    text = text.removeprefix("file:")
    if SCHEME.match(text.partition("/")[0]):
        hint = "list the images in <backingStore>"
        raise Unsupported("qemu", f"the backing file {text[:200]!r} of {path}", hint=hint)
    return os.path.normpath(os.path.join(os.path.dirname(path), text))


def _broken(path: str) -> Invalid:
    return _wrong(path, "its qcow2 header is damaged", "check it: qemu-img check -f qcow2")


def _wrong(path: str, text: str, hint: str) -> Invalid:
    return Invalid(f"{path}: {text}", code="config.invalid", hint=hint)


def _open(path: str) -> int:
    try:
        return os.open(path, OPEN)
    except OSError as error:
        raise _coded(error, path) from error
    except ValueError:
        raise Invalid(f"{path!r} is no path", code="config.invalid", hint="take the NUL character out") from None


def _coded(error: OSError, path: str) -> VirtError:
    words = {"errno": error.errno, "text": error.strerror}
    if error.errno in {2, 20}:
        return NotFound(path, "file", hint="create the image, or correct the path")
    if error.errno in {1, 13}:
        return Denied(
            f"{path}: {error.strerror} for user {os.geteuid()}", details=words, hint="allow this user to read it"
        )
    return Failed(f"{path}: {error.strerror}", native=words)
