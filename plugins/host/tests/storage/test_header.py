"""Headers that lie: each is read or refused, and costs nothing either way."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from anyvirt.api import Invalid
from anyvirt_host.storage.header import HEAD, backing_path, looks_like, qcow2
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
        ("", ""),
    ],
)
def test_the_name_of_a_backing_file_is_a_path_where_it_means_one(name: str, path: str) -> None:
    assert backing_path(name, "/srv") == path


def test_a_name_that_nests_deeply_is_none() -> None:
    assert backing_path("json:" + '{"file":' * 5000 + "{}" + "}" * 5000, "/srv") == ""


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
