"""A guest of each architecture and kind of machine under emulation: its firmware tells on the console what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from anyvirt.client._generated_sync import Connection
from machine_stage import Kind, told

MICRO: Final = "/usr/share/seabios/bios-microvm.bin"
# where the firmware of a PC writes what it does; an address beside the guest's serial ports
DEBUG: Final = "<serial type='pty'><target type='isa-debug'/><address type='isa' iobase='0x402'/></serial>"
SCLP: Final = "<console type='pty'><target type='sclp'/></console>"
SEABIOS: Final = r"SeaBIOS \(version [^)]+\)"
PCI_DISK: Final = "found virtio-blk at [0-9a-f:]+[.][0-7]"
UEFI: Final = (r"UEFI firmware \(version [^)]+\)", r'"UEFI Misc Device" from PciRoot[^:\s]+:')
MACHINES: Final = {
    "pc": Kind("x86_64", "pc", (SEABIOS, PCI_DISK), "qemu-system-x86_64", console=DEBUG),
    "q35": Kind("x86_64", "q35", (SEABIOS, PCI_DISK), "qemu-system-x86_64", console=DEBUG),
    "microvm": Kind(
        "x86_64", "microvm", (SEABIOS, "found virtio-blk-mmio at 0x[0-9a-f]{8}"), "qemu-system-x86_64", MICRO,
        os=f"<loader type='rom'>{MICRO}</loader>", more="<features><acpi/></features>", console=DEBUG,
    ),
    "aarch64": Kind(
        "aarch64", "virt", UEFI, "qemu-system-aarch64", "/usr/share/AAVMF/AAVMF_CODE.fd", efi=True, memory=256,
    ),
    "arm": Kind(
        "armv7l", "virt", UEFI, "qemu-system-arm", "/usr/share/AAVMF/AAVMF32_CODE.fd", efi=True, memory=256,
    ),
    "riscv64": Kind(
        "riscv64", "virt", (r"OpenSBI v[0-9.]+", r"riscv-virtio,qemu"), "qemu-system-riscv64",
        "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin",
    ),
    "ppc64": Kind(
        "ppc64", "pseries", ("SLOF", "QEMU Starting", r"virtio +\[ block \]"), "qemu-system-ppc64", memory=512,
    ),
    "s390x": Kind(
        "s390x", "s390-ccw-virtio", (r"LOADPARM=\[7 {7}\]", "Using virtio-blk"), "qemu-system-s390x", console=SCLP,
        memory=128, boot="<boot order='1' loadparm='7'/>", more="<on_crash>preserve</on_crash>",
        panics=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_the_firmware_of_a_machine_finds_its_disk(name: str, connection: Connection, tmp_path: Path) -> None:
    told(name, MACHINES[name], connection, tmp_path)
