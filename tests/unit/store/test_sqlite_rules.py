"""The rules of the SQLite store that tests of its behaviour alone would not show."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Busy, Cancelled, Denied, StoreNewer, VirtError
from anyvirt.store.rows import Entry
from anyvirt.store.schema import OLDEST_WRITER, SCHEMA, TABLES
from anyvirt.store.sqlite import SqliteStore
from anyvirt.store.stops import STOPS, held

A = "11111111-1111-4111-8111-111111111111"
SCHEMA_1_DOCUMENT = "CREATE TABLE document(object INTEGER PRIMARY KEY, xml TEXT NOT NULL)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, "fake", boot="now")
    yield store
    store.close()


@pytest.fixture
def other(store: SqliteStore, path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else with the file open."""
    store.define("domain", A, "web", "<a/>")
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    yield connection
    connection.close()


def test_the_journal_is_a_write_ahead_log_and_every_commit_is_synced(
    store: SqliteStore, other: sqlite3.Connection
) -> None:
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    found = store._connections.read(lambda sql: sql.execute("PRAGMA synchronous").fetchone())
    assert found == (2,), "2 is FULL"


def test_every_commit_reaches_the_disk_with_fsync(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from anyvirt.store.sqlite import SqliteStore
store = SqliteStore(Path({str(tmp_path)!r}) / "store.db", "fake")
for number in range(20):
    store.define("domain", f"u{{number}}", f"vm{{number}}", "<a/>")
"""
    log = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", str(log)]
    try:
        done = subprocess.run([*strace, sys.executable, "-c", script], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    if done.returncode:
        pytest.skip(f"strace cannot trace here: {done.stderr[-200:]!r}")
    assert sum("store.db-wal" in line for line in log.read_text().splitlines()) >= 20


def test_a_writer_that_goes_on_makes_others_busy_at_their_deadline(
    store: SqliteStore, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with within(Deadline(0.4)), pytest.raises(Busy) as caught:
        store.define("domain", A, "web", "<b/>")
    assert 0.2 < time.monotonic() - began < 0.4, "said before the caller stops listening"
    assert caught.value.details["pid"] == os.getpid()
    assert str(os.getpid()) in caught.value.holder
    other.execute("ROLLBACK")
    store.define("domain", A, "web", "<b/>")


def test_a_wait_for_another_writer_can_be_cancelled(store: SqliteStore, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    deadline = Deadline(30)
    timer = threading.Timer(0.1, deadline.cancel)
    timer.start()
    began = time.monotonic()
    with within(deadline), pytest.raises(Cancelled):
        store.set_autostart("domain", A, on=True)
    timer.join()
    assert time.monotonic() - began < 5


def test_reads_do_not_wait_for_a_writer(store: SqliteStore, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE object SET name = 'changed'")
    with within(Deadline(0.5)):
        assert [row.name for row in store.rows("domain")] == ["web"]
        assert store.get("domain", A).xml == "<a/>"


def test_a_write_goes_on_as_soon_as_the_other_has_ended(store: SqliteStore, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    ended: list[float] = []

    def end() -> None:
        ended.append(time.monotonic())
        connection.rollback()

    connection = sqlite3.connect(store.path, isolation_level=None, timeout=0, check_same_thread=False)
    other.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, end)
    timer.start()
    with within(Deadline(10)):
        store.set_autostart("domain", A, on=True)
    timer.join()
    connection.close()
    assert time.monotonic() - ended[0] < 0.25


def test_a_newer_store_is_left_alone(store: SqliteStore, other: sqlite3.Connection, path: Path) -> None:
    other.execute("UPDATE meta SET value = '7' WHERE key = 'schema'")
    store.define("domain", A, "web", "<b/>")  # additive: its writers still welcome ours
    other.execute("UPDATE meta SET value = '7' WHERE key = 'oldest_writer'")
    with pytest.raises(StoreNewer) as caught:
        store.define("domain", A, "web", "<c/>")
    assert caught.value.details["needs"] == 7
    fresh = SqliteStore(path, "fake")
    with pytest.raises(StoreNewer, match="schema 7"):
        fresh.rows("domain")
    fresh.close()
    assert other.execute("SELECT xml FROM document").fetchone() == ("<b/>",)


def test_a_store_of_schema_1_is_brought_up_to_date_and_its_writers_stop(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = sqlite3.connect(path, isolation_level=None)
    for statement in (*(s for s in TABLES if "document" not in s), SCHEMA_1_DOCUMENT):
        old.execute(statement)
    old.executemany("INSERT INTO meta VALUES(?, ?)", [("schema", "1"), ("oldest_writer", "1"), ("store", "00")])
    old.execute("INSERT INTO object(id, driver, kind, uuid, name, at) VALUES(1, 'fake', 'domain', ?, 'web', 0)", (A,))
    old.execute("INSERT INTO document VALUES(1, '<a/>')")
    store = SqliteStore(path, "fake")
    assert [(row.name, row.xml, row.gist) for row in store.rows("domain", xml=True)] == [("web", "<a/>", "")]
    store.define("domain", A, "web", "<b/>", gist="of b")
    assert store.rows("domain", gist=True)[0].gist == "of b"
    meta = dict(old.execute("SELECT key, value FROM meta").fetchall())
    assert (int(meta["schema"]), int(meta["oldest_writer"])) == (SCHEMA, OLDEST_WRITER)
    store.close()
    old.close()


def test_columns_and_tables_that_a_newer_one_added_are_no_trouble(
    store: SqliteStore, other: sqlite3.Connection
) -> None:
    other.execute("ALTER TABLE object ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'")
    other.execute("ALTER TABLE event ADD COLUMN colour TEXT")
    other.execute("CREATE TABLE extra(id INTEGER)")
    store.define("domain", "b", "db", "<b/>", event=Entry("added"))
    store.define("domain", A, "web", "<new/>")
    assert [row.name for row in store.rows("domain")] == ["db", "web"]
    assert len(list(store.events())) == 1


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 300])
def test_a_file_that_is_no_store_says_so_with_a_way_out(store: SqliteStore, path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(VirtError) as caught:
        store.rows("domain")
    assert caught.value.code == "store.corrupt"
    assert str(path) in caught.value.hint
    assert path.read_bytes() == damage, "it is evidence"


def test_damage_in_the_middle_is_told_and_nothing_is_invented(store: SqliteStore, path: Path) -> None:
    for number in range(300):
        store.define("domain", f"u{number}", f"vm{number}", "<a>" + "x" * 2000 + "</a>")
    store.close()
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data)):
        data[at] = 0xA5
    path.write_bytes(bytes(data))
    with pytest.raises(VirtError) as caught:
        store.rows("domain")
    assert caught.value.code == "store.corrupt"


def test_a_folder_without_rights_is_denied(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        target = tmp_path / "gone" / "store.db"
        with pytest.raises(VirtError) as caught:
            SqliteStore(target, "fake").rows("domain")
        assert caught.value.code == "store.io"
        return
    tmp_path.chmod(0o500)
    with pytest.raises(Denied):
        SqliteStore(tmp_path / "store.db", "fake").rows("domain")


def test_a_store_that_was_replaced_is_opened_anew(store: SqliteStore, path: Path) -> None:
    store.define("domain", A, "web", "<a/>")
    for name in path.parent.iterdir():
        name.unlink()
    store.define("domain", A, "web", "<new/>")
    store.close()
    again = SqliteStore(path, "fake", boot="now")
    assert again.get("domain", A).xml == "<new/>"
    again.close()


def test_connections_are_kept_but_not_without_end(store: SqliteStore) -> None:
    store.define("domain", A, "web", "<a/>")
    threads = [threading.Thread(target=lambda: [store.rows("domain") for _ in range(50)]) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(store._connections._idle) <= 4


def test_a_forked_child_can_use_the_store_and_harms_nobody(store: SqliteStore) -> None:
    store.define("domain", A, "web", "<a/>")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            store.define("domain", "child", "child", "<c/>")
            store.close()
            status = 0
        finally:
            os._exit(status)
    for number in range(20):
        store.define("domain", f"u{number}", f"vm{number}", "<a/>")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(store.rows("domain")) == 22


def test_a_stop_signal_waits_for_the_end_of_a_transaction_in_a_single_thread() -> None:
    script = """
import os, signal, sys
from anyvirt.store.stops import held
with held():
    os.kill(os.getpid(), signal.SIGTSTP)
    print("finished", flush=True)
print("continued", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, process_group=0)
    assert process.stdout is not None
    assert process.stdout.readline() == "finished\n"
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    stopped = os.WIFSTOPPED(status)
    os.kill(process.pid, signal.SIGCONT)
    rest, _ = process.communicate(timeout=10)
    assert stopped, "it is stopped afterwards, as was asked"
    assert rest == "continued\n"


def test_a_stop_signal_to_a_process_of_many_threads_does_not_stop_it_in_a_transaction() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with held(), held():
            os.kill(os.getpid(), signal.SIGTSTP)  # would stop the tests
            time.sleep(0.01)
    finally:
        done.set()
        other.join()
    ignored = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "SigIgn" in line)[8:], 16)
    assert not any(ignored & 1 << number - 1 for number in STOPS), "all is as before"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_the_1000th_row_costs_no_more_than_a_few_microseconds_to_list(store: SqliteStore) -> None:
    plan = store._connections.read(
        lambda sql: sql.execute(
            "EXPLAIN QUERY PLAN SELECT name FROM object WHERE driver = 'x' AND kind = 'y' ORDER BY name"
        ).fetchall()
    )
    assert not any("TEMP B-TREE" in str(step) for step in plan), "sorted by its index"
