"""The contract suite on pools of the type disk: partitions of a loop device, whose nodes are made one by one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from anyvirt.testing.contract.removal import *  # noqa: F403
from anyvirt.testing.contract.storage import *  # noqa: F403
from anyvirt.testing.contract.transfers import *  # noqa: F403
from anyvirt.testing.contract.volumes import *  # noqa: F403

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: partitions are made"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")
        for tool in ("sfdisk", "lsblk", "losetup", "addpart")
    ),
]
PLACE = "a partition is written where it is, so nothing of an upload is kept apart"


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "storage:///session"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def cannot() -> Mapping[str, str]:
    formats = (f"volume_create.config={kind}" for kind in ("qcow2", "luks", "vmdk"))
    return {
        **dict.fromkeys(formats, "partitions are no images"),
        "volume_upload.resume": PLACE,
        "volume_unfinished": PLACE,
        "volume_delete.trash": "a partition that stays takes its place on the disk",
        "pool_trash": "a partition that stays takes its place on the disk",
        "volume_create_from.config": "partitions are no images",
    }


@pytest.fixture
def ledger() -> Mapping[str, tuple[str, str]]:
    cases = ("test_more_than_there_is_room_for_changes_nothing", "test_broken_records_change_nothing[data]")
    return dict.fromkeys(cases, ("unsupported", PLACE))


@pytest.fixture
def volume_name(device: Path) -> Callable[[int], str]:
    return lambda number: f"{device.name}p{number}"


@pytest.fixture
def volume_xml(volume_xml: Callable[..., str]) -> Callable[..., str]:
    return lambda *words, **wishes: volume_xml(*words, **wishes).replace("'raw'", "'linux'")


@pytest.fixture
def pool_xml(device: Path, table: Callable[[str], None]) -> Callable[[str], str]:
    table("gpt")
    return lambda name: (
        f"<pool type='disk'><name>{name}</name><source><device path='{device}'/><format type='gpt'/></source>"
        "<target><path>/dev</path></target></pool>"
    )
