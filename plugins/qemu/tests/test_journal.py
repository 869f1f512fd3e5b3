"""The event journal: QEMU writes it, nobody need listen, and whoever reads it believes nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Deadline, Denied, Failed, Interrupted, NotFound, within
from anyvirt_qemu.qmp import journal
from anyvirt_qemu.qmp.journal import Entry, Reader, Tear
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.qmp.wire import Event
from hypothesis import given
from hypothesis import strategies as st

LINE = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n'
STOP = Event("STOP", {}, 1_000_002_000)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def read_all(data: bytes, *, offset: int = 0, pieces: int = 7) -> list[Entry]:
    reader = Reader(offset)
    entries = [entry for at in range(0, len(data), pieces) for entry in reader.feed(data[at : at + pieces])]
    return entries + list(reader.finish())


def test_events_that_nobody_waited_for_are_read_afterwards_and_the_last_word_too(paused: Callable[..., Any]) -> None:
    guest = paused()
    with Monitor(guest.run.place("ctl"), "web") as monitor:
        for name in ("cont", "stop", "quit"):
            monitor.execute(name)
    assert guest.process.wait(10)
    fd = journal.open_out(guest.run.q)
    entries = list(journal.read(fd, ended=True))
    assert [entry.what.name for entry in entries if isinstance(entry.what, Event)] == ["RESUME", "STOP", "SHUTDOWN"]
    assert next(journal.read(fd, entries[0].after)) == entries[1]
    last = journal.last_shutdown(fd)
    assert last is not None
    assert last.data["reason"] == "host-qmp-quit"
    os.close(fd)


def test_a_killed_qemu_has_left_no_last_word(paused: Callable[..., Any]) -> None:
    guest = paused()
    Monitor(guest.run.place("ctl"), "web").close()
    guest.process.signal(signal.SIGKILL)
    assert guest.process.wait(10)
    fd = journal.open_out(guest.run.q)
    assert journal.last_shutdown(fd) is None
    os.close(fd)


def test_every_follower_sees_each_event_as_it_happens_until_the_end(paused: Callable[..., Any]) -> None:
    guest = paused()
    seen: dict[int, list[tuple[str, float]]] = {0: [], 1: []}

    def watch(number: int) -> None:
        fd, pidfd = journal.open_out(guest.run.q), os.pidfd_open(guest.process.pid)
        for entry in journal.follow(fd, until=pidfd):
            assert isinstance(entry.what, Event)
            seen[number].append((entry.what.name, time.time() - (entry.what.at or 0) / 1e9))
        os.close(fd)
        os.close(pidfd)

    watchers = [threading.Thread(target=watch, args=(number,)) for number in seen]
    for watcher in watchers:
        watcher.start()
    with Monitor(guest.run.place("ctl"), "web") as monitor:
        for name in ("cont", "stop", "quit"):
            monitor.execute(name)
    for watcher in watchers:
        watcher.join(10)
    assert [name for name, _ in seen[0]] == ["RESUME", "STOP", "SHUTDOWN"]
    assert [name for name, _ in seen[1]] == ["RESUME", "STOP", "SHUTDOWN"]
    assert max(late for _, late in seen[0]) < 2


def test_following_ends_at_the_deadline(folder: int) -> None:
    journal.prepare(folder)
    fd = journal.open_out(folder)
    with within(Deadline(0.1)), pytest.raises(Interrupted):
        next(journal.follow(fd))
    os.close(fd)


def test_the_files_are_private_and_made_once(folder: int, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal.prepare(folder)
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"ev.in": 0o600, "ev.out": 0o600}
    with pytest.raises(Failed):
        journal.prepare(folder)


def test_a_path_with_a_comma_or_a_blank_reaches_qemu_whole(folder: int) -> None:
    assert journal.options("/a,b c")[1] == "pipe,id=ev,path=/a,,b c/ev"
    with pytest.raises(Failed):
        journal.options("/a\nb")


def test_whole_lines_are_events_with_the_offset_to_go_on_from() -> None:
    assert read_all(LINE * 2) == [Entry(STOP, len(LINE)), Entry(STOP, 2 * len(LINE))]
    greeting = b'{"QMP": {}}\r\n{"return": {}}\r\n'
    assert read_all(greeting + LINE) == [Entry(STOP, len(greeting + LINE))]


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        (LINE + LINE[:20], ["torn line"]),
        (LINE + LINE[:20] + LINE, ["torn line"]),
        (b"\0" * 5000 + LINE, ["truncated"]),
        (LINE + b"\0" * 10 + LINE, ["truncated"]),
        (b"rubbish\n" + LINE, ["torn line"]),
        (b"[1]\n" + LINE, ["torn line"]),
        (b"\xff\xfe\n" + LINE, ["torn line"]),
        (b'{"event": 1}\n' + LINE, ["torn line"]),
        (b"[" * 100_000 + b"\n" + LINE, ["torn line"]),
        (b"x" * (journal.LINE_MAX * 2) + b"\n" + LINE, ["torn line"]),
        (b"\r\n\n" + LINE, []),
    ],
    ids=["half", "overwritten", "hole", "hole between", "rubbish", "list", "no UTF-8", "name", "deep", "long", "blank"],
)
def test_what_cannot_be_an_event_is_a_tear_and_what_follows_is_read(data: bytes, reasons: list[str]) -> None:
    entries = read_all(data, pieces=4096)
    assert [entry.what.reason for entry in entries if isinstance(entry.what, Tear)] == reasons
    events = [entry for entry in entries if isinstance(entry.what, Event)]
    if not data.endswith(LINE[:20]):
        assert events[-1] == Entry(STOP, len(data)) or reasons == ["torn line"]


@given(st.binary(max_size=200), st.integers(1, 50))
def test_no_bytes_break_the_reader_and_it_goes_on_behind_them(data: bytes, pieces: int) -> None:
    entries = read_all(data + b"\n" + LINE, pieces=pieces)
    assert entries[-1] == Entry(STOP, len(data) + 1 + len(LINE))


def test_a_file_cut_below_the_offset_is_a_tear(folder: int, tmp_path: Path) -> None:
    journal.prepare(folder)
    (tmp_path / "ev.out").write_bytes(LINE)
    fd = journal.open_out(folder)
    assert list(journal.read(fd, 10_000)) == [Entry(Tear("truncated"), len(LINE))]
    os.close(fd)


def test_a_journal_that_grew_without_bounds_is_read_from_near_its_end(folder: int, tmp_path: Path) -> None:
    journal.prepare(folder)
    with (tmp_path / "ev.out").open("r+b") as file:
        file.truncate(journal.SIZE_MAX * 4)
        file.seek(journal.SIZE_MAX * 4)
        file.write(b"\n" + LINE)
    fd = journal.open_out(folder)
    began = time.monotonic()
    entries = list(journal.read(fd))
    assert entries[0].what == Tear("truncated")
    assert entries[-1].what == STOP
    assert time.monotonic() - began < 10
    os.close(fd)


def plant_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def plant_fifo(path: Path) -> None:
    os.mkfifo(path)


def plant_folder(path: Path) -> None:
    path.mkdir()


def plant_second_name(path: Path) -> None:
    path.write_bytes(LINE)
    path.with_name("other").hardlink_to(path)


@pytest.mark.parametrize("plant", [plant_link, plant_fifo, plant_folder, plant_second_name])
def test_what_a_guests_user_put_in_its_place_is_not_read(
    folder: int, tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    plant(tmp_path / "ev.out")
    with pytest.raises(Denied, match=r"ev\.out"):
        journal.open_out(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="root: giving files away")
def test_a_journal_of_another_user_is_not_read_unless_it_is_that_users(folder: int) -> None:
    journal.prepare(folder, uid=65534, gid=65534)
    with pytest.raises(Denied, match="65534"):
        journal.open_out(folder)
    os.close(journal.open_out(folder, uid=65534))


def test_no_journal_is_not_found(folder: int) -> None:
    with pytest.raises(NotFound):
        journal.open_out(folder)
