"""Scopes: found from the state folder alone, ours, closed to others, on a local file system."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt import scope as scopes
from anyvirt.errors import Denied, Invalid
from anyvirt.scope import Mount, Scope, machine_id, prepare
from anyvirt.settings import Settings

ROOT = os.geteuid() == 0
NOBODY = 65534
WAYS_OUT = ("sudo", "session", "ssh root@localhost anyvirt")


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings.read({"HOME": str(tmp_path)})


def test_the_session_scope_is_the_users_own_and_of_this_machine(home: Settings, tmp_path: Path) -> None:
    found = Scope.find("session", settings=home)
    assert found.state == tmp_path / ".local/state/anyvirt" / machine_id()
    assert found.run == found.state / "run"
    assert found.machine_id == found.state.name
    assert found.is_now(found.boot_id)
    assert not found.is_now("another boot")


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "TMPDIR", "XDG_DATA_HOME"])
def test_no_other_variable_moves_it(tmp_path: Path, variable: str) -> None:
    plain = Scope.find("session", settings=Settings.read({"HOME": str(tmp_path)}))
    moved = Scope.find("session", settings=Settings.read({"HOME": str(tmp_path), variable: str(tmp_path / "else")}))
    assert (moved.state, moved.run) == (plain.state, plain.run)
    assert not (tmp_path / "else").exists()


def test_the_state_folder_moves_with_its_variable_and_the_argument_overrules_it(tmp_path: Path) -> None:
    settings = Settings.read({"HOME": str(tmp_path), "ANYVIRT_STATE_DIR": str(tmp_path / "variable")})
    assert Scope.find("session", settings=settings).state == tmp_path / "variable/session"
    found = Scope.find("session", state_dir=tmp_path / "argument", settings=settings)
    assert (found.state, found.run) == (tmp_path / "argument/session", tmp_path / "argument/session/run")


def test_folders_are_closed_to_others_whatever_the_umask(home: Settings) -> None:
    before = os.umask(0o077)
    try:
        for mask in (0, 0o077, 0o777):
            os.umask(mask)
            found = Scope.find("session", state_dir=home.home / f"m{mask}", settings=home)
            found.folder("qemu", "a")
            found.folder("qemu", run=True)
    finally:
        os.umask(before)
    for mask in (0, 0o077, 0o777):
        for folder, _, _ in os.walk(home.home / f"m{mask}" / "session"):
            assert os.stat(folder).st_mode & 0o777 == 0o700, folder
            assert os.access(folder, os.W_OK | os.X_OK)


def test_a_folder_that_others_could_enter_is_closed(home: Settings) -> None:
    state = Scope.find("session", settings=home).state
    state.chmod(0o755)
    Scope.find("session", settings=home)
    assert state.stat().st_mode & 0o777 == 0o700


def test_a_folder_is_opened_for_passing_with_all_that_leads_to_it_and_stays_so(home: Settings) -> None:
    found = Scope.find("session", settings=home)
    beside = found.folder("qemu", "beside")
    place = found.folder("qemu", "inside", passable=True)
    again = Scope.find("session", settings=home)
    again.folder("qemu", "inside")
    modes = [folder.stat().st_mode & 0o777 for folder in (place, place.parent, found.state, beside)]
    assert modes == [0o711, 0o711, 0o711, 0o700]


def test_somebody_elses_folder_is_denied(home: Settings) -> None:
    if not ROOT:
        pytest.skip("needs root to give a folder away")
    state = Scope.find("session", settings=home).state
    os.chown(state, NOBODY, NOBODY)
    with pytest.raises(Denied, match="uid 65534") as caught:
        Scope.find("session", settings=home)
    assert "ANYVIRT_STATE_DIR" in caught.value.hint


@pytest.mark.parametrize("thing", ["link", "file"])
def test_what_is_no_folder_of_its_own_is_denied(home: Settings, tmp_path: Path, thing: str) -> None:
    state = tmp_path / "moved/session"
    state.parent.mkdir()
    if thing == "link":
        (tmp_path / "real").mkdir(0o700)
        state.symlink_to(tmp_path / "real")
    else:
        state.touch()
    with pytest.raises(Denied):
        Scope.find("session", state_dir=state.parent, settings=home)


def test_the_system_scope_is_roots_and_names_three_ways_out(tmp_path: Path) -> None:
    if not ROOT:
        with pytest.raises(Denied) as caught:
            Scope.find("system")
        hint = caught.value.hint
    else:
        pid = os.fork()
        if pid == 0:  # as somebody else, in a process of its own
            status = 1
            try:
                os.setresuid(NOBODY, NOBODY, NOBODY)
                try:
                    Scope.find("system", settings=Settings())
                except Denied as error:
                    (status,) = (0 if all(word in error.hint for word in WAYS_OUT) else 2,)
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        return
    assert all(word in hint for word in WAYS_OUT)


def test_the_system_scope_can_be_moved_and_keeps_apart_from_the_session(tmp_path: Path, home: Settings) -> None:
    if not ROOT:
        pytest.skip("needs root")
    system = Scope.find("system", state_dir=tmp_path, settings=home)
    session = Scope.find("session", state_dir=tmp_path, settings=home)
    assert system.state != session.state
    assert system.run == system.state / "run"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(Invalid):
        Scope.find("user")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "filesystem", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuse.sshfs", "fuseblk", "virtiofs"]
)
def test_file_systems_that_cannot_lock_are_refused_before_they_are_touched(tmp_path: Path, filesystem: str) -> None:
    mounts = [
        Mount("1", "/", "ext4"),
        Mount("2", str(tmp_path), "tmpfs"),
        Mount("3", str(tmp_path / "dead"), filesystem),
    ]
    with pytest.raises(Denied, match=filesystem) as caught:
        prepare(tmp_path / "dead/state", mounts)
    assert "ANYVIRT_STATE_DIR" in caught.value.hint
    assert not (tmp_path / "dead").exists()
    prepare(tmp_path / "deadly", mounts)


def test_a_later_mount_on_the_same_place_counts(tmp_path: Path) -> None:
    mounts = [Mount("1", str(tmp_path), "nfs4"), Mount("2", str(tmp_path), "ext4")]
    prepare(tmp_path / "state", mounts)
    with pytest.raises(Denied):
        prepare(tmp_path / "state", mounts[::-1])


def test_a_link_to_a_refused_file_system_is_seen_through(tmp_path: Path) -> None:
    real = next(mount for mount in scopes._mounts() if mount.number == _mount_of(tmp_path))
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    mounts = [Mount("0", "/", "ext4"), Mount(real.number, "/somewhere/else", "nfs4")]
    with pytest.raises(Denied, match="nfs4"):
        prepare(tmp_path / "near/state", mounts)


def _mount_of(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    finally:
        os.close(fd)
    return next(line.split()[1] for line in text.splitlines() if line.startswith("mnt_id"))


@pytest.fixture
def bind_9p(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "with space"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_mount_with_a_blank_in_its_place_is_found(bind_9p: Path) -> None:
    assert scopes._mount_by_path(str(bind_9p / "x"), scopes._mounts()) == "tmpfs"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "x" * 50, "qemu\n"])
def test_a_driver_is_named_by_a_plain_word(home: Settings, name: str) -> None:
    found = Scope.find("session", settings=home)
    with pytest.raises(Invalid):
        found.store(name)
    with pytest.raises(Invalid):
        found.files(name)


def test_stores_and_locks_of_a_scope_are_found_again(home: Settings) -> None:
    first, second = (Scope.find("session", settings=home) for _ in range(2))
    store = first.store("qemu")
    store.define("domain", "u", "web", "<a/>")
    again = second.store("qemu")
    assert again.get("domain", "u").xml == "<a/>"
    first.files("xen").define("domain", "u", "web", "<b/>")
    assert second.files("xen").get("domain", "u").xml == "<b/>"
    assert second.store("lxc").rows("domain") == []
    assert first.lock("u") is first.locks.lock("u")
    assert first.lock("u").path == second.lock("u").path == first.state / "locks/u"
    store.close()
    again.close()


def test_importing_it_loads_neither_sqlite_nor_what_is_slow() -> None:
    script = "import sys, anyvirt.scope; print([m for m in sys.argv[1:] if m in sys.modules])"
    slow = ["sqlite3", "json", "ctypes", "lxml", "ssl", "asyncio", "subprocess", "platformdirs", "pluggy", "hashlib"]
    done = subprocess.run([sys.executable, "-c", script, *slow], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
