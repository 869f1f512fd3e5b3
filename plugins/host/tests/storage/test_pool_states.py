"""Transient pools, building and deleting, autostart, refreshing, and what is told of kinds of pools."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import (
    Ambiguous,
    Busy,
    Cancelled,
    Connection,
    Deadline,
    Exists,
    Failed,
    Invalid,
    NotFound,
    Output,
    Unsupported,
    WrongState,
    within,
)
from anyvirt.api import Pool as Model
from anyvirt.client._generated_sync import Pool
from anyvirt.testing import connected
from anyvirt_host.storage.backend import Backend, backend_of
from anyvirt_host.storage.images.lengthy import lengthy
from anyvirt_host.storage.kinds.folder import FolderPool
from anyvirt_host.storage.service import Alone
from anyvirt_host.storage.site import STARTING, Live, Site, digest

Xml = Callable[[str, Path], str]
Service = Callable[..., Connection]


def site_of(connection: Connection) -> Site:
    service: Alone = connection.session.driver.plugin
    return service.site


@pytest.fixture
def served(storage: Connection) -> Service:
    """``served(backend, boot=)``: the same storage, with another back-end or after another boot."""

    def made(backend: Backend | None = None, boot: str = "") -> Connection:
        site = replace(site_of(storage), boot=boot) if boot else site_of(storage)
        find = (lambda _, __: backend) if backend else backend_of
        return connected(Alone(lambda: site, find), "storage:///session", on=storage.session.host)

    return made


def test_a_transient_pool_is_gone_when_it_is_stopped(storage: Connection, place: Path, pool_xml: Xml) -> None:
    pool = storage.pool_create(pool_xml("p", place))
    assert pool.info().active
    assert not pool.info().persistent
    with pytest.raises(WrongState):
        pool.set_autostart(True)
    with pytest.raises(WrongState):
        pool.undefine()
    pool.stop()
    assert storage.pool_list() == ()
    assert place.is_dir()


def test_a_transient_pool_is_gone_after_a_reboot(
    storage: Connection, tmp_path: Path, place: Path, pool_xml: Xml
) -> None:
    pool = storage.pool_create(pool_xml("p", place))
    site = site_of(storage)
    from anyvirt.store.files import FileStore

    store = site.store
    assert isinstance(store, FileStore)
    later = replace(site, boot="another", store=FileStore(store._place, store.driver, store._bell, boot="another"))
    after = connected(Alone(lambda: later), "storage:///session", on=storage.session.host)
    assert after.pool_list() == ()
    assert pool.ref not in {one.ref for one in after.pool_list()}


def test_defining_a_transient_pool_keeps_it(storage: Connection, place: Path, pool_xml: Xml) -> None:
    pool = storage.pool_create(pool_xml("p", place))
    storage.pool_define(pool_xml("p", place).replace("<name>", f"<uuid>{pool.ref.key}</uuid><name>"))
    assert pool.info().persistent
    assert pool.info().active
    pool.stop()
    assert [one.ref for one in storage.pool_list()] == [pool.ref]


def test_a_transient_pool_takes_no_name_and_no_place_of_another(
    storage: Connection, pool: Pool, place: Path, pool_xml: Xml, tmp_path: Path
) -> None:
    with pytest.raises(Exists):
        storage.pool_create(pool_xml("images", tmp_path / "other"), build=True)
    assert not (tmp_path / "other").exists()
    with pytest.raises(Busy, match="images"):
        storage.pool_create(pool_xml("other", place))
    assert [one.ref for one in storage.pool_list()] == [pool.ref]


def test_a_pool_is_built_when_it_is_started_or_created(storage: Connection, tmp_path: Path, pool_xml: Xml) -> None:
    pool = storage.pool_define(pool_xml("defined", tmp_path / "a"))
    with pytest.raises(NotFound):
        pool.start()
    pool.start(build=True)
    storage.pool_create(pool_xml("created", tmp_path / "b"), build=True)
    assert {one.name for one in storage.pool_list() if one.info().active} == {"defined", "created"}


def test_building_and_deleting_need_a_stopped_pool(storage: Connection, pool: Pool, place: Path) -> None:
    with pytest.raises(WrongState):
        pool.build().wait(20)
    with pytest.raises(WrongState):
        pool.delete()
    pool.stop()
    (place / "kept").touch()
    with pytest.raises(Invalid, match="not empty"):
        pool.delete()
    (place / "kept").unlink()
    pool.delete()
    assert not place.exists()
    assert [one.ref for one in storage.pool_list()] == [pool.ref]


def test_a_folder_that_is_there_gets_its_rights_only_when_that_is_wanted(storage: Connection, place: Path) -> None:
    place.chmod(0o700)
    rights = f"<permissions><mode>0750</mode><owner>{os.getuid()}</owner></permissions>"
    xml = f"<pool type='dir'><name>p</name><target><path>{place}</path>{rights}</target></pool>"
    pool = storage.pool_define(xml)
    pool.build().wait(20)
    assert place.stat().st_mode & 0o777 == 0o700
    pool.build(overwrite=True).wait(20)
    assert place.stat().st_mode & 0o777 == 0o750
    pool.start()
    told = pool.config().model.permissions
    assert told is not None
    assert (told.mode, told.owner, told.group) == (0o750, os.getuid(), place.stat().st_gid)


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("<permissions><label>system_u:object_r:virt_image_t:s0</label></permissions>", "/target/permissions/label"),
        ("", "/features/cow/@state"),
    ],
)
def test_what_the_host_of_a_folder_cannot_do_builds_nothing(
    storage: Connection, tmp_path: Path, part: str, path: str
) -> None:
    if "label" in path and Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("the host has SELinux")
    kind = subprocess.check_output(["stat", "-f", "-c", "%T", str(tmp_path)], text=True).strip()
    if "cow" in path and kind == "btrfs":
        pytest.skip("the folder of the tests is on btrfs")
    cow = "" if part else "<features><cow state='no'/></features>"
    xml = f"<pool type='dir'><name>p</name>{cow}<target><path>{tmp_path}/new</path>{part}</target></pool>"
    pool = storage.pool_define(xml)
    with pytest.raises(Invalid) as refused:
        pool.build().wait(20)
    assert [problem.path for problem in refused.value.problems] == [path]
    assert not (tmp_path / "new").exists()


class Breaks(FolderPool):
    """A folder whose building breaks off half-way."""

    def build(self, live: Live, pool: Model, *, overwrite: bool = False) -> None:
        super().build(live, pool, overwrite=overwrite)
        raise Failed("the tool broke off")


def test_what_was_half_built_is_told_and_not_started_until_it_is_whole(
    storage: Connection, served: Service, tmp_path: Path, pool_xml: Xml
) -> None:
    pool = storage.pool_define(pool_xml("p", tmp_path / "new"))
    with served(Breaks(site_of(storage).run)) as broken, pytest.raises(Failed):
        broken.pool_build(pool.ref).wait(20)
    assert any("cut short" in note for note in pool.config().notes)
    with pytest.raises(WrongState, match="half built"):
        pool.start()
    pool.build(overwrite=True).wait(20)
    assert pool.config().notes == ()
    pool.start()


def test_who_defines_a_half_built_pool_anew_may_start_it(
    storage: Connection, served: Service, tmp_path: Path, pool_xml: Xml
) -> None:
    pool = storage.pool_define(pool_xml("p", tmp_path / "new"))
    with served(Breaks(site_of(storage).run)) as broken, pytest.raises(Failed):
        broken.pool_start(pool.ref, build=True)
    assert not pool.info().active
    storage.pool_define(pool.config().text)
    pool.start()


BUILDER = """
import sys, time
from pathlib import Path
from anyvirt.api import open
from anyvirt_host.storage.kinds.folder import FolderPool

def slow(self, live, pool, *, overwrite=False):
    print("building", flush=True)
    time.sleep(60)

FolderPool.build = slow
with open("storage:///session", state_dir=Path(sys.argv[1])) as connection:
    connection.lookup_pool("p").build().wait(60)
"""


def test_a_build_whose_process_was_killed_is_told(storage: Connection, tmp_path: Path, pool_xml: Xml) -> None:
    pool = storage.pool_define(pool_xml("p", tmp_path / "new"))
    words = [sys.executable, "-c", BUILDER, str(tmp_path / "state")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout
        assert victim.stdout.readline() == "building\n"
        victim.kill()
    (said,) = storage.recover()
    assert "pool p: its building was cut short" in said
    assert storage.recover() == ()
    with pytest.raises(WrongState, match="half built"):
        pool.start()
    pool.undefine()
    assert site_of(storage).store.blobs("pool", "half-built") == {}


def test_the_build_of_a_pool_that_never_came_to_be_is_forgotten(
    storage: Connection, served: Service, tmp_path: Path, pool_xml: Xml
) -> None:
    with served(Breaks(site_of(storage).run)) as broken, pytest.raises(Failed):
        broken.pool_create(pool_xml("p", tmp_path / "new"), build=True)
    assert storage.pool_list() == ()
    (said,) = storage.recover()
    assert str(tmp_path / "new") in said
    assert storage.recover() == ()


def test_one_place_under_two_names_is_one_place(
    storage: Connection, pool: Pool, place: Path, tmp_path: Path, pool_xml: Xml
) -> None:
    (tmp_path / "other").symlink_to(place)
    other = storage.pool_define(pool_xml("other", tmp_path / "other"))
    with pytest.raises(Busy, match="images"):
        other.start()
    with pytest.raises(Busy, match="images"):
        storage.pool_create(pool_xml("third", tmp_path / "other"))
    pool.stop()
    other.start()


def test_a_pool_that_a_later_version_started_is_known(storage: Connection, pool: Pool) -> None:
    site = site_of(storage)
    run = site.store.get("pool", pool.ref.key).run
    site.store.set_run("pool", pool.ref.key, run.replace("{", '{"colour": "blue", ', 1))
    assert pool.info().active
    assert pool.volumes() == ()


def test_a_refresh_removes_what_killed_makers_left(storage: Connection, pool: Pool, place: Path) -> None:
    (place / ".anyvirt-0123456789ab.new").mkdir()
    assert any("being made" in note for note in pool.config().notes)
    pool.refresh()
    assert pool.config().notes == ()
    pool.stop()
    with pytest.raises(WrongState):
        pool.refresh()


def test_the_autostart_mark_is_kept(storage: Connection, pool: Pool) -> None:
    assert not pool.info().autostart
    pool.set_autostart(True)
    assert pool.info().autostart
    pool.stop()
    assert pool.info().autostart
    pool.set_autostart(False)
    assert not pool.info().autostart


def test_a_pool_is_found_by_its_place(storage: Connection, pool: Pool, place: Path, pool_xml: Xml) -> None:
    other = storage.pool_define(pool_xml("other", place))
    assert storage.pool_find(f"{place}/").ref == pool.ref
    pool.stop()
    with pytest.raises(Ambiguous):
        storage.pool_find(str(place))
    other.start()
    assert storage.pool_find(str(place)).ref == other.ref
    with pytest.raises(NotFound):
        storage.pool_find(str(place / "nowhere"))


def test_which_kinds_work_here_is_told_with_the_reason_for_those_that_do_not(storage: Connection) -> None:
    document = storage.pool_capabilities()
    kinds = {str(one.type): one for one in document.model.pools}
    assert len(kinds) == 14
    assert kinds["dir"].supported
    assert kinds["dir"].target_default == "raw"
    assert "ext4" in kinds["fs"].source_formats[0].values
    assert kinds["fs"].source_default == "auto"
    assert not kinds["sheepdog"].supported
    for kind, one in kinds.items():
        assert one.supported or any(note.startswith(f"{kind}: ") for note in document.notes)


def test_a_tool_that_is_missing_is_told_with_its_package(storage: Connection) -> None:
    site = site_of(storage)

    def run(*argv: str, **rest: Any) -> Output:
        if argv[0] == "sh":
            return Output(0, b"0\nmount\n", tool="sh")
        return site.run(*argv, **rest)

    with connected(Alone(lambda: replace(site, run=run)), "storage:///session") as bare:
        document = bare.pool_capabilities()
    fs = next(one for one in document.model.pools if str(one.type) == "fs")
    assert not fs.supported
    assert any(note.startswith("fs: mount is missing, install mount") for note in document.notes)


def test_no_sources_are_found_for_folders(storage: Connection) -> None:
    with pytest.raises(Unsupported):
        storage.pool_sources("dir")
    with pytest.raises(Invalid):
        storage.pool_sources("sheepdog")


def test_the_allocation_of_volumes_is_their_capacity_where_the_pool_says_so(
    storage: Connection, place: Path, described: Callable[..., Any]
) -> None:
    refresh = "<refresh><volume allocation='capacity'/></refresh>"
    xml = f"<pool type='dir'><name>p</name><target><path>{place}</path></target>{refresh}</pool>"
    pool = storage.pool_create(xml)
    volume = storage.volume(storage.volume_create(pool, described("disk", 4 << 20)).wait(20))
    assert volume.info().allocation == 4 << 20
    assert volume.config().model.allocation == 4 << 20


def all_steps(work: Callable[[], int]) -> int:
    steps = lengthy(work, "test", "working")
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return int(done.value)


def test_long_work_gives_its_value_or_its_error() -> None:
    def fails() -> int:
        raise Failed("no")

    assert all_steps(lambda: 7) == 7
    with pytest.raises(Failed, match="no"):
        all_steps(fails)


def test_a_cancelled_build_is_broken(storage: Connection, served: Service, tmp_path: Path, pool_xml: Xml) -> None:
    class Slow(FolderPool):
        def build(self, live: Live, pool: Model, *, overwrite: bool = False) -> None:
            self.run("sleep", "60")

    pool = storage.pool_define(pool_xml("p", tmp_path / "new"))
    with served(Slow(site_of(storage).run)) as slow:
        job = slow.pool_build(pool.ref)
        next(progress for progress in job if progress.phase)
        job.cancel()
        with pytest.raises(Cancelled):
            job.wait(20)
    assert any("cut short" in note for note in pool.config().notes)


def test_recovery_waits_for_no_place_that_a_starter_has(storage: Connection, place: Path, pool_xml: Xml) -> None:
    pool, site = storage.pool_define(pool_xml("p", place)), site_of(storage)
    uuid, held, enough = pool.ref.key, threading.Event(), threading.Event()
    site.store.set_blob("pool", uuid, STARTING, f"0 {Live('dir', str(place), boot=site.boot).text}".encode())

    def start() -> None:
        with site.locks.hold(f"storage-{digest(str(place))}", "start"):
            held.set()
            enough.wait(20)

    starter = threading.Thread(target=start)
    starter.start()
    try:
        assert held.wait(10)
        with within(Deadline(5)):
            assert storage.session.driver.plugin.connect_recover() == []
        assert site.store.blob("pool", uuid, STARTING) is not None
    finally:
        enough.set()
        starter.join()
    assert storage.session.driver.plugin.connect_recover() == ["pool p: its start was cut short, it was let go of"]
    assert site.store.blob("pool", uuid, STARTING) is None
