"""Pools of the type fs: ext4 in an image file, mounted through a loop device; the contract suite on them, too."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Busy, Connection, Denied, Document, Exists, Failed, Invalid, WrongState
from anyvirt.api import Pool as Model
from anyvirt.client._generated_sync import Pool
from anyvirt.testing.contract.storage import *  # noqa: F403
from anyvirt.transport.run import LocalRun, Output
from anyvirt_host.storage.backend import Backend, backend_of
from anyvirt_host.storage.site import Live

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file system is mounted"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")
        for tool in ("mkfs.ext4", "findmnt", "blkid")
    ),
]
SIZE = 32 << 20


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "storage:///session"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "fs.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mounted"
    yield folder
    subprocess.run(["umount", "-q", str(folder)], check=False, capture_output=True)


def described(name: str, image: Path, target: Path, kind: str = "ext4") -> Document[Model]:
    return Document(
        f"<pool type='fs'><name>{name}</name><source><device path='{image}'/><format type='{kind}'/></source>"
        f"<target><path>{target}</path></target></pool>"
    )


@pytest.fixture
def backend() -> Backend:
    return backend_of("fs", LocalRun())


@pytest.fixture
def built(backend: Backend, image: Path, target: Path) -> Live:
    model = described("p", image, target).model
    live = backend.live(model)
    backend.build(live, model)
    if subprocess.run(["mount", str(image), str(target)], check=False, capture_output=True).returncode:
        pytest.skip("an image with a file system: none can be mounted here: mount refuses")
    subprocess.run(["umount", str(target)], check=True)
    return live


@pytest.fixture
def pool_xml(built: Live, image: Path, target: Path) -> Callable[[str], str]:
    return lambda name: described(name, image, target).text


def test_what_is_on_a_device_is_not_overwritten_unasked(
    backend: Backend, built: Live, image: Path, target: Path
) -> None:
    model = described("p", image, target).model
    with pytest.raises(Exists, match="ext4"):
        backend.build(built, model)
    backend.build(built, model, overwrite=True)
    with pytest.raises(Invalid):
        backend.build(built._replace(format="ufs"), model, overwrite=True)


def test_it_is_mounted_while_it_is_active_and_can_run_nothing(pool: Pool, target: Path, image: Path) -> None:
    options = subprocess.check_output(["findmnt", "-n", "-o", "FSTYPE,OPTIONS", str(target)], text=True)
    assert options.startswith("ext4")
    assert {"nosuid", "nodev", "noexec"} <= set(options.split()[1].split(","))
    capacity = pool.info().capacity
    assert capacity is not None
    assert SIZE // 2 < capacity < SIZE
    assert pool.volumes() == ()
    pool.stop()
    assert not os.path.ismount(target)
    pool.start()
    assert os.path.ismount(target)


def test_what_somebody_mounted_is_taken_over_and_what_is_another_is_not(
    connection: Connection, pool_xml: Callable[[str], str], target: Path, image: Path, tmp_path: Path
) -> None:
    pool = connection.pool_define(pool_xml("p"))
    subprocess.run(["mount", str(image), str(target)], check=True)
    pool.start()
    pool.stop()
    assert not os.path.ismount(target)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(target)], check=True)
    with pytest.raises(Busy, match="tmpfs"):
        pool.start()
    assert os.path.ismount(target)


def test_nothing_is_done_below_a_file_system_that_somebody_unmounted(pool: Pool, target: Path) -> None:
    subprocess.run(["umount", str(target)], check=True)
    (target / "below").touch()
    for ask in (pool.volumes, pool.info):
        with pytest.raises(WrongState, match="unmounted"):
            ask()
    pool.stop()
    pool.start()
    assert pool.volumes() == ()


def test_a_file_system_that_is_in_use_stays_mounted_and_the_pool_active(pool: Pool, target: Path) -> None:
    with (target / "open").open("w"), pytest.raises(Busy, match="has a file open"):
        pool.stop()
    assert pool.info().active


def test_a_full_file_system_leaves_nothing(connection: Connection, pool: Pool, target: Path) -> None:
    xml = f"<volume><name>disk</name><capacity>{2 * SIZE}</capacity></volume>"
    with pytest.raises(Failed) as failed:
        connection.volume_create(pool, xml).wait(20)
    assert failed.value.code == "file.no-space"
    assert {one.name for one in target.iterdir()} == {"lost+found"}


def test_a_device_is_needed_by_its_absolute_path(connection: Connection, target: Path) -> None:
    for source in ("", "<source><device path='sdb1'/></source>"):
        xml = f"<pool type='fs'><name>p</name>{source}<target><path>{target}</path></target></pool>"
        with pytest.raises(Invalid):
            connection.pool_define(xml)


def test_who_may_not_mount_is_told_so(built: Live) -> None:
    def run(*argv: str, **_: object) -> Output:
        refused = b"mount: /x: must be superuser to use mount.\n"
        return Output(1, b"", refused, tool="mount") if argv[0] == "mount" else Output(1)

    with pytest.raises(Denied, match="root"):
        backend_of("fs", run).start(built)
