"""What a start has left on the host is taken back whole, whatever fails between."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Failed
from anyvirt_qemu.hosting import take_back
from anyvirt_qemu.hosting.ownership import Book, Held, Use

NOW = "the boot of now"


def test_what_cannot_be_taken_back_keeps_nothing_before_it(tmp_path: Path) -> None:
    claim, folder = tmp_path / "claim", tmp_path / "folder"
    os.symlink("u", claim)
    folder.mkdir()
    place: Any = None
    left = [
        {"kind": "claim", "path": str(claim), "uuid": "u"},
        {"kind": "apparmor", "name": "nobody-has-this-profile", "file": str(folder)},
        {"kind": "of-a-later-version"},
    ]
    with pytest.raises(Failed, match="apparmor") as raised:
        take_back(place, left)
    assert raised.value.details["entry"] == left[1]
    assert not claim.is_symlink()


def test_a_file_that_does_not_go_back_keeps_no_other_guest_from_ending(tmp_path: Path) -> None:
    def held(name: str, acl: str) -> Held:
        path = tmp_path / name
        path.touch()
        found = path.stat()
        was = (found.st_uid, found.st_gid, 0o600)
        return Held(str(path), found.st_dev, found.st_ino, was, was, NOW, {name: Use(1, 1, write=False)}, acl)

    with Book.locked(tmp_path, NOW) as book:
        book.put(held("one", acl="ff"))  # which no file system takes
        book.put(held("two", acl=""))
        book.save()
    for uuid, fails in (("one", True), ("one", False), ("two", False), (None, True)):
        with Book.locked(tmp_path, NOW) as book:
            if fails:
                with pytest.raises(Failed):
                    book.leave(uuid)
            else:
                book.leave(uuid)
    with Book.locked(tmp_path, NOW) as book:
        assert [Path(one.path).name for one in book.held] == ["one"]
