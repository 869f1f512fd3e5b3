"""A full disk and a torn journal: coded errors, nothing half-done, nothing acknowledged lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.errors import VirtError
from anyvirt.locks import Locks
from anyvirt.store.contract import Store
from anyvirt.store.files import FileStore
from anyvirt.store.rows import Entry, LogGap
from anyvirt.store.sqlite import SqliteStore


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small tmpfs needs root and mount: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def opened(backend: str, folder: Path) -> Store:
    if backend == "sqlite":
        return SqliteStore(folder / "store.db", "fake", boot="now")
    (folder / "locks").mkdir(exist_ok=True)
    return FileStore.local(folder / "fake", "fake", Locks(folder / "locks").lock("store-fake"), boot="now")


def filled(folder: Path) -> Path:
    """Take what is left of the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def until_full(act: Callable[[int], object]) -> list[int]:
    """Act again and again until the disk is full: the numbers that were acknowledged before."""
    done: list[int] = []
    for number in range(3000):
        try:
            act(number)
        except VirtError as error:
            assert error.code == "store.full"  # noqa: PT017 - any other error is none of this test
            return done
        done.append(number)
    pytest.fail("the disk never became full")


@pytest.mark.parametrize("backend", ["sqlite", "files"])
def test_a_full_disk_is_a_coded_error_and_nothing_is_half_done(backend: str, small: Path) -> None:
    store = opened(backend, small)

    def define(number: int) -> None:
        xml = f"<a>{number}{'x' * 9000}</a>"
        store.define("domain", f"u{number}", f"vm{number}", xml, event=Entry(f"e{number}"))

    done = until_full(define)
    assert len(done) > 5
    rows = {row.name: row.xml for row in store.rows("domain", xml=True)}
    assert rows == {f"vm{number}": f"<a>{number}{'x' * 9000}</a>" for number in done}
    told = [item.kind for item in store.events() if isinstance(item, Entry)]
    assert told == [f"e{number}" for number in done]
    store.close()


@pytest.mark.parametrize("backend", ["sqlite", "files"])
def test_a_full_disk_keeps_the_old_document_and_works_again_with_room(backend: str, small: Path) -> None:
    store = opened(backend, small)
    documents = ["<old/>"]
    store.define("domain", "u", "web", documents[0])
    ballast = filled(small)

    def define(number: int) -> None:
        store.define("domain", "u", "web", f"<new>{number}{'x' * 60_000}</new>")
        documents.append(f"<new>{number}{'x' * 60_000}</new>")

    until_full(define)  # a journal may have some room of its own
    assert store.get("domain", "u").xml == documents[-1]
    ballast.unlink()
    store.define("domain", "u", "web", "<newer/>")
    assert store.get("domain", "u").xml == "<newer/>"
    store.close()


@pytest.mark.parametrize("backend", ["sqlite", "files"])
def test_events_that_a_full_disk_swallowed_are_a_gap_for_every_reader(backend: str, small: Path) -> None:
    store = opened(backend, small)
    store.define("domain", "u", "web", "<a/>", event=Entry("one"))
    tokens = [store.token()]
    ballast = filled(small)
    until_full(lambda _: tokens.append(store.append([Entry("lost", detail={"text": "x" * 5000})])))
    ballast.unlink()
    last = store.append(Entry("two"))
    again = opened(backend, small)
    found = list(again.events(tokens[-1]))
    assert [item.reason if isinstance(item, LogGap) else item.kind for item in found] == ["no room", "two"]
    assert list(again.events(found[-1].token)) == []
    assert list(again.events(last)) == []
    again.close()
    store.close()


@pytest.mark.parametrize("backend", ["sqlite", "files"])
def test_a_store_cannot_begin_on_a_full_disk_and_begins_once_there_is_room(backend: str, small: Path) -> None:
    ballast = filled(small)
    with pytest.raises((VirtError, OSError)) as caught:
        opened(backend, small).define("domain", "u", "web", "<a/>")
    assert getattr(caught.value, "code", "store.full") == "store.full"
    ballast.unlink()
    store = opened(backend, small)
    store.define("domain", "u", "web", "<a/>")
    assert [row.name for row in store.rows("domain")] == ["web"]
    store.close()


WRITER = """
import os, sys
from pathlib import Path
from anyvirt.store.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), "fake", boot="now")
for number in range(40):
    store.define("domain", f"u{number}", f"vm{number}", "<a>" + "x" * 3000 + "</a>")
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A store whose only writer was killed, with all it wrote in the journal."""
    path = tmp_path / "store.db"
    subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False)
    assert Path(f"{path}-wal").stat().st_size > 40 * 3000
    return path


def test_a_journal_that_a_killed_writer_left_is_played_back(crashed: Path) -> None:
    store = SqliteStore(crashed, "fake", boot="now")
    assert len(store.rows("domain")) == 40
    store.close()


@pytest.mark.parametrize("cut", [1, 17, 4096, 9000, 40_000])
def test_a_torn_journal_gives_the_changes_before_the_tear_whole(crashed: Path, cut: int) -> None:
    journal = Path(f"{crashed}-wal")
    os.truncate(journal, journal.stat().st_size - cut)
    Path(f"{crashed}-shm").unlink()
    store = SqliteStore(crashed, "fake", boot="now")
    rows = store.rows("domain", xml=True)
    assert 20 < len(rows) < 40
    assert {row.name for row in rows} == {f"vm{number}" for number in range(len(rows))}
    assert {row.xml for row in rows} == {"<a>" + "x" * 3000 + "</a>"}
    store.define("domain", "after", "after", "<a/>")
    store.close()


def test_rubbish_at_the_end_of_a_journal_is_no_change(crashed: Path) -> None:
    with Path(f"{crashed}-wal").open("ab") as file:
        file.write(b"\0" * 5000 + b"\xff" * 5000)
    Path(f"{crashed}-shm").unlink()
    store = SqliteStore(crashed, "fake", boot="now")
    assert len(store.rows("domain")) == 40
    store.close()


def test_a_copy_of_the_files_is_a_store_of_its_own_place(crashed: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{crashed}{suffix}", tmp_path / "copy")
    store = SqliteStore(tmp_path / "copy/store.db", "fake", boot="now")
    assert len(store.rows("domain")) == 40
    store.close()
