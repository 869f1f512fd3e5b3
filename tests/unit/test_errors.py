from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import gen_reference
import pytest
from anyvirt import errors
from anyvirt.auth import Question
from anyvirt.document import Document
from anyvirt.errors import (
    CODES,
    Ambiguous,
    AuthNeeded,
    BadDriver,
    Busy,
    Cancelled,
    Denied,
    Exists,
    Failed,
    Interrupted,
    Invalid,
    NotFound,
    Problem,
    StoreNewer,
    Unreachable,
    Unsupported,
    VirtError,
    WrongState,
)
from anyvirt.events import DETAILS, KINDS, Change, Event, Lifecycle, so_now
from anyvirt.model.state import Reason, State, Status
from anyvirt.ref import Ref
from anyvirt.store.rows import Entry

ROOT = Path(__file__).parents[2]
ONE = Ref("domain", "1", name="one")
# error -> (code, libvirt's number), libvirt 9.0.0
ALL: list[tuple[VirtError, str, int | None]] = [
    (NotFound(ONE), "domain.not-found", 42),
    (NotFound("disk", "volume"), "volume.not-found", 50),
    (Exists("domain", "one", holder="two"), "domain.exists", 9),
    (WrongState("running", ["shut off"], "start", what=ONE), "domain.wrong-state", 55),
    (Busy(ONE, holder="process 7", purpose="start"), "resource.busy", 87),
    (Unsupported("acme", "domain_reset"), "unsupported", 3),
    (Unsupported("acme", "/devices/tpm"), "unsupported.config", 67),
    (StoreNewer("/store.db", 7, 1), "store.newer", 67),
    (Invalid("no such group"), "invalid", 8),
    (Invalid([Problem("xml.value", "/a", 1, "b"), Problem("xml.limits", "/c", 2, "d")]), "config.invalid", 27),
    (Ambiguous("one", [ONE, ONE]), "domain.ambiguous", 110),
    (Ambiguous("ceph", [Ref("secret", "1"), Ref("secret", "2")]), "secret.ambiguous", None),
    (Denied("no"), "denied", 88),
    (AuthNeeded([Question("password", "Password", secret=True)]), "auth.needed", 45),
    (Unreachable("host", "connect", since=1.0), "connect.unreachable", 38),
    (Interrupted("deadline", "list"), "interrupted.deadline", 68),
    (Interrupted("lost"), "interrupted.lost", 38),
    (Interrupted("forked"), "interrupted.forked", 6),
    (Cancelled("save"), "interrupted.cancelled", 78),
    (Failed("no", native={"class": "GenericError"}), "hypervisor.failed", 9),
    (BadDriver("acme", "wrong", version="1.0"), "driver.bad", 1),
]


@pytest.mark.parametrize(("error", "code", "number"), ALL, ids=lambda value: str(value) if value else "")
def test_every_error_has_a_listed_code_and_libvirts_number(error: VirtError, code: str, number: int | None) -> None:
    assert (error.code, error.libvirt_number) == (code, number)
    assert code in CODES


def test_no_class_of_errors_is_left_out() -> None:
    classes = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, VirtError)}
    assert {type(error) for error, _, _ in ALL} == classes - {VirtError}


@pytest.mark.parametrize("error", [error for error, _, _ in ALL], ids=str)
def test_an_error_is_the_same_in_another_process(error: VirtError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_every_code_says_what_it_means_and_what_to_do() -> None:
    for code, entry in CODES.items():
        assert re.fullmatch(r"[a-z-]+(\.[a-z-]+)?", code), code
        assert entry.meaning, code
        assert entry.way_out, code


def test_every_code_that_is_written_in_the_source_is_listed() -> None:
    written = set()
    for folder in ("core/src", "plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "tests" not in path.relative_to(ROOT).parts:
                text = path.read_text()
                written |= set(re.findall(r'\bcode\s*=\s*"([^"]+)"', text))
                written |= set(re.findall(r'\bProblem\(\s*"([^"]+)"', text))
                written |= {f"{kind}.not-found" for kind in re.findall(r'\bNotFound\([^()]*, "(\w+)"', text)}
                written |= {f"{kind}.exists" for kind in re.findall(r'\bExists\("(\w+)"', text)}
    assert written - CODES.keys() == set()
    assert written


def test_every_code_has_a_page_that_says_what_happened_and_what_to_do(tmp_path: Path) -> None:
    stale = tmp_path / "errors" / "no.such-code.rst"
    stale.parent.mkdir()
    stale.write_text("a page of an earlier version")
    gen_reference.write(tmp_path)
    pages = {path.stem: path.read_text() for path in stale.parent.glob("*.rst")}
    index = pages.pop("index")
    assert pages.keys() == CODES.keys()
    for code, page in pages.items():
        entry = CODES[code]
        assert page.startswith(f"{code}\n{'=' * len(code)}\n"), code
        assert f"**What happened:** {entry.meaning}.\n" in page, code
        assert f"**What to do:** {entry.way_out}.\n" in page, code
        assert min(len(entry.meaning), len(entry.way_out)) >= 8, code
        assert (f"number for it is {entry.libvirt}." in page) == (entry.libvirt is not None), code
        assert f":doc:`{code} <{code}>`" in index, code
        assert re.search(rf"^   {re.escape(code)}$", index, re.MULTILINE), "it is in the table of contents"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_event_comes_back_from_its_row(kind: str) -> None:
    cls = KINDS[kind]
    for change in cls.changes or (None,):
        given: dict[str, Any] = {"change": change} if change else {}
        event = cls(ref=ONE, at=2.0, run="r", token="t", **given)
        assert Entry(kind, ONE, event.detail_row(), "r", 2.0, token="t").event() == event


def test_an_event_of_a_kind_that_this_version_does_not_know_is_a_plain_one() -> None:
    entry = Entry("teleport", ONE, {"to": "mars", "ref": 7}, "r", 2.0, token="t")
    assert entry.event() == Event(ref=ONE, at=2.0, run="r", token="t")


def test_details_have_libvirts_numbers() -> None:
    assert set(Change) == DETAILS.keys()
    assert Lifecycle(change=Change.STOPPED, detail="crashed").numbers == (5, 2)
    assert Lifecycle(change=Change.STARTED, detail="what nobody knows").numbers == (2, 0)


@pytest.mark.parametrize("state", list(State))
def test_every_state_but_an_unknown_one_can_be_told_as_an_event(state: State) -> None:
    for reason in Reason:
        event = so_now(ONE, Status(state, reason), run="r", at=1.0)
        assert (event is None) == (state is State.UNKNOWN)


def test_what_a_state_is_told_as() -> None:
    def word(state: State, reason: Reason = Reason.UNKNOWN) -> tuple[str, str]:
        event = so_now(ONE, Status(state, reason), run="r", at=1.0)
        assert event is not None
        return event.change.value, event.detail

    assert word(State.RUNNING) == ("started", "booted")
    assert word(State.PAUSED, Reason.IOERROR) == ("suspended", "I/O error")
    assert word(State.SHUTOFF, Reason.DESTROYED) == ("stopped", "destroyed")
    assert word(State.SHUTOFF) == ("stopped", "")


def test_a_documents_text_is_kept_and_its_model_made_when_asked_for() -> None:
    text = "<domain type='test'>\n  <name>one</name>\n</domain>"
    document: Document[Any] = Document.of(text)
    assert document.text == text
    assert document.model.name == "one"
    assert Document.of(document) is document
    assert pickle.loads(pickle.dumps(document)) == document
    assert Document.of(document.model).model.name == "one"
    assert Document.of(text.encode()).model == document.model


def test_a_document_larger_than_allowed_is_refused_when_its_model_is_asked_for() -> None:
    huge: Document[Any] = Document.of(f"<domain><name>{'x' * (11 << 20)}</name></domain>")
    with pytest.raises(Invalid) as refused:
        _ = huge.model
    assert refused.value.code == "xml.limits"
