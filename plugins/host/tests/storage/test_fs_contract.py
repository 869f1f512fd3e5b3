"""The contract suite's part about pools, of the type fs: ext4, xfs and btrfs in images, through loop devices.

Of what is the same for every folder only what a file system has a say in is tried again; a lab of its own tries all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from anyvirt.testing.contract.storage import *  # noqa: F403
from anyvirt.testing.contract.transfers import volume  # noqa: F401
from anyvirt.testing.contract.volumes import (
    test_a_clone_that_shares_blocks_is_whole_or_refused,  # noqa: F401
    test_a_volume_grows_and_shrinks_when_it_is_asked_to,  # noqa: F401
    test_new_space_is_taken_at_once_where_that_is_asked_for,  # noqa: F401
    test_sizes_are_the_same_in_info_and_description,  # noqa: F401
)
from storage_stage import mounted

pytestmark = mounted.MARKS
EVERYWHERE = ("active_between", "shares_blocks", "grows", "new_space", "sizes", "removed_and_built", "refreshed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fs_kind" in metafunc.fixturenames:
        everywhere = any(word in metafunc.function.__name__ for word in EVERYWHERE)
        metafunc.parametrize("fs_kind", ["ext4", "xfs", "btrfs"] if everywhere else ["ext4"], indirect=True)


@pytest.fixture
def pool_xml(fs_xml: Callable[[str], str]) -> Callable[[str], str]:
    return fs_xml


@pytest.fixture
def cannot(fs_kind: str) -> Mapping[str, str]:
    return mounted.UNBUILT if fs_kind == "btrfs" else {}
