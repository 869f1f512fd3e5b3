"""Volumes that become links to files elsewhere between a look and the change: nothing elsewhere changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Busy, Output, Progress, Run, Secret
from anyvirt.transport.run import LocalRun
from anyvirt_host.storage.ground.folder import Folder
from anyvirt_host.storage.images.scrubbing import scrubbed
from anyvirt_host.storage.wish import Wish

CONTENT = b"of somebody else" * 512
Steps = Callable[[Folder], Generator[Progress, None, None] | None]


class Swapped:
    """Runs programs; before the first of them that changes the volume, somebody puts a link in its place."""

    far = False

    def __init__(self, run: Run, volume: Path, target: Path) -> None:
        self._run, self._volume, self._target = run, volume, target

    def __call__(self, *argv: str, input: Secret | str | bytes | None = None, **rest: Any) -> Output:  # noqa: A002
        if {"truncate", "fallocate", "cp"} & {*argv} and not self._volume.is_symlink():
            self._volume.unlink()
            self._volume.symlink_to(self._target)
        return self._run(*argv, input=input, **rest)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere"
    path.write_bytes(CONTENT)
    return path


def blanked(folder: Folder) -> Generator[Progress, None, None]:
    return folder.blank("disk", "f00d", Wish("disk", "raw", 4096, 0))


def trimmed(folder: Folder) -> Generator[Progress, None, None]:
    sight = folder.look("disk")
    assert sight is not None
    return scrubbed(folder._run, f"{folder.path}/disk", sight, "trim")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: folder.resize("disk", 512, allocate=False), id="shrink"),
        pytest.param(lambda folder: folder.resize("disk", 1 << 20, allocate=True), id="grow"),
        pytest.param(lambda folder: folder.settle("disk", 512), id="settle"),
        pytest.param(blanked, id="blank"),
        pytest.param(trimmed, id="trim"),
    ],
)
@pytest.mark.skipif(shutil.which("fallocate") is None, reason="fallocate is not installed")
def test_nothing_behind_a_link_is_changed(place: Path, elsewhere: Path, change: Steps) -> None:
    (place / "disk").write_bytes(bytes(8192))
    folder = Folder(str(place), Swapped(LocalRun(), place / "disk", elsewhere))
    blocks = elsewhere.stat().st_blocks
    with pytest.raises(Busy, match="replaced the file"):
        for _ in change(folder) or ():
            pass
    assert (place / "disk").is_symlink()
    assert elsewhere.read_bytes() == CONTENT
    assert elsewhere.stat().st_blocks == blocks
    assert os.listdir(place) == ["disk"]


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_tools_fill_the_draft_that_was_begun_whatever_takes_its_place(
    place: Path, elsewhere: Path, tmp_path: Path, kind: str
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("image", "pid", "told"):
        (trap / name).symlink_to(elsewhere)
    folder = Folder(str(place), LocalRun())
    draft = folder.draft("disk", "f00d")
    (hidden,) = place.iterdir()
    hidden.rename(tmp_path / "away")
    hidden.symlink_to(trap)
    try:
        assert len(list(draft.fill(Wish("disk", kind, 1 << 20, 0)))) > 1
    finally:
        draft.close()
    assert elsewhere.read_bytes() == CONTENT
    assert (tmp_path / "away" / "image").stat().st_size > 0
