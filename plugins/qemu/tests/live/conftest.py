"""Guests that run a boot sector of ours, through the driver's front door."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, VirtError, open  # noqa: A004
from anyvirt_qemu.site import Site
from sector_stage import boot_disk, sector_xml


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """A connection of its own state; whatever runs at the end is destroyed."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is missing")
    with open("qemu:///session", state_dir=tmp_path / "state") as made:
        yield made
        for domain in made.domain_list():
            with suppress(VirtError):
                domain.destroy()


@pytest.fixture
def site(connection: Connection) -> Site:
    """The driver's own view of the same guests, to look behind the front door."""
    held: Any = connection
    plugin = held.session.members[0].plugin
    found = plugin._site
    assert isinstance(found, Site)
    return found


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk with the boot sector."""
    return boot_disk(tmp_path / "boot.img")


@pytest.fixture
def xml(disk: Path) -> Callable[..., str]:
    """Definitions of a guest that boots the sector: ``xml("name", more_devices, serial=..., vcpus=...)``."""
    return partial(sector_xml, disk)
