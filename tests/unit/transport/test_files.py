from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Denied, Exists, Failed, Interrupted, Invalid, NotFound, VirtError
from anyvirt.settings import Settings
from anyvirt.transport.files import FarFiles, Files, Kind, LocalFiles, files
from anyvirt.transport.run import LocalRun, Output
from anyvirt.uri import Uri

ALL = bytes(range(256))
NAMES = ["plain", "a b", "it's", '"', "$HOME", "`id`", "-rf", "*", "new\nline", "\\", ".hidden", "..odd", "é", "=x"]


@pytest.fixture(params=["local", "far"])
def tree(request: pytest.FixtureRequest) -> Files:
    """Files here, and those that a shell reaches; the scripts are the same over ssh."""
    return LocalFiles() if request.param == "local" else FarFiles(LocalRun())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_comes_back_as_it_was_written(tree: Files, tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    tree.write(path, ALL)
    assert tree.read(path) == ALL
    assert tree.list(str(tmp_path)) == (name,)
    assert tree.exists(path)
    assert tree.stat(path).size == 256
    tree.remove(path)
    assert not tree.exists(path)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_modes_do_not_depend_on_the_umask(tree: Files, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        tree.write(f"{tmp_path}/closed", b"")
        tree.write(f"{tmp_path}/open", b"", 0o664)
        tree.mkdir(f"{tmp_path}/folder")
        tree.mkdir(f"{tmp_path}/wide", 0o755)
    finally:
        os.umask(before)
    assert [tree.stat(f"{tmp_path}/{name}").mode for name in ("closed", "open", "folder", "wide")] == [
        0o600,
        0o664,
        0o700,
        0o755,
    ]


def test_a_file_is_replaced_as_a_whole(tree: Files, tmp_path: Path) -> None:
    path = tmp_path / "file"
    tree.write(str(path), b"x" * 100_000)
    with path.open("rb") as old:
        tree.write(str(path), b"new", 0o640)
        assert len(old.read()) == 100_000
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_is_replaced_and_not_followed(tree: Files, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("target")
    tree.write(f"{tmp_path}/link", b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert tree.stat(f"{tmp_path}/link").kind is Kind.FILE


def test_reading_through_a_link_is_refused(tree: Files, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(Denied, match="link"):
        tree.read(f"{tmp_path}/link")


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_only_regular_files_are_read(tree: Files, tmp_path: Path, kind: str) -> None:
    path = {"fifo": f"{tmp_path}/fifo", "folder": str(tmp_path), "device": "/dev/zero"}[kind]
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(Denied, match="no regular file"):
        tree.read(path)


def test_no_more_than_the_cap_is_read(tree: Files, tmp_path: Path) -> None:
    tree.write(f"{tmp_path}/file", b"x" * 100)
    assert len(tree.read(f"{tmp_path}/file", 100)) == 100
    with pytest.raises(Invalid, match="99"):
        tree.read(f"{tmp_path}/file", 99)


def test_every_kind_is_told(tree: Files, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", ns=(0, 1_700_000_000_123_456_789))
    assert tree.stat(f"{tmp_path}/fifo").kind is Kind.FIFO
    assert tree.stat(f"{tmp_path}/link").kind is Kind.LINK
    assert tree.stat(str(tmp_path)).kind is Kind.FOLDER
    assert tree.stat("/dev/null").kind is Kind.CHAR
    found = tree.stat(f"{tmp_path}/file")
    assert (found.kind, found.uid, found.mtime_ns) == (Kind.FILE, os.getuid(), 1_700_000_000_123_456_789)


def test_a_link_to_nowhere_exists_and_can_be_removed(tree: Files, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert tree.exists(f"{tmp_path}/link")
    assert tree.list(str(tmp_path)) == ("link",)
    tree.remove(f"{tmp_path}/link")
    assert os.listdir(tmp_path) == []


def test_making_a_folder_says_whether_it_was_there(tree: Files, tmp_path: Path) -> None:
    assert tree.mkdir(f"{tmp_path}/folder")
    assert not tree.mkdir(f"{tmp_path}/folder", 0o777)
    assert tree.stat(f"{tmp_path}/folder").mode == 0o700
    assert tree.list(f"{tmp_path}/folder") == ()
    tree.remove(f"{tmp_path}/folder")


def test_what_is_not_there_is_not_found(tree: Files, tmp_path: Path) -> None:
    gone = f"{tmp_path}/gone"
    for attempt in (tree.read, tree.list, tree.stat, tree.remove):
        with pytest.raises(NotFound, match="gone") as caught:
            attempt(gone)
        assert caught.value.code == "file.not-found"
    for path in (f"{gone}/file", f"{gone}/x/file"):
        with pytest.raises(NotFound):
            tree.write(path, b"")
        assert not tree.exists(path)


def test_what_stands_in_the_way_is_named(tree: Files, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/inside").touch()
    with pytest.raises(Exists) as caught:
        tree.mkdir(f"{tmp_path}/file")
    assert caught.value.code == "file.exists"
    with pytest.raises(Invalid, match="folder"):
        tree.write(f"{tmp_path}/folder", b"")
    with pytest.raises(Failed, match="folder"):
        tree.remove(f"{tmp_path}/folder")
    with pytest.raises(NotFound):
        tree.list(f"{tmp_path}/file")
    assert (tmp_path / "folder/inside").exists()


@pytest.mark.parametrize("path", ["", "relative", "/a\0b", "-x"])
def test_only_absolute_paths_are_taken(tree: Files, path: str) -> None:
    for attempt in (tree.read, tree.list, tree.stat, tree.remove, tree.exists, tree.mkdir):
        with pytest.raises(Invalid):
            attempt(path)
    with pytest.raises(Invalid):
        tree.write(path, b"")


@pytest.mark.parametrize("path", ["/tmp/", "/tmp/.", "/tmp/.."])
def test_a_file_to_write_has_a_name(tree: Files, path: str) -> None:
    with pytest.raises(Invalid):
        tree.write(path, b"")


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system with room for a few pages."""
    place = Path(f"/run/anyvirt-small-{os.getpid()}")
    if os.geteuid():
        pytest.skip("mounting a small file system needs root")
    place.mkdir(0o700)
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=False).returncode:
            pytest.skip("mounting a small file system is refused here")
        yield place
    finally:
        subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL)
        place.rmdir()


def test_a_full_disk_leaves_the_old_content_and_no_rest(tree: Files, small: Path) -> None:
    tree.write(f"{small}/file", b"old")
    with pytest.raises(Failed) as caught:
        tree.write(f"{small}/file", b"x" * 200_000)
    assert caught.value.code == "file.no-space"
    assert tree.read(f"{small}/file") == b"old"
    assert tree.list(str(small)) == ("file",)


def test_a_call_after_its_deadline_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), within(Deadline(0)):
        LocalFiles().write(f"{tmp_path}/file", b"x")
    assert os.listdir(tmp_path) == []


def test_a_far_write_whose_line_is_cut_leaves_the_old_content(tmp_path: Path) -> None:
    local = LocalRun()

    def cut(*argv: str, input: bytes | str | object = None, env: object = None) -> Output:  # noqa: A002
        assert isinstance(input, bytes)
        return local(*argv, input=input[:-1])

    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(VirtError):
        FarFiles(cut).write(str(path), b"a new and longer text")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_rubbish_from_a_far_stat_is_a_failure() -> None:
    def rubbish(*argv: str, input: object = None, env: object = None) -> Output:  # noqa: A002
        return Output(0, b"one two three")

    with pytest.raises(Failed, match="one two three"):
        FarFiles(rubbish).stat("/x")


def test_a_uri_says_whose_files_they_are() -> None:
    settings, run = Settings.read({}), LocalRun()
    assert isinstance(files(Uri.of("qemu:///system"), settings, run), LocalFiles)
    assert isinstance(files(Uri.of("xen+ssh://h/system"), settings, run), FarFiles)
