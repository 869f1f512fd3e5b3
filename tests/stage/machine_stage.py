"""Kinds of machines without an operating system: what is read on their consoles, kept for the documentation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from anyvirt.api import Deadline, Reason, State, Which, within
from anyvirt.client._generated_sync import Connection, Domain
from qemu_stage.small import ESCAPES

FIGURES: Final = Path(__file__).parents[1] / "lab/machines/kinds.toml"
PATIENCE: Final = 90.0
DISK: Final = 1 << 20


@dataclass(frozen=True)
class Kind:
    """A kind of machine.

    :param says: what it writes on its console, as patterns in their order.
    :param firmware: a file that the package of the emulator does not bring, or ``""``.
    :param os: what stands beside the machine type.
    :param panics: without anything to boot its firmware tells of a panic.
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
    panics: bool = False

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


def told(name: str, kind: Kind, connection: Connection, folder: Path) -> None:
    """Define it, start it, read its console, end it, and hold what is documented to what was read."""
    emulator = shutil.which(kind.emulator)
    if emulator is None:
        pytest.skip(f"{kind.emulator} is not installed")
    if kind.firmware and not Path(kind.firmware).exists():
        pytest.skip(f"{kind.firmware} is not installed")
    guest = connection.domain_define(kind.xml(folder))
    assert guest.config(Which.CONFIG).model.emulator == emulator
    began = time.monotonic()
    guest.start()
    try:
        found = _shown(guest, kind.says)
        took = time.monotonic() - began
        if kind.panics:
            assert guest.wait_for([State.CRASHED], timeout=PATIENCE).reason is Reason.PANICKED
        else:
            assert guest.state().state is State.RUNNING
    finally:
        guest.destroy()
    assert guest.state().state is State.SHUTOFF
    guest.undefine()
    _kept(name, kind, found, took)


def _shown(guest: Domain, patterns: Sequence[str]) -> list[str]:
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


def _kept(name: str, kind: Kind, found: list[str], took: float) -> None:
    table = tomllib.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    if os.environ.get("ANYVIRT_GOLDEN") != "write":
        assert table[name]["machine"] == f"{kind.arch} {kind.machine}"
        assert all(re.search(pattern, table[name]["asserts"]) for pattern in kind.says)
        return
    row = {"asserts": ", ".join(found), "machine": f"{kind.arch} {kind.machine}", "qemu": _version(kind.emulator)}
    table[name] = row | {"seconds": took}
    lines = ["# What each kind of machine wrote on its console under emulation; ANYVIRT_GOLDEN=write renews it."]
    for one, row in sorted(table.items()):
        words = (f"{key} = {json.dumps(row[key])}" for key in ("asserts", "machine", "qemu"))
        lines += ["", f"[{one}]", *words, f"seconds = {float(row['seconds']):.1f}"]
    FIGURES.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _version(emulator: str) -> str:
    said = subprocess.run([emulator, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    found = re.search(r"version ([0-9.]+)", said)
    return found[1] if found else ""
