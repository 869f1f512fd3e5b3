"""The small guest with Debian's usual kernel: for devices that the one for clouds has no drivers for."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import guest as small_guest
import pytest
from guest import modules
from guest.builder import MODULES
from guest.cpio import Archive
from guest.packages import PackageError, Packages
from qemu_stage.small import built

KERNELS: Final = ("linux-image-amd64", "linux-image-generic")  # Debian's, then Ubuntu's
# what it loads at boot beside the modules of the small guest; the codec before the sound card that looks for it
AT_ONCE: Final = (
    *("nvme", "xhci_pci", "usbhid", "hid_generic", "usb_storage", "e1000e", "9pnet_virtio", "9p", "virtiofs"),
    *("snd_hda_codec_generic", "snd_hda_intel", "tpm_tis", "tpm_crb", "qemu_fw_cfg", "virtio_crypto"),
)
# what takes seconds where it is not there, and few machines have: ``sh /etc/NAME`` loads it; ``host``
# makes a host of it, with guests of its own
LATER: Final = {
    "old": ("floppy", "ata_piix", "uhci_hcd", "psmouse", "e1000", "snd_intel8x0", "ib700wdt", "parport_pc", "lp"),
    "more": ("nfit", "nd_pmem", "virtio_pmem", "8139cp"),
    "host": (
        *("vfio_pci", "vfio_iommu_type1", "tun", "macvtap", "vhost_net", "veth", "bridge"),
        *("sch_htb", "sch_sfq", "sch_ingress", "cls_u32", "act_police"),
    ),
}


def full() -> small_guest.Guest:
    """Its kernel and initramfs, fetched and written once; skips the test where they cannot be had."""
    small = built()
    own = Path(__file__)
    key = hashlib.sha256(own.read_bytes() + small.initrd.parent.name.encode()).hexdigest()[:16]
    folder = small_guest.cache_root() / f"full-{key}"
    try:
        with _alone(folder.parent):
            if not folder.is_dir():
                _build(folder, small)
    except PackageError as error:
        pytest.skip(f"Debian's usual kernel is missing: {error}")
    return small._replace(kernel=folder / "vmlinuz", initrd=folder / "initrd.gz")


def package(name: str, into: Path) -> Path:
    """Files of a package that is not installed, unpacked below ``into``; skips the test where it cannot be had."""
    root = small_guest.cache_root()
    try:
        with _alone(root):
            Packages(root / "packages").unpack(name, into)
    except PackageError as error:
        pytest.skip(f"package {name} is missing: {error}")
    return into


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Inside the block nobody else builds a guest, or sweeps away what builders left."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, small: small_guest.Guest) -> None:
    packages = Packages(folder.parent / "packages")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
        tree, made = Path(scratch) / "tree", Path(scratch) / "made"
        made.mkdir()
        packages.unpack(_kernel(packages), tree)
        (kernel,) = (tree / "boot").glob("vmlinuz-*")
        shutil.copyfile(kernel, made / "vmlinuz")
        release = kernel.name.removeprefix("vmlinuz-")
        (made / "initrd.gz").write_bytes(small.initrd.read_bytes() + _archive(next(_folders(tree, release))))
        made.chmod(0o755)
        made.rename(folder)


def _kernel(packages: Packages) -> str:
    for name in KERNELS:
        try:
            return packages.dependency(name, "linux-image-")
        except PackageError:
            continue
    raise PackageError(f"apt knows none of {', '.join(KERNELS)}")


def _folders(tree: Path, release: str) -> Iterator[Path]:
    places = (tree / "usr/lib/modules" / release, tree / "lib/modules" / release)
    return (path for path in places if path.is_dir())


def _archive(folder: Path) -> bytes:
    """What is unpacked over the small guest's own files: other modules, and the order to load them in."""
    archive = Archive()
    first = [module.name for module in modules.in_order(folder, (*MODULES, *AT_ONCE))]
    archive.file("etc/modules", "".join(f"{name}\n" for name in first).encode())
    for title, wanted in LATER.items():
        names = (module.name for module in modules.in_order(folder, (*MODULES, *AT_ONCE, *wanted)))
        lines = (f"insmod /lib/modules/{name}.ko\n" for name in names if name not in first)
        archive.file(f"etc/{title}", "".join(lines).encode())
    later = (name for names in LATER.values() for name in names)
    for module in modules.in_order(folder, (*MODULES, *AT_ONCE, *later)):
        archive.file(f"lib/modules/{module.name}.ko", module.data)
    return archive.gzipped()
