"""Kinds of pools that take a kernel or a server of their own, against what real tools said in the lab."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyvirt.testing.recorded import recorded
from storage_scenes import SCENES

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.txt"))


def scene_of(path: Path) -> str:
    return max((name for name in SCENES if path.stem.startswith(f"{name}-")), key=len)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_what_the_tools_said_is_understood_without_them(path: Path) -> None:
    run = recorded(path)
    SCENES[scene_of(path)](run)
    assert run.unasked == []


def test_every_scene_was_recorded() -> None:
    assert {scene_of(path) for path in RECORDED} == set(SCENES)
