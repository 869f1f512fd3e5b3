"""Guests of QEMU whose disks are units of a target, by the name of a volume of their pool."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anyvirt
import pytest
from anyvirt.auth import Secret
from anyvirt.client._generated_sync import Connection
from anyvirt.errors import Failed, Invalid, VirtError
from sector_stage import UP, boot_disk, read_until, sector_xml
from storage_stage.tgt import LOCKED, OPEN, PASSWORD, USER, Target

SECRET = "<secret private='yes'><usage type='iscsi'><target>anyvirt-lab</target></usage></secret>"
AUTH = f"<auth type='chap' username='{USER}'><secret usage='anyvirt-lab'/></auth>"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is missing")
    with anyvirt.open("qemu:///session", state_dir=tmp_path / "state") as opened:
        yield opened
        for domain in opened.domain_list():
            with suppress(VirtError):
                domain.destroy()


def booting(target: Target, iqn: str, tmp_path: Path) -> str:
    """A guest that boots from the second unit of a target, which gets the boot sector."""
    disk = boot_disk(tmp_path / "boot.img")
    with target.image(iqn, 2).open("r+b") as image:
        image.write(disk.read_bytes())
    source = "<source pool='disks' volume='unit:0:0:2'/>"
    return sector_xml(disk).replace("type='file'", "type='volume'", 1).replace(f"<source file='{disk}'/>", source)


@pytest.mark.parametrize("iqn", [OPEN, LOCKED])
def test_a_guest_boots_from_a_unit_with_the_password_of_its_pool(
    connection: Connection, target: Target, described: Callable[..., str], tmp_path: Path, iqn: str
) -> None:
    secret = connection.secret_define(SECRET)
    secret.set_value(Secret(PASSWORD))
    connection.pool_create(described("disks", iqn, AUTH if iqn == LOCKED else ""))
    domain = connection.domain_define(booting(target, iqn, tmp_path))
    plan = domain.plan()
    assert plan.blockers == ()
    assert PASSWORD not in repr(plan)
    domain.start()
    with domain.console() as stream:
        read_until(stream, UP)
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(PASSWORD.encode() in words for words in running)
    domain.destroy()
    if iqn == LOCKED:
        secret.set_value(Secret("fedcba9876543210"))
        with pytest.raises((Failed, Invalid)):
            domain.start()


def test_a_unit_that_is_not_there_is_refused_by_path(
    connection: Connection, target: Target, described: Callable[..., str], tmp_path: Path
) -> None:
    connection.pool_create(described("disks"))
    domain = connection.domain_define(booting(target, OPEN, tmp_path).replace("unit:0:0:2", "unit:0:0:77"))
    assert [one.path for one in domain.preflight()] == ["/devices/disk[vda]/source/@volume"]
