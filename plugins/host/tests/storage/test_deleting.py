"""Volumes that somebody needs stay, and whoever needs them is named; what was deleted for a while comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from anyvirt.api import (
    Busy,
    Connection,
    Deadline,
    Document,
    Exists,
    Invalid,
    NotFound,
    Scope,
    Volume,
    VolumeLifecycle,
    within,
)
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle
from anyvirt_host.storage.site import Site

Make = Callable[..., Handle]
Xml = Callable[[str, Path], str]
HOUR = 3600
MIB = 1 << 20
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
QEMU = "qemu-system-x86_64"


@contextmanager
def guest(name: str, path: Path) -> Iterator[None]:
    """A QEMU without a machine, with an image open."""
    drive = json.dumps({"driver": "file", "filename": str(path), "node-name": "disk"})
    words = [QEMU, "-name", f"guest={name},debug-threads=on", "-machine", "none", "-display", "none"]
    with subprocess.Popen([*words, "-blockdev", drive, "-qmp", "stdio"], stdin=subprocess.PIPE, stdout=-1) as process:
        assert process.stdin
        assert process.stdout
        assert b"QMP" in process.stdout.readline()
        yield
        process.kill()


def users(volume: Handle) -> set[str]:
    return {loss.user for loss in volume.losses() if loss.user}


def hidden(place: Path) -> list[str]:
    return sorted(one.name for one in place.iterdir() if one.name.startswith("."))


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed")
def test_a_running_guest_keeps_its_disk_and_what_that_stands_on(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk")
    with guest("web,1".replace(",", ",,"), place / "disk"):
        assert any(user.startswith("guest web,1 (QEMU, process ") for user in users(made))
        for wishes in ({}, {"trash": HOUR}, {"zeroed": True}):
            with pytest.raises(Busy, match="guest web,1") as refused:
                made.delete(**wishes)
            assert "force" in refused.value.hint
        with pytest.raises(Busy, match="guest web,1"):
            storage.volume_upload(made)
        assert (place / "disk").exists()
        made.delete(force=True)
    assert not (place / "disk").exists()


@pytest.mark.parametrize(
    "source", ["<source file='{path}'/>", '<source file="{path}"/>', "<source pool='images' volume='{name}'/>"]
)
def test_a_defined_guest_of_any_driver_keeps_what_its_definition_names(
    make: Make, place: Path, tmp_path: Path, source: str
) -> None:
    made, other = make("it's & co"), make("other")
    escaped = {"path": str(place / "it's & co"), "name": "it's & co"}
    escaped = {key: value.replace("&", "&amp;").replace("'", "&apos;") for key, value in escaped.items()}
    kind = "volume" if "pool" in source else "file"
    disk = f"<disk type='{kind}' device='disk'>{source.format(**escaped)}<target dev='vda'/></disk>"
    xml = f"<domain type='kvm'><name>web</name><memory>1</memory><devices>{disk}</devices></domain>"
    store = Scope.find("session", state_dir=tmp_path / "state").store("lxc")
    uuid = str(uuid4())
    store.define("domain", uuid, "web", xml)
    assert users(made) == {"guest web (lxc)"}
    with pytest.raises(Busy, match="guest web"):
        made.delete()
    other.delete()
    store.undefine("domain", uuid)
    made.delete()


def test_a_guest_that_names_a_volume_by_where_its_folder_really_is_keeps_it(
    storage: Connection, place: Path, tmp_path: Path, pool_xml: Xml, described: Callable[..., Document[Volume]]
) -> None:
    (tmp_path / "link").symlink_to(place)
    pool = storage.pool_create(pool_xml("linked", tmp_path / "link"))
    made = storage.volume(storage.volume_create(pool, described("disk")).wait(20))
    disk = f"<disk type='file' device='disk'><source file='{place / 'disk'}'/><target dev='vda'/></disk>"
    xml = f"<domain type='kvm'><name>web</name><memory>1</memory><devices>{disk}</devices></domain>"
    Scope.find("session", state_dir=tmp_path / "state").store("lxc").define("domain", str(uuid4()), "web", xml)
    with pytest.raises(Busy, match="guest web"):
        made.delete()


def test_guests_whose_store_cannot_be_read_may_need_anything(make: Make, tmp_path: Path) -> None:
    made = make("disk")
    folder = tmp_path / "state/session/xen"
    folder.mkdir()
    (folder / "store.db").write_bytes(b"no database" * 500)
    with pytest.raises(Busy, match="guests of xen"):
        made.delete()
    made.delete(force=True)


@needs_qemu_img
def test_snapshots_inside_an_image_keep_it_and_are_named(make: Make, place: Path) -> None:
    made = make("disk", 4 * MIB, "qcow2")
    for name in ("clean", "before update"):
        subprocess.run(["qemu-img", "snapshot", "-c", name, str(place / "disk")], check=True)
    assert users(made) == {"snapshot clean", "snapshot before update"}
    with pytest.raises(Busy, match="before update"):
        made.delete()
    made.delete(force=True)


@needs_qemu_img
def test_an_image_in_another_pool_keeps_what_it_stands_on(
    storage: Connection,
    make: Make,
    place: Path,
    tmp_path: Path,
    pool_xml: Xml,
    described: Callable[..., Document[Volume]],
) -> None:
    base = make("base", 4 * MIB, "qcow2")
    (tmp_path / "more").mkdir()
    (tmp_path / "alias").symlink_to(place)
    more = storage.pool_define(pool_xml("more", tmp_path / "more"))
    more.start()
    top = storage.volume(storage.volume_create(more, described("top", None, "qcow2", below=place / "base")).wait(20))
    with pytest.raises(Busy, match="volume top of pool more"):
        base.delete()
    more.stop()
    with pytest.raises(Busy, match="more/top, whose pool is not active"):
        base.delete()
    more.start()
    assert users(base) == {"volume top of pool more"}
    top.delete()
    for name in (str(place / "base"), "../images/base"):
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", name, "-F", "qcow2"]
        subprocess.run([*create, str(tmp_path / "more/found"), "1M"], check=True)
        assert users(base) == {"volume found of pool more"}
        (tmp_path / "more/found").unlink()
    base.delete()


def test_a_pool_that_is_gone_keeps_nothing_and_one_that_is_in_doubt_all(
    storage: Connection, make: Make, tmp_path: Path, pool_xml: Xml
) -> None:
    made, other = make("disk"), make("other")
    (tmp_path / "more").mkdir()
    storage.pool_define(pool_xml("more", tmp_path / "more")).start()
    (tmp_path / "more").rmdir()
    made.delete()
    (tmp_path / "more").write_text("no folder")
    with pytest.raises(Busy, match="pool more, of which it is not known"):
        other.delete()


@needs_qemu_img
def test_what_a_volume_is_comes_back_with_it(storage: Connection, pool: Pool, make: Make, place: Path) -> None:
    made = make("disk", 64 * MIB, "qcow2")
    inode = (place / "disk").stat().st_ino
    made.delete(trash=HOUR)
    assert [one.name for one in pool.volumes()] == []
    (one,) = pool.trash()
    assert (one.name, one.size) == ("disk", os.stat(one.path).st_blocks * 512)
    assert any("a deleted volume that is kept" in note for note in pool.config().notes)
    pool.refresh()
    storage.recover()
    assert storage.volume_restore(pool, "disk").info().capacity == 64 * MIB
    assert (place / "disk").stat().st_ino == inode
    assert hidden(place) == []


@needs_qemu_img
def test_a_volume_in_the_trash_keeps_what_it_stands_on(
    storage: Connection, pool: Pool, make: Make, place: Path
) -> None:
    base = make("base", 4 * MIB, "qcow2")
    make("top", None, "qcow2", below=place / "base").delete(trash=HOUR)
    with pytest.raises(Busy, match="volume top in the trash of pool images"):
        base.delete()
    storage.volume_restore(pool, "top").delete()
    base.delete()


def test_what_somebody_else_put_into_the_trash_is_no_volume(
    storage: Connection, pool: Pool, make: Make, place: Path
) -> None:
    make("disk").delete(trash=HOUR)
    for number, record in enumerate((b"", b"{", b"[]", b'{"name": "x"}', b'{"name": "../x", "deleted_at": 1}')):
        folder = place / f".anyvirt-00000000000{number}.gone"
        folder.mkdir()
        (folder / "record").write_bytes(record)
        (folder / "image").write_bytes(b"left")
    assert [one.name for one in pool.trash()] == ["disk"]
    for wrong in ("../x", "x", "", "../../x"):
        with pytest.raises(NotFound):
            storage.volume_restore(pool, wrong)
    pool.refresh()
    assert [one.name for one in pool.trash()] == ["disk"]


@pytest.mark.parametrize("end", ["new", "gone", "part"])
def test_nothing_is_removed_through_a_link_that_is_called_like_a_hidden_folder(
    storage: Connection, pool: Pool, place: Path, tmp_path: Path, end: str
) -> None:
    victim = tmp_path / "victim"
    (victim / "deep").mkdir(parents=True)
    for name in ("image", "record", "about", "done", "deep/kept"):
        (victim / name).write_text("kept")
    (place / f".anyvirt-0123456789ab.{end}").symlink_to(victim)
    inside = place / f".anyvirt-ba9876543210.{end}"
    inside.mkdir()
    (inside / "link").symlink_to(victim)
    pool.refresh()
    storage.recover()
    assert sorted(str(one.relative_to(victim)) for one in victim.rglob("*")) == [
        "about", "deep", "deep/kept", "done", "image", "record",
    ]  # fmt: skip
    assert not inside.exists()


def test_a_volume_comes_back_over_nothing(storage: Connection, pool: Pool, make: Make, place: Path) -> None:
    make("disk").delete(trash=HOUR)
    (place / "disk").symlink_to("/nowhere")
    with pytest.raises(Exists):
        storage.volume_restore(pool, "disk")
    (place / "disk").unlink()
    storage.volume_restore(pool, "disk").delete(trash=1)
    time.sleep(1.1)
    pool.refresh()
    assert pool.trash() == ()
    assert list(place.iterdir()) == []


def test_folders_go_to_the_trash_too(storage: Connection, pool: Pool, place: Path) -> None:
    (place / "folder").mkdir()
    (place / "folder/kept").write_text("kept")
    storage.lookup_volume(pool, "folder").delete(trash=HOUR)
    storage.volume_restore(pool, "folder")
    assert (place / "folder/kept").read_text() == "kept"


def test_what_is_kept_of_an_upload_goes_with_the_volume(storage: Connection, make: Make, place: Path) -> None:
    made = make("disk")
    stream = storage.volume_upload(made)
    stream.write(b"private")
    stream.abort()
    assert {loss.why for loss in made.losses()} == {"the volume itself", "what came of an upload that was not finished"}
    made.delete()
    assert list(place.iterdir()) == []


def test_bytes_for_a_volume_that_is_gone_are_removed(storage: Connection, pool: Pool, make: Make, place: Path) -> None:
    made = make("disk")
    stream = storage.volume_upload(made)
    stream.write(b"private")
    stream.abort()
    (place / "disk").unlink()
    (place / ".anyvirt-0123456789abcdef.part").mkdir()
    told = storage.recover()
    assert sum("upload to a volume that is gone" in one for one in told) == 2
    assert list(place.iterdir()) == []


def test_nothing_of_a_volume_is_left_to_be_read(make: Make, place: Path, tmp_path: Path) -> None:
    made = make("disk", 4 * MIB)
    (place / "disk").write_bytes(b"private!" * (MIB // 2))
    (tmp_path / "link").hardlink_to(place / "disk")
    made.delete(zeroed=True)
    assert (tmp_path / "link").read_bytes().strip(b"\0") == b""
    assert not (place / "disk").exists()


def test_taking_away_and_bringing_back_are_told(storage: Connection, pool: Pool, make: Make) -> None:
    make("disk")
    with storage.events() as events:
        storage.lookup_volume(pool, "disk").delete(trash=HOUR)
        storage.volume_restore(pool, "disk")
        heard = [
            event.change.value for event in (next(iter(events)) for _ in range(2)) if isinstance(event, VolumeLifecycle)
        ]
    assert heard == ["deleted", "created"]


@pytest.mark.parametrize("wishes", [{"trash": -1}, {"trash": 1, "zeroed": True}])
def test_a_wish_that_cannot_be_is_refused(make: Make, place: Path, wishes: dict[str, int]) -> None:
    made = make("disk")
    with pytest.raises(Invalid):
        made.delete(**wishes)  # type: ignore[arg-type]
    assert (place / "disk").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a loop device is made")
@pytest.mark.skipif(shutil.which("losetup") is None, reason="losetup is not installed")
def test_a_volume_under_a_loop_device_stays(make: Make, place: Path) -> None:
    made = make("disk", 4 * MIB)
    out = subprocess.run(
        ["losetup", "--find", "--show", str(place / "disk")], capture_output=True, text=True, check=False
    )
    if out.returncode:
        pytest.skip("no loop device can be mounted here: losetup refuses")
    try:
        with pytest.raises(Busy, match="loop device"):
            made.delete()
    finally:
        subprocess.run(["losetup", "--detach", out.stdout.strip()], check=True)
    made.delete()


def test_what_a_job_is_at_is_neither_deleted_nor_replaced(storage: Connection, make: Make, place: Path) -> None:
    made, other = make("disk", MIB), make("other", MIB)
    site: Site = storage.session.driver.plugin.site
    held, enough = threading.Event(), threading.Event()

    def wipe() -> None:
        with site.content(made.ref, "wipe"):
            held.set()
            enough.wait(30)

    upload = storage.volume_upload(made)
    upload.write(b"new")
    job = threading.Thread(target=wipe)
    job.start()
    try:
        assert held.wait(10)
        for change in (made.delete, lambda: made.delete(force=True), upload.close, lambda: storage.volume_upload(made)):
            with pytest.raises(Busy, match="for wipe"):
                change()
        other.delete()
        assert (place / "disk").read_bytes() == bytes(MIB)
    finally:
        enough.set()
        job.join()
    made.delete()


@pytest.mark.parametrize("said", [{"evil": 1}, [1], "said"])
def test_a_record_that_nobody_here_wrote_keeps_no_trash_from_being_seen(
    make: Make, pool: Pool, place: Path, said: object
) -> None:
    make("disk").delete(trash=HOUR)
    forged(place, said)
    assert [one.name for one in pool.trash()] == ["disk"]


@needs_qemu_img
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_what_another_user_says_of_a_deleted_volume_is_not_believed(
    storage: Connection, make: Make, pool: Pool, place: Path
) -> None:
    make("disk", MIB, "qcow2").delete(trash=HOUR)
    (name,) = hidden(place)
    os.chown(place / name, 12345, 12345)
    (link,) = storage.volume_restore(pool, "disk").chain()
    assert (link.format, link.declared) == ("raw", False)


def test_what_somebody_planted_in_hidden_folders_keeps_nobody_waiting(make: Make, pool: Pool, place: Path) -> None:
    made = make("disk")
    (place / ".anyvirt-0123456789abcdef.part" / "folder").mkdir(parents=True)
    (place / ".anyvirt-0123456789ab.gone").mkdir()
    os.mkfifo(place / ".anyvirt-0123456789ab.gone" / "record")
    with within(Deadline(20)):
        assert pool.trash() == ()
        made.delete()
        pool.refresh()
    assert os.listdir(place) == []


def forged(place: Path, said: object) -> Path:
    """A folder such as the trash has, with a volume of the name forged in it."""
    hidden = place / ".anyvirt-0123456789ab.gone"
    hidden.mkdir(0o700)
    (hidden / "image").write_bytes(bytes(4096))
    record = {"name": "forged", "deleted_at": time.time(), "until": time.time() + HOUR, "said": said}
    (hidden / "record").write_text(json.dumps(record))
    return hidden
