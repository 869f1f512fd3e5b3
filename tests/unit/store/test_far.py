"""A store in files that is reached through a shell, beside one that is reached directly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Busy, VirtError
from anyvirt.locks import Locks
from anyvirt.store.files import FileStore
from anyvirt.store.rows import Entry, LogGap
from anyvirt.transport.files import FarFiles
from anyvirt.transport.run import LocalRun, Output

MakeStore = Callable[[], FileStore]


@pytest.fixture
def near(tmp_path: Path) -> MakeStore:
    (tmp_path / "locks").mkdir()
    folder, locks = tmp_path / "xen", tmp_path / "locks"
    return lambda: FileStore.local(folder, "xen", Locks(locks).lock("store-xen"), boot="now")


@pytest.fixture
def far(tmp_path: Path) -> MakeStore:
    run, lock = LocalRun(), str(tmp_path / "locks/store-xen")
    return lambda: FileStore.far(run, FarFiles(run), str(tmp_path / "xen"), "xen", lock, boot="now")


def test_a_host_shows_the_same_opened_locally_and_over_a_shell(near: MakeStore, far: MakeStore) -> None:
    near().define("domain", "a", "one/two", "<a/>", event=Entry("near"))
    far().define("domain", "b", "three", "<b/>", event=Entry("far"))
    far().set_autostart("domain", "a", on=True)
    assert near().rows("domain", xml=True) == far().rows("domain", xml=True)
    assert [row.name for row in near().rows("domain")] == ["one/two", "three"]
    assert list(near().events()) == list(far().events())
    assert near().token() == far().token()
    assert (near().next_id(), far().next_id(), near().next_id()) == (1, 2, 3)


def test_writers_on_both_ends_lose_nothing(near: MakeStore, far: MakeStore) -> None:
    errors: list[BaseException] = []

    def write(make: MakeStore, who: str) -> None:
        store = make()
        try:
            for number in range(12):
                with within(Deadline(60)):
                    store.define("domain", f"{who}{number}", f"{who}-{number}", "<a/>", event=Entry(f"{who}{number}"))
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    threads = [threading.Thread(target=write, args=pair) for pair in ((near, "n"), (far, "f"), (far, "g"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(near().rows("domain")) == 36
    events = list(near().events())
    assert sorted(item.kind for item in events if isinstance(item, Entry)) == sorted(
        f"{who}{number}" for who in "nfg" for number in range(12)
    )
    assert not [item for item in events if isinstance(item, LogGap)]


def test_a_lock_that_the_host_keeps_makes_the_far_end_busy(near: MakeStore, far: MakeStore, tmp_path: Path) -> None:
    far().define("domain", "a", "one", "<a/>")
    with Locks(tmp_path / "locks").hold("store-xen", purpose="test"), within(Deadline(2)), pytest.raises(Busy):
        far().define("domain", "b", "two", "<b/>")
    assert [row.name for row in near().rows("domain")] == ["one"]
    assert not list((tmp_path / "xen").rglob(".new-*")), "no draft is left"


class Killed(LocalRun):
    """Kills the far shell when the log has its line and nothing is done so far."""

    def __call__(self, *argv: str, **rest: Any) -> Output:
        words = [word.replace("while [ $# -gt 0 ]", "kill -9 $$; while [ $# -gt 0 ]") for word in argv]
        return super().__call__(*words, **rest)


@pytest.mark.parametrize("end", ["near", "far"])
def test_a_far_shell_that_is_killed_between_telling_and_doing_is_finished_by_whoever_comes_next(
    near: MakeStore, far: MakeStore, tmp_path: Path, end: str
) -> None:
    run = Killed()
    cut = FileStore.far(
        run, FarFiles(LocalRun()), str(tmp_path / "xen"), "xen", str(tmp_path / "locks/store-xen"), boot="now"
    )
    far().define("domain", "b", "other", "<b/>")
    with pytest.raises(VirtError):
        cut.define("domain", "a", "one", "<a/>", event=Entry("added"))
    assert [item.kind for item in near().events() if isinstance(item, Entry)] == ["added"]
    assert [row.name for row in near().rows("domain")] == ["other"]
    (near if end == "near" else far)().set_autostart("domain", "b", on=True)
    assert [row.name for row in near().rows("domain")] == ["one", "other"]
    assert not list((tmp_path / "xen/domain").glob(".new-*"))


def test_a_lost_event_is_noted_on_the_far_host(near: MakeStore, far: MakeStore) -> None:
    token = near().append(Entry("one"))
    far()._bell.lose(3)
    far()._bell.lose(4)
    assert near()._bell.lost() == far()._bell.lost() == 7
    for store in (near(), far()):
        assert [type(item).__name__ for item in store.events(token)] == ["LogGap"]


def test_a_folder_that_cannot_be_written_is_a_coded_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = LocalRun()
    store = FileStore.far(run, FarFiles(run), str(tmp_path / "file/xen"), "xen", str(tmp_path / "lock"), boot="now")
    with pytest.raises(VirtError):
        store.define("domain", "a", "one", "<a/>")
