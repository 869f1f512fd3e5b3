"""The contract suite on pools of the type fs: ext4, xfs and btrfs in image files, mounted through loop devices."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from anyvirt.testing.contract.storage import *  # noqa: F403

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file system is mounted"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")
        for tool in ("mkfs.ext4", "findmnt", "blkid")
    ),
]


@pytest.fixture(params=["ext4", "xfs", "btrfs"])
def fs_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool_xml(fs_xml: Callable[[str], str]) -> Callable[[str], str]:
    return fs_xml
