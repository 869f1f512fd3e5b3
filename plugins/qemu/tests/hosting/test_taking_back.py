"""What a start has left on the host is taken back whole, whatever fails between."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from anyvirt.api import Failed
from anyvirt_qemu.guest import Phase, Record
from anyvirt_qemu.hosting import confined, take_back
from anyvirt_qemu.hosting.ownership import Book, Held, Use
from anyvirt_qemu.run_dir import RunDir

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


def test_a_profile_that_stays_loaded_is_told_and_one_that_is_not_is_no_matter(tmp_path: Path) -> None:
    kernel, file, nowhere = tmp_path / "kernel", tmp_path / "profile", cast("RunDir", None)
    (kernel / ".remove").mkdir(parents=True)  # which nobody can write to
    (kernel / "profiles").write_text("one (enforce)\n")
    file.touch()
    with pytest.raises(Failed, match="profile one stays loaded") as raised:
        confined.take_back(nowhere, {"kind": "apparmor", "name": "one", "file": str(file)}, kernel)
    assert str(file) in raised.value.hint
    assert file.exists()  # with which it can be unloaded
    confined.take_back(nowhere, {"kind": "apparmor", "name": "two", "file": str(file)}, kernel)
    assert not file.exists()
    (kernel / ".remove").rmdir()
    (kernel / ".remove").touch()
    confined.take_back(nowhere, {"kind": "apparmor", "name": "one", "file": str(file)}, kernel)
    assert (kernel / ".remove").read_text() == "one"


@pytest.mark.parametrize(
    ("phase", "text", "stays"), [("starting", "", False), ("starting", "x", True), ("running", "", True)]
)
def test_an_empty_file_that_was_made_for_qemu_goes_with_a_start_that_failed(
    tmp_path: Path, phase: Phase, text: str, stays: bool
) -> None:
    file = tmp_path / "made.log"
    record = Record(run="r", uuid="u", name="one", number=1, phase=phase, paused=False, xml="", boot=NOW, began=0.0)
    place = cast("RunDir", SimpleNamespace(read=lambda _name: record.to_bytes()))
    entry = {"kind": "made", "path": str(file)}
    take_back(place, [entry])  # it was never made
    file.write_text(text)
    take_back(place, [entry])
    assert file.exists() is stays


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
