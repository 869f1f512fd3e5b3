"""What volumes stand on, true and false, told and untold; and images that mean no good."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Busy, Connection, Document, Invalid, NotFound, VolumeBackingStore, VolumeFormat, VolumeTarget
from anyvirt.api import Volume as VolumeModel
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle
from anyvirt_host.storage.tracing import LONGEST

Make = Callable[..., Handle]
Xml = Callable[[str, Path], str]
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def image(below: str = "", kind: str = "", size: int = 1 << 20) -> bytes:
    """A qcow2 image of which there is no more than its header."""
    name = os.fsencode(below)
    extension = struct.pack(">II8s", 0xE2792ACA, len(kind), kind.encode()) if kind else b""
    at = 104 + len(extension) + 8
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, at if name else 0, len(name), 16, size).ljust(72, b"\0")
    head += struct.pack(">QQQII", 0, 0, 0, 4, 104) + extension + bytes(8) + name
    return head.ljust(4096, b"\0")


def said(name: str, kind: str, below: Path | str | None = None, below_kind: str = "qcow2") -> Document[VolumeModel]:
    store = VolumeBackingStore(path=str(below), format=VolumeFormat(below_kind)) if below else None
    return Document(
        model=VolumeModel(name=name, capacity=1, target=VolumeTarget(format=VolumeFormat(kind)), backing_store=store)
    )


def found(storage: Connection, pool: Pool, name: str) -> Handle:
    return storage.lookup_volume(pool, name)


@needs_qemu_img
def test_a_chain_is_followed_to_its_end(make: Make, place: Path) -> None:
    make("base", 8 << 20)
    make("middle", 8 << 20, "qcow2")
    make("top", None, "qcow2", below=place / "middle")
    links = make("over", None, "qcow2", below=place / "top").chain()
    assert [link.path for link in links] == [str(place / name) for name in ("over", "top", "middle")]
    assert [(link.format, link.declared, link.note) for link in links] == [("qcow2", True, "")] * 3
    for link in links:
        told = Path(link.path).stat()
        assert (link.capacity, link.allocation, link.physical) == (8 << 20, told.st_blocks * 512, told.st_size)


def test_what_nobody_declared_stands_on_nothing(storage: Connection, pool: Pool, place: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"private")
    (place / "found").write_bytes(image(str(secret), "raw"))
    volume = found(storage, pool, "found")
    (link,) = volume.chain()
    assert (link.format, link.declared, link.capacity) == ("raw", False, 4096)
    with pytest.raises(Invalid, match=str(secret)):
        volume.declare(said("found", "qcow2"))
    with pytest.raises(Invalid, match="not what"):
        volume.declare(said("found", "qcow2", "/srv/never-was", "raw"))
    assert volume.info().capacity == 4096
    volume.declare(said("found", "qcow2", secret, "raw"))
    assert volume.info().capacity == 1 << 20
    links = volume.chain()
    assert [(one.path, one.declared) for one in links] == [(str(place / "found"), True), (str(secret), True)]
    assert links[1].physical == 7


def test_an_image_whose_word_changed_is_shown_and_not_believed(storage: Connection, pool: Pool, place: Path) -> None:
    (place / "base").write_bytes(image())
    (place / "found").write_bytes(image(str(place / "base"), "qcow2"))
    volume = found(storage, pool, "found")
    volume.declare(said("found", "qcow2", place / "base"))
    for lie, note in [
        ("/srv/never-was", "not looked at"),
        ("nbd://10.0.0.1/export", "not looked at"),
        ('json:{"driver": "nbd", "server": {"type": "unix", "path": "/run/x"}}', "not looked at"),
        (str(place / "base") + "-gone", "it is not there"),
        ("fifo", "it is not there"),
        ("out", "it is not there"),
    ]:
        with (place / "found").open("r+b") as file:
            file.write(image(lie, "raw"))
        assert volume.info().capacity == 1 << 20
        first, last = volume.chain()
        assert (first.declared, last.declared) == (True, False)
        assert note in last.note
        assert (last.capacity, last.physical) == (None, None)
    with (place / "found").open("r+b") as file:
        file.write(image())
    (only,) = volume.chain()
    assert "names nothing" in only.note


def test_links_and_fifos_are_not_looked_into(storage: Connection, pool: Pool, place: Path, tmp_path: Path) -> None:
    os.mkfifo(place / "fifo")
    (tmp_path / "secret").write_bytes(b"private")
    (place / "out").symlink_to(tmp_path / "secret")
    for name in ("fifo", "out"):
        (place / "found").write_bytes(image(name, "raw"))
        volume = found(storage, pool, "found")
        volume.declare(said("found", "qcow2", place / name, "raw"))
        links = volume.chain()
        assert links[1].note == "it is not there"
        assert links[1].physical is None
        (place / "found").unlink()


def test_a_chain_that_goes_round_ends(storage: Connection, pool: Pool, place: Path) -> None:
    for name, below in [("one", "two"), ("two", "three"), ("three", "one"), ("self", "self")]:
        (place / name).write_bytes(image(below, "qcow2"))
        found(storage, pool, name).declare(said(name, "qcow2", place / below))
    links = found(storage, pool, "one").chain()
    assert [Path(link.path).name for link in links] == ["one", "two", "three", "one"]
    assert "goes round" in links[-1].note
    assert "goes round" in found(storage, pool, "self").chain()[-1].note


def test_ten_thousand_images_are_followed_as_far_as_somebody_looks(
    storage: Connection, pool: Pool, place: Path
) -> None:
    count = 10_000
    for number in range(count):
        with (place / f"{number:05}").open("wb") as file:
            file.write(image(f"{number + 1:05}", "qcow2")[:200])
    volume = found(storage, pool, "00000")
    volume.declare(said("00000", "qcow2", place / "00001"))
    links = volume.chain()
    assert len(links) == LONGEST + 1
    assert "not looked at" in links[-1].note
    assert [link.declared for link in links[:3]] == [True, True, False]
    with pytest.raises(Busy, match="00000"):
        found(storage, pool, "00001").delete()


def test_a_claim_outside_of_every_pool_is_not_looked_at(
    storage: Connection, pool: Pool, place: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(image("/srv/never-was", "raw"))
    (place / "inside").write_bytes(image(str(outside), "qcow2"))
    (place / "top").write_bytes(image(str(place / "inside"), "qcow2"))
    volume = found(storage, pool, "top")
    volume.declare(said("top", "qcow2", place / "inside"))
    links = volume.chain()
    assert [(Path(link.path).name, link.declared) for link in links] == [
        ("top", True),
        ("inside", True),
        ("outside", False),
    ]
    assert "no active pool" in links[-1].note


@pytest.mark.parametrize(
    "below", ["nbd://host/x", 'json:{"driver": "null-co"}', "fd:3", 'json:{"driver":"https","url":"https://x/"}']
)
def test_what_stands_on_no_file_of_this_host_is_not_declared(
    storage: Connection, pool: Pool, place: Path, below: str
) -> None:
    (place / "found").write_bytes(image(below, "raw"))
    volume = found(storage, pool, "found")
    for document in (said("found", "qcow2"), said("found", "qcow2", "/srv/never-was", "raw")):
        with pytest.raises(Invalid):
            volume.declare(document)
    target = volume.config().model.target
    assert target is not None
    assert str(target.format) == "raw"


def test_a_header_that_points_to_another_data_file_is_not_declared(
    storage: Connection, pool: Pool, place: Path
) -> None:
    head = bytearray(image())
    head[72:80] = (1 << 2).to_bytes(8, "big")
    (place / "found").write_bytes(head)
    with pytest.raises(Invalid, match="another file"):
        found(storage, pool, "found").declare(said("found", "qcow2"))


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("<volume><name>x</name><capacity>1</capacity></volume>", "/target/format/@type"),
        (
            "<volume><name>x</name><capacity>1</capacity><target><format type='dir'/></target></volume>",
            "/target/format/@type",
        ),
        (
            "<volume><name>x</name><target><format type='qcow2'/></target>{below}</volume>",
            "/backingStore/format/@type",
        ),
    ],
)
def test_what_is_no_declaration_is_refused_by_path(
    storage: Connection, pool: Pool, place: Path, document: str, path: str
) -> None:
    (place / "found").write_bytes(image("/srv/base"))
    below = "<backingStore><path>/srv/base</path></backingStore>"
    with pytest.raises(Invalid) as refused:
        found(storage, pool, "found").declare(document.replace("{below}", below))
    assert [problem.path for problem in refused.value.problems] == [path]


def test_a_bomb_of_holes_is_as_large_as_it_says_and_costs_nothing(storage: Connection, pool: Pool, place: Path) -> None:
    size = 1 << 43
    with (place / "bomb").open("wb") as file:
        file.truncate(size)
        file.write(image(size=(1 << 63) - 512))
    volume = found(storage, pool, "bomb")
    info = volume.info()
    assert (info.capacity, info.physical) == (size, size)
    assert (info.allocation or 0) < 1 << 20
    volume.declare(said("bomb", "qcow2"))
    assert volume.info().capacity == (1 << 63) - 512
    with storage.volume_download(volume, sparse=True) as stream:
        assert sum(len(part) for part in iter(stream.read, b"")) < 1 << 20
    volume.delete()


def test_a_volume_is_found_wherever_it_is(
    storage: Connection, pool: Pool, place: Path, make: Make, tmp_path: Path, pool_xml: Xml
) -> None:
    made = make("disk")
    (tmp_path / "more").mkdir()
    other = storage.pool_define(pool_xml("more", tmp_path / "more"))
    other.start()
    (tmp_path / "more/disk").touch()
    (place / "link").symlink_to(place / "disk")
    assert storage.volume_find(str(place / "disk")).ref == made.ref
    assert storage.volume_find(f"{place}//./disk").ref == made.ref
    assert storage.volume_find(str(tmp_path / "more/disk")).ref.parent == other.ref
    for text in (f"{place}/link", f"{place}/../images/disk", str(place), "disk", "/srv/never-was"):
        with pytest.raises(NotFound):
            storage.volume_find(text)
    other.stop()
    with pytest.raises(NotFound):
        storage.volume_find(str(tmp_path / "more/disk"))


@needs_qemu_img
def test_a_declared_image_is_one_for_qemu_too(storage: Connection, pool: Pool, place: Path) -> None:
    base, top = place / "base.qcow2", place / "top.qcow2"
    for words in ([str(base), "32M"], ["-b", str(base), "-F", "qcow2", str(top)]):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words], check=True)
    volume = found(storage, pool, "top.qcow2")
    volume.declare(said("top.qcow2", "qcow2", base))
    told = json.loads(subprocess.check_output(["qemu-img", "info", "--backing-chain", "--output=json", str(top)]))
    links = volume.chain()
    assert [link.path for link in links] == [one["filename"] for one in told]
    assert [link.capacity for link in links] == [one["virtual-size"] for one in told]
    below = volume.config().model.backing_store
    assert below is not None
    assert (below.path, str(below.format)) == (str(base), "qcow2")
