"""What every store does with definitions, blobs, ids and jobs, whatever it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from anyvirt.errors import Exists, Invalid, NotFound, WrongState
from anyvirt.model.values import JobRecord
from anyvirt.ref import Ref
from anyvirt.store.contract import Store, StoreBook

A = "11111111-1111-4111-8111-111111111111"
B = "22222222-2222-4222-8222-222222222222"
XML = "<domain type='kvm'>\n  <!-- kept as it is: ä  -->\r\n</domain>\n"
HOSTILE = [
    "a/b",
    "..",
    ".",
    "../../etc/passwd",
    "two\nlines",
    "-rf",
    "a~b",
    "%41",
    "a b",
    ",id=x",
    "ä" * 127,
    "/" * 255,
    "~",
]


def test_a_definition_comes_back_as_it_was_given(store: Store) -> None:
    assert store.define("domain", A, "web", XML).new
    row = store.get("domain", A)
    assert (row.uuid, row.name, row.xml) == (A, "web", XML)
    assert (row.transient, row.autostart, row.run, row.boot) == (False, False, "", "")
    assert store.by_name("domain", "web") == row


def test_defining_again_with_the_same_name_and_uuid_replaces_the_document(store: Store) -> None:
    store.define("domain", A, "web", "<old/>")
    assert not store.define("domain", A, "web", "<new/>").new
    assert store.get("domain", A).xml == "<new/>"
    assert len(store.rows("domain")) == 1


def test_a_gist_goes_with_its_document_and_never_tells_of_another_one(store: Store) -> None:
    def kept() -> set[str]:
        return {store.rows("domain", gist=True)[0].gist, store.get("domain", A).gist}

    store.define("domain", A, "web", "<old/>", gist="of the old")
    assert kept() in ({"of the old"}, {""}), "a store may keep none"
    assert store.rows("domain")[0].gist == "", "nobody asked"
    store.rename("domain", A, "mail")
    assert kept() in ({"of the old"}, {""}), "the document is the same"
    store.rename("domain", A, "web", xml="<renamed/>", gist="of the renamed")
    assert kept() in ({"of the renamed"}, {""})
    store.define("domain", A, "web", "<other/>", transient=True, gist="of the other")
    assert kept() in ({"of the renamed"}, {""}), "a transient definition leaves the document alone"
    store.rename("domain", A, "mail", xml="<again/>")
    assert kept() == {""}
    store.define("domain", A, "mail", "<new/>", gist="of the new")
    store.define("domain", A, "mail", "<newer/>")
    assert kept() == {""}


def test_a_known_uuid_under_another_name_is_refused_with_its_holder(store: Store) -> None:
    store.define("domain", A, "web", XML)
    with pytest.raises(Exists, match="'web'") as caught:
        store.define("domain", A, "other", XML)
    assert caught.value.code == "domain.exists"
    assert [row.name for row in store.rows("domain")] == ["web"]


def test_a_known_name_with_another_uuid_is_refused_with_its_holder(store: Store) -> None:
    store.define("domain", A, "web", XML)
    with pytest.raises(Exists, match=A):
        store.define("domain", B, "web", "<other/>")
    assert store.by_name("domain", "web").xml == XML


def test_a_name_and_a_uuid_of_two_objects_are_refused(store: Store) -> None:
    store.define("domain", A, "web", XML)
    store.define("domain", B, "db", XML)
    with pytest.raises(Exists):
        store.define("domain", A, "db", XML)
    assert {row.name: row.uuid for row in store.rows("domain")} == {"web": A, "db": B}


def test_names_and_uuids_are_unique_within_a_kind_only(store: Store) -> None:
    store.define("domain", A, "web", "<domain/>")
    assert store.define("pool", A, "web", "<pool/>").new
    assert store.get("pool", A).xml == "<pool/>"


def test_a_list_is_sorted_by_name_and_has_no_documents_unless_asked(store: Store) -> None:
    store.define("domain", A, "web", "<a/>")
    store.define("domain", B, "db", "<b/>")
    assert [(row.name, row.xml) for row in store.rows("domain")] == [("db", None), ("web", None)]
    assert [row.xml for row in store.rows("domain", xml=True)] == ["<b/>", "<a/>"]
    assert store.rows("pool") == []


def test_many_are_got_at_once_in_the_order_asked_for_without_the_missing(store: Store) -> None:
    uuids = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(30)]
    for number, uuid in enumerate(uuids):
        store.define("domain", uuid, f"vm{number}", f"<d{number}/>")
    found = store.get_many("domain", [uuids[7], B, uuids[2]])
    assert [(row.name, row.xml) for row in found] == [("vm7", "<d7/>"), ("vm2", "<d2/>")]


def test_a_renamed_object_keeps_its_uuid_flags_and_blobs(store: Store) -> None:
    store.define("domain", A, "web", "<old/>")
    store.set_autostart("domain", A, on=True)
    store.set_blob("domain", A, "note", b"\0data")
    store.rename("domain", A, "www", xml="<new/>")
    row = store.get("domain", A)
    assert (row.name, row.xml, row.autostart) == ("www", "<new/>", True)
    assert store.blob("domain", A, "note") == b"\0data"
    with pytest.raises(NotFound):
        store.by_name("domain", "web")


def test_a_rename_without_a_document_keeps_the_old_one(store: Store) -> None:
    store.define("domain", A, "web", "<old/>")
    store.rename("domain", A, "www")
    assert store.by_name("domain", "www").xml == "<old/>"


def test_a_rename_to_a_taken_name_is_refused_and_to_ones_own_is_not(store: Store) -> None:
    store.define("domain", A, "web", XML)
    store.define("domain", B, "db", XML)
    with pytest.raises(Exists, match=B):
        store.rename("domain", A, "db")
    store.rename("domain", A, "web", xml="<x/>")
    assert store.by_name("domain", "web").xml == "<x/>"
    with pytest.raises(NotFound):
        store.rename("domain", "33333333-1111-4111-8111-111111111111", "new")


def test_an_undefined_object_is_gone_with_its_blobs(store: Store) -> None:
    store.define("domain", A, "web", XML)
    store.set_autostart("domain", A, on=True)
    store.set_blob("domain", A, "note", b"x")
    store.undefine("domain", A)
    with pytest.raises(NotFound) as caught:
        store.get("domain", A)
    assert caught.value.code == "domain.not-found"
    assert store.blob("domain", A, "note") is None
    assert store.define("domain", B, "web", XML).new
    assert not store.get("domain", B).autostart
    with pytest.raises(NotFound):
        store.undefine("domain", A)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_only_a_name(store: Store, name: str) -> None:
    store.define("domain", A, name, XML)
    store.define("domain", B, name + "x" if len(name.encode()) < 255 else "x", XML)
    assert store.by_name("domain", name).uuid == A
    assert name in {row.name for row in store.rows("domain")}
    store.set_autostart("domain", A, on=True)
    store.rename("domain", A, "plain")
    store.rename("domain", A, name)
    assert store.get("domain", A).name == name
    store.undefine("domain", A)
    assert len(store.rows("domain")) == 1


@pytest.mark.parametrize("name", ["", "nul\0", "x" * 256, "ä" * 128, "\ud800"])
def test_what_can_be_no_name_is_refused_before_anything_is_written(store: Store, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        store.define("domain", A, name, XML)
    assert caught.value.problems[0].path == "/domain/name"
    assert store.rows("domain") == []


@pytest.mark.parametrize("uuid", ["", "../x", "a/b", "a~b", "x" * 90, "a\0", "ä"])
def test_what_can_be_no_key_is_refused(store: Store, uuid: str) -> None:
    with pytest.raises(Invalid):
        store.define("domain", uuid, "web", XML)


@pytest.mark.parametrize("xml", ["<a>\0</a>", "<a>\udcff</a>"])
def test_a_document_that_would_not_come_back_is_refused(store: Store, xml: str) -> None:
    with pytest.raises(Invalid):
        store.define("domain", A, "web", xml)


def test_a_transient_object_is_there_in_its_boot_and_gone_in_the_next(make_store: Callable[..., Store]) -> None:
    store = make_store("first boot")
    store.define("domain", A, "live", XML, transient=True, run="r1")
    store.set_blob("domain", A, "note", b"x")
    row = make_store("first boot").get("domain", A)
    assert (row.transient, row.run, row.boot) == (True, "r1", "first boot")
    later = make_store("second boot")
    assert later.rows("domain") == []
    with pytest.raises(NotFound):
        later.by_name("domain", "live")
    assert later.define("domain", B, "live", XML).new, "its name is free again"
    assert later.blob("domain", A, "note") is None


def test_a_definition_makes_a_transient_object_persistent(make_store: Callable[..., Store]) -> None:
    make_store("first").define("domain", A, "live", "<live/>", transient=True)
    make_store("first").define("domain", A, "live", "<kept/>")
    row = make_store("second").get("domain", A)
    assert (row.transient, row.xml) == (False, "<kept/>")


def test_a_transient_start_leaves_a_persistent_document_alone(store: Store) -> None:
    store.define("domain", A, "web", "<kept/>")
    assert not store.define("domain", A, "web", "<live/>", transient=True, run="r7").new
    row = store.get("domain", A)
    assert (row.transient, row.xml, row.run) == (False, "<kept/>", "r7")


def test_undefining_a_running_object_makes_it_transient(make_store: Callable[..., Store]) -> None:
    store = make_store("first")
    store.define("domain", A, "web", XML)
    store.set_autostart("domain", A, on=True)
    store.undefine("domain", A, transient=True)
    row = store.get("domain", A)
    assert (row.transient, row.autostart) == (True, False)
    assert make_store("second").rows("domain") == []


def test_only_persistent_objects_are_started_with_the_host(store: Store) -> None:
    store.define("domain", A, "web", XML)
    store.set_autostart("domain", A, on=True)
    assert store.get("domain", A).autostart
    store.set_autostart("domain", A, on=False)
    assert not store.get("domain", A).autostart
    store.define("domain", B, "live", XML, transient=True)
    with pytest.raises(WrongState, match="'live' is transient"):
        store.set_autostart("domain", B, on=True)
    with pytest.raises(NotFound):
        store.set_autostart("pool", A, on=True)


def test_the_run_of_an_object_is_noted_and_survives_a_redefinition(store: Store) -> None:
    store.define("domain", A, "web", XML)
    store.set_run("domain", A, "run-1")
    store.define("domain", A, "web", "<new/>")
    assert store.get("domain", A).run == "run-1"
    store.set_run("domain", A, "")
    assert store.rows("domain")[0].run == ""


def test_blobs_are_kept_by_kind_object_and_key(store: Store) -> None:
    store.set_blob("volume", "pool/vol one", "fact", b"\xff\0")
    store.set_blob("volume", "other", "fact", b"2")
    store.set_blob("volume", "other", "second", b"3")
    assert store.blob("volume", "pool/vol one", "fact") == b"\xff\0"
    assert store.blobs("volume", "fact") == {"other": b"2", "pool/vol one": b"\xff\0"}
    store.set_blob("volume", "other", "fact", None)
    store.set_blob("volume", "other", "fact", None)
    assert store.blob("volume", "other", "fact") is None
    assert store.blob("domain", "other", "second") is None


def test_ids_begin_at_1_after_a_boot_and_are_never_given_twice_in_one(make_store: Callable[..., Store]) -> None:
    store = make_store("first")
    assert [store.next_id(), store.next_id(), make_store("first").next_id()] == [1, 2, 3]
    assert store.next_id("network") == 1
    store.define("domain", A, "web", XML)
    store.undefine("domain", A)
    assert store.next_id() == 4
    assert make_store("second").next_id() == 1


def test_a_run_is_noted_and_numbered_in_one_step(store: Store) -> None:
    store.define("domain", A, "web", XML)
    assert store.next_id() == 1
    assert store.begin_run("domain", A, "r1") == 2
    assert store.get("domain", A).run == "r1"
    with pytest.raises(NotFound):
        store.begin_run("domain", B, "r2")
    assert store.next_id() == 3, "no id was used up"


def test_records_of_jobs_are_kept_until_they_are_dropped(make_store: Callable[..., Store]) -> None:
    ref = Ref("volume", "v", Ref("pool", "p"), name="disk", uuid=None)
    first = JobRecord("j1", "volume_create", ref, "begin", {"pid": 1}, {"path": "/x"}, "native", 1.5)
    second = JobRecord("j2", "domain_save", None, "begin", started=2.5)
    book = StoreBook(make_store())
    book.write(first)
    book.write(second)
    moved = JobRecord("j1", "volume_create", ref, "copy", {"pid": 1}, {"path": "/x"}, "native", 1.5)
    book.write(moved)
    found = make_store().jobs()
    assert found == (moved, second)
    assert found[0].ref is not None
    assert found[0].ref.name == "disk"
    book.drop("j1")
    book.drop("never was")
    assert StoreBook(make_store()).all() == (second,)


def test_files_are_for_their_owner_alone_whatever_the_umask(make_store: Callable[..., Store], tmp_path: object) -> None:
    before = os.umask(0)
    try:
        store = make_store()
        store.define("domain", A, "web", XML)
        store.set_blob("domain", A, "note", b"x")
    finally:
        os.umask(before)
    for folder, _, names in os.walk(str(tmp_path)):
        for name in names:
            if "locks" not in folder:
                assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600, name
