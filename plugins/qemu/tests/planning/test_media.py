"""What this host has of the storage that a definition names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anyvirt.api import Domain, parse
from anyvirt_qemu.readiness import media

Guest = Callable[..., str]
DISK = (
    "<disk type='file' device='{}'><source file='{}' startupPolicy='{}'/>"
    "<backingStore/><target dev='{}' bus='sata'/></disk>"
)


def test_a_missing_image_that_may_be_missing_leaves_an_empty_drive_or_no_disk(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    text = guest(
        DISK.format("cdrom", tmp_path / "gone", "optional", "sda")
        + DISK.format("disk", tmp_path / "gone", "optional", "sdb")
        + DISK.format("cdrom", tmp_path / "there", "optional", "sdc")
        + DISK.format("cdrom", tmp_path / "gone", "requisite", "sdd")
    )
    domain, told = media.present(parse(text, Domain))
    assert [(disk.target, disk.source is not None) for disk in domain.disks] == [
        ("sda", False),
        ("sdc", True),
        ("sdd", True),
    ]
    assert len(told) == 2
    assert "sdb" in told[1]


def test_a_definition_whose_images_are_there_stays_as_it_is(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    domain = parse(guest(DISK.format("cdrom", tmp_path / "there", "optional", "sda")), Domain)
    assert media.present(domain) == (domain, [])


def test_scsi_units_are_found_by_their_place(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "2:0:3:1" / "scsi_generic" / "sg5").mkdir(parents=True)
    unit = (
        "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host{}'/>"
        "<address bus='0' target='3' unit='1'/></source></hostdev>"
    )
    domain = parse(guest(unit.format(2) + unit.format(3)), Domain)
    assert media.generics(domain, tmp_path) == {"2:0:3:1": "/dev/sg5"}
