from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Busy, Connection, Document, Exists, Invalid, NotFound, Ref, Volume, parse
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle

Make = Callable[..., Handle]
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def names(pool: Pool) -> list[str]:
    return [str(one.name) for one in pool.volumes()]


def test_what_is_no_volume_is_no_volume_and_is_told_of(
    storage: Connection, pool: Pool, place: Path, make: Make
) -> None:
    make("disk")
    outside = place.parent / "outside"
    outside.write_bytes(b"secret")
    (place / "found").touch()
    (place / "folder").mkdir()
    (place / "lost+found").mkdir()
    (place / "out").symlink_to(outside)
    (place / "in").symlink_to(place / "disk")
    os.mkfifo(place / "fifo")
    (place / ".anyvirt-00.new").touch()
    (place / "two\nlines").touch()
    Path(os.fsdecode(bytes(place) + b"/\xff")).touch()
    with socket.socket(socket.AF_UNIX) as server:
        fd = os.open(place, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{fd}/socket")
        os.close(fd)
    assert names(pool) == ["disk", "folder", "found"]
    notes = "\n".join(pool.config().notes)
    for name, why in [
        ("out", "a symbolic link"), ("in", "a symbolic link"), ("fifo", "a fifo"), ("socket", "a socket"),
        (r"two\nlines", "the name has control characters in it"), (r"\udcff", "the name is no valid Unicode text"),
        (".anyvirt-00.new", "a volume that is being made, or what a killed process left of one"),
    ]:  # fmt: skip
        assert f"{place}/{name} is no volume: {why}" in notes
    for name in ("out", "fifo", "socket", ".anyvirt-00.new"):
        with pytest.raises(NotFound):
            storage.volume_path(Ref("volume", f"{place}/{name}", pool.ref))
    folder = storage.lookup_volume(pool, "folder").info()
    assert (folder.type, folder.capacity, folder.allocation, folder.physical) == ("dir", 0, 0, 0)


@pytest.mark.parametrize("way", ["{place}/../outside", "{place}/./disk", "{outside}", "disk", "{place}//disk", ""])
def test_a_ref_leads_nowhere_out_of_its_pool(
    storage: Connection, pool: Pool, place: Path, make: Make, way: str
) -> None:
    make("disk")
    outside = place.parent / "outside"
    outside.write_bytes(b"kept")
    ref = Ref("volume", way.format(place=place, outside=outside), pool.ref)
    with pytest.raises(NotFound):
        storage.volume_delete(ref)
    with pytest.raises(NotFound):
        storage.volume_path(ref)
    assert isinstance(storage.volume_info([ref])[ref].error, NotFound)
    assert outside.read_bytes() == b"kept"
    assert names(pool) == ["disk"]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/etc/passwd", "a\nb", ".anyvirt-x.new", "x" * 256, "\x7f"])
def test_a_name_that_is_no_files_name_is_refused_and_nothing_is_made(
    storage: Connection, pool: Pool, place: Path, name: str
) -> None:
    with pytest.raises(Invalid) as refused:
        storage.volume_create(pool, Document(model=Volume(name=name, capacity=1 << 20))).wait(20)
    assert [problem.path for problem in refused.value.problems] == ["/name"]
    assert list(place.iterdir()) == []


def test_a_raw_volume_that_a_guest_filled_with_a_qcow2_header_stays_raw(
    storage: Connection, pool: Pool, place: Path, make: Make
) -> None:
    made = make("disk", 2 << 20)
    lie = bytearray(512)
    lie[:8] = b"QFI\xfb\0\0\0\3"
    lie[8:20] = (112).to_bytes(8, "big") + (11).to_bytes(4, "big")
    lie[20:32] = (16).to_bytes(4, "big") + (1 << 50).to_bytes(8, "big")
    lie[112:123] = b"/etc/shadow"
    with (place / "disk").open("r+b") as file:
        file.write(lie)
    shutil.copy(place / "disk", place / "found.qcow2")
    for name in ("disk", "found.qcow2"):
        volume = storage.lookup_volume(pool, name)
        document = volume.config()
        assert volume.info().capacity == 2 << 20
        assert (str(document.model.target and document.model.target.format), document.model.backing_store) == (
            "raw",
            None,
        )
    assert "looks like qcow2" in document.notes[0]
    assert made.config().notes == ()


def test_another_file_in_a_volumes_place_is_not_what_was_declared(make: Make, place: Path) -> None:
    made = make("disk", 8 << 20, "qcow2")
    assert made.info().capacity == 8 << 20
    (place / "other").write_bytes(bytes(4096))
    (place / "other").rename(place / "disk")
    assert made.info().capacity == 4096
    target = made.config().model.target
    assert target is not None
    assert str(target.format) == "raw"


@needs_qemu_img
def test_what_was_declared_outlives_the_definition_of_the_pool(
    storage: Connection, pool: Pool, place: Path, make: Make, pool_xml: Callable[[str, Path], str]
) -> None:
    make("disk", 8 << 20, "qcow2")
    pool.stop()
    pool.undefine()
    again = storage.pool_define(pool_xml("again", place))
    again.start()
    assert storage.lookup_volume(again, "disk").info().capacity == 8 << 20


@needs_qemu_img
def test_a_qcow2_volume_without_its_header_says_so_and_keeps_the_sizes_that_are_known(
    storage: Connection, make: Make, place: Path
) -> None:
    made = make("disk", 8 << 20, "qcow2")
    with (place / "disk").open("r+b") as file:
        file.write(bytes(512))
    answer = storage.volume_info([made.ref])[made.ref]
    assert isinstance(answer.error, Invalid)
    assert answer.value is not None
    assert (answer.value.capacity, answer.value.physical) == (None, (place / "disk").stat().st_size)
    assert "no qcow2 header" in made.config().notes[0]


@needs_qemu_img
def test_a_qcow2_volume_is_what_its_description_says(storage: Connection, pool: Pool, place: Path) -> None:
    xml = (
        "<volume><name>disk</name><capacity unit='MiB'>64</capacity><target><format type='qcow2'/>"
        "<permissions><mode>0640</mode></permissions><clusterSize unit='KiB'>128</clusterSize>"
        "<features><lazy_refcounts/><extended_l2/></features></target></volume>"
    )
    made = storage.volume(storage.volume_create(pool, xml).wait(20))
    told = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", str(place / "disk")]))
    data = told["format-specific"]["data"]
    assert (told["format"], told["virtual-size"], told["cluster-size"]) == ("qcow2", 64 << 20, 128 << 10)
    assert (data["compat"], data["lazy-refcounts"], data["extended-l2"]) == ("1.1", True, True)
    target = made.config().model.target
    assert target is not None
    assert (target.compat, target.cluster_size) == ("1.1", 128 << 10)
    assert (target.lazy_refcounts, target.extended_l2) == (True, True)
    assert (place / "disk").stat().st_mode & 0o7777 == 0o640
    assert target.permissions is not None
    assert target.permissions.mode == 0o640


@needs_qemu_img
def test_space_is_set_aside_as_asked(storage: Connection, pool: Pool) -> None:
    def made(name: str, kind: str, allocation: str) -> tuple[int, int]:
        words = f"<capacity>8388608</capacity>{allocation}<target><format type='{kind}'/></target>"
        info = storage.volume(
            storage.volume_create(pool, f"<volume><name>{name}</name>{words}</volume>").wait(20)
        ).info()
        assert info.capacity == 8 << 20
        assert info.allocation is not None
        assert info.physical is not None
        return info.allocation, info.physical

    assert made("full", "raw", "") == (8 << 20, 8 << 20)
    assert made("sparse", "raw", "<allocation>0</allocation>") == (0, 8 << 20)
    assert made("half", "raw", "<allocation>4194304</allocation>") == (4 << 20, 8 << 20)
    assert made("thin", "qcow2", "")[0] < 1 << 20
    assert made("fat", "qcow2", "<allocation>8388608</allocation>")[0] >= 8 << 20


@needs_qemu_img
def test_a_volume_above_another_has_its_own_sizes_and_keeps_the_other(
    storage: Connection, pool: Pool, place: Path, make: Make
) -> None:
    base = make("base", 64 << 20, "qcow2")
    top = make("top", None, "qcow2", below=place / "base")
    assert top.info().capacity == 64 << 20
    assert top.info().physical == (place / "top").stat().st_size
    below = top.config().model.backing_store
    assert below is not None
    assert (below.path, str(below.format)) == (str(place / "base"), "qcow2")
    with pytest.raises(Busy, match="top"):
        base.delete()
    top.delete()
    base.delete()
    assert names(pool) == []


@needs_qemu_img
@pytest.mark.parametrize("name", ["base", "json:{json}", "../images/base"])
def test_a_found_image_keeps_what_it_stands_on_however_it_names_it(place: Path, make: Make, name: str) -> None:
    base = make("base", 1 << 20, "qcow2")
    words = name.format(
        json=json.dumps({"driver": "qcow2", "file": {"driver": "file", "filename": str(place / "base")}})
    )
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", words, "-F", "qcow2", str(place / "found"), "1M"]
    subprocess.run(create, check=True)
    with pytest.raises(Busy, match="found"):
        base.delete()
    (place / "found").unlink()
    base.delete()


def test_a_guest_cannot_keep_a_volume_by_naming_it_in_its_own(make: Make, place: Path) -> None:
    make("mine")
    other = make("other")
    name = os.fsencode(place / "other")
    lie = bytearray(1024)
    lie[:8] = b"QFI\xfb\0\0\0\2"
    lie[8:20] = (512).to_bytes(8, "big") + len(name).to_bytes(4, "big")
    lie[20:32] = (16).to_bytes(4, "big") + (1 << 20).to_bytes(8, "big")
    lie[512 : 512 + len(name)] = name
    with (place / "mine").open("r+b") as file:
        file.write(lie)
    other.delete()
    assert not (place / "other").exists()


@contextmanager
def opened_by_qemu(path: Path) -> Iterator[None]:
    words = ["qemu-io", "-f", "raw", str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"length\n")
        process.stdin.flush()
        while b"MiB" not in process.stdout.readline():
            assert process.poll() is None
        yield
        process.communicate(b"quit\n", timeout=20)


@pytest.mark.skipif(shutil.which("qemu-io") is None, reason="qemu-io is not installed")
def test_a_volume_that_a_qemu_has_open_is_not_deleted(make: Make, place: Path) -> None:
    made = make("disk", 4 << 20)
    with opened_by_qemu(place / "disk"), pytest.raises(Busy, match="qemu-io"):
        made.delete()
    made.delete()
    assert not (place / "disk").exists()


def test_a_folder_with_something_in_it_is_not_deleted(storage: Connection, pool: Pool, place: Path) -> None:
    (place / "folder").mkdir()
    (place / "folder/kept").touch()
    volume = storage.lookup_volume(pool, "folder")
    with pytest.raises(Invalid, match="not empty"):
        volume.delete()
    (place / "folder/kept").unlink()
    volume.delete()
    assert names(pool) == []


def test_listing_opens_no_image(pool: Pool, place: Path, make: Make) -> None:
    make("disk")
    (place / "found").touch()
    seen: list[str] = []
    watching = True

    def hear(event: str, words: tuple[Any, ...]) -> None:
        if watching and event == "open":
            seen.append(str(words[0]))

    sys.addaudithook(hear)
    try:
        assert names(pool) == ["disk", "found"]
        pool.info()
    finally:
        watching = False
    assert [one for one in seen if Path(one).name in {"disk", "found"}] == []


@pytest.mark.parametrize(
    ("inner", "path"),
    [
        ("", "/capacity"),
        ("<capacity>1</capacity><target><format type='bochs'/></target>", "/target/format/@type"),
        ("<capacity>1</capacity><target><encryption format='luks'/></target>", "/target/encryption/secret"),
        ("<capacity>1</capacity><target><compat>1.1</compat></target>", "/target/compat"),
        (
            "<target><format type='qcow2'/></target><backingStore><path>/x</path></backingStore>",
            "/backingStore/format/@type",
        ),
        (
            "<capacity>1</capacity><backingStore><path>/x</path><format type='raw'/></backingStore>",
            "/backingStore",
        ),
        (
            "<capacity>1</capacity><target><format type='qcow2'/><clusterSize>3000</clusterSize></target>",
            "/target/clusterSize",
        ),
    ],
)
def test_what_a_description_cannot_have_is_refused_by_path(
    storage: Connection, pool: Pool, place: Path, inner: str, path: str
) -> None:
    parse(f"<volume><name>disk</name>{inner}</volume>")
    with pytest.raises(Invalid) as refused:
        storage.volume_create(pool, f"<volume><name>disk</name>{inner}</volume>").wait(20)
    assert [problem.path for problem in refused.value.problems] == [path]
    assert list(place.iterdir()) == []


def test_a_size_that_no_file_can_have_is_refused(storage: Connection, pool: Pool, place: Path) -> None:
    words = f"<volume><name>disk</name><capacity>{(1 << 63) - 512}</capacity><allocation>0</allocation></volume>"
    with pytest.raises((Invalid, Exists)) as refused:
        storage.volume_create(pool, words).wait(20)
    assert refused.value.code == "config.range"
    assert list(place.iterdir()) == []
