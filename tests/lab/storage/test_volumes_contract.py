"""The contract suite's parts about volumes, on logical volumes of a far host, thick and thin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from anyvirt.api import Run
from anyvirt.testing.contract.removal import (
    test_a_deleted_volume_is_gone,  # noqa: F401
    test_a_volume_is_overwritten_before_it_is_gone,  # noqa: F401
)
from anyvirt.testing.contract.storage import pool  # noqa: F401
from anyvirt.testing.contract.transfers import (
    test_a_range_is_uploaded_and_its_neighbours_stay,  # noqa: F401
    test_holes_take_no_bytes_on_their_way_and_are_zeros_in_the_end,  # noqa: F401
    test_what_was_uploaded_is_downloaded,  # noqa: F401
    volume,  # noqa: F401
)
from anyvirt.testing.contract.volumes import (
    test_a_clone_has_the_content_and_is_its_own,  # noqa: F401
    test_a_clone_that_shares_blocks_is_whole_or_refused,  # noqa: F401
    test_a_taken_volume_name_is_refused,  # noqa: F401
    test_a_volume_does_not_shrink_unasked_or_below_nothing,  # noqa: F401
    test_a_volume_grows_and_shrinks_when_it_is_asked_to,  # noqa: F401
    test_a_volume_is_found_by_key_and_by_path_in_any_active_pool,  # noqa: F401
    test_a_volume_is_made_with_its_sizes,  # noqa: F401
    test_a_volume_whose_maker_was_killed_is_whole_or_not_there,  # noqa: F401
    test_a_volume_whose_making_was_cancelled_is_not_there,  # noqa: F401
    test_new_space_is_taken_at_once_where_that_is_asked_for,  # noqa: F401
    test_nothing_is_left_in_a_wiped_volume,  # noqa: F401
    test_sizes_are_the_same_in_info_and_description,  # noqa: F401
)

GROUP = "volumes"
DEVICE = "/dev/vdd"
RAW = "logical volumes are raw"
PLACE = "a device is written where it is, so nothing of an upload is kept apart"


@pytest.fixture
def cannot() -> Mapping[str, str]:
    formats = dict.fromkeys((f"volume_create.config={kind}" for kind in ("qcow2", "luks", "vmdk")), RAW)
    return {**formats, "volume_upload.resume": PLACE, "volume_unfinished": PLACE}


@pytest.fixture
def pool_xml(run: Run) -> Iterator[Callable[[str], str]]:
    assert run("vgcreate", "--yes", GROUP, DEVICE).code == 0
    thin = ("--type", "thin-pool", "--name", "thin", "--size", "128m")
    assert run("lvcreate", "--yes", *thin, GROUP).code == 0
    source = f"<source><device path='{DEVICE}'/><name >{GROUP}</name></source>"
    yield lambda name: f"<pool type='logical'><name>{name}</name>{source}</pool>"
    run("vgremove", "--force", "--yes", GROUP)
    run("wipefs", "--all", DEVICE)
