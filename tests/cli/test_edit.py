"""``edit``: an editor, and what comes of it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

GROW = 'sed -i s/1048576/2097152/ "$1"'


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a shell script the editor, and this test's folder the one for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def make(script: str) -> Path:
        path = tmp_path / "editor"
        path.write_text(f'#!/bin/sh\nset -e\nls -l "$1" > {tmp_path}/seen\n{script}\n')
        path.chmod(0o700)
        monkeypatch.setenv("VISUAL", f"{path}")
        return tmp_path

    return make


def test_what_was_edited_is_stored_and_the_file_is_gone(cli: Any, fake: Any, editor: Any) -> None:
    folder = editor(GROW)
    result = cli("edit", "web")
    assert (result.code, result.out) == (0, "Domain 'web' XML configuration edited.\n")
    assert "2097152" in fake.calls[0][1]
    assert list(folder.glob("*.xml")) == []
    assert (folder / "seen").read_text().startswith("-rw------- ")


def test_nothing_is_stored_where_nothing_was_changed(cli: Any, fake: Any, editor: Any) -> None:
    editor("true")
    assert cli("edit", "web").out == "Domain 'web' XML configuration not changed.\n"
    assert fake.calls == []


def test_a_definition_that_is_wrong_is_kept_in_a_file(cli: Any, fake: Any, editor: Any) -> None:
    folder = editor('sed -i s/vcpu/vpcu/g "$1"')
    result = cli("edit", "web")
    assert result.code == 1
    assert "error[xml.unknown-element]" in result.err
    kept = list(folder.glob("*.xml"))
    assert f"your text is kept in {kept[0]}" in result.err
    assert "vpcu" in kept[0].read_text()
    assert stat.S_IMODE(kept[0].stat().st_mode) == 0o600
    assert fake.calls == []


def test_what_somebody_else_changed_meanwhile_is_not_written_over(
    cli: Any, fake: Any, editor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(GROW)
    guest = next(guest for guest in fake.guests.values() if guest.ref.name == "web")
    texts = iter([guest.xml, guest.xml.replace("<vcpu>2", "<vcpu>4")])
    monkeypatch.setattr(type(guest), "xml", property(lambda self: next(texts)), raising=False)
    result = cli("edit", "web")
    assert result.code == 1
    assert "error[resource.busy]: somebody else changed the definition of 'web' meanwhile" in result.err
    assert fake.calls == []


def test_an_editor_that_is_not_there_is_named(cli: Any, monkeypatch: pytest.MonkeyPatch, editor: Any) -> None:
    editor("true")
    monkeypatch.setenv("VISUAL", "/nowhere/editor")
    result = cli("edit", "web")
    assert result.code == 1
    assert "no program '/nowhere/editor'" in result.err
