"""Following files as they grow."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import Cancelled, Deadline, Interrupted, within
from anyvirt_host.local.follow import Watch, follow


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    fd = os.open(path, os.O_RDONLY)
    yield path, fd
    os.close(fd)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as out:
        out.write(data)


def test_what_is_there_comes_first_and_then_what_is_appended(file: tuple[Path, int]) -> None:
    path, fd = file
    pieces = follow(fd, 1)
    assert next(pieces) == b"ld"
    threading.Timer(0.05, append, (path, b"new")).start()
    with within(Deadline(5)):
        assert next(pieces) == b"new"
    pieces.close()


def test_the_deadline_ends_the_wait(file: tuple[Path, int]) -> None:
    pieces = follow(file[1], 3)
    began = time.monotonic()
    with within(Deadline(0.1)), pytest.raises(Interrupted, match="deadline"):
        next(pieces)
    assert 0.05 < time.monotonic() - began < 2


def test_a_cancel_ends_the_wait(file: tuple[Path, int]) -> None:
    pieces = follow(file[1], 3)
    deadline = Deadline(None)
    threading.Timer(0.05, deadline.cancel).start()
    with within(deadline), pytest.raises(Cancelled):
        next(pieces)


def test_a_file_that_was_cut_says_so_and_goes_on_from_its_new_end(file: tuple[Path, int]) -> None:
    path, fd = file
    pieces = follow(fd, 0)
    assert next(pieces) == b"old"
    os.truncate(path, 1)
    assert next(pieces) == b""
    append(path, b"X")
    assert next(pieces) == b"X"
    pieces.close()


def test_the_end_of_the_writer_ends_it_after_the_last_byte(file: tuple[Path, int]) -> None:
    path, fd = file
    with subprocess.Popen([shutil.which("sh") or "", "-c", f"sleep 0.1; printf last >> '{path}'"]) as writer:
        pidfd = os.pidfd_open(writer.pid)
        with within(Deadline(10)):
            assert b"".join(follow(fd, 0, until=pidfd)) == b"oldlast"
        os.close(pidfd)


def test_one_watch_tells_which_of_many_files_grew_and_which_folder_got_a_name(tmp_path: Path) -> None:
    paths = {key: tmp_path / key for key in "abc"}
    for path in paths.values():
        path.write_bytes(b"")
    fds = {key: os.open(path, os.O_RDONLY) for key, path in paths.items()}
    (tmp_path / "inner").mkdir()
    fds["folder"] = os.open(tmp_path / "inner", os.O_RDONLY)
    try:
        with Watch() as watch:
            for key in "abc":
                watch.file(key, fds[key])
            watch.directory("folder", fds["folder"])
            append(paths["b"], b"1")
            assert watch.wait(5) == {"b"}
            append(paths["a"], b"1")
            (tmp_path / "inner/new").touch()
            assert watch.wait(5) == {"a", "folder"}
            watch.forget("a")
            append(paths["a"], b"1")
            assert watch.wait(0.05) == set()
            threading.Timer(0.05, watch.wake).start()
            assert watch.wait(5) == set()
    finally:
        for fd in fds.values():
            os.close(fd)


def test_a_closed_watch_wakes_nobody_and_writes_to_no_file_that_has_its_number_now(tmp_path: Path) -> None:
    watch = Watch()
    watch.close()
    path = tmp_path / "later"
    fds = [os.open(path, os.O_WRONLY | os.O_CREAT) for _ in range(4)]  # take the numbers that were the watch's
    watch.wake()
    for fd in fds:
        os.close(fd)
    assert path.read_bytes() == b""
