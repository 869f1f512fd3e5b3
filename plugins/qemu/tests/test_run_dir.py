"""The directory of a run, whose inner part belongs to an enemy; and ending the process in it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Denied, Exists, NotFound
from anyvirt_qemu import process
from anyvirt_qemu.run_dir import RunDir


def test_it_is_made_private_whatever_the_umask(tmp_path: Path) -> None:
    for mask in (0, 0o777):
        before = os.umask(mask)
        try:
            RunDir.create(tmp_path, f"run{mask}").close()
        finally:
            os.umask(before)
        assert (tmp_path / f"run{mask}").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / f"run{mask}/q").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="root: giving files away")
def test_another_users_part_is_reached_through_ours_without_listing_it(tmp_path: Path) -> None:
    RunDir.create(tmp_path, "run", uid=65534, gid=65534).close()
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o711
    assert (tmp_path / "run/q").stat().st_uid == 65534


def test_it_is_made_once_and_found_by_name(tmp_path: Path) -> None:
    RunDir.create(tmp_path, "run").close()
    with pytest.raises(Exists):
        RunDir.create(tmp_path, "run")
    with pytest.raises(NotFound):
        RunDir.open(tmp_path, "other")
    (tmp_path / "link").symlink_to("run")
    with pytest.raises(Exception, match="link"):
        RunDir.open(tmp_path, "link")


def test_files_are_written_whole_and_private(tmp_path: Path) -> None:
    with RunDir.create(tmp_path, "run") as run:
        assert run.read("status.json") is None
        run.write("status.json", b"1" * 100_000)
        run.write("status.json", b"2")
        assert run.read("status.json") == b"2"
        assert (tmp_path / "run/status.json").stat().st_mode & 0o777 == 0o600
        assert sorted(os.listdir(run.fd)) == ["q", "status.json"]


def test_a_log_that_is_a_link_or_a_fifo_is_not_read(tmp_path: Path) -> None:
    with RunDir.create(tmp_path, "run") as run:
        (tmp_path / "run/q/log").symlink_to("/etc/passwd")
        assert run.log_tail("log") == ""
        os.mkfifo(tmp_path / "run/q/fifo")
        assert run.log_tail("fifo") == ""
        (tmp_path / "run/q/real").write_text("0123456789")
        assert run.log_tail("real", 4) == "456789"
        assert run.log_tail("real", 0, 3) == "789"


def test_removing_takes_links_away_and_not_what_they_point_to(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    with RunDir.create(tmp_path, "run") as run:
        (tmp_path / "run/q/link").symlink_to(victim)
        (tmp_path / "run/q/deep/er").mkdir(parents=True)
        (tmp_path / "run/q/deep/er/file").touch()
        run.listen("ctl").close()
        run.remove()
        run.remove()
    assert not (tmp_path / "run").exists()
    assert (victim / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root: giving files away")
def test_a_run_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    RunDir.create(tmp_path, "run").close()
    os.chown(tmp_path / "run", 65534, 65534)
    with pytest.raises(Denied):
        RunDir.open(tmp_path, "run")


def test_a_qemu_is_ended_by_a_word_and_a_stopped_one_too(paused: Callable[..., Any]) -> None:
    first, second = paused(), paused()
    began = time.monotonic()
    assert process.end(first.process, "web")
    second.process.signal(signal.SIGSTOP)
    assert process.end(second.process, "web")
    assert time.monotonic() - began < 10
    assert process.end(first.process, "web")
    assert first.process.alive() is False
    assert second.process.alive() is False
