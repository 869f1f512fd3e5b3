"""Passwords in definitions: what is printed, and what comes back from an editor or a document."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

SCREEN = "<devices><graphics type='vnc' passwd='{}'/></devices></domain>"
WORD = "sesam-17"


@pytest.fixture
def fake() -> Any:
    """A hypervisor whose domain ``web`` has a display with a password."""
    made = sys.modules["cli_fakes"].Guarded()
    guest = next(guest for guest in made.guests.values() if guest.ref.name == "web")
    guest.xml = guest.xml.replace("</domain>", SCREEN.format(WORD))
    return made


def _stored(fake: Any) -> str:
    return str(next(guest.xml for guest in fake.guests.values() if guest.ref.name == "web"))


def test_dumpxml_prints_a_password_only_where_it_is_asked_for(cli: Any) -> None:
    assert WORD not in cli("dumpxml", "web").out
    assert f"passwd='{WORD}'" in cli("dumpxml", "web", "--security-info").out
    refused = cli("--readonly", "dumpxml", "web", "--security-info")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error[readonly]: ")


def test_an_edit_keeps_the_password(cli: Any, fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/1048576/2097152/ "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli("edit", "web").code == 0
    assert "2097152" in _stored(fake)
    assert f"passwd='{WORD}'" in _stored(fake)


def test_apply_keeps_a_password_that_the_document_does_not_have(cli: Any, fake: Any) -> None:
    wanted = _stored(fake).replace(f" passwd='{WORD}'", "").replace("1048576", "524288")
    assert cli("apply", "-", stdin=wanted).code == 0
    assert "524288" in _stored(fake)
    assert f"passwd='{WORD}'" in _stored(fake)


def test_a_plan_tells_that_a_password_changes_and_not_to_what(cli: Any, fake: Any) -> None:
    other = _stored(fake).replace(WORD, "sesam-18")
    assert cli("plan", "-", stdin=other).out.splitlines() == [
        "~ web: changes (next boot)",
        "    ~ /devices/graphics[vnc]/@passwd: *** -> ***",
    ]
    assert "sesam" not in cli("--json", "plan", "-", stdin=other).out
    without = _stored(fake).replace(SCREEN.format(WORD), "</domain>")
    gone = cli("plan", "-", stdin=without).out
    assert "passwd='***'" in gone
    assert WORD not in gone


def test_a_plan_on_a_read_only_connection_compares_all_but_passwords(cli: Any, fake: Any) -> None:
    assert cli("--readonly", "plan", "-", stdin=_stored(fake)).out == "= web: nothing to do\n"
