"""A part of the contract suite on units that are made elsewhere: of an iSCSI target, an adapter, over several paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from anyvirt.testing.contract.storage import pool, test_a_pool_is_active_between_start_and_stop  # noqa: F401
from anyvirt.testing.contract.transfers import (
    test_what_was_uploaded_is_downloaded,  # noqa: F401
    volume,  # noqa: F401
)
from storage_scenes import target_xml

ELSEWHERE = "such units are made and removed elsewhere"
PLACE = "<parentaddr unique_id='0'><address domain='0x0000' bus='0x00' slot='0x08' function='0x0'/></parentaddr>"
XML = {
    "iscsi": target_xml("iqn.2026-01.test:store").replace("<name>t</name>", "<name>NAME</name>"),
    "scsi": (
        f"<pool type='scsi'><name>NAME</name><source><adapter type='scsi_host'>{PLACE}</adapter></source>"
        "<target><path>/dev/disk/by-path</path></target></pool>"
    ),
    "mpath": "<pool type='mpath'><name>NAME</name><target><path>/dev/mapper</path></target></pool>",
}


@pytest.fixture
def cannot() -> Mapping[str, str]:
    lacking = ("pool_build", "pool_delete", "volume_create", "volume_delete", "volume_create_from", "volume_resize")
    return dict.fromkeys((*lacking, "volume_upload.resume", "volume_unfinished"), ELSEWHERE)


@pytest.fixture(params=XML)
def pool_xml(request: pytest.FixtureRequest) -> Callable[[str], str]:
    return lambda name: XML[request.param].replace("NAME", name)
