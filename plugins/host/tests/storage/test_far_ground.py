"""What a folder tells of itself through a shell of another host is what it tells here."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Denied, Exists, Failed, FarRun, Invalid, NotFound, Output, Run, Unsupported
from anyvirt.transport.run import LocalRun
from anyvirt_host.storage.ground.far import FarGround, told
from anyvirt_host.storage.ground.ground import Ground, ground_of
from anyvirt_host.storage.ground.local import LocalGround

# A line to a shell, as ssh is one: what ends it ends nothing at its other end.
RELAY = 'cat | setsid sh -c "$0" | cat'
HOSTILE = [
    "-rf",
    "--",
    "a b",
    "it's",
    '"',
    "$(id)",
    "`id`",
    "\\",
    "*",
    "new\nline",
    "\t",
    "é",
    "\udcff\udcfe",
    "~",
    "#",
]
TOOLS = (
    "cat chmod chown cut date dd env find flock grep head ln lsattr ls mkdir mv printf readlink realpath rm rmdir sed"
    " setsid sh sort stat sync tail test touch truncate unlink wc xargs"
)


def line(path: str | None = None) -> Callable[[str], subprocess.Popen[bytes]]:
    env = dict(os.environ) | ({"PATH": path} if path else {})

    def begin(command: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        words = [shutil.which("sh") or "/bin/sh", "-c", RELAY, command]
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True, env=env)

    return begin


@pytest.fixture
def tools() -> Iterator[FarRun]:
    made = FarRun(line(), "far")
    yield made
    made.close()


@pytest.fixture
def far(tools: FarRun) -> FarGround:
    return FarGround(tools)


@pytest.fixture
def near() -> LocalGround:
    return LocalGround(LocalRun())


@pytest.fixture(params=["near", "far"])
def ground(request: pytest.FixtureRequest) -> Ground:
    found: Ground = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "a folder's\n name"
    place.mkdir()
    for name in HOSTILE:
        (place / name).write_bytes(os.fsencode(name) * 700)
    (place / "holes").write_bytes(b"")
    os.truncate(place / "holes", 1 << 20)
    (place / "empty").touch(0o640)
    (place / "inside").mkdir(0o750)
    (place / "link").symlink_to("holes")
    os.mkfifo(place / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        fd = os.open(place, os.O_RDONLY)
        sock.bind(f"/proc/self/fd/{fd}/socket")
        os.close(fd)
    return place


def test_both_see_the_same(near: LocalGround, far: FarGround, folder: Path) -> None:
    path = str(folder)
    assert sorted(far.entries(path)) == sorted(near.entries(path))
    names = [entry.name for entry in near.entries(path)]
    assert len(names) == len(HOSTILE) + 6
    found = near.sights(path, names)
    assert far.sights(path, names) == found
    assert set(found) == {*HOSTILE, "holes", "empty", "inside"}
    assert {name: far.sights(path, [name]).get(name) for name in names} == {name: found.get(name) for name in names}
    assert far.sights(path, ["missing"]) == near.sights(path, ["missing"]) == {}
    assert far.sights(f"{path}/missing", ["x"]) == near.sights(f"{path}/missing", ["x"]) == {}
    assert far.sights(f"{path}/empty", ["x"]) == near.sights(f"{path}/empty", ["x"]) == {}
    assert far.home(path) == near.home(path)
    assert far.room(path).capacity == near.room(path).capacity


def test_both_read_the_same(near: LocalGround, far: FarGround, folder: Path) -> None:
    path, names = str(folder), [*HOSTILE, "holes", "empty"]
    for count in (16, 4096):
        assert far.heads(path, names, count) == near.heads(path, names, count)
        assert far.heads(path, ["missing", *names], count) == near.heads(path, names, count)
        assert far.heads(path, ["-rf"], count) == near.heads(path, ["-rf"], count)
    plain = [name for name in names if "\n" not in name]  # volumes have no such names
    assert far.generations(path, plain) == near.generations(path, plain)
    assert far.generations(path, ["--"]) == near.generations(path, ["--"])


def test_what_looks_like_heads_of_other_files_is_none(far: FarGround, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10 + b"\n==> ./b <==\n" + b"y" * 10)
    (tmp_path / "b").write_bytes(b"==> ./c <==\n")
    (tmp_path / "c").write_bytes(b"\n")
    for count in (10, 23, 4096):
        wanted = {name: (tmp_path / name).read_bytes()[:count] for name in "abc"}
        assert far.heads(str(tmp_path), ["a", "b", "c"], count) == wanted


def test_many_take_as_many_calls_as_few(tools: FarRun, far: FarGround, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03d}").write_bytes(b"%d" % number * 9)

    def asked(names: list[str]) -> int:
        before = tools.asked
        assert len(list(far.entries(str(tmp_path)))) == 300
        assert set(far.sights(str(tmp_path), names)) == set(names)
        assert {bytes(head) for head in far.heads(str(tmp_path), names, 512).values()} == {
            b"%d" % int(name) * 9 for name in names
        }
        assert set(far.generations(str(tmp_path), names)) == set(names)
        return tools.asked - before

    assert asked([f"{number:03d}" for number in range(300)]) == asked(["000", "001"]) == 5


@pytest.mark.parametrize("name", ["link", "fifo", "socket", "inside"])
def test_what_is_no_file_is_not_read(ground: Ground, folder: Path, name: str) -> None:
    for ask in (lambda: ground.heads(str(folder), [name], 16), lambda: ground.in_use(str(folder), name)):
        with pytest.raises((Denied, Invalid, Failed)) as caught:
            ask()
        assert name in caught.value.message


def test_a_folder_that_is_none_says_so(ground: Ground, folder: Path) -> None:
    for path, error in ((f"{folder}/empty", Invalid), (f"{folder}/missing", NotFound)):
        with pytest.raises(error, match=path.rpartition("/")[2]):
            list(ground.entries(path))


def test_an_image_that_qemu_has_open_is_in_use(ground: Ground, folder: Path) -> None:
    with (folder / "holes").open("r+b") as file:
        assert not ground.in_use(str(folder), "holes")
        lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 201, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        assert ground.in_use(str(folder), "holes")
        assert not ground.in_use(str(folder), "empty")


@pytest.mark.parametrize("name", [*HOSTILE, "link"])
def test_one_is_removed_and_nothing_else(ground: Ground, folder: Path, name: str) -> None:
    before = set(os.listdir(folder))
    ground.remove(str(folder), name)
    assert set(os.listdir(folder)) == before - {name}
    with pytest.raises(NotFound):
        ground.remove(str(folder), name)


def test_a_folder_is_removed_where_it_is_empty(ground: Ground, folder: Path) -> None:
    (folder / "inside/x").touch()
    with pytest.raises(Invalid, match="not empty"):
        ground.remove(str(folder), "inside", is_folder=True)
    (folder / "inside/x").unlink()
    ground.remove(str(folder), "inside", is_folder=True)
    assert not (folder / "inside").exists()


def test_a_folder_is_made_with_what_leads_to_it(ground: Ground, tmp_path: Path) -> None:
    path = tmp_path / "-a/b c/new"
    ground.make_folder(str(path), 0o2751, (-1, os.getgid()))
    assert path.stat().st_mode & 0o7777 == 0o2751
    ground.make_folder(str(path), 0o700, (-1, -1))
    assert path.stat().st_mode & 0o7777 == 0o2751
    (tmp_path / "file").touch()
    with pytest.raises((Exists, Invalid, NotFound)):
        ground.make_folder(str(tmp_path / "file"), 0o700, (-1, -1))
    ground.remove_folder(str(path))
    assert not path.exists()
    assert ground.same(str(tmp_path / "-a/../-a"), str(tmp_path / "-a"))
    assert not ground.same(str(tmp_path / "-a"), str(tmp_path))


def test_a_berth_is_held_until_it_is_published(
    ground: Ground, near: LocalGround, far: FarGround, tmp_path: Path
) -> None:
    path, hidden = str(tmp_path), ".anyvirt-1.new"
    berth = ground.berth(path, hidden)
    assert berth.run("sh", "-c", 'printf whole >"$1"', "sh", berth.path).code == 0
    for other in (near, far):
        assert list(other.berths(path, ".anyvirt-", ".new")) == [(hidden, True)]
    berth.sync()
    berth.publish("it's", 0o640, (-1, -1))
    berth.close()
    assert os.listdir(path) == ["it's"]
    assert ((tmp_path / "it's").read_text(), (tmp_path / "it's").stat().st_mode & 0o777) == ("whole", 0o640)
    assert ((tmp_path / "it's").stat().st_ino, near.generations(path, ["it's"])["it's"]) == (
        berth.inode,
        berth.generation,
    )
    berth.drop("it's")
    assert os.listdir(path) == []


def test_a_name_that_is_taken_stays_what_it_is(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    berth = ground.berth(str(tmp_path), ".anyvirt-1.new")
    with pytest.raises(Exists, match="taken"):
        berth.publish("taken", 0o600, (-1, -1))
    berth.drop("taken")
    berth.close()
    assert os.listdir(tmp_path) == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_berth_whose_line_was_cut_is_free_and_can_be_cleared(
    near: LocalGround, far: FarGround, tmp_path: Path
) -> None:
    berth = far.berth(str(tmp_path), ".anyvirt-1.new")
    berth.close()
    assert list(far.berths(str(tmp_path), ".anyvirt-", ".new")) == [(".anyvirt-1.new", False)]
    assert list(near.berths(str(tmp_path), ".anyvirt-", ".new")) == [(".anyvirt-1.new", False)]
    far.clear(str(tmp_path), ".anyvirt-1.new")
    assert os.listdir(tmp_path) == []
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/kept").touch()
    (tmp_path / ".anyvirt-2.new").symlink_to("elsewhere")
    far.clear(str(tmp_path), ".anyvirt-2.new")
    assert os.listdir(tmp_path / "elsewhere") == ["kept"]


@pytest.mark.parametrize(("tool", "package"), [("lsattr", "e2fsprogs"), ("xargs", "findutils")])
def test_a_tool_that_the_host_lacks_is_named_with_its_package(tmp_path: Path, tool: str, package: str) -> None:
    (tmp_path / "bin").mkdir()
    for name in TOOLS.split():
        found = shutil.which(name)
        if found and name != tool:
            (tmp_path / "bin" / name).symlink_to(found)
    bare = FarRun(line(str(tmp_path / "bin")), "far")
    try:
        for name in ("a", "b"):
            (tmp_path / name).touch()
        ground = FarGround(bare)
        with pytest.raises(Unsupported) as caught:
            ground.generations(str(tmp_path), ["a", "b"])
        assert package in caught.value.hint
    finally:
        bare.close()


def test_a_full_disk_is_told_as_one(far: FarGround) -> None:
    error = told(Output(1, b"", f"dd: error writing 'x': {os.strerror(errno.ENOSPC)}\n".encode()), "/x")
    assert error.code == "file.no-space"


def test_the_run_of_a_host_says_which_ground_it_is(tools: FarRun) -> None:
    run: Run = tools
    assert isinstance(ground_of(run), FarGround)
    assert not isinstance(ground_of(LocalRun()), FarGround)
