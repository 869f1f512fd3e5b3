"""QEMU runs as a user without rights: what it needs changes hands while it runs, and goes back, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, Denied, Invalid, State, VirtError, open  # noqa: A004
from anyvirt_qemu.guest import Run
from anyvirt_qemu.readiness import reserves
from anyvirt_qemu.readiness.rights import LIST
from sector_stage import UP, boot_disk, read_until, sector_xml

UID, GID, OTHER = 61234, 61235, 61236  # nobody has them
FOREIGN = 61300
STEPS = 40  # more than a start has


@pytest.fixture
def folder(qemu: str) -> Iterator[Path]:
    """A folder that every user may pass through."""
    if os.geteuid() != 0:
        pytest.skip("needs root to run QEMU as another user")
    path = Path(tempfile.mkdtemp(prefix="anyvirt-"))
    path.chmod(0o755)
    (path / "state").mkdir(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def connection(folder: Path) -> Iterator[Connection]:
    """The machine's guests, with a state of its own; whatever runs at the end is destroyed."""
    with open("qemu:///system", state_dir=folder / "state") as made:
        yield made
        for domain in made.domain_list():
            with suppress(VirtError):
                domain.destroy()


def label(uid: int = UID, gid: int = GID, relabel: str = "yes") -> str:
    return f"<seclabel type='static' model='dac' relabel='{relabel}'><label>+{uid}:+{gid}</label></seclabel>"


def xml(folder: Path, name: str = "one", more: str = "", own: str = "", **how: Any) -> str:
    disk = folder / "boot.img"
    if not disk.exists():
        boot_disk(disk)
        disk.chmod(0o600)
    return sector_xml(disk, name, more, **how).replace("</domain>", f"{own or label()}</domain>")


def image(path: Path, uid: int = 0, gid: int = 0, mode: int = 0o600) -> Path:
    path.write_bytes(bytes(1 << 20))
    os.chown(path, uid, gid)
    path.chmod(mode)
    return path


def disk(path: Path, target: str = "vdb", more: str = "", inside: str = "") -> str:
    source = f"<source file='{path}'>{inside}</source>"
    return f"<disk type='file'>{source}<target dev='{target}' bus='virtio'/>{more}</disk>"


def owner(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def pid_of(connection: Connection, domain: Any) -> int:
    runs = connection.session.host.scope.folder("qemu", run=True)
    with Run.open(runs, domain.ref.key) or pytest.fail("it has no run") as run:
        assert run.process is not None
        return run.process.pid


def facts(pid: int) -> dict[str, list[str]]:
    rows = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: rest.split() for name, rest in rows}


def test_qemu_has_no_right_but_those_of_its_user(connection: Connection, folder: Path) -> None:
    kernel_log = folder / "printed.log"
    written, foreign = image(folder / "data.img"), image(folder / "foreign.img", FOREIGN, FOREIGN, 0o640)
    more = disk(written) + disk(foreign, "vdc")
    more += f"<serial type='pty'><log file='{kernel_log}'/></serial>"
    more += (
        f"<channel type='unix'><source mode='bind' path='{folder}/c.sock'/><target type='virtio' name='a'/></channel>"
    )
    domain = connection.domain_define(xml(folder, more=more, serial=""))
    domain.start()
    said = facts(pid_of(connection, domain))
    assert said["Uid"] == [str(UID)] * 4
    assert said["Gid"] == [str(GID)] * 4
    assert set(said["Groups"]) <= {str(GID)}
    assert {int(said[name][0], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    assert owner(written) == owner(kernel_log) == (UID, GID, 0o600)
    assert owner(foreign) == (UID, GID, 0o640)
    assert owner(folder / "boot.img") == (0, GID, 0o640), "what is only read stays its owner's"
    with domain.console(replay=True) as stream:
        read_until(stream, UP)
        stream.write(b"x")
        read_until(stream, b"x")
    domain.suspend()
    assert domain.state().state is State.PAUSED
    domain.resume()
    assert f"<imagelabel>+{UID}:+{GID}</imagelabel>" in domain.config().text
    domain.destroy()
    assert owner(written) == owner(folder / "boot.img") == (0, 0, 0o600)
    assert owner(foreign) == (FOREIGN, FOREIGN, 0o640)
    assert owner(kernel_log) == (0, 0, 0o600)
    assert b"up" in kernel_log.read_bytes()


def test_overlays_memory_and_locks_are_the_users(connection: Connection, folder: Path) -> None:
    dropped = image(folder / "dropped.img")
    text = xml(folder, more=disk(dropped, more="<transient/>"))
    locked = "<locked/>" if reserves.raises() else ""  # which takes a right that root lacks in some containers
    backing = f"<memoryBacking><source type='file'/><access mode='shared'/>{locked}</memoryBacking>"
    domain = connection.domain_define(text.replace("<vcpu>", f"{backing}<vcpu>"))
    domain.start()
    (overlay,) = (folder / "state/system/qemu/overlays").iterdir()
    assert owner(overlay) == (UID, GID, 0o600)
    assert owner(dropped) == (UID, GID, 0o600)
    pid = pid_of(connection, domain)
    assert int(facts(pid)["VmLck"][0]) >= (32 << 10 if locked else 0)
    assert f"{folder}/state/system/qemu/memory/{UID}/" in Path(f"/proc/{pid}/maps").read_text()
    domain.destroy()
    assert owner(dropped) == (0, 0, 0o600)
    assert not overlay.exists()


def test_the_last_of_two_guests_gives_a_shared_image_back(connection: Connection, folder: Path) -> None:
    base, common = image(folder / "base.img"), image(folder / "common.img", FOREIGN)
    more = disk(base, "vdb", "<readonly/>") + disk(common, "vdc", "<shareable/>")
    one, two = (connection.domain_define(xml(folder, name, more)) for name in ("one", "two"))
    for first, second in ((one, two), (two, one)):
        one.start()
        two.start()
        assert owner(base) == (0, GID, 0o640)
        assert owner(common) == (UID, GID, 0o600)
        first.destroy()
        assert owner(base) == (0, GID, 0o640)
        assert owner(common) == (UID, GID, 0o600)
        second.destroy()
        assert owner(base) == (0, 0, 0o600)
        assert owner(common) == (FOREIGN, 0, 0o600)


def test_an_image_is_not_taken_from_a_guest_that_runs_as_another_user(connection: Connection, folder: Path) -> None:
    common = image(folder / "common.img")
    more = disk(common, "vdb", "<shareable/>")
    one = connection.domain_define(xml(folder, "one", more))
    two = connection.domain_define(xml(folder, "two", more, label(OTHER)))
    one.start()
    with pytest.raises(Invalid) as caught:
        two.start()
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("resource.busy", "/devices/disk[vdb]/source/@file")
    assert owner(common) == (UID, GID, 0o600)
    one.destroy()
    two.start()
    assert owner(common) == (OTHER, GID, 0o600)


WORKER = """
import os, signal, sys
from anyvirt.api import open
state, number = sys.argv[1], int(sys.argv[2])
seen = []
def step(name):
    seen.append(name)
    if len(seen) == number:
        print(name, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
with open("qemu:///system", state_dir=state) as connection:
    connection.session.host.given["step"] = step
    plugin = connection.session.members[0].plugin
    plugin._site.step = step
    getattr(connection.lookup("one"), sys.argv[3])()
"""


AGAIN = """
import sys
from anyvirt.api import open
with open("qemu:///system", state_dir=sys.argv[1]) as connection:
    domain = connection.lookup(sys.argv[2])
    for _ in range(int(sys.argv[3])):
        domain.start()
        domain.destroy()
"""


@pytest.mark.parametrize("what", ["start", "destroy"])
def test_nothing_stays_with_qemu_after_a_kill_at_any_step(connection: Connection, folder: Path, what: str) -> None:
    written, made = image(folder / "data.img", FOREIGN, FOREIGN), folder / "made.log"
    serial = f"<serial type='file'><source path='{made}'/></serial>"
    domain = connection.domain_define(xml(folder, more=disk(written), serial=serial))
    seen = []
    for number in range(1, STEPS):
        if what == "destroy":
            domain.start()
        words = [sys.executable, "-c", WORKER, str(folder / "state"), str(number), what]
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
        if done.returncode != -signal.SIGKILL:
            assert done.returncode == 0
            break
        seen.append(done.stdout.decode().strip())
        connection.recover()
        if domain.state().state is not State.SHUTOFF:  # it was irrevocable by then
            domain.destroy()
        elif what == "start":
            assert not made.exists(), seen[-1]
        assert owner(written) == (FOREIGN, FOREIGN, 0o600), seen[-1]
        assert owner(folder / "boot.img") == (0, 0, 0o600), seen[-1]
    wanted = {"prepare-ownership", "note-owners", "give-file", "make-file"} if what == "start" else {"remove-leftovers"}
    assert wanted <= set(seen)


def test_what_has_taken_the_place_of_an_image_is_left_alone(connection: Connection, folder: Path) -> None:
    replaced, linked, removed = (image(folder / name) for name in ("a.img", "b.img", "c.img"))
    secret = image(folder / "secret", mode=0o640)
    more = disk(replaced) + disk(linked, "vdc") + disk(removed, "vdd")
    domain = connection.domain_define(xml(folder, more=more))
    domain.start()
    replaced.rename(folder / "old.img")
    image(replaced, FOREIGN, FOREIGN, 0o604)
    linked.unlink()
    linked.symlink_to(secret)
    os.chown(linked, UID, GID, follow_symlinks=False)
    removed.unlink()
    domain.destroy()
    assert owner(replaced) == (FOREIGN, FOREIGN, 0o604)
    assert owner(secret) == (0, 0, 0o640)
    assert not (folder / "state/system/qemu/ownership.json").read_bytes().strip(b"[]")


def test_what_its_owner_for_a_while_has_opened_to_others_is_closed_again(connection: Connection, folder: Path) -> None:
    own, listed = image(folder / "own.img"), image(folder / "listed.img", mode=0o640)
    kept = acl(6, 4, (FOREIGN, 4), mask=4)
    try:
        os.setxattr(listed, LIST, kept)
    except OSError:
        pytest.skip(f"no file system with access control lists can be mounted here: {folder}")
    domain = connection.domain_define(xml(folder, more=disk(own) + disk(listed, "vdc")))
    domain.start()
    for path in (own, listed):
        os.setxattr(path, LIST, acl(6, 6, (OTHER, 6), mask=6))
        path.chmod(0o4777)
    domain.destroy()
    assert owner(own) == (0, 0, 0o600)
    assert LIST not in os.listxattr(own)
    assert owner(listed) == (0, 0, 0o640)
    assert os.getxattr(listed, LIST) == kept
    own.chmod(0o4700)
    (problem,) = domain.preflight()
    assert problem.hint == f"chmod ug-s {own}"


def acl(user: int, group: int, named: tuple[int, int], *, mask: int) -> bytes:
    """An access control list with one more user in it; nothing is for others."""
    none = 0xFFFFFFFF
    entries = [(1, user, none), (2, named[1], named[0]), (4, group, none), (16, mask, none), (32, 0, none)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_a_link_of_another_user_is_not_followed_to_a_file_that_would_change_hands(
    connection: Connection, folder: Path
) -> None:
    secret = image(folder / "secret.img")
    bait = folder / "bait.img"
    bait.symlink_to(secret)
    os.chown(bait, UID, GID, follow_symlinks=False)
    domain = connection.domain_define(xml(folder, more=disk(bait)))
    (problem,) = domain.preflight()
    assert (problem.code, problem.path) == ("denied", "/devices/disk[vdb]/source/@file")
    assert f"link of user {UID}" in problem.text
    with pytest.raises((Invalid, Denied)):
        domain.start()
    assert owner(secret) == (0, 0, 0o600)
    os.chown(bait, 0, 0, follow_symlinks=False)
    domain.start()
    assert owner(secret) == (UID, GID, 0o600)


def test_what_is_not_to_be_labelled_stays_and_what_names_an_owner_gets_it(connection: Connection, folder: Path) -> None:
    kept, named = image(folder / "kept.img", mode=0o666), image(folder / "named.img", mode=0o666)
    more = disk(kept, "vdb", inside="<seclabel model='dac' relabel='no'/>")
    more += disk(named, "vdc", inside=f"<seclabel model='dac'><label>+{OTHER}:+{GID}</label></seclabel>")
    domain = connection.domain_define(xml(folder, more=more))
    domain.start()
    assert owner(kept) == (0, 0, 0o666)
    assert owner(named) == (OTHER, GID, 0o666)
    domain.destroy()
    assert owner(named) == (0, 0, 0o666)
    kept.chmod(0o600)
    (problem,) = domain.preflight()
    assert f"user {UID} may not read it" in problem.text
    assert problem.hint == f"setfacl -m u:{UID}:rw {kept}"


def test_without_relabelling_every_file_that_the_user_cannot_open_is_named(
    connection: Connection, folder: Path
) -> None:
    inside = folder / "closed"
    inside.mkdir(0o700)
    first, second = image(folder / "data.img"), image(inside / "deep.img")
    more = disk(first) + disk(second, "vdc") + f"<serial type='file'><source path='{folder}/none.log'/></serial>"
    domain = connection.domain_define(xml(folder, more=more, serial="", own=label(relabel="no")))
    problems = {problem.path: problem for problem in domain.preflight()}
    assert set(problems) == {
        "/devices/disk[vda]/source/@file",
        "/devices/disk[vdb]/source/@file",
        "/devices/disk[vdc]/source/@file",
        "/devices/serial[serial0]/source/@path",
    }
    assert f"may not pass through folder {inside} (right x)" in problems["/devices/disk[vdc]/source/@file"].text
    assert f"may not make a file in {folder}" in problems["/devices/serial[serial0]/source/@path"].text
    with pytest.raises(Invalid):
        domain.start()
    assert owner(first) == (0, 0, 0o600)


def test_the_user_of_the_settings_is_qemus_and_another_ones_file_is_not_read(folder: Path) -> None:
    settings = folder / "qemu.toml"
    settings.write_text(f'user = "+{UID}"\ngroup = "+{GID}"\n[limits]\ncore = 0\noom = 100\n')
    text = xml(folder, own="<seclabel type='dynamic' model='dac'/>")
    with open("qemu:///system", state_dir=folder / "state") as connection:
        connection.session.host.given["configured"] = settings
        domain = connection.domain_define(text)
        domain.start()
        pid = pid_of(connection, domain)
        assert facts(pid)["Uid"] == [str(UID)] * 4
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "100\n"
        assert "Max core file size        0                    0" in Path(f"/proc/{pid}/limits").read_text()
        assert owner(folder / "boot.img") == (0, GID, 0o640)
        domain.destroy()
        settings.chmod(0o666)
    with open("qemu:///system", state_dir=folder / "state") as connection:
        connection.session.host.given["configured"] = settings
        with pytest.raises(Denied, match="may change it"):
            connection.lookup("one").start()


def test_what_a_host_without_power_has_left_is_given_back_by_the_next_start(
    connection: Connection, folder: Path
) -> None:
    left = image(folder / "left.img")
    domain = connection.domain_define(xml(folder, more=disk(left)))
    domain.start()
    book = folder / "state/system/qemu/ownership.json"
    kept = book.read_text().replace(connection.session.host.scope.boot_id, "another")
    domain.destroy()
    os.chown(left, UID, GID)
    book.write_text(kept)
    connection.recover()
    assert owner(left) == (0, 0, 0o600)


def test_many_starts_and_ends_at_once_lose_no_owner(connection: Connection, folder: Path) -> None:
    base = image(folder / "base.img", FOREIGN, FOREIGN)
    names = ["g0", "g1", "g2"]
    for name in names:
        connection.domain_define(xml(folder, name, disk(base, "vdb", "<shareable/>")))
    running = [subprocess.Popen([sys.executable, "-c", AGAIN, str(folder / "state"), name, "3"]) for name in names]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    assert owner(base) == (FOREIGN, FOREIGN, 0o600)
