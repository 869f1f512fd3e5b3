"""What only a line can do to storage: names that have to survive it, cuts, and how often it is crossed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from anyvirt.api import Connection, FarRun, JobRecord, NotFound, Secret, VirtError
from anyvirt.client._generated_sync import Pool

NAMES = ["-rf", "--", "a b", "it's", '"', "$(id)", "`id`", "\\", "*", "é", "#", "%s"]
ODD = ["new\nline", "\udcff\udcfe", "\x7f"]
XML = "<volume><name>{}</name><capacity>{}</capacity><allocation>0</allocation>{}</volume>"
QCOW2 = "<target><format type='qcow2'/></target>"


def tools(connection: Connection) -> FarRun:
    found: FarRun = connection.session.driver.plugin.site.run
    return found


def test_names_that_mean_something_to_a_shell_are_only_names(
    storage: Connection, near: Connection, images: Pool, place: Path
) -> None:
    for name in (*NAMES, *ODD):
        (place / name).write_bytes(os.fsencode(name))
    (place / "link").symlink_to("/etc/passwd")
    volumes = images.volumes()
    assert sorted(str(one.name) for one in volumes) == sorted(NAMES)
    assert {one.ref for one in near.pool_volumes(images.ref)} == {one.ref for one in volumes}
    for ref, answer in storage.volume_info([one.ref for one in volumes]).items():
        assert answer.get().capacity == len(os.fsencode(str(ref.name)))
    notes = images.config().notes
    assert len([note for note in notes if "is no volume" in note]) == len(ODD) + 1
    for one in volumes:
        one.delete()
    assert sorted(os.listdir(place)) == sorted([*ODD, "link"])


def test_a_host_shows_the_same_from_near_and_far(storage: Connection, near: Connection, images: Pool) -> None:
    ref = storage.volume_create(images, XML.format("far", 1 << 20, QCOW2)).wait(60)
    other = near.volume_create(near.pool(images.ref), XML.format("near", 2 << 20, QCOW2)).wait(60)
    assert [pool.ref for pool in near.pool_list()] == [pool.ref for pool in storage.pool_list()] == [images.ref]
    for connection in (storage, near):
        info = connection.volume_info([ref, other])
        assert [answer.get().capacity for answer in info.values()] == [1 << 20, 2 << 20]
        target = connection.volume_config([ref])[ref].get().model.target
        assert target is not None
        assert str(target.format) == "qcow2"
    near.volume(ref).delete()
    with pytest.raises(NotFound):
        storage.volume(ref).info()


def test_many_volumes_cross_the_line_as_often_as_few(storage: Connection, images: Pool, place: Path) -> None:
    def crossed(count: int) -> tuple[int, ...]:
        for number in range(count):
            (place / f"{number:03d}").write_bytes(bytes(16))
        refs = [one.ref for one in images.volumes()]
        assert len(refs) == count
        crossings = []
        works: tuple[Callable[[], object], ...] = (
            images.volumes,
            lambda: storage.volume_info(refs),
            lambda: storage.volume_config(refs),
        )
        for work in works:
            before = tools(storage).asked
            work()
            crossings.append(tools(storage).asked - before)
        return tuple(crossings)

    few, more, many = crossed(3), crossed(40), crossed(120)
    assert max(few) <= 12
    assert more == many
    assert max(many) <= 9


class CutBook:
    """Cuts every line of the connection when the job has written down its n-th phase."""

    def __init__(self, connection: Connection, phase: int, mark: Path) -> None:
        self.book, self.left, self.mark = connection.session.host.jobs, phase, mark
        self.drop, self.all = self.book.drop, self.book.all

    def write(self, record: JobRecord) -> None:
        self.book.write(record)
        self.left -= 1
        if not self.left:
            cut(self.mark)


def cut(mark: Path) -> None:
    """Kill the ssh processes of one test: those that read the configuration in its folder."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = place.read_bytes().split(b"\0")
            if words[0].endswith(b"ssh") and os.fsencode(mark / "ssh_config") in words:
                os.kill(int(place.parent.name), signal.SIGKILL)


def test_a_line_that_is_cut_at_any_phase_leaves_whole_volumes_or_none(
    storage: Connection, images: Pool, place: Path, tmp_path: Path
) -> None:
    book, phases = storage.session.host.jobs, 0
    for phase in range(1, 10):
        name = f"cut-{phase}"
        storage.session.host.jobs = watched = CutBook(storage, phase, tmp_path)
        with suppress(VirtError):  # one may be done before it notices
            storage.volume_create(images, XML.format(name, 1 << 20, QCOW2)).wait(60)
        storage.session.host.jobs = book
        if watched.left > 0:
            break
        phases = phase
        storage.recover()
        assert storage.recover() == ()
        assert [one for one in os.listdir(place) if one.startswith(".")] == []
        if name in {one.name for one in images.volumes()}:
            assert storage.lookup_volume(images, name).info().capacity == 1 << 20
    assert phases >= 2


def test_a_cut_upload_keeps_what_came_and_goes_on(storage: Connection, images: Pool, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    volume = storage.volume(storage.volume_create(images, XML.format("one", len(data), "")).wait(60))
    stream = volume.upload()
    stream.write(data[: 2 << 20])
    cut(tmp_path)
    with pytest.raises(VirtError), stream:
        stream.write(data[2 << 20 :])
    with volume.download() as back:
        assert not any(back.read())
    kept = volume.unfinished()
    assert kept is not None
    assert kept.offset == 0
    assert 0 < kept.length <= len(data)
    with volume.upload(resume=True) as stream:
        stream.write(data[kept.length :])
    found = b""
    with volume.download() as back:
        while more := back.read():
            found += more
    assert found == data
    assert volume.unfinished() is None


def test_a_volume_is_encrypted_with_a_secret_of_that_host_and_no_command_line_has_it(
    storage: Connection, near: Connection, images: Pool
) -> None:
    word, seen, ended = os.urandom(12).hex(), [], threading.Event()
    made = storage.secret_define(
        "<secret ephemeral='no' private='no'><usage type='volume'><volume>far</volume></usage></secret>"
    )
    uuid = made.ref.uuid

    def watch() -> None:
        while not ended.is_set():
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.extend([line] if word.encode() in (line := place.read_bytes()) else [])
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        storage.secret_set_value(made, Secret(word))
        xml = f"<target><format type='qcow2'/><encryption format='luks'><secret type='passphrase' uuid='{uuid}'/>"
        ref = storage.volume_create(images, XML.format("locked", 1 << 20, f"{xml}</encryption></target>")).wait(60)
    finally:
        ended.set()
        watcher.join()
    assert seen == []
    assert near.secret_value(made.ref).reveal() == word
    told = subprocess.check_output(["qemu-img", "info", "--output=json", ref.key])
    assert json.loads(told)["encrypted"] is True


def test_the_command_line_reaches_a_far_host(connection_uri: str, images: Pool) -> None:
    def said(*words: str) -> str:
        argv = [str(Path(sys.executable).with_name("anyvirt")), "-c", connection_uri, *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout

    said("vol", "create-as", "images", "web", "4M", "--format", "qcow2")
    rows = json.loads(said("--json", "vol", "list", "images"))["volumes"]
    assert [row["name"] for row in rows] == ["web"]
    assert "images" in said("pool", "list")
    said("vol", "delete", "web", "--pool", "images")
    assert images.volumes() == ()
