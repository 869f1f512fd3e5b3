"""What a store of plain files looks like on the disk, and what it makes of damage there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from anyvirt.errors import StoreNewer, VirtError
from anyvirt.locks import Locks
from anyvirt.store.files import FileStore
from anyvirt.store.rows import Entry, LogGap

A = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    (tmp_path / "locks").mkdir()
    return FileStore.local(tmp_path / "xen", "xen", Locks(tmp_path / "locks").lock("store-xen"), boot="now")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "xen").mkdir()
    return tmp_path / "xen"


def said(store: FileStore, after: str | None = None) -> list[str]:
    return [f"gap: {item.reason}" if isinstance(item, LogGap) else item.kind for item in store.events(after)]


def test_a_definition_is_its_document_in_a_file_named_after_name_and_uuid(store: FileStore, folder: Path) -> None:
    store.define("domain", A, "my vm/1", "<domain/>")
    assert (folder / "domain" / f"my%20vm%2F1~{A}.xml").read_text() == "<domain/>"
    assert [path.name for path in (folder / "domain").iterdir()] == [f"my%20vm%2F1~{A}.xml"]


def test_a_definition_that_somebody_put_there_is_one(store: FileStore, folder: Path) -> None:
    (folder / "domain").mkdir()
    (folder / "domain" / f"web~{A}.xml").write_text("<domain/>")
    (folder / "domain" / "README").write_text("no definition")
    (folder / "domain" / "plain.xml").write_text("<domain/>")
    assert [(row.name, row.uuid) for row in store.rows("domain")] == [("web", A)]
    assert store.by_name("domain", "web").xml == "<domain/>"


def test_a_draft_that_a_killed_writer_left_is_no_definition(store: FileStore, folder: Path) -> None:
    store.define("domain", A, "web", "<domain/>")
    (folder / "domain" / ".new-0123456789abcdef").write_text("<dom")
    (folder / "domain" / "orphan~1.json").write_text("{}")
    assert [row.name for row in store.rows("domain")] == ["web"]


def test_what_killed_writers_left_is_swept_away_and_what_is_being_written_is_not(
    store: FileStore, folder: Path
) -> None:
    store.define("domain", A, "web", "<domain/>")
    store.set_blob("domain", A, "why", b"stopped")
    for place in ("domain", "_blob/domain/why"):
        for name in ("near", "far-young", "far-old"):
            (folder / place / f".new-{name}-0").write_text("half")
        os.utime(folder / place / ".new-far-old-0", (0, 0))
    assert store.sweep("domain") == 4
    assert store.sweep("domain") == 0
    assert {path.name for path in (folder / "_blob/domain/why").iterdir()} == {A, ".new-far-young-0"}
    assert {path.name for path in (folder / "domain").iterdir()} == {f"web~{A}.xml", ".new-far-young-0"}
    assert store.blob("domain", A, "why") == b"stopped"


def test_a_torn_last_line_is_a_gap_and_the_next_event_is_whole(store: FileStore, folder: Path) -> None:
    first = store.append(Entry("one"))
    store.append(Entry("two"))
    log = folder / "events.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    assert said(store, first) == ["gap: torn line"]
    store.append(Entry("three"))
    assert said(store, first) == ["gap: torn line", "three"]
    assert said(store)[-1] == "three"


@pytest.mark.parametrize("rubbish", [b"\0" * 40, b"\0\n", b"{}\n", b'{"seq":2}\n', b'{"seq":2,"at":\xff}\n', b"[]\n"])
def test_a_line_of_rubbish_is_a_gap_and_what_follows_is_read(store: FileStore, folder: Path, rubbish: bytes) -> None:
    first = store.append(Entry("one"))
    with (folder / "events.jsonl").open("ab") as file:
        file.write(rubbish)
    last = store.append(Entry("two"))
    assert said(store) == ["one", "gap: torn line", "two"]
    assert said(store, first) == ["gap: torn line", "two"]
    assert said(store, last) == []


def test_lines_that_were_removed_are_a_gap(store: FileStore, folder: Path) -> None:
    first = store.append(Entry("one"))
    store.append([Entry("two"), Entry("three")])
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(lines[0] + lines[2])
    assert said(store, first) == ["gap: pruned", "three"]


def test_a_log_that_was_cut_back_is_an_unknown_token(store: FileStore, folder: Path) -> None:
    store.append(Entry("one"))
    last = store.append(Entry("two"))
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(lines[0])
    assert said(store, last) == ["gap: unknown token", "one"]


def test_a_line_is_a_json_object_with_its_number_first(store: FileStore, folder: Path) -> None:
    store.append([Entry("one", detail={"text": "two\nlines ä"}), Entry("two")])
    lines = (folder / "events.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]
    assert lines[0].startswith(b'{"seq":1,')
    (entry, _) = store.events()
    assert isinstance(entry, Entry)
    assert entry.detail == {"text": "two\nlines ä"}


def test_a_store_of_a_newer_anyvirt_is_left_alone(store: FileStore, folder: Path) -> None:
    store.define("domain", A, "web", "<domain/>")
    meta = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps({**meta, "schema": 9, "oldest_writer": 9}))
    with pytest.raises(StoreNewer):
        store.define("domain", A, "web", "<new/>")
    (folder / "store.json").write_text(json.dumps({**meta, "schema": 9}))
    store.define("domain", A, "web", "<new/>")
    assert store.get("domain", A).xml == "<new/>"


def test_a_damaged_store_says_so(store: FileStore, folder: Path) -> None:
    store.define("domain", A, "web", "<domain/>")
    (folder / "store.json").write_text("{")
    with pytest.raises(VirtError) as caught:
        store.define("domain", A, "web", "<domain/>")
    assert caught.value.code == "store.corrupt"


def test_a_head_that_a_power_loss_emptied_costs_nothing_but_ids(store: FileStore, folder: Path) -> None:
    store.define("domain", A, "web", "<domain/>")
    (folder / "head.json").write_bytes(b"\0\0\0")
    store.set_autostart("domain", A, on=True)
    assert store.next_id() == 1
    assert store.get("domain", A).autostart


CUT_OFF = """
import os, signal, sys
from pathlib import Path
from anyvirt.locks import Locks
from anyvirt.store.files import FileStore
from anyvirt.store.rows import Entry
folder, at = Path(sys.argv[1]), int(sys.argv[2])
store = FileStore.local(folder, "fake", Locks(folder / "locks").lock("store"), boot="now")
def audit(event, arguments):
    global at
    if event in {"os.rename", "os.remove"}:
        at -= 1
        if at < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
store.define("domain", "a", "new", "<a/>", event=Entry("added"))
store.rename("domain", "b", "other", xml="<c/>", event=Entry("renamed"))
store.undefine("domain", "c", event=Entry("removed"))
"""


def test_a_writer_that_is_killed_between_telling_and_doing_is_finished_by_the_next(tmp_path: Path) -> None:
    for at in range(40):
        folder = tmp_path / str(at)
        (folder / "locks").mkdir(parents=True)
        store = FileStore.local(folder, "fake", Locks(folder / "locks").lock("store"), boot="now")
        store.define("domain", "b", "one", "<b/>")
        store.define("domain", "c", "two", "<c/>")
        assert store.next_id() == 1
        killed = subprocess.run([sys.executable, "-c", CUT_OFF, str(folder), str(at)], check=False).returncode
        assert store.next_id() == 2  # whatever comes next
        told = {item.kind for item in store.events() if isinstance(item, Entry)}
        rows = {row.uuid: (row.name, row.xml) for row in store.rows("domain", xml=True)}
        assert rows.get("a") == (("new", "<a/>") if "added" in told else None), at
        assert rows["b"] == (("other", "<c/>") if "renamed" in told else ("one", "<b/>")), at
        assert ("c" in rows) == ("removed" not in told), at
        store.append(Entry("last"))
        assert [item.kind for item in store.events() if isinstance(item, Entry)][-1] == "last"
        if not killed:
            assert at >= 6
            assert told == {"added", "renamed", "removed"}
            return
    pytest.fail("it never comes to its end")


def test_a_definition_made_anew_is_not_taken_for_what_a_killed_writer_left(store: FileStore, folder: Path) -> None:
    store.define("domain", "a", "one", "<a/>", event=Entry("added"))
    store.undefine("domain", "a", event=Entry("removed"))
    store.define("domain", "a", "one", "<b/>")
    (folder / "head.json").write_bytes(b"")  # a power loss
    store.next_id()
    assert [row.xml for row in store.rows("domain", xml=True)] == ["<b/>"]
