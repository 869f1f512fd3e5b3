"""What machines boot from: a CD that is a hard disk as well, a system partition for UEFI."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

import guest as small_guest
import pytest

from boot_stage.full import package

PARTITION: Final = 64  # MiB
BIOS_MENU: Final = (
    "DEFAULT linux\nSAY here is the boot loader\nLABEL linux\n KERNEL /linux\n INITRD /initrd\n APPEND {}\n"
)
UEFI_MENU: Final = "echo here is the boot loader\nlinux /linux {}\ninitrd /initrd\nboot\n"
CERTIFICATES: Final = 4  # the place of signatures among the directories of a PE file's header


def need(*tools: str) -> None:
    """Skip the test where one of these programs is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def iso(folder: Path, guest: small_guest.Guest) -> Path:
    """An image that BIOS boots the guest from, as a CD and as a hard disk."""
    need("xorriso")
    package("isolinux", folder / "loader")
    loader = package("syslinux-common", folder / "loader") / "usr/lib"
    tree = folder / "cd"
    tree.mkdir()
    for source, name in (
        (loader / "ISOLINUX/isolinux.bin", "isolinux.bin"),
        (loader / "syslinux/modules/bios/ldlinux.c32", "ldlinux.c32"),
        (guest.kernel, "linux"),
        (guest.initrd, "initrd"),
    ):
        shutil.copyfile(source, tree / name)
    (tree / "isolinux.cfg").write_text(BIOS_MENU.format(guest.cmdline))
    made = folder / "guest.iso"
    boot = ["-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    words: list[str | Path] = [*boot, "-isohybrid-mbr", loader / "ISOLINUX/isohdpfx.bin", "-o", made, tree]
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", *words], check=True, stderr=subprocess.DEVNULL)
    return made


def signed(folder: Path) -> tuple[Path, Path]:
    """Programs that firmware with the usual keys starts: the first, and the boot loader that it lets through."""
    shim = package("shim-signed", folder) / "usr/lib/shim/shimx64.efi.signed"
    return shim, package("grub-efi-amd64-signed", folder) / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"


def system_partition(path: Path, guest: small_guest.Guest, first: Path, loader: Path) -> Path:
    """A disk of one FAT file system, with the guest and what starts it."""
    need("mformat", "mcopy", "mmd")
    path.write_bytes(b"")
    menu = path.with_suffix(".cfg")
    menu.write_text(UEFI_MENU.format(guest.cmdline))
    subprocess.run(["mformat", "-i", path, "-C", "-F", "-T", str(PARTITION << 11), "-h", "64", "-s", "32"], check=True)
    subprocess.run(["mmd", "-i", path, "::/EFI", "::/EFI/BOOT", "::/EFI/debian"], check=True)
    for source, name in (
        (first, "EFI/BOOT/BOOTX64.EFI"),
        (loader, "EFI/BOOT/grubx64.efi"),
        (menu, "EFI/debian/grub.cfg"),
        (guest.kernel, "linux"),
        (guest.initrd, "initrd"),
    ):
        subprocess.run(["mcopy", "-i", path, source, f"::/{name}"], check=True)
    return path


def unsigned(program: Path, path: Path) -> Path:
    """The same program with its signatures taken off."""
    data = bytearray(program.read_bytes())
    (header,) = struct.unpack_from("<I", data, 0x3C)
    place = header + 24 + 112 + 8 * CERTIFICATES  # of a PE32+ file
    at, size = struct.unpack_from("<II", data, place)
    assert at + size == len(data)
    struct.pack_into("<II", data, place, 0, 0)
    path.write_bytes(data[:at])
    return path
