"""No room left where state is kept: refused with a code, nothing half-done, and all well again with room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import State, VirtError
from anyvirt.client._generated_sync import Connection
from qemu_stage.scene import Scene

BLOCK = 4096


@pytest.fixture
def small_disk(scene: Scene) -> Iterator[Path]:
    """The scene's state on a file system of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    scene.state.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "anyvirt-test", scene.state], check=True)
    yield scene.state
    scene.end()
    subprocess.run(["umount", "--lazy", scene.state], check=True)


def filled(disk: Path, free: int = 0) -> Path:
    """Fill it, but for some blocks."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(BLOCK)):
                continue
        except OSError:
            ballast.truncate(max(0, ballast.tell() // BLOCK - free) * BLOCK)
    return path


def define_many(scene: Scene, connection: Connection) -> None:
    """Until there is no room; the store may have some inside itself."""
    for number in range(64):
        connection.domain_define(scene.xml(f"new{number}"))


def test_define_and_start_on_a_full_disk_are_refused_and_nothing_is_half_done(scene: Scene, small_disk: Path) -> None:
    with scene.open() as connection:
        kept = connection.domain_define(scene.xml("kept"))
        kept.start()
        kept.destroy()
        ballast = filled(small_disk)
        with pytest.raises(VirtError) as defining:
            define_many(scene, connection)
        with pytest.raises(VirtError) as starting:
            kept.start()
        for error in (defining.value, starting.value):
            assert "room" in f"{error} {error.hint}" or "full" in str(error), error
        assert kept.state().state is State.SHUTOFF
        scene.agree(connection)
        ballast.unlink()
        assert connection.domain_define(scene.xml("later")).state().state is State.SHUTOFF
        kept.start()
        scene.agree(connection)
        kept.destroy()


def test_whatever_room_is_left_a_start_works_or_leaves_nothing(scene: Scene, small_disk: Path) -> None:
    started = 0
    with scene.open() as connection:
        kept = connection.domain_define(scene.xml("kept"))
        kept.start()
        kept.destroy()
        for free in range(1, 20, 2):
            ballast = filled(small_disk, free)
            try:
                kept.start()
                started += 1
                scene.agree(connection)
            except VirtError:
                assert kept.state().state is State.SHUTOFF
                assert not scene.qemus()
                assert not scene.taps()
            if kept.state().state is not State.SHUTOFF:
                try:
                    kept.destroy()
                except VirtError:  # its end cannot be written down; with room it is
                    ballast.unlink()
                    connection.recover()
                    assert kept.state().state is State.SHUTOFF
            ballast.unlink(missing_ok=True)
            connection.recover()
            scene.agree(connection)
        assert started, "some of it was room enough"
