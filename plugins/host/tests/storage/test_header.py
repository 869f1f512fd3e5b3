"""Headers that lie: each is read or refused, and costs nothing either way."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from anyvirt.api import Invalid
from anyvirt_host.storage.images.header import HEAD, backing_path, looks_like, qcow2
from anyvirt_host.storage.images.headers import header_of
from hypothesis import given
from hypothesis import strategies as st


def header(
    version: int = 3,
    at: int = 0,
    length: int = 0,
    bits: int = 16,
    size: int = 1 << 20,
    features: int = 0,
    end: int = 104,
) -> bytes:
    first = struct.pack(">4sIQIIQ", b"QFI\xfb", version, at, length, bits, size)
    return first.ljust(72, b"\0") + struct.pack(">QQQII", features, 0, 0, 4, end)


@given(
    version=st.sampled_from([2, 3, 0, 4]),
    at=st.one_of(st.integers(0, 2 * HEAD), st.integers(0, 2**64 - 1)),
    length=st.one_of(st.integers(0, 2048), st.integers(0, 2**32 - 1)),
    bits=st.one_of(st.integers(8, 22), st.integers(0, 2**32 - 1)),
    size=st.integers(0, 2**64 - 1),
    end=st.integers(0, 2**32 - 1),
    rest=st.binary(max_size=HEAD),
)
def test_whatever_a_header_says_is_read_or_refused(
    version: int, at: int, length: int, bits: int, size: int, end: int, rest: bytes
) -> None:
    head = (header(version, at, length, bits, size, end=end) + rest)[:HEAD]
    try:
        found = qcow2(head)
    except Invalid:
        return
    assert 0 <= found.size < 1 << 63
    assert len(found.backing) <= 1023
    backing_path(found.backing, "/srv")


@given(head=st.binary(max_size=256))
def test_what_is_no_header_is_refused(head: bytes) -> None:
    with pytest.raises(Invalid):
        qcow2(head if not head.startswith(b"QFI\xfb") else b"")


@pytest.mark.parametrize(
    "head",
    [
        header()[:71],
        header(version=4),
        header(bits=8),
        header(bits=22),
        header(size=1 << 63),
        header(at=200, length=1024),
        header(at=HEAD, length=10),
        header(at=2**64 - 8, length=10),
    ],
    ids=["short", "version", "small clusters", "large clusters", "size", "long name", "name behind", "name nowhere"],
)
def test_a_header_that_says_what_cannot_be_is_refused(head: bytes) -> None:
    with pytest.raises(Invalid):
        qcow2(head)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("base", "/srv/base"),
        ("../etc/x", "/etc/x"),
        ("/a//b/./c", "/a/b/c"),
        ("file:/a/b", "/a/b"),
        ('json:{"file": {"driver": "file", "filename": "/a/b"}}', "/a/b"),
        ('json:{"driver": "raw", "file.filename": "b"}', "/srv/b"),
        ('json:{"driver": "nbd", "server": {}}', ""),
        ("json:{", ""),
        ("json:[]", ""),
        ("nbd://host/export", ""),
        ("nbd:unix:/socket", ""),
        ("https://example.com/a.qcow2", ""),
        ("fd:3", ""),
        ("./with:colon", "/srv/with:colon"),
        ("/with:colon", "/with:colon"),
        ("", ""),
    ],
)
def test_the_name_of_a_backing_file_is_a_path_where_it_means_one(name: str, path: str) -> None:
    assert backing_path(name, "/srv") == path


def test_a_name_that_nests_deeply_is_none() -> None:
    assert backing_path("json:" + '{"file":' * 5000 + "{}" + "}" * 5000, "/srv") == ""


def lied(start: bytes, patches: list[tuple[int, bytes]], size: int) -> bytes:
    """The first bytes of an image, with others written over them."""
    head = bytearray(start.ljust(HEAD, b"\0"))
    for at, data in patches:
        head[at : at + len(data)] = data
    return bytes(head[:size])


STARTS = {
    "qcow2": header(),
    "qed": struct.pack("<4sIIIQQQQQII", b"QED\0", 65536, 4, 1, 5, 0, 0, 65536, 1 << 30, 100, 8),
    "vmdk": struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 1 << 21, 128, 1, 20).ljust(512) + b'parentFileNameHint="/x"',
    "vdi": bytes(64) + struct.pack("<II", 0xBEDA107F, 0x10001) + bytes(296) + struct.pack("<Q", 1 << 30),
    "vpc": struct.pack(">8s20x4s16xQHBB", b"conectix", b"qemu", 1 << 30, 1000, 16, 63),
    "luks": b"LUKS\xba\xbe\0\1" + bytes(96) + struct.pack(">I", 4096),
}
PATCHES = st.lists(st.tuples(st.integers(0, 520), st.binary(min_size=1, max_size=8)), max_size=8)


@given(
    kind=st.sampled_from(sorted(STARTS)),
    patches=PATCHES,
    size=st.one_of(st.just(HEAD), st.integers(0, HEAD)),
    physical=st.integers(0, (1 << 63) - 1),
)
def test_whatever_the_header_of_any_format_says_is_read_or_refused(
    kind: str, patches: list[tuple[int, bytes]], size: int, physical: int
) -> None:
    head = lied(STARTS[kind], patches, size)
    try:
        found = header_of(kind, head, physical)
    except Invalid:
        return
    assert 0 <= found.size < 1 << 63
    assert len(found.backing.encode("utf-8", "surrogateescape")) <= HEAD
    below = backing_path(found.backing, "/srv")
    assert below == "" or below.startswith("/")


@given(kind=st.sampled_from(sorted(STARTS)), head=st.binary(max_size=600))
def test_bytes_of_no_format_are_refused_or_read(kind: str, head: bytes) -> None:
    with suppress(Invalid):
        assert header_of(kind, head, len(head)).size >= 0


@pytest.mark.parametrize("kind", sorted(STARTS))
def test_an_image_of_another_format_is_refused(kind: str) -> None:
    header_of(kind, lied(STARTS[kind], [], HEAD), 1 << 40)
    for other in set(STARTS) - {kind, "vpc"}:
        with pytest.raises(Invalid, match=f"no {kind} header") if kind != "vpc" else nullcontext():
            header_of(kind, lied(STARTS[other], [], HEAD), 1 << 40)


def test_words_instead_of_a_size_are_refused() -> None:
    words = b'# Disk DescriptorFile\nversion=1\nRW 2048 FLAT "/etc/shadow" 0\n'
    for head in (words, struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 20).ljust(512) + words):
        with pytest.raises(Invalid):
            header_of("vmdk", head.ljust(HEAD, b"\0"), 1 << 20)


FOREIGN = ["qed", "vmdk", "vdi", "vpc", "vpc,force_size=on", "vpc,subformat=fixed", "vmdk,subformat=streamOptimized"]


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
@pytest.mark.parametrize("kind", FOREIGN)
def test_sizes_of_other_formats_are_those_that_qemu_has(tmp_path: Path, kind: str) -> None:
    kind, _, options = kind.partition(",")
    for size in (1 << 20, 100 << 20, (1 << 30) + 77 * 512):
        path = tmp_path / f"{size}"
        words = ["-o", options] if options else []
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, *words, str(path), str(size)], check=True)
        told = json.loads(subprocess.check_output(["qemu-img", "info", "-f", kind, "--output=json", str(path)]))
        with path.open("rb") as file:
            assert header_of(kind, file.read(HEAD), path.stat().st_size).size == told["virtual-size"]
        path.unlink()


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
@pytest.mark.parametrize("options", ["compat=0.10", "compat=1.1", "compat=1.1,cluster_size=4k,lazy_refcounts=on"])
def test_what_qemu_writes_is_what_is_read(tmp_path: Path, options: str) -> None:
    for words in (["base", "3M"], ["top", "-b", str(tmp_path / "base"), "-F", "qcow2"]):
        where = [str(tmp_path / words[0]), *words[1:]]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, *where], check=True)
    told = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", str(tmp_path / "top")]))
    found = qcow2((tmp_path / "top").read_bytes()[:HEAD])
    assert (found.size, found.cluster) == (told["virtual-size"], told["cluster-size"])
    assert (found.backing, found.backing_format) == (told["backing-filename"], told["backing-filename-format"])
    assert looks_like((tmp_path / "top").read_bytes()[:16]) == "qcow2"
