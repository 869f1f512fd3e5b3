"""Storage whose server does not answer: one FUSE file system, and one NBD server, that are stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyvirt.api import Connection, Interrupted, Unreachable, VirtError
from anyvirt.client._generated_sync import Pool
from anyvirt_host.local.outpost import CAP, Outposts, stuck
from anyvirt_host.storage.ground.standing import may_hang

here = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file system is mounted")
fuse = pytest.mark.skipif(shutil.which("fuse2fs") is None, reason="fuse2fs is not installed")
nbd = pytest.mark.skipif(shutil.which("qemu-storage-daemon") is None, reason="qemu-storage-daemon is not installed")
LIMIT = 1.0
SLACK = 6.0
TABLE = """\
25 1 254:0 / / rw - ext4 /dev/vda rw
30 25 0:40 / /mnt/server rw - nfs4 server:/export rw
31 25 7:0 / /mnt/loop rw - ext4 /dev/loop0 rw
32 25 43:0 / /mnt/nbd rw - xfs /dev/nbd0 rw
33 25 8:16 / /mnt/iscsi rw - ext4 /dev/sdb rw
34 25 0:41 / /mnt/with\\040space rw - fuse.sshfs host: rw
35 25 0:42 / /pool/disk.raw rw - fuse export rw
"""


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder on a FUSE file system, and the process that serves it."""
    image, place = tmp_path / "ext4.img", tmp_path / "served"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    place.mkdir()
    process = subprocess.Popen(["fuse2fs", "-f", str(image), str(place)], stdout=-3, stderr=-3)
    until(lambda: os.path.ismount(place))
    yield place, process.pid
    subprocess.run(["umount", "-l", str(place)], check=True)
    process.terminate()
    process.wait(20)


@pytest.fixture
def slow(storage: Connection, served: tuple[Path, int], pool_xml: Callable[[str, Path], str]) -> Pool:
    """A pool on it."""
    made = storage.pool_define(pool_xml("slow", served[0]))
    made.start()
    return made


@pytest.fixture
def exported(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder with a file in it that an NBD server has, and the process that serves it."""
    image, folder, at = tmp_path / "served.img", tmp_path / "export", tmp_path / "nbd.sock"
    folder.mkdir()
    for path, size in {image: 8 << 20, folder / "far.raw": 0}.items():
        with path.open("wb") as file:
            file.truncate(size)
    server = subprocess.Popen(["qemu-nbd", "-f", "raw", "-t", "-k", str(at), str(image)])
    until(at.exists)
    node = {"driver": "nbd", "node-name": "far", "server": {"type": "unix", "path": str(at)}}
    export = {"type": "fuse", "id": "far", "node-name": "far", "mountpoint": str(folder / "far.raw"), "writable": True}
    words = ["--blockdev", json.dumps(node), "--export", json.dumps(export)]
    daemon = subprocess.Popen(["qemu-storage-daemon", *words])
    until(lambda: (folder / "far.raw").stat().st_size > 0)
    yield folder, server.pid
    for process in (daemon, server):
        process.terminate()
        process.wait(20)


@pytest.fixture
def volume() -> str:
    return "<volume><name>one</name><capacity unit='MiB'>8</capacity><allocation>0</allocation></volume>"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/home/images", ""),
        ("/mnt/server/a/b", "/mnt/server"),
        ("/mnt/nbd", "/mnt/nbd"),
        ("/mnt/iscsi/x", "/mnt/iscsi"),
        ("/mnt/loop", "/mnt/loop"),
        ("/mnt/with space/x", "/mnt/with space"),
        ("/mnt/serverlike", ""),
        ("/mnt", "/mnt/server"),
        ("/pool", "/pool/disk.raw"),
        ("/pool/other", ""),
        ("/mnt/server/../local", "/mnt/server"),
        ("/", ""),
    ],
)
def test_what_may_hang_is_told_by_what_is_mounted(tmp_path: Path, path: str, place: str) -> None:
    table, blocks = tmp_path / "mountinfo", tmp_path / "block"
    table.write_text(TABLE)
    blocks.mkdir()
    for number, home in {
        "254:0": "pci0000:00/virtio0/block/vda",
        "43:0": "virtual/block/nbd0",
        "8:16": "platform/host2/session1/target2:0:0/2:0:0:1/block/sdb",
        "7:0": "virtual/block/loop0",
    }.items():
        (tmp_path / "devices" / home).mkdir(parents=True)
        (blocks / number).symlink_to(tmp_path / "devices" / home)
    (tmp_path / "devices/virtual/block/loop0/loop").mkdir()
    (tmp_path / "devices/virtual/block/loop0/loop/backing_file").write_text("/mnt/server/disk.img\n")
    found = may_hang(path, table, blocks)
    assert (found.place if found else "") == place


def test_a_link_to_such_a_place_is_seen_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/mnt/server/images")
    (tmp_path / "near").symlink_to("other")
    (tmp_path / "other").symlink_to(tmp_path / "link" / "deep")
    (tmp_path / "round").symlink_to("round")
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    for name, there in {"link": True, "near": True, "round": False}.items():
        assert bool(may_hang(f"{tmp_path}/{name}", table, tmp_path)) is there


def test_what_was_killed_and_cannot_die_is_counted(tmp_path: Path) -> None:
    for pid, (comm, mask) in {
        "11": ("anyvirt abc", "100"), "12": ("anyvirt abc", "0"), "13": ("anyvirt xyz", "100"), "14": ("x", "100")
    }.items():  # fmt: skip
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_text(f"{comm}\n")
        (tmp_path / pid / "status").write_text(f"SigPnd:\t{0:016x}\nShdPnd:\t{int(mask, 16):016x}\n")
    (tmp_path / "self").mkdir()
    assert stuck("anyvirt abc", tmp_path) == [11]


def test_no_more_than_a_few_are_left_stuck_on_one_thing(tmp_path: Path) -> None:
    posts = Outposts("anyvirt_host.storage.ground.apart:Quarters", "a mount", tmp_path)
    for pid in range(CAP):
        (tmp_path / f"{pid}").mkdir()
        (tmp_path / f"{pid}/comm").write_text(posts.name)
        (tmp_path / f"{pid}/status").write_text("ShdPnd:\t0000000000000100\n")
    with pytest.raises(Unreachable) as caught:
        posts.ask("entries", "/")
    assert "stuck" in str(caught.value)
    (tmp_path / "0/comm").unlink()
    assert posts.ask("home", "/") == (os.stat("/").st_dev, os.stat("/").st_ino)


@here
@fuse
def test_a_pool_on_such_storage_does_all_that_another_does(slow: Pool, storage: Connection, volume: str) -> None:
    made = storage.volume(storage.volume_create(slow, volume).wait(20))
    assert made.info().capacity == 8 << 20
    assert [one.name for one in slow.volumes() if one.name != "lost+found"] == ["one"]
    made.delete()
    assert os.listdir(slow.config().model.target or "") == ["lost+found"]


@here
@fuse
def test_a_stopped_file_system_delays_no_other_pool(
    storage: Connection, slow: Pool, pool: Pool, served: tuple[Path, int], volume: str
) -> None:
    storage.volume_create(pool, volume).wait(20)
    with stopped(served[1]):
        _others_answer(storage, slow, pool)
    assert slow.volumes() == ()


@here
@fuse
def test_what_was_begun_on_a_file_system_that_stopped_is_swept_when_it_goes_on(
    storage: Connection, slow: Pool, served: tuple[Path, int], volume: str
) -> None:
    with stopped(served[1]), pytest.raises(Interrupted):
        storage.volume_create(slow, volume, timeout=LIMIT).wait()
    storage.recover()
    storage.volume_create(slow, volume).wait(20)
    assert os.listdir(served[0]) == ["lost+found", "one"]


@here
@nbd
def test_a_stopped_nbd_server_delays_no_other_pool(
    storage: Connection, pool: Pool, exported: tuple[Path, int], pool_xml: Callable[[str, Path], str], volume: str
) -> None:
    """The volume is a server's, which QEMU's storage daemon brings into the folder: this kernel has no NBD client."""
    folder, server = exported
    slow = storage.pool_define(pool_xml("slow", folder))
    slow.start()
    storage.volume_create(pool, volume).wait(20)
    far = storage.lookup_volume(slow, "far.raw")
    assert far.info().capacity == 8 << 20
    with stopped(server):
        with pytest.raises(Interrupted):
            far.config(timeout=LIMIT)  # reads its first bytes
        began = time.monotonic()
        assert [one.name for one in pool.volumes(timeout=LIMIT)] == ["one"]
        assert pool.info(timeout=LIMIT).active
        assert time.monotonic() - began < LIMIT + SLACK


def _others_answer(storage: Connection, slow: Pool, pool: Pool) -> None:
    began = time.monotonic()
    answers = storage.pool_info([slow.ref, pool.ref], timeout=LIMIT)
    assert answers[pool.ref].get().active
    assert isinstance(answers[slow.ref].error, Interrupted)
    for _ in range(3):
        with pytest.raises(VirtError):
            slow.volumes(timeout=LIMIT)
        assert [one.name for one in pool.volumes(timeout=LIMIT)] == ["one"]
        assert pool.info(timeout=LIMIT).active
    assert time.monotonic() - began < 4 * LIMIT + SLACK
