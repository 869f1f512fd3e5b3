from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from anyvirt.api import Busy, Connection, Document, Interrupted, Invalid, NotFound, Ref, Run, WrongState
from anyvirt.api import Pool as Model
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool
from anyvirt.testing import connected
from anyvirt_host.storage.backend import backend_of
from anyvirt_host.storage.ground.folder import Folder
from anyvirt_host.storage.kinds.folder import FolderPool
from anyvirt_host.storage.service import Alone, Service
from anyvirt_host.storage.site import Live, Site

Xml = Callable[[str, Path], str]


def site_of(connection: Connection) -> Site:
    service: Alone = connection.session.driver.plugin
    return service.site


@pytest.mark.parametrize(
    ("xml", "path"),
    [
        ("<pool type='dir'><name>p</name></pool>", "/target/path"),
        ("<pool type='dir'><name>p</name><target><path>srv</path></target></pool>", "/target/path"),
        ("<pool type='dir'><name>p</name><target><path>/srv/../etc</path></target></pool>", "/target/path"),
        ("<pool type='sheepdog'><name>p</name><source><host name='h'/><name>x</name></source></pool>", "/@type"),
        (
            (
                "<pool type='dir'><name>p</name><source><device path='/dev/x'/></source>"
                "<target><path>/srv</path></target></pool>"
            ),
            "/source",
        ),
        (
            "<pool type='dir'><name>p</name><source><host name='h'/></source><target><path>/s</path></target></pool>",
            "/source",
        ),
    ],
)
def test_what_a_definition_cannot_have_is_refused_by_path(storage: Connection, xml: str, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        storage.pool_define(xml)
    assert [problem.path for problem in refused.value.problems] == [path]
    assert storage.pool_list() == ()


def test_a_folder_that_is_missing_or_none_starts_no_pool(storage: Connection, place: Path, pool_xml: Xml) -> None:
    (place / "file").touch()
    for name, error in (("missing", NotFound), ("file", Invalid)):
        pool = storage.pool_define(pool_xml(name, place / name))
        with pytest.raises(error):
            pool.start()
        assert not pool.info().active


def test_two_pools_are_not_active_over_one_folder(storage: Connection, pool: Pool, place: Path, pool_xml: Xml) -> None:
    other = storage.pool_define(pool_xml("other", place))
    with pytest.raises(Busy, match="images"):
        other.start()
    pool.stop()
    other.start()
    with pytest.raises(Busy, match="other"):
        pool.start()


def test_a_pool_that_another_boot_started_is_inactive(storage: Connection, pool: Pool) -> None:
    later = connected(
        Alone(lambda: replace(site_of(storage), boot="another")), "storage:///session", on=storage.session.host
    )
    assert not later.pool_info([pool])[pool.ref].get().active
    with pytest.raises(WrongState):
        later.pool_stop(pool)
    later.pool_start(pool)
    assert later.pool_info([pool])[pool.ref].get().active


def test_an_active_pool_is_what_it_was_started_as(
    storage: Connection, pool: Pool, place: Path, tmp_path: Path, pool_xml: Xml
) -> None:
    (place / "disk").touch()
    xml = pool_xml("images", tmp_path / "elsewhere").replace("<name>", f"<uuid>{pool.ref.key}</uuid><name>")
    storage.pool_define(xml)
    assert [volume.name for volume in pool.volumes()] == ["disk"]
    pool.stop()
    with pytest.raises(NotFound):
        pool.start()


def test_the_sizes_of_a_pool_are_those_of_its_file_system(pool: Pool, place: Path) -> None:
    info, found = pool.info(), os.statvfs(place)
    assert info.capacity == found.f_blocks * found.f_frsize
    assert info.allocation is not None
    assert info.available is not None
    assert info.allocation + info.available == info.capacity
    assert pool.config().model.capacity == info.capacity


def test_a_pool_whose_folder_vanished_can_be_stopped(storage: Connection, pool: Pool, place: Path) -> None:
    place.rmdir()
    with pytest.raises(NotFound):
        pool.info()
    storage.recover()
    pool.stop()
    assert not pool.info().active


def test_a_folder_is_built_as_described_and_removed_when_it_is_empty(storage: Connection, tmp_path: Path) -> None:
    folder = tmp_path / "a/b/c"
    described: Document[Model] = Document(
        f"<pool type='dir'><name>p</name><target><path>{folder}/</path>"
        f"<permissions><mode>0750</mode><owner>{os.getuid()}</owner></permissions></target></pool>"
    )
    model = described.model
    backend = backend_of("dir", site_of(storage).run)
    live = backend.live(model)
    assert live.path == str(folder)
    backend.build(live, model)
    assert folder.stat().st_mode & 0o7777 == 0o750
    folder.chmod(0o700)
    backend.build(live, model)
    assert folder.stat().st_mode & 0o7777 == 0o700
    (folder / "kept").touch()
    with pytest.raises(Invalid, match="not empty"):
        backend.delete(live)
    (folder / "kept").unlink()
    backend.delete(live)
    assert not folder.exists()


def test_the_service_beside_a_driver_has_the_same_pools(storage: Connection, pool: Pool) -> None:
    class Driver:
        """A hypervisor without storage of its own."""

    beside = connected(Driver(), services=[("storage", Service(lambda: site_of(storage)))])
    assert [one.ref for one in beside.pool_list()] == [pool.ref]
    assert "connect_alive" not in beside.supports


def test_a_path_that_names_no_storage_is_refused(tmp_path: Path) -> None:
    for uri in ("storage:///", "storage:///elsewhere"):
        with pytest.raises(Invalid, match="no such storage"):
            opened(uri, state_dir=tmp_path)


def test_what_another_boot_wrote_is_not_believed() -> None:
    live = Live("dir", "/srv", boot="one")
    assert Live.of(live.text, "one") == live
    assert Live.of(live.text, "two") is None
    assert Live.of("", "one") is None


def test_a_pool_that_is_none_is_not_found(storage: Connection) -> None:
    gone = Ref("pool", "00000000-dead-4000-8000-000000000000")
    for ask in (storage.pool_start, storage.pool_stop, storage.pool_undefine, storage.pool_volumes):
        with pytest.raises(NotFound):
            ask(gone)


class Stuck(FolderPool):
    """A folder whose server does not answer, in a pool of that name."""

    def __init__(self, run: Run, ended: Event) -> None:
        super().__init__(run)
        self._ended = ended

    def folder(self, live: Live) -> Folder:
        if live.path.endswith("dead"):
            self._ended.wait(20)
        return super().folder(live)


def test_a_pool_that_hangs_keeps_no_answer_of_another(
    storage: Connection, tmp_path: Path, pool_xml: Xml, described: Callable[..., Document[Any]]
) -> None:
    ended = Event()
    site = site_of(storage)
    refs = []
    for name in ("dead", "well"):
        (tmp_path / name).mkdir()
        pool = storage.pool_define(pool_xml(name, tmp_path / name))
        pool.start()
        refs.append(pool.ref)
    volumes = [storage.volume_create(ref, described("disk")).wait(20) for ref in refs]
    with connected(Alone(lambda: site, lambda _, run: Stuck(run, ended)), "storage:///session") as slow:
        pools = slow.pool_info(refs, timeout=1.0)
        sizes = slow.volume_info(volumes, timeout=1.0)
        began = time.monotonic()
        assert [volume.name for volume in slow.pool_volumes(refs[1])] == ["disk"]
        assert time.monotonic() - began < 1.0
        ended.set()
    for dead, well in ((pools[refs[0]], pools[refs[1]]), (sizes[volumes[0]], sizes[volumes[1]])):
        assert isinstance(dead.error, Interrupted)
        assert well.error is None


def test_a_start_that_hangs_keeps_no_other_pool_from_starting(
    storage: Connection, tmp_path: Path, pool_xml: Xml
) -> None:
    ended = Event()
    site = site_of(storage)
    for name in ("dead", "well"):
        (tmp_path / name).mkdir()
    dead, well = (storage.pool_define(pool_xml(name, tmp_path / name)) for name in ("dead", "well"))
    with connected(Alone(lambda: site, lambda _, run: Stuck(run, ended)), "storage:///session") as slow:
        with pytest.raises(Interrupted):
            slow.pool_start(dead.ref, timeout=0.5)
        slow.pool_start(well.ref, timeout=5.0)
        slow.pool_stop(well.ref, timeout=5.0)
        with pytest.raises(Busy):  # its own lock is held by the one that hangs
            slow.pool_start(dead.ref, timeout=0.5)
        ended.set()
    assert not well.info().active


def test_recovery_of_a_pool_that_hangs_keeps_no_other_from_it(
    storage: Connection, tmp_path: Path, pool_xml: Xml
) -> None:
    ended = Event()
    site = site_of(storage)
    for name in ("dead", "well"):
        (tmp_path / name / ".anyvirt-0123456789ab.new").mkdir(parents=True)
        storage.pool_define(pool_xml(name, tmp_path / name)).start()
    with connected(Alone(lambda: site, lambda _, run: Stuck(run, ended)), "storage:///session", timeout=2.0) as slow:
        with suppress(Interrupted):
            slow.recover()
        assert not list((tmp_path / "well").iterdir())
        assert list((tmp_path / "dead").iterdir())
        ended.set()
