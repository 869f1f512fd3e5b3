"""How the small guest's builder writes archives and orders modules; booting it is in the lab."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from guest.builder import GuestError, build
from guest.cpio import Archive
from guest.modules import in_order

ENTRY = 110


def _names(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and content by name, read as the kernel reads it: 110 bytes of hex, name and data padded to four."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while at < len(archive):
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = archive[at + ENTRY : at + ENTRY + length - 1].decode()
        data = at + ENTRY + length + (-(ENTRY + length) % 4)
        found[name] = (mode, archive[data : data + size])
        at = data + size + (-size % 4)
    return found


def test_an_archive_holds_folders_before_files_links_and_devices() -> None:
    archive = Archive()
    archive.file("etc/deep/word", b"hello", 0o600)
    archive.link("bin/sh", "busybox")
    archive.device("dev/console", 5, 1)
    found = _names(gzip.decompress(archive.gzipped()))
    assert list(found) == ["etc", "etc/deep", "etc/deep/word", "bin", "bin/sh", "dev", "dev/console", "TRAILER!!!"]
    assert found["etc/deep/word"] == (stat.S_IFREG | 0o600, b"hello")
    assert found["bin/sh"] == (stat.S_IFLNK | 0o777, b"busybox")
    assert stat.S_ISCHR(found["dev/console"][0])


def test_the_same_archive_is_the_same_bytes() -> None:
    def made() -> bytes:
        archive = Archive()
        archive.file("init", b"#!/bin/sh\n", 0o755)
        return archive.gzipped()

    assert made() == made()


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
def test_cpio_itself_reads_an_archive() -> None:
    archive = Archive()
    archive.file("a/name of seven", b"12345")
    archive.file("b", b"")
    listed = subprocess.run(["cpio", "-it"], input=gzip.decompress(archive.gzipped()), capture_output=True, check=True)
    assert listed.stdout.decode().split("\n") == ["a", "a/name of seven", "b", ""]


def _module(path: Path, *needs: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"\0ELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0"
    path.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)


def test_a_module_comes_after_all_that_it_needs_and_once(tmp_path: Path) -> None:
    _module(tmp_path / "net/virtio_net.ko", "net-failover", "virtio_ring")
    _module(tmp_path / "net/net_failover.ko.xz", "failover")
    _module(tmp_path / "net/failover.ko")
    _module(tmp_path / "virtio/virtio_ring.ko.xz")
    _module(tmp_path / "virtio/virtio-rng.ko", "virtio_ring", "built_in")
    order = [module.name for module in in_order(tmp_path, ["virtio_net", "virtio_rng", "not_in_this_kernel"])]
    assert order == ["failover", "net_failover", "virtio_ring", "virtio_net", "virtio_rng"]


def test_a_compressed_module_is_plain_in_the_guest(tmp_path: Path) -> None:
    _module(tmp_path / "button.ko.xz")
    (module,) = in_order(tmp_path, ["button"])
    assert module.data.startswith(b"\0ELF")


def test_no_apt_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GuestError, match="apt-get is not here"):
        build(tmp_path / "cache", progress=lambda line: None)
    assert not any((tmp_path / "cache").glob(".building-*"))
