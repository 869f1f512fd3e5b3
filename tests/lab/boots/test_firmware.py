"""Machines that boot what their firmware finds: UEFI without keys, with secure boot, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import guest as small_guest
import pytest
from anyvirt.api import Which
from anyvirt.client._generated_sync import Connection
from boot_stage import media
from boot_stage.definition import definition, image
from boot_stage.machine import Kinds, Machine

KEYS = "<firmware><feature enabled='yes' name='secure-boot'/><feature enabled='yes' name='enrolled-keys'/></firmware>"
NO_KEYS = "<firmware><feature enabled='no' name='secure-boot'/></firmware>"
VIRTIO = "<target dev='vda' bus='virtio'/><readonly/><boot order='1'/>"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What firmware with the usual keys starts: a first program, and a boot loader."""
    if not Path("/usr/share/OVMF").is_dir():
        pytest.skip("ovmf is not installed")
    return media.signed(tmp_path_factory.mktemp("signed"))


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory, programs: tuple[Path, Path], small: small_guest.Guest) -> Path:
    """A system partition whose first program nobody has signed."""
    folder = tmp_path_factory.mktemp("unsigned")
    bare = media.unsigned(programs[0], folder / "first.efi")
    return media.system_partition(folder / "esp.img", small, bare, programs[1])


def uefi(name: str, firmware: str, disk: Path) -> str:
    return definition(name, firmware, image(disk, VIRTIO), extra=" firmware='efi'", memory=384)


def test_uefi_without_keys_boots_what_nobody_has_signed(
    connection: Connection, kinds: Kinds, unsigned: Path, small: small_guest.Guest
) -> None:
    with Machine(connection, uefi("uefi", NO_KEYS, unsigned), small) as machine:
        machine.booted()
        said = machine.run("[ -d /sys/firmware/efi ] && dmesg | grep -o 'secureboot.*'")
        assert "secureboot: Secure boot disabled" in said
        kinds.note("UEFI without secure boot", said, machine)
        plan = machine.domain.config(Which.LIVE).model.os
        assert plan is not None
        assert plan.nvram is not None
        variables, template = Path(plan.nvram), Path(plan.nvram_template or "")
        assert "Boot0001".encode("utf-16-le") in variables.read_bytes()
        assert "Boot0001".encode("utf-16-le") not in template.read_bytes()
    assert not variables.exists()


def test_uefi_with_keys_boots_what_is_signed_and_its_kernel_says_that_boot_is_secure(
    connection: Connection, kinds: Kinds, tmp_path: Path, programs: tuple[Path, Path], small: small_guest.Guest
) -> None:
    signed = media.system_partition(tmp_path / "esp.img", small, *programs)
    with Machine(connection, uefi("secure", KEYS, signed), small) as machine:
        machine.booted()
        said = machine.run("dmesg | grep -o 'secureboot.*'")
        assert "secureboot: Secure boot enabled" in said
        kinds.note("UEFI with secure boot", said, machine)


def test_uefi_with_keys_does_not_start_what_nobody_has_signed(
    connection: Connection, kinds: Kinds, unsigned: Path, small: small_guest.Guest
) -> None:
    with Machine(connection, uefi("refused", KEYS, unsigned), small) as machine:
        said = machine.watched().until("Access Denied").splitlines()[-1]
        assert said.startswith("BdsDxe: failed to load Boot0001")
        kinds.note("UEFI with secure boot, unsigned program", said, machine)
