"""What every store does with its event log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Cancelled, Exists, Interrupted
from anyvirt.events import Change, Gap, Lifecycle
from anyvirt.ref import Ref
from anyvirt.store import rows as rules
from anyvirt.store.bell import Bell
from anyvirt.store.contract import Store
from anyvirt.store.rows import Entry, LogGap

A = "11111111-1111-4111-8111-111111111111"
B = "22222222-2222-4222-8222-222222222222"
WEB = Ref("domain", A, name="web", uuid=A)


def said(items: Iterator[Entry | LogGap]) -> list[str]:
    return [f"gap: {item.reason}" if isinstance(item, LogGap) else item.kind for item in items]


def numbered(store: Store, count: int, *, start: int = 0) -> str:
    return store.append([Entry(f"e{number}", WEB, {"n": number}) for number in range(start, start + count)])


def test_an_event_comes_back_with_all_its_fields(store: Store) -> None:
    event = Lifecycle(ref=WEB, at=12.5, run="r1", change=Change.STARTED, detail="booted")
    token = store.append(event)
    (entry,) = store.events()
    assert isinstance(entry, Entry)
    assert entry.token == token
    again = entry.event()
    assert isinstance(again, Lifecycle)
    assert (again.ref, again.at, again.run, again.change, again.detail) == (WEB, 12.5, "r1", Change.STARTED, "booted")
    assert again.ref is not None
    assert again.ref.name == "web"


def test_events_are_written_with_the_change_that_they_tell_of(store: Store) -> None:
    token = store.token()
    done = store.define("domain", A, "web", "<a/>", event=Entry("added", WEB), updated=Entry("updated", WEB))
    store.define("domain", A, "web", "<b/>", event=Entry("added", WEB), updated=Entry("updated", WEB))
    store.rename("domain", A, "www", event=[Entry("renamed", WEB), Entry("again", WEB)])
    store.set_autostart("domain", A, on=True, event=Entry("autostart", WEB))
    store.set_run("domain", A, "r", event=Entry("run", WEB))
    store.undefine("domain", A, event=Entry("removed", WEB))
    assert said(store.events(token)) == ["added", "updated", "renamed", "again", "autostart", "run", "removed"]
    assert said(store.events(done.token))[0] == "updated"


def test_a_refused_change_is_not_told_of(store: Store) -> None:
    store.define("domain", A, "web", "<a/>", event=Entry("added", WEB))
    with pytest.raises(Exists):
        store.define("domain", B, "web", "<a/>", event=Entry("added", WEB))
    assert said(store.events()) == ["added"]


def test_reading_goes_on_from_a_token_in_another_process(make_store: Callable[..., Store]) -> None:
    numbered(make_store(), 5)
    third = [item.token for item in make_store().events()][2]
    assert said(make_store().events(third)) == ["e3", "e4"]
    assert said(make_store().events(make_store().token())) == []


def test_numbers_rise_by_one_across_many_events(store: Store) -> None:
    for start in range(0, 3000, 600):
        numbered(store, 600, start=start)
    found = [item for item in store.events() if isinstance(item, Entry)]
    assert [item.kind for item in found] == [f"e{number}" for number in range(3000)]
    assert [item.seq for item in found] == list(range(found[0].seq, found[0].seq + 3000))
    assert said(store.events(found[2500].token)) == [f"e{number}" for number in range(2501, 3000)]


@pytest.mark.parametrize("token", ["", "rubbish", "a.b.c", "0123456789abcdef.3.0", "x.-1.0"])
def test_a_token_of_nobody_gives_a_gap_and_then_what_is_kept(store: Store, token: str) -> None:
    numbered(store, 2)
    assert said(store.events(token)) == ["gap: unknown token", "e0", "e1"]


def test_a_number_that_was_never_given_is_an_unknown_token(store: Store) -> None:
    token = numbered(store, 2)
    store_id, seq, lost = token.split(".")
    assert said(store.events(f"{store_id}.{int(seq) + 5}.{lost}")) == ["gap: unknown token", "e0", "e1"]


def test_the_token_of_a_gap_is_not_answered_by_the_same_gap(store: Store) -> None:
    numbered(store, 2)
    gap = next(store.events("rubbish"))
    assert isinstance(gap.event(), Gap)
    assert said(store.events(gap.token)) == ["e0", "e1"]


@pytest.mark.parametrize("backend", ["sqlite", "files"], indirect=True)
def test_at_most_100000_rows_are_kept_and_an_older_token_gives_a_gap(store: Store) -> None:
    first = numbered(store, 1)
    for start in range(1, 1 + 2 * rules.KEPT_ROWS, 20_000):
        numbered(store, 20_000, start=start)
    numbered(store, 1, start=999_999)
    found = said(store.events(first))
    assert found[0] == "gap: pruned"
    assert rules.KEPT_ROWS <= len(found) - 1 <= 2 * rules.KEPT_ROWS
    assert found[-1] == "e999999"


def test_what_is_older_than_7_days_goes(store: Store) -> None:
    old = time.time() - 8 * 86400
    token = store.token()
    store.append([Entry("old", WEB, at=old) for _ in range(1100)])
    assert said(store.events(token)).count("old") > 0
    numbered(store, 600)
    numbered(store, 600, start=600)
    found = said(store.events(token))
    assert found[0] == "gap: pruned"
    assert found[1:] == [f"e{number}" for number in range(1200)]


def test_a_clock_that_goes_back_neither_reorders_nor_removes_anything(store: Store) -> None:
    now = time.time()
    for at in (now, now + 86400 * 400, now - 86400 * 6, now - 3600):
        store.append([Entry(f"{at - now:.0f}", WEB, at=at) for _ in range(300)])
    kinds = said(store.events())
    assert kinds == ["0"] * 300 + ["34560000"] * 300 + ["-518400"] * 300 + ["-3600"] * 300


def test_a_follower_gets_what_was_there_then_what_comes(make_store: Callable[..., Store]) -> None:
    store, writer = make_store(), make_store()
    token = store.token()
    numbered(writer, 2)
    seen: list[str] = []

    def follow() -> None:
        with within(Deadline(20)):
            for item in store.follow(token):
                assert isinstance(item, Entry)
                seen.append(item.kind)
                if item.kind == "e11":
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    while len(seen) < 2:
        time.sleep(0.005)
    for number in range(2, 12):
        writer.append(Entry(f"e{number}", WEB, at=time.time()))
    thread.join(20)
    assert seen == [f"e{number}" for number in range(12)]


def test_a_follower_is_woken_by_the_bell_and_looks_by_itself_where_none_rings(tmp_path: Path) -> None:
    bell = Bell(tmp_path / "bell")
    bell.ring()
    with closing(bell.watch(look=60)) as woken, closing(bell.watch(look=0.01)) as looking:
        began = time.monotonic()
        looking.wait(Deadline(30))
        timer = threading.Timer(0.05, bell.ring)
        timer.start()
        woken.wait(Deadline(30))
        assert 0.05 <= time.monotonic() - began < 20
        timer.join()


def test_following_ends_at_the_deadline_and_at_a_cancel(store: Store) -> None:
    began = time.monotonic()
    with within(Deadline(0.2)), pytest.raises(Interrupted) as caught:
        list(store.follow())
    assert caught.value.reason == "deadline"
    assert time.monotonic() - began < 2
    deadline = Deadline(30)
    timer = threading.Timer(0.1, deadline.cancel)
    timer.start()
    with within(deadline), pytest.raises(Cancelled):
        list(store.follow())
    timer.join()
    assert time.monotonic() - began < 4


def test_following_leaves_no_descriptor_behind(store: Store) -> None:
    import os

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    store.append(Entry("first"))
    list(store.events())
    before = descriptors()
    for _ in range(5):
        with within(Deadline(0.03)), pytest.raises(Interrupted):
            list(store.follow())
    until = time.monotonic() + 5
    while descriptors() > before:  # other threads of this process have some for a moment, too
        assert time.monotonic() < until
        time.sleep(0.01)
