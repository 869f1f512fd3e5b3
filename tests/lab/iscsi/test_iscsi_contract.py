"""The contract suite on pools of the type iscsi-direct, with a real target behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from anyvirt.testing.contract.storage import *  # noqa: F403
from anyvirt.testing.contract.transfers import *  # noqa: F403
from anyvirt.testing.contract.volumes import *  # noqa: F403
from storage_stage.tgt import OPEN, SIZES, Target

ELSEWHERE = "the units of a target are made and removed on its server"
PLACE = "a unit is written where it is, so nothing of an upload is kept apart"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def patience() -> float:
    return 30.0


@pytest.fixture
def cannot() -> Mapping[str, str]:
    lacking = ("pool_build", "pool_delete", "volume_create", "volume_delete", "volume_create_from", "volume_resize")
    return {
        **dict.fromkeys(lacking, ELSEWHERE),
        "volume_upload.resume": PLACE,
        "volume_unfinished": PLACE,
    }


@pytest.fixture
def ledger() -> Mapping[str, tuple[str, str]]:
    cases = ("test_more_than_there_is_room_for_changes_nothing", "test_broken_records_change_nothing[data]")
    return dict.fromkeys(cases, ("unsupported", PLACE))


@pytest.fixture
def pool_xml(target: Target, described: Callable[..., str]) -> Callable[[str], str]:
    for lun in SIZES:
        target.fresh(OPEN, lun)
    return described
