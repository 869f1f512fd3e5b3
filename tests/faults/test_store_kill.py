"""Writers that are killed with -9 again and again: what was acknowledged is there, and all agrees."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from anyvirt.locks import Locks
from anyvirt.store.contract import Store
from anyvirt.store.files import FileStore
from anyvirt.store.rows import Entry, LogGap
from anyvirt.store.sqlite import SqliteStore

KILLS = int(os.environ.get("ANYVIRT_TEST_KILLS", "30"))
WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_store_kill import opened
from anyvirt.store.rows import Entry

store, who, number = opened(sys.argv[2], Path(sys.argv[3])), sys.argv[4], int(sys.argv[5])
while True:
    name = f"{who}-{number}"
    done = store.define("domain", f"u-{name}", name, "<domain>" + name * 200 + "</domain>", event=Entry(name))
    print(number, flush=True)
    if number % 7 == 0:
        store.rename("domain", f"u-{name}", name + "-r", event=Entry(name + "-r"))
        print(number + 0.5, flush=True)
    number += 1
"""


def opened(backend: str, folder: Path) -> Store:
    if backend == "sqlite":
        return SqliteStore(folder / "store.db", "fake")
    (folder / "locks").mkdir(exist_ok=True)
    return FileStore.local(folder / "fake", "fake", Locks(folder / "locks").lock("store-fake"))


def started(backend: str, folder: Path, who: str, number: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", WRITER, str(Path(__file__).parent), backend, str(folder), who, str(number)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def acknowledged(process: subprocess.Popen[str], pause: float = 0.0) -> list[float]:
    """What a writer had done when it was killed, some time after it had done the first."""
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(pause)
    os.kill(process.pid, signal.SIGKILL)
    out, _ = process.communicate()
    return [float(line) for line in (first + out).splitlines() if line]


@pytest.mark.parametrize("backend", ["sqlite", "files"])
def test_two_writers_killed_30_times_lose_nothing_that_was_acknowledged(backend: str, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    print(f"seed {seed}, {KILLS} kills")
    done: dict[str, float] = {}
    running = {who: started(backend, tmp_path, who, 0) for who in ("a", "b")}
    for kill in range(KILLS):
        who = "ab"[kill % 2]
        for number in acknowledged(running[who], dice.random() * 0.15):
            done[f"{who}-{int(number)}"] = max(done.get(f"{who}-{int(number)}", 0), number)
        running[who] = started(backend, tmp_path, who, (kill + 1) * 100_000)
    for who, process in running.items():
        for number in acknowledged(process):
            done[f"{who}-{int(number)}"] = max(done.get(f"{who}-{int(number)}", 0), number)
    store = opened(backend, tmp_path)
    store.define("domain", "after", "after", "<domain/>")  # no lock is left; a half change is finished
    rows = {row.uuid: row for row in store.rows("domain", xml=True)}
    events = [item for item in store.events() if isinstance(item, Entry)]
    store.close()
    print(f"{len(done)} definitions acknowledged")
    assert len(done) > KILLS, "the writers wrote"
    lost = [name for name in done if f"u-{name}" not in rows]
    assert not lost, f"seed {seed}"
    for name, last in done.items():
        row = rows[f"u-{name}"]
        assert row.xml == "<domain>" + name * 200 + "</domain>"
        assert row.name == (f"{name}-r" if last % 1 else row.name)
        assert row.name in (name, f"{name}-r")
    told = {event.kind for event in events}
    assert not [name for name in done if name not in told], f"seed {seed}: an event was lost"
    names = {name.removesuffix("-r") for name in told}
    assert {f"u-{name}" for name in names} == rows.keys() - {"after"}, f"seed {seed}: what is told of is there"
    assert [event.seq for event in events] == list(range(events[0].seq, events[0].seq + len(events)))


@pytest.mark.parametrize("backend", ["sqlite", "files"])
def test_a_gap_that_a_kill_left_is_a_torn_line_or_nothing(backend: str, tmp_path: Path) -> None:
    process = started(backend, tmp_path, "a", 0)
    time.sleep(0.4)
    acknowledged(process)
    store = opened(backend, tmp_path)
    gaps = {item.reason for item in store.events() if isinstance(item, LogGap)}
    store.close()
    assert gaps <= {"torn line"}


CONTENDER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_store_kill import opened
from anyvirt.deadline import Deadline, within

store, who = opened(sys.argv[2], Path(sys.argv[3])), sys.argv[4]
for number in range(int(sys.argv[5])):
    with within(Deadline(30)):
        found = store.rows("domain")  # a read first is what a deferred transaction fails after
        store.define("domain", f"u{who}{number % 50}", f"{who}{number % 50}", f"<a n='{number}'/>")
        assert store.get("domain", f"u{who}{number % 50}").xml == f"<a n='{number}'/>"
"""


@pytest.mark.parametrize("backend", ["sqlite", "files"])
def test_1000_contended_writes_all_succeed(backend: str, tmp_path: Path) -> None:
    each = 250
    argv = [sys.executable, "-c", CONTENDER, str(Path(__file__).parent), backend, str(tmp_path)]
    running = [subprocess.Popen([*argv, who, str(each)], stderr=subprocess.PIPE, text=True) for who in "abcd"]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0], errors
    store = opened(backend, tmp_path)
    assert len(store.rows("domain")) == 200
    store.close()


STOPPED = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_store_kill import opened

store = opened("sqlite", Path(sys.argv[2]))
if sys.argv[3] == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
store.define("domain", "s", "s", "<a/>")
print("ready", flush=True)
while True:
    store.define("domain", "s", "s", "<a/>")
    time.sleep(0.0005)
"""


@pytest.mark.parametrize("threads", ["single", "threads"])
def test_a_writer_that_is_stopped_from_the_keyboard_blocks_nobody(threads: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", STOPPED, str(Path(__file__).parent), str(tmp_path), threads]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, process_group=0)
    assert process.stdout is not None
    process.stdout.readline()
    store = opened("sqlite", tmp_path)
    stops = 0
    try:
        for _ in range(30):
            os.kill(process.pid, signal.SIGTSTP)
            time.sleep(0.01)
            stops += os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)[0] == process.pid
            began = time.monotonic()
            store.define("domain", "t", "t", "<b/>")
            assert time.monotonic() - began < 5
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.003)
    finally:
        process.kill()
        process.communicate()
        store.close()
    assert stops > 0, "it was really stopped"
