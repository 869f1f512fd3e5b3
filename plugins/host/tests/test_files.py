"""Small files, read whatever becomes of them, and made for us alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from anyvirt_host.local import files


@pytest.mark.parametrize(("said", "number"), [("17\n", 17), ("-1\n", None), ("", None), ("a 1\n", None)])
def test_a_file_says_a_number_or_none(tmp_path: Path, said: str, number: int | None) -> None:
    (tmp_path / "file").write_text(said)
    assert files.number(tmp_path / "file") == number
    assert files.text(tmp_path / "file") == said.strip()


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert files.text(tmp_path / "none") == files.text(tmp_path) == ""
    assert files.number(tmp_path / "none") is None
    (tmp_path / "odd").write_bytes(b"\xff")
    assert files.text(tmp_path / "odd") == "\ufffd"


def test_a_file_that_is_made_is_private_and_follows_no_link(tmp_path: Path) -> None:
    with open(tmp_path / "new", "w", opener=files.private) as file:
        file.write("secret")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    os.symlink("other", tmp_path / "link")
    with pytest.raises(OSError, match="Too many levels"):
        open(tmp_path / "link", "w", opener=files.private).close()
    assert not (tmp_path / "other").exists()
