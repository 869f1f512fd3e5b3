"""Building the small guest: kernel and initramfs, once per user and version of this builder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from guest import agent as guest_agent
from guest import modules
from guest.cpio import Archive
from guest.packages import PackageError, Packages

# What the guest loads at boot: its disks, network, console, clock of entropy and memory, and the power button.
# The names that a kernel lacks or has built in are left out.
MODULES: Final = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon"),
    *("button", "evdev"),
    *("virtio_scsi", "sd_mod", "sr_mod", "ahci", "virtio_input", "virtio_mem"),
    *("vmw_vsock_virtio_transport", "pvpanic_pci", "pvpanic_mmio", "i6300esb"),
)
# Metapackages that name the newest small kernel: Debian's, then Ubuntu's.
KERNELS: Final = ("linux-image-cloud-amd64", "linux-image-kvm", "linux-image-virtual")
PROMPT: Final = "anyvirt-guest:~# "
CMDLINE: Final = "console=ttyS0 quiet"

_HERE: Final = Path(__file__).parent


class GuestError(Exception):
    """The guest cannot be built here; says why and what would help."""


class Guest(NamedTuple):
    """A guest that boots: what QEMU is given, and the prompt that its shell shows on ``ttyS0``."""

    kernel: Path
    initrd: Path
    cmdline: str
    prompt: str


def cache_root() -> Path:
    """Where guests and packages are kept for this user."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(caches) if caches.startswith("/") else Path.home() / ".cache") / "anyvirt" / "guest"


def build(cache_dir: Path | None = None, progress: Callable[[str], None] = print, *, agent: bool = False) -> Guest:
    """The guest, built now unless the cache has it. Several processes may ask at once.

    :param cache_dir: instead of the user's cache
    :param progress: told each step in one line; nothing when the cache has it
    :param agent: with QEMU's guest agent, which answers on a channel of its name; it boots a little later
    :raises GuestError: not an x86-64 machine, no apt, no way to the mirror, disk full
    """
    root = cache_dir or cache_root()
    folder = root / _key()
    initrd = folder / ("initrd-agent.gz" if agent else "initrd.gz")
    guest = Guest(folder / "vmlinuz", initrd, CMDLINE, PROMPT)
    if initrd.exists():
        return guest
    if platform.machine() != "x86_64":
        raise GuestError(f"the guest is for x86_64; this machine is {platform.machine()}")
    try:
        with _alone(root):
            if not folder.is_dir():
                _build_into(root, folder, progress)
            if not initrd.exists():
                _add_agent(root, folder, initrd, progress)
    except PackageError as error:
        raise GuestError(str(error)) from error
    except OSError as error:
        raise GuestError(f"cannot write the guest under {root}: {error.strerror}") from error
    return guest


def _build_into(root: Path, folder: Path, progress: Callable[[str], None]) -> None:
    began = time.monotonic()
    packages = Packages(root / "packages")
    with tempfile.TemporaryDirectory(dir=root, prefix=".building-") as scratch:
        tree, made = Path(scratch) / "tree", Path(scratch) / "made"
        made.mkdir()
        try:
            kernel = _fetch(packages, progress)
        except PackageError:
            progress("guest: fetching package lists")
            packages.refresh()
            kernel = _fetch(packages, progress)
        progress(f"guest: unpacking {kernel}")
        _unpack_kernel(packages, kernel, tree)
        packages.unpack("busybox-static", tree)
        release = next((tree / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
        progress("guest: writing the initramfs")
        (made / "initrd.gz").write_bytes(_initrd(tree, release))
        shutil.copyfile(tree / "boot" / f"vmlinuz-{release}", made / "vmlinuz")
        (made / "guest.json").write_text(json.dumps({"kernel": kernel, "release": release}) + "\n")
        for path in (made, *made.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        made.rename(folder)
    progress(f"guest: Linux {release} with busybox is ready after {time.monotonic() - began:.0f} s")


def _add_agent(root: Path, folder: Path, initrd: Path, progress: Callable[[str], None]) -> None:
    """Beside the guest's initramfs, one with the agent behind it."""
    packages = Packages(root / "packages")
    progress(f"guest: fetching {guest_agent.PACKAGE} and its libraries")
    try:
        names = guest_agent.fetch(packages)
    except PackageError:
        packages.refresh()
        names = guest_agent.fetch(packages)
    with tempfile.TemporaryDirectory(dir=root, prefix=".building-") as scratch:
        more = guest_agent.archive(packages, names, Path(scratch) / "tree")
        made = Path(scratch) / initrd.name
        made.write_bytes((folder / "initrd.gz").read_bytes() + more)
        made.chmod(0o644)
        made.rename(initrd)


def _fetch(packages: Packages, progress: Callable[[str], None]) -> str:
    kernel = _kernel_package(packages)
    progress(f"guest: fetching {kernel} and busybox-static")
    packages.fetch("busybox-static")
    packages.fetch(kernel)
    return kernel


def _kernel_package(packages: Packages) -> str:
    problem = PackageError("no kernel package")
    for name in KERNELS:
        try:
            return packages.dependency(name, "linux-image-")
        except PackageError as error:
            problem = error
    raise problem


def _unpack_kernel(packages: Packages, kernel: str, tree: Path) -> None:
    packages.unpack(kernel, tree)
    if not any((tree / "lib").glob("modules/*/kernel")) and not any((tree / "usr/lib").glob("modules/*/kernel")):
        packages.unpack(kernel.replace("linux-image-", "linux-modules-"), tree)  # Ubuntu ships them apart


def _initrd(tree: Path, release: str) -> bytes:
    archive = Archive()
    for name in ("dev", "proc", "sys", "tmp", "root", "mnt", "var/run", "var/log", "etc", "sbin", "usr/bin"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3, 0o666)
    archive.tree(_HERE / "tree")
    archive.file("bin/busybox", _busybox(tree), 0o755)
    archive.link("bin/sh", "busybox")
    archive.file("etc/hostname", PROMPT.partition(":")[0].encode() + b"\n")
    order = []
    folder = next(
        path for path in (tree / "usr/lib/modules" / release, tree / "lib/modules" / release) if path.is_dir()
    )
    for module in modules.in_order(folder, MODULES):
        archive.file(f"lib/modules/{module.name}.ko", module.data)
        order.append(module.name)
    archive.file("etc/modules", "".join(f"{name}\n" for name in order).encode())
    return archive.gzipped()


def _busybox(tree: Path) -> bytes:
    return next(path for path in (tree / "bin/busybox", tree / "usr/bin/busybox") if path.is_file()).read_bytes()


def _key() -> str:
    """Names this builder's version: any change to its files or to the guest's own files is another guest."""
    seen = hashlib.sha256()
    for path in sorted(_HERE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            seen.update(f"{path.relative_to(_HERE)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return seen.hexdigest()[:16]


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(root)
        yield


def _sweep(root: Path) -> None:
    """Remove what builders that were killed left behind; the lock says that none is at work."""
    for left in (*root.glob(".building-*"), *root.glob("packages/.fetching-*")):
        shutil.rmtree(left, ignore_errors=True)
