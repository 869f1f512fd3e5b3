"""Pools of the type fs: what only they do, with ext4 in an image file that is mounted through a loop device."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Busy, Connection, Denied, Document, Exists, Failed, Invalid, VirtError, WrongState
from anyvirt.api import Pool as Model
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool
from anyvirt.transport.run import LocalRun, Output
from anyvirt_host.storage.backend import Backend, backend_of
from anyvirt_host.storage.kinds.fs import QUIET
from anyvirt_host.storage.site import Live
from storage_stage import mounted

pytestmark = mounted.MARKS
SIZE = 32 << 20


def described(name: str, image: Path, target: Path, kind: str = "ext4") -> Document[Model]:
    return Document(
        f"<pool type='fs'><name>{name}</name><source><device path='{image}'/><format type='{kind}'/></source>"
        f"<target><path>{target}</path></target></pool>"
    )


@pytest.fixture
def connection(connection_uri: str) -> Iterator[Connection]:
    with opened(connection_uri) as made:
        yield made


@pytest.fixture
def pool_xml(fs_xml: Callable[[str], str]) -> Callable[[str], str]:
    return fs_xml


@pytest.fixture
def image(fs_image: Path) -> Path:
    return fs_image


@pytest.fixture
def target(fs_target: Path) -> Path:
    return fs_target


@pytest.fixture
def built(fs_built: Live) -> Live:
    return fs_built


@pytest.fixture
def backend() -> Backend:
    return backend_of("fs", LocalRun())


@pytest.fixture
def pool(connection: Connection, pool_xml: Callable[[str], str]) -> Pool:
    made = connection.pool_define(pool_xml("p"))
    made.start()
    return made


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


def with_options(xml: str, *names: str) -> str:
    options = "".join(f"<fs:option name='{name}'/>" for name in names)
    namespace = "xmlns:fs='http://libvirt.org/schemas/storagepool/fs/1.0'"
    mount = f"<fs:mount_opts>{options}</fs:mount_opts></pool>"
    return xml.replace("<pool ", f"<pool {namespace} ").replace("</pool>", mount)


def test_options_of_the_mount_come_from_the_definition(
    connection: Connection, pool_xml: Callable[[str], str], target: Path
) -> None:
    pool = connection.pool_create(with_options(pool_xml("p"), "noatime", "commit=7"))
    options = subprocess.check_output(["findmnt", "-n", "-o", "OPTIONS", str(target)], text=True).strip().split(",")
    assert {"noatime", "commit=7", "nosuid"} <= set(options)
    pool.stop()
    with pytest.raises(Invalid, match="no option of a mount"):
        connection.pool_define(with_options(pool_xml("p"), "noatime,exec"))


def test_a_format_that_is_no_file_system_on_a_device_is_refused(
    connection: Connection, image: Path, target: Path
) -> None:
    with pytest.raises(Invalid) as refused:
        connection.pool_define(described("p", image, target, "nfs"))
    assert [problem.path for problem in refused.value.problems] == ["/source/format/@type"]


def test_what_is_mounted_elsewhere_is_not_made_anew_nor_deleted(
    connection: Connection, pool_xml: Callable[[str], str], image: Path, tmp_path: Path
) -> None:
    pool = connection.pool_define(pool_xml("p"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["mount", str(image), str(elsewhere)], check=True)
    try:
        with pytest.raises(Busy, match="loop"):
            pool.build(overwrite=True).wait(20)
        with pytest.raises(Busy, match="loop"):
            pool.delete(zeroed=True)
    finally:
        subprocess.run(["umount", str(elsewhere)], check=True)
    pool.start()
    pool.stop()


def test_a_deleted_file_system_can_be_built_again(
    connection: Connection, pool_xml: Callable[[str], str], image: Path, target: Path
) -> None:
    pool = connection.pool_define(pool_xml("p"))
    with pytest.raises(Exists, match="ext4"):
        pool.build().wait(20)
    pool.delete()
    assert not target.exists()
    with pytest.raises(VirtError):
        pool.start()
    pool.build().wait(20)
    pool.start()
    (target / "secret").write_bytes(b"to be read by nobody" * 1000)
    pool.stop()
    assert b"to be read by nobody" in image.read_bytes()
    pool.delete(zeroed=True)
    assert image.stat().st_size == SIZE
    assert not image.read_bytes().strip(b"\0")


def test_a_device_that_is_too_small_is_told_as_half_built(connection: Connection, image: Path, target: Path) -> None:
    os.truncate(image, 64 << 10)
    pool = connection.pool_define(described("p", image, target, "xfs"))
    with pytest.raises(Failed):
        pool.start(build=True)
    with pytest.raises(WrongState, match="half built"):
        pool.start()
    os.truncate(image, SIZE)
    pool.undefine()


BUILDER = """
import sys
from anyvirt.api import open
with open("storage:///session") as connection:
    connection.lookup_pool("p").build().wait(60)
"""
SLOW = """#!/bin/sh
echo begun
dd if=/dev/zero of="$3" bs=4096 count=2 conv=notrunc 2>&-
sleep 60
"""


def test_a_killed_mkfs_is_told_and_its_file_system_not_used(
    connection: Connection, image: Path, target: Path, tmp_path: Path
) -> None:
    pool = connection.pool_define(described("p", image, target))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "mkfs.ext4").write_text(SLOW.replace("echo begun", f"echo begun > {tmp_path}/begun"))
    (tools / "mkfs.ext4").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    with subprocess.Popen([sys.executable, "-c", BUILDER], env=environment) as victim:
        end = time.monotonic() + 20
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            time.sleep(0.01)
        victim.kill()
    (said,) = connection.recover()
    assert f"{image} may be half made" in said
    with pytest.raises(WrongState, match="half built"):
        pool.start()
    pool.build(overwrite=True).wait(20)
    pool.start()
    pool.stop()


@pytest.mark.parametrize("fs_kind", ["btrfs"], indirect=True)
def test_copying_on_write_is_turned_off_where_the_definition_says_so(
    connection: Connection, pool_xml: Callable[[str], str], target: Path
) -> None:
    xml = pool_xml("p").replace("<source>", "<features><cow state='no'/></features><source>")
    pool = connection.pool_create(xml)
    shown = subprocess.check_output(["lsattr", "-d", str(target)], text=True).split()[0]
    assert "C" in shown
    pool.stop()


def test_a_file_system_that_leaves_no_choice_of_copying_on_write_is_not_mounted(
    connection: Connection, pool_xml: Callable[[str], str], target: Path
) -> None:
    pool = connection.pool_define(pool_xml("p").replace("<source>", "<features><cow state='no'/></features><source>"))
    with pytest.raises(Invalid, match="no choice"):
        pool.start()
    assert not os.path.ismount(target)


@pytest.mark.parametrize("kind", sorted(QUIET))
def test_every_file_system_that_is_said_to_be_made_is_made(backend: Backend, tmp_path: Path, kind: str) -> None:
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    image = mounted.empty(tmp_path / "fs.img", kind if kind in mounted.SIZES else "ext4")
    model = described("p", image, tmp_path / "target", kind).model
    backend.build(backend.live(model), model)
    found = subprocess.check_output(["blkid", "-p", "-o", "value", "-s", "TYPE", str(image)], text=True)
    assert found.strip() == kind
