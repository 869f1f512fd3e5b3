from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Busy, Denied, Interrupted, Invalid
from anyvirt.far import FarScope
from anyvirt.identity import ProcessId, boot_id
from anyvirt.lanes import lanes
from anyvirt.model.values import JobRecord
from anyvirt.scope import Scope
from anyvirt.store.contract import StoreBook
from anyvirt.transport.far import FarRun

UUID = "00000000-1111-4000-8000-000000000000"


class Line(Protocol):
    begun: list[subprocess.Popen[bytes]]


@pytest.fixture
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scope:
    """The scope as the host itself finds it."""
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return Scope.find("session")


@pytest.fixture
def far(near: Scope, tools: FarRun) -> FarScope:
    """The same one over a line."""
    return FarScope.find("session", tools)


def test_a_host_has_one_state_from_near_and_far(near: Scope, far: FarScope) -> None:
    assert (far.state, far.run, far.boot_id) == (str(near.state), str(near.run), near.boot_id)
    far.files("storage").define("pool", UUID, "one", "<pool/>")
    near.files("storage").define("pool", UUID.replace("1", "2"), "two", "<pool/>")
    assert [row.name for row in near.files("storage").rows("pool")] == ["one", "two"]
    assert [row.name for row in far.files("storage").rows("pool")] == ["one", "two"]


def test_every_driver_that_keeps_something_is_found(near: Scope, far: FarScope) -> None:
    assert list(near.stores()) == list(far.stores()) == []
    near.store("qemu").define("domain", UUID, "web", "<domain/>")
    near.files("xen").define("domain", UUID, "far", "<domain/>")
    near.folder("empty")
    assert [(one.driver, one.rows("domain")[0].name) for one in near.stores()] == [("qemu", "web"), ("xen", "far")]
    assert [(one.driver, one.rows("domain")[0].name) for one in far.stores()] == [("xen", "far")]


def test_without_a_variable_the_state_is_in_the_home_of_the_user_there(
    tools: FarRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANYVIRT_STATE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "a home"))
    assert FarScope.find("session", tools).state == str(Scope.find("session").state)
    assert FarScope.find("session", tools, str(tmp_path / "x")).state == f"{tmp_path}/x/session"
    with pytest.raises(Invalid):
        FarScope.find("session", tools, "relative")


def test_folders_are_closed_to_others_and_no_links(near: Scope, tools: FarRun, tmp_path: Path) -> None:
    near.state.chmod(0o755)
    scope = FarScope.find("session", tools)
    assert near.state.stat().st_mode & 0o777 == 0o700
    assert Path(scope.folder("storage", "a\nb", run=True)).stat().st_mode & 0o777 == 0o700
    (near.state / "link").symlink_to(tmp_path)
    with pytest.raises(Denied, match="symbolic link"):
        scope.folder("link")
    (near.state / "file").write_text("")
    with pytest.raises(Denied, match="no folder"):
        scope.folder("file")
    with pytest.raises(Denied):
        scope.folder("file", "below")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder to another user")
def test_the_folder_of_another_user_is_refused(near: Scope, tools: FarRun) -> None:
    os.chown(near.state, 12345, -1)
    with pytest.raises(Denied, match="belongs to uid 12345"):
        FarScope.find("session", tools)


def test_a_lock_taken_from_near_keeps_far_ones_out_and_the_other_way_round(near: Scope, far: FarScope) -> None:
    with near.locks.hold("key", "near work"), pytest.raises(Busy) as caught, far.locks.hold("key", "x", wait=0.1):
        pass
    assert f"process {os.getpid()}" in str(caught.value)
    assert "near work" in str(caught.value)
    with (
        far.locks.hold("key", "far work"),
        pytest.raises(Busy, match="far work"),
        near.locks.hold("key", "x", wait=0.1),
    ):
        pass
    with near.locks.hold("key", "again", wait=1):
        pass


def test_a_lock_is_not_reentrant_and_others_can_be_held_with_it(far: FarScope) -> None:
    with far.locks.hold("one", "a"), far.locks.hold("two", "b"):
        with pytest.raises(Busy, match="this very thread"), far.locks.hold("one", "again"):
            pass
        with pytest.raises(Busy), within(Deadline(0.3)):
            _in_a_thread(lambda: far.locks.hold("two", "c", wait=0.2).__enter__())
    with far.locks.hold("two", "c", wait=1):
        pass


def _in_a_thread(work: Callable[[], object]) -> None:
    caught: list[BaseException] = []

    def tried() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            caught.append(error)

    thread = threading.Thread(target=tried)
    thread.start()
    thread.join()
    if caught:
        raise caught[0]


def test_what_runs_in_a_block_has_the_lock_and_what_another_thread_runs_has_not(
    near: Scope, far: FarScope, tools: FarRun
) -> None:
    held = ("sh", "-c", 'for fd in /proc/$$/fd/*; do readlink "$fd"; done')
    lock = f"{near.state}/locks/key"
    with far.locks.hold("key", "work"):
        assert lock in tools(*held).text
        assert lock in lanes.call("a lane of the block", lambda: tools(*held).text)
        said: list[str] = []
        _in_a_thread(lambda: said.append(tools(*held).text))
        assert lock not in said[0]
    assert lock not in tools(*held).text


def test_two_lanes_of_a_block_run_something_at_once(far: FarScope, tools: FarRun, tmp_path: Path) -> None:
    wait = 'until [ -e "$1" ]; do sleep 0.01; done; echo seen'
    with far.locks.hold("key", "work"):
        long = lanes.start("long", lambda: tools("sh", "-c", wait, "sh", str(tmp_path / "bell")).text)
        while not long.done():
            tools("touch", str(tmp_path / "bell"))
        assert long.result() == "seen\n"


def test_after_a_cut_nothing_more_is_done_in_the_block(
    near: Scope, far: FarScope, tools: FarRun, cut: Callable[[], None], tmp_path: Path
) -> None:
    with far.locks.hold("key", "work"):
        cut()
        with pytest.raises(Interrupted, match="lost"):
            tools("touch", str(tmp_path / "changed"))
        with near.locks.hold("key", "somebody else", wait=5), pytest.raises(Interrupted, match="lost"):
            far.files("storage").define("pool", UUID, "late", "<pool/>")
    assert not (tmp_path / "changed").exists()
    assert near.files("storage").rows("pool") == []
    assert tools("echo", "again").text == "again\n"


def test_an_idle_line_that_was_cut_is_noticed_before_it_is_used(
    tools: FarRun, line: Line, cut: Callable[[], None]
) -> None:
    assert tools("echo", "one").text == "one\n"
    cut()
    line.begun[-1].wait()
    assert tools("echo", "two").text == "two\n"
    assert len(line.begun) == 2
    tools("true")
    assert len(line.begun) == 2


def test_who_runs_a_job_is_told_on_the_host_that_it_runs_on(near: Scope, far: FarScope) -> None:
    store, owner = far.files("storage"), ProcessId.own().to_json()
    mine, other = far.book(store), far.book(store)
    for number, said in enumerate((owner, {}, owner | {"boot": "another"}, owner | {"pidns": 1})):
        if number:
            store.write_job(JobRecord(f"job-{number}", "volume_create", None, "x", owner=said, started=number))
        else:
            mine.write(JobRecord("job-0", "volume_create", None, "x", owner=said, started=0))

    def alive(records: tuple[JobRecord, ...]) -> list[bool | None]:
        return [ProcessId.from_json(one.owner).alive() if one.owner else False for one in records]

    assert alive(StoreBook(near.files("storage")).all()) == [True, False, False, None]
    assert alive(other.all()) == [None, False, False, None]
    assert all(one.owner["boot"] == boot_id() for one in other.all() if one.owner)
    mine.close()
    for _ in range(100):
        if alive(other.all())[0] is False:
            break
    assert alive(other.all())[0] is False
    assert alive(StoreBook(near.files("storage")).all())[0] is False
    other.drop("job-0")
    assert [one.id for one in other.all()] == ["job-1", "job-2", "job-3"]
