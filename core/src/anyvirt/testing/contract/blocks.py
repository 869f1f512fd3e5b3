"""Sizes of disks: what the guest sees, what the image occupies, where it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyvirt.client._generated_sync import Connection
from anyvirt.errors import Invalid
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import needs, proves


@proves("domain_block_info")
@needs("domain_define")
def test_a_stopped_guests_disk_has_its_three_sizes(
    connection: Connection, guests: Guests, disk_image: tuple[Path, int]
) -> None:
    path, capacity = disk_image
    info = connection.block_info(guests.stopped(disk=path), "vda")
    assert info.target == "vda"
    assert info.capacity == capacity
    assert info.physical == capacity
    assert info.allocation is not None
    assert 0 <= info.allocation <= capacity


@proves("domain_block_info")
@needs("domain_define", "domain_start")
def test_a_running_guests_disk_has_its_three_sizes(
    connection: Connection, guests: Guests, disk_image: tuple[Path, int]
) -> None:
    path, capacity = disk_image
    info = connection.block_info(guests.running(disk=path), "vda")
    assert (info.capacity, info.physical) == (capacity, capacity)
    assert info.allocation is not None


@proves("domain_block_info")
@needs("domain_define")
def test_a_disk_that_it_does_not_have_is_refused_and_those_that_it_has_are_named(
    connection: Connection, guests: Guests, disk_image: tuple[Path, int]
) -> None:
    domain = guests.stopped(disk=disk_image[0])
    with pytest.raises(Invalid, match="vdz") as refusal:
        connection.block_info(domain, "vdz")
    assert "vda" in refusal.value.hint


@proves("domain_block_info")
@needs("domain_define")
def test_a_guest_without_disks_has_no_sizes(connection: Connection, guests: Guests) -> None:
    domain = guests.stopped()
    assert list(connection.domain_block_info([domain])[domain.ref].get()) == []
