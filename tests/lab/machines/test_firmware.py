"""A guest of each architecture and kind of machine under emulation: its firmware tells on the console what it found.

``kinds.toml`` beside this file keeps what was read, for the documentation; ``ANYVIRT_GOLDEN=write`` renews it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyvirt
import pytest
from anyvirt.api import Deadline, Reason, State, Which, within
from anyvirt.client._generated_sync import Connection, Domain
from qemu_stage.small import ESCAPES, URI

KINDS: Final = Path(__file__).with_name("kinds.toml")
PATIENCE: Final = 90.0
DISK: Final = 1 << 20
MICRO: Final = "/usr/share/seabios/bios-microvm.bin"
# where the firmware of a PC writes what it does; an address beside the guest's serial ports
DEBUG: Final = "<serial type='pty'><target type='isa-debug'/><address type='isa' iobase='0x402'/></serial>"
SCLP: Final = "<console type='pty'><target type='sclp'/></console>"
SEABIOS: Final = r"SeaBIOS \(version [^)]+\)"
PCI_DISK: Final = "found virtio-blk at [0-9a-f:]+[.][0-7]"
UEFI: Final = (r"UEFI firmware \(version [^)]+\)", r'"UEFI Misc Device" from PciRoot[^:\s]+:')


@dataclass(frozen=True)
class Kind:
    """A kind of machine.

    :param says: what its firmware writes before anything is booted, as patterns in their order.
    :param firmware: a file that the package of the emulator does not bring, or ``""``.
    :param os: what stands beside the machine type.
    """

    arch: str
    machine: str
    says: tuple[str, ...]
    emulator: str
    firmware: str = ""
    os: str = ""
    efi: bool = False
    console: str = "<serial type='pty'/>"
    memory: int = 64
    boot: str = ""
    more: str = ""

    def xml(self, folder: Path) -> str:
        """Its definition, with an empty disk and no word on its emulator."""
        disk = folder / "empty"
        with disk.open("wb") as file:
            file.truncate(DISK)
        efi = " firmware='efi'" if self.efi else ""
        return (
            f"<domain type='qemu'><name>{self.arch}-{self.machine}</name><memory unit='MiB'>{self.memory}</memory>"
            f"<os{efi}><type arch='{self.arch}' machine='{self.machine}'>hvm</type>{self.os}</os>{self.more}<devices>"
            f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>"
            f"<target dev='vda' bus='virtio'/>{self.boot}</disk>{self.console}</devices></domain>"
        )


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
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with anyvirt.open(URI, state_dir=tmp_path_factory.mktemp("state")) as opened:
        yield opened


def shown(guest: Domain, patterns: tuple[str, ...]) -> list[str]:
    """What its console wrote that matches, one after the other, without escape sequences."""
    seen, found = b"", []
    with within(Deadline(PATIENCE)), guest.console(replay=True) as console:
        for pattern in patterns:
            while (match := re.search(pattern.encode(), seen)) is None:
                piece = console.read()
                assert piece, f"its console ended; it had shown {seen!r}"
                seen = ESCAPES.sub(b"", seen + piece)
            found.append(match[0].decode())
            seen = seen[match.end() :]
    return found


def needs(kind: Kind) -> str:
    """Path of its emulator; the test is skipped where it cannot run here."""
    emulator = shutil.which(kind.emulator)
    if emulator is None:
        pytest.skip(f"{kind.emulator} is not installed")
    if kind.firmware and not Path(kind.firmware).exists():
        pytest.skip(f"{kind.firmware} is not installed")
    return emulator


@pytest.mark.parametrize("name", MACHINES)
def test_the_firmware_of_a_machine_finds_its_disk(name: str, connection: Connection, tmp_path: Path) -> None:
    kind = MACHINES[name]
    emulator = needs(kind)
    guest = connection.domain_define(kind.xml(tmp_path))
    assert guest.config(Which.CONFIG).model.emulator == emulator
    began = time.monotonic()
    guest.start()
    try:
        found = shown(guest, kind.says)
        took = time.monotonic() - began
        status = guest.state()
        if name == "s390x":  # it has nothing to boot, which its machine tells
            status = guest.wait_for([State.CRASHED], timeout=PATIENCE)
            assert status.reason is Reason.PANICKED
        else:
            assert status.state is State.RUNNING
    finally:
        guest.destroy()
    assert guest.state().state is State.SHUTOFF
    guest.undefine()
    kept(name, kind, found, took)


def kept(name: str, kind: Kind, found: list[str], took: float) -> None:
    """Hold what is documented to what was read, but for its versions; or write it down."""
    asserts = ", ".join(found)
    table = tomllib.loads(KINDS.read_text(encoding="utf-8")) if KINDS.exists() else {}
    if os.environ.get("ANYVIRT_GOLDEN") != "write":
        assert table[name]["machine"] == f"{kind.arch} {kind.machine}"
        assert all(re.search(pattern, table[name]["asserts"]) for pattern in kind.says)
        return
    version = version_of(kind.emulator)
    table[name] = {"asserts": asserts, "machine": f"{kind.arch} {kind.machine}", "qemu": version, "seconds": took}
    lines = ["# What the firmware of each kind of machine said under emulation; written by test_firmware.py."]
    for one in MACHINES:
        if one in table:
            row = table[one]
            words = (f"{key} = {json.dumps(row[key])}" for key in ("asserts", "machine", "qemu"))
            lines += ["", f"[{one}]", *words, f"seconds = {row['seconds']:.1f}"]
    KINDS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def version_of(emulator: str) -> str:
    """The version that an emulator tells."""
    said = subprocess.run([emulator, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    found = re.search(r"version ([0-9.]+)", said)
    return found[1] if found else ""
