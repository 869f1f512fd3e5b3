from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import (
    Busy,
    Cancelled,
    Connection,
    Document,
    Exists,
    Failed,
    Invalid,
    NotFound,
    Unsupported,
    VirtError,
    Volume,
)
from anyvirt.client._generated_sync import Pool
from anyvirt_host.storage.service import Alone, Service

Describe = Callable[..., Document[Volume]]
Make = Callable[..., Any]
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
KINDS = [pytest.param("raw"), pytest.param("qcow2", marks=needs_qemu_img)]


def service_of(connection: Connection) -> Service:
    service: Service = connection.session.driver.plugin
    return service


def kept(connection: Connection) -> list[str]:
    """What is known of volumes beside their folder."""
    return list(service_of(connection).site.store.blobs("volume", "declared"))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_step_it_ends_at_nothing_is_left(
    storage: Connection, pool: Pool, place: Path, described: Describe, kind: str
) -> None:
    service = service_of(storage)
    ended = 0
    for step in range(1, 20):
        making = service.volume_create(pool.ref, described("disk", 1 << 20, kind), preallocate=False)
        try:
            for _ in range(step):
                next(making)
        except StopIteration:
            break
        assert [one.name.startswith(".anyvirt-") for one in place.iterdir()] == [True]
        with pytest.raises(Cancelled):
            making.throw(Cancelled("a test"))
        ended += 1
        assert list(place.iterdir()) == []
        assert kept(storage) == []
    assert ended >= 2
    assert [volume.name for volume in pool.volumes()] == ["disk"]


def test_of_two_that_make_one_name_one_has_it(
    storage: Connection, pool: Pool, place: Path, described: Describe
) -> None:
    service = service_of(storage)
    slow = service.volume_create(pool.ref, described("disk", 1 << 20), preallocate=False)
    next(slow)
    made = storage.volume(storage.volume_create(pool, described("disk", 2 << 20)).wait(20))
    with pytest.raises(Exists):
        list(slow)
    assert [one.name for one in place.iterdir()] == ["disk"]
    assert made.info().capacity == 2 << 20
    assert len(kept(storage)) == 1


def test_a_pool_is_not_stopped_while_a_volume_is_being_made(
    storage: Connection, pool: Pool, place: Path, described: Describe
) -> None:
    making = service_of(storage).volume_create(pool.ref, described("disk"), preallocate=False)
    next(making)
    with pytest.raises(Busy, match="being made"):
        pool.stop()
    assert storage.recover() == ()  # its maker lives
    assert len(list(place.iterdir())) == 1
    with pytest.raises(Cancelled):
        making.throw(Cancelled("a test"))
    pool.stop()


def test_what_a_killed_maker_left_is_told_of_and_removed_by_recovery(
    storage: Connection, pool: Pool, place: Path
) -> None:
    left = place / ".anyvirt-00ff.new"
    left.mkdir()
    (left / "image").write_bytes(b"half")
    assert [str(left) in note for note in pool.config().notes] == [True]
    assert pool.volumes() == ()
    assert [str(left) in said for said in storage.recover()] == [True]
    assert not left.exists()
    assert storage.recover() == ()


def test_a_volume_that_was_linked_and_not_yet_tidied_is_whole(
    storage: Connection, pool: Pool, make: Make, place: Path
) -> None:
    made = make("disk")
    (place / ".anyvirt-00ff.new").mkdir()
    (place / ".anyvirt-00ff.new/image").hardlink_to(place / "disk")
    storage.recover()
    assert [one.name for one in place.iterdir()] == ["disk"]
    assert made.info().capacity == 1 << 20


@pytest.fixture
def small(tmp_path: Path, place: Path) -> Iterator[Path]:
    """A file system of two mebibytes."""
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system is refused here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing_and_says_so(small: Path, storage: Connection, pool: Pool, kind: str) -> None:
    words = "<capacity>8388608</capacity><allocation>8388608</allocation>"
    xml = f"<volume><name>disk</name>{words}<target><format type='{kind}'/></target></volume>"
    with pytest.raises(Failed) as failed:
        storage.volume_create(pool, xml).wait(20)
    assert failed.value.code == "file.no-space"
    assert list(small.iterdir()) == []
    assert kept(storage) == []
    info = pool.info()
    assert info.capacity == 2 << 20
    assert info.allocation == 0


@pytest.mark.parametrize(("kind", "package"), [("qcow2", "qemu-utils"), ("raw", "coreutils")])
def test_a_tool_that_is_missing_is_told_of_with_its_package(
    storage: Connection, pool: Pool, place: Path, described: Describe, kind: str, package: str
) -> None:
    def run(*argv: str, **_: Any) -> Any:
        raise Unsupported("this host", f"running {argv[0]!r}")

    bare = Alone(lambda: replace(service_of(storage).site, run=run))
    with pytest.raises(Unsupported) as missing:
        list(bare.volume_create(pool.ref, described("disk", 1 << 20, kind), preallocate=False))
    assert package in missing.value.hint
    assert list(place.iterdir()) == []


@needs_qemu_img
def test_a_backing_file_that_is_missing_or_none_makes_no_volume(
    storage: Connection, pool: Pool, place: Path, described: Describe, tmp_path: Path
) -> None:
    for below in (tmp_path / "missing", tmp_path):
        with pytest.raises(VirtError) as refused:
            storage.volume_create(pool, described("disk", None, "qcow2", below)).wait(20)
        assert str(below) in refused.value.message
        assert list(place.iterdir()) == []


def test_what_was_said_of_a_volume_that_is_gone_is_forgotten_where_it_was(
    storage: Connection, pool: Pool, make: Make, place: Path, tmp_path: Path
) -> None:
    make("disk")
    place.rename(tmp_path / "unmounted")
    place.mkdir()
    assert storage.recover() == ()
    place.rmdir()
    (tmp_path / "unmounted").rename(place)
    assert len(kept(storage)) == 1
    (place / "disk").unlink()
    assert ["disk" in said for said in storage.recover()] == [True]
    assert kept(storage) == []


@needs_qemu_img
def test_a_later_file_with_the_inode_of_an_earlier_one_is_another(
    storage: Connection, pool: Pool, make: Make, place: Path
) -> None:
    made = make("disk", 8 << 20, "qcow2")
    site = service_of(storage).site
    (said,) = site.all_declared()
    site.declare(said._replace(generation=said.generation + 1))
    assert made.info().capacity == (place / "disk").stat().st_size
    site.declare(said)
    assert made.info().capacity == 8 << 20


@needs_qemu_img
def test_an_image_that_names_what_it_stands_on_by_its_own_word_is_nothing_to_stand_on(
    storage: Connection, pool: Pool, place: Path, make: Make, described: Describe, tmp_path: Path
) -> None:
    make("base", 8 << 20, "qcow2")
    make("middle", None, "qcow2", below=place / "base")
    assert make("top", None, "qcow2", below=place / "middle").info().capacity == 8 << 20
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4096))
    found = place / "found"
    lie = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(found)]
    subprocess.run(lie, check=True)
    with pytest.raises(Invalid, match="secret"):
        storage.volume_create(pool, described("fooled", None, "qcow2", found)).wait(20)
    (place / "link").symlink_to(place / "base")
    with pytest.raises(NotFound):
        storage.volume_create(pool, described("fooled", None, "qcow2", place / "link")).wait(20)
    assert not (place / "fooled").exists()


@needs_qemu_img
def test_an_image_below_that_is_deleted_meanwhile_leaves_no_volume_without_it(
    storage: Connection, pool: Pool, place: Path, make: Make, described: Describe
) -> None:
    base = make("base", 8 << 20, "qcow2")
    making = service_of(storage).volume_create(
        pool.ref, described("top", None, "qcow2", place / "base"), preallocate=False
    )
    next(making)
    base.delete()
    with pytest.raises(NotFound):
        list(making)
    assert list(place.iterdir()) == []
    assert kept(storage) == []
