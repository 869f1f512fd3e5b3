"""Sizes and chains of images, read without QEMU; headers that lie are refused."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Denied, Failed, Invalid, NotFound, Unsupported, VirtError
from anyvirt_qemu.image import chain, create, look
from hypothesis import given, settings
from hypothesis import strategies as st

MIB = 1 << 20
Make = Callable[..., str]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes images with qemu-img: ``make("a.qcow2", 8, "-b", "base.img", "-F", "raw")``."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing")

    def create(name: str, mib: int, *words: str, form: str = "qcow2") -> str:
        argv = ["qemu-img", "create", "-q", "-f", form, *words, name, f"{mib}M"]
        subprocess.run(argv, cwd=tmp_path, check=True)
        return str(tmp_path / name)

    return create


def header(**changes: int | bytes) -> bytes:
    """A qcow2 header of version 3 with a backing file, in one cluster of 64 KiB."""
    of: dict[str, Any] = {
        "magic": b"QFI\xfb", "version": 3, "offset": 512, "size": 4, "bits": 16, "capacity": MIB, "features": 0,
        "length": 104, "name": b"base", "extensions": b"",
    } | changes  # fmt: skip
    head: bytes = of["magic"] + struct.pack(
        ">IQIIQIIQQIIQ", of["version"], of["offset"], of["size"], of["bits"], of["capacity"], 0, 0, 0, 0, 0, 0, 0
    )
    head += struct.pack(">QQQII", of["features"], 0, 0, 4, of["length"]) + of["extensions"]
    name: bytes = of["name"]
    return (head.ljust(512, b"\0") + name).ljust(1 << 16, b"\0")


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data.ljust((len(data) + 7) // 8 * 8, b"\0")


def test_a_sparse_raw_image_occupies_nothing_and_ends_where_the_guests_disk_does(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    with path.open("wb") as file:
        file.truncate(8 * MIB)
    info = look(str(path)).info("vda")
    assert (info.target, info.capacity, info.allocation, info.physical) == ("vda", 8 * MIB, 0, 8 * MIB)


def test_a_full_raw_image_occupies_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(os.urandom(MIB))
    os.sync()
    info = look(str(path)).info("vda")
    assert info.capacity == info.physical == MIB
    assert info.allocation is not None
    assert MIB <= info.allocation < MIB + 65536


def test_a_qcow2_image_shows_its_virtual_size_and_its_own_file_only(make: Make) -> None:
    base = make("base.qcow2", 64)
    top = make("top.qcow2", 128, "-b", "base.qcow2", "-F", "qcow2")
    image = look(top, "qcow2")
    assert image.capacity == 128 * MIB
    assert image.physical == os.stat(top).st_size
    assert image.allocation == os.stat(top).st_blocks * 512
    assert (image.backing, image.backing_format) == (base, "qcow2")
    assert look(base, "qcow2").backing is None


def test_what_qemu_writes_is_read_alike_in_both_versions(make: Make) -> None:
    make("base.img", 4, form="raw")
    for version in ("0.10", "1.1"):
        path = make(f"v{version}.qcow2", 4, "-o", f"compat={version}", "-b", "base.img", "-F", "raw")
        image = look(path, "qcow2")
        assert (image.capacity, image.backing_format) == (4 * MIB, "raw")


def test_a_chain_is_followed_by_declared_formats(make: Make) -> None:
    make("base.img", 4, form="raw")
    make("mid.qcow2", 4, "-b", "base.img", "-F", "raw")
    top = make("top.qcow2", 4, "-b", "mid.qcow2", "-F", "qcow2")
    found = chain(top, "qcow2")
    assert [(os.path.basename(node.path), node.format) for node in found] == [
        ("top.qcow2", "qcow2"),
        ("mid.qcow2", "qcow2"),
        ("base.img", "raw"),
    ]
    assert {node.protocol for node in found} == {"file"}


def test_a_raw_image_with_a_qcow2_header_in_it_stays_raw(tmp_path: Path) -> None:
    path = tmp_path / "guest.img"
    path.write_bytes(header(name=b"/etc/shadow", size=11))
    assert look(str(path)).backing is None
    assert len(chain(str(path))) == 1


def test_a_backing_file_of_an_undeclared_format_is_raw_or_refused(tmp_path: Path) -> None:
    (tmp_path / "top").write_bytes(header())
    (tmp_path / "base").write_bytes(b"nothing")
    assert [node.format for node in chain(str(tmp_path / "top"), "qcow2")] == ["qcow2", "raw"]
    (tmp_path / "base").write_bytes(header(offset=0))
    with pytest.raises(Invalid, match="declared nowhere") as caught:
        chain(str(tmp_path / "top"), "qcow2")
    assert "rebase" in caught.value.hint


def test_a_chain_that_comes_back_to_itself_is_refused(tmp_path: Path) -> None:
    form = extension(0xE2792ACA, b"qcow2")
    (tmp_path / "a").write_bytes(header(name=b"b", size=1, extensions=form))
    (tmp_path / "b").write_bytes(header(name=b"a", size=1, extensions=form))
    with pytest.raises(Invalid, match="comes back"):
        chain(str(tmp_path / "a"), "qcow2")


def test_a_chain_that_does_not_end_is_cut_off(tmp_path: Path) -> None:
    form = extension(0xE2792ACA, b"qcow2")
    for number in range(202):
        name = str(number + 1).encode()
        (tmp_path / str(number)).write_bytes(header(name=name, size=len(name), extensions=form))
    with pytest.raises(Invalid, match="more than 200"):
        chain(str(tmp_path / "0"), "qcow2")


@pytest.mark.parametrize("name", [b"json:{}", b"nbd://host/x", b"ssh:x", b"fd:9", b"http://a/b"])
def test_a_backing_file_elsewhere_is_refused(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / "top"
    path.write_bytes(header(name=name, size=len(name)))
    with pytest.raises(Unsupported) as caught:
        look(str(path), "qcow2")
    assert "backingStore" in caught.value.hint


def test_names_of_backing_files_are_taken_from_the_images_folder(tmp_path: Path) -> None:
    path = tmp_path / "top"
    for name, expected in ((b"a:b/../c", None), (b"sub/c", f"{tmp_path}/sub/c"), (b"file:/x", "/x"), (b"/x", "/x")):
        path.write_bytes(header(name=name, size=len(name)))
        if expected is None:
            with pytest.raises(Unsupported):
                look(str(path), "qcow2")
        else:
            assert look(str(path), "qcow2").backing == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"magic": b"QFI\0"},
        {"version": 4},
        {"version": 1},
        {"bits": 8},
        {"bits": 40},
        {"capacity": (1 << 63) + 1},
        {"size": 2000},
        {"offset": 1 << 60},
        {"offset": 65535},
        {"length": 1 << 30},
        {"length": 8},
        {"name": b"a\0bc"},
        {"name": b"\xff\xff\xff\xff"},
        {"extensions": struct.pack(">II", 0xE2792ACA, 1 << 31)},
    ],
)
def test_a_header_that_lies_is_refused(changes: dict[str, int | bytes], tmp_path: Path) -> None:
    path = tmp_path / "top"
    path.write_bytes(header(**changes))
    with pytest.raises(Invalid) as caught:
        look(str(path), "qcow2")
    assert str(path) in caught.value.message
    assert caught.value.hint


@settings(max_examples=300, deadline=None)
@given(
    noise=st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=12)), max_size=8),
    cut=st.integers(0, 700),
)
def test_any_header_gives_an_answer_or_a_coded_error(
    noise: list[tuple[int, bytes]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(header(extensions=extension(0xE2792ACA, b"qcow2")))
    for place, octets in noise:
        data[place : place + len(octets)] = octets
    path = tmp_path_factory.getbasetemp() / "noise.qcow2"
    path.write_bytes(bytes(data[: len(data) - cut]) if cut % 2 else bytes(data[:cut]))
    try:
        image = look(str(path), "qcow2")
    except VirtError as error:
        code = error.code
    else:
        code = "" if 0 <= image.capacity <= 1 << 62 else "too large"
    assert code in {"", "config.invalid", "unsupported"}


def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "top"
    for changes in ({"features": 4}, {"extensions": extension(0x44415441, b"/etc/shadow")}):
        path.write_bytes(header(**changes))
        with pytest.raises(Unsupported, match="external data file"):
            look(str(path), "qcow2")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(Invalid, match="neither a file nor a block device"):
            look(str(tmp_path / name))
    with pytest.raises(NotFound) as caught:
        look(str(tmp_path / "none"))
    assert caught.value.code == "file.not-found"
    with pytest.raises(Unsupported):
        look(str(tmp_path / "none"), "vdi")
    with pytest.raises(Invalid, match="no path"):
        look("/a\0b")


def test_an_image_that_this_user_may_not_read_is_denied(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "closed"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(Denied):
        look(str(path))


def test_a_block_device_is_as_large_as_it_is(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a loop device takes root")
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(4 * MIB)
    made = subprocess.run(["losetup", "--find", "--show", str(path)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        image = look(device)
        assert (image.block, image.capacity, image.allocation, image.physical) == (True, *[4 * MIB] * 3)
        assert [node.protocol for node in chain(device)] == ["host_device"]
        with open(device, "r+b") as disk:
            disk.write(header(offset=0, capacity=MIB))
        inside = look(device, "qcow2")
        assert (inside.capacity, inside.allocation, inside.physical) == (MIB, 4 * MIB, 4 * MIB)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.parametrize("form", ["qcow", "qed"])
def test_older_formats_tell_their_sizes_and_what_is_below(form: str, tmp_path: Path) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing")
    base, top = tmp_path / "base.img", tmp_path / "top"
    base.write_bytes(bytes(1 << 20))
    make = ["qemu-img", "create", "-q", "-f", form, "-b", str(base), "-F", "raw", str(top), "2M"]
    subprocess.run(make, check=True, timeout=60)
    assert look(str(top), form).capacity == 2 << 20
    assert [node.path for node in chain(str(top), form)] == [str(top), str(base)]
    top.write_bytes(bytes(100))
    with pytest.raises(Invalid, match="it is no"):
        look(str(top), form)


def test_a_vmdk_image_that_names_other_files_or_a_parent_is_refused(tmp_path: Path) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing")
    alone, flat, child = (tmp_path / f"{name}.vmdk" for name in ("alone", "flat", "child"))
    for path, more in ((alone, []), (flat, ["-o", "subformat=monolithicFlat"]), (child, ["-b", alone, "-F", "vmdk"])):
        subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", *more, path, "1M"], check=True, timeout=60)
    assert look(str(alone), "vmdk").capacity == 1 << 20
    assert len(chain(str(alone), "vmdk")) == 1
    with pytest.raises(Invalid, match="one file"):
        look(str(flat), "vmdk")
    with pytest.raises(Unsupported, match="backing file"):
        look(str(child), "vmdk")
    assert look(str(child), "vmdk", below=False).capacity == 1 << 20


def test_an_empty_image_is_made_as_qemu_makes_it_and_never_over_another(tmp_path: Path) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing")
    for size in (0, 1000, 1 << 40):
        path = tmp_path / f"{size}.qcow2"
        create(str(path), size)
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", path], check=True, timeout=60)
        assert look(str(path), "qcow2").capacity == -(-size // 512) * 512
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(Failed):
            create(str(path), size)
