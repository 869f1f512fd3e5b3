"""How the small guest's builder writes archives and orders modules; booting it is in the lab."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import guest
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


APT = """#!/bin/sh
case "$*" in
*update) echo updated >>"{root}/log" ;;
*"--recurse"*) cat <<END
qemu-guest-agent
  Depends: init-tools
  Depends: libglib
libglib
 |Depends: libc
  Depends: <libvirtual>
libc
  Depends: perl
init-tools
  Depends: libperl
END
;;
*"depends linux-image-cloud-amd64") echo "  Depends: linux-image-9.9.0-cloud-amd64" ;;
*download*)
    for package; do :; done
    echo "$package" >>"{root}/log"
    printf 'half of ' >"${{package}}_1_amd64.deb"
    {middle}
    echo "$package" >>"${{package}}_1_amd64.deb" ;;
*) exit 100 ;;
esac
"""
DPKG = """#!/bin/sh
grep -q 'half of .' "$2" || exit 2
mkdir -p "$3/boot" "$3/bin" "$3/lib/modules/9.9.0/kernel"
libraries=$3/lib/x86_64-linux-gnu
mkdir -p "$libraries" "$3/usr/sbin"
case "$2" in
*busybox*) echo busybox >"$3/bin/busybox" ;;
*qemu-guest-agent*) echo agent >"$3/usr/sbin/qemu-ga" ;;
*libglib*) echo glib >"$libraries/libglib.so" ;;
*libc_*)
    cat >"$libraries/ld-linux-x86-64.so.2" <<'END'
#!/bin/sh
echo "libglib.so => ${2%%:*}/libglib.so (0x1)"
END
    chmod +x "$libraries/ld-linux-x86-64.so.2" ;;
*) echo kernel >"$3/boot/vmlinuz-9.9.0" ;;
esac
"""


class Mirror:
    """Stand-ins for apt and dpkg that make packages of two words."""

    def __init__(self, root: Path, middle: str = ":") -> None:
        self.root = root
        (root / "bin").mkdir(exist_ok=True)
        for name, text in (("apt-get", APT), ("apt-cache", APT), ("dpkg-deb", DPKG)):
            path = root / "bin" / name
            path.write_text(text.format(root=root, middle=middle) if text is APT else text, encoding="utf-8")
            path.chmod(0o755)

    def builder(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "guest"],
            cwd=Path(guest.__file__).parents[1],
            env={"PATH": f"{self.root / 'bin'}:/usr/bin:/bin", "XDG_CACHE_HOME": str(self.root / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def fetched(self) -> list[str]:
        return sorted((self.root / "log").read_text(encoding="utf-8").split())


def test_builders_at_the_same_time_fetch_and_build_once(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, middle="sleep 0.3")
    builders = [mirror.builder() for _ in range(3)]
    said = [json.loads(builder.communicate()[0]) for builder in builders]
    assert said[0] == said[1] == said[2]
    assert Path(said[0]["kernel"]).read_text(encoding="utf-8") == "kernel\n"
    assert mirror.fetched() == ["busybox-static", "linux-image-9.9.0-cloud-amd64"]


def test_what_a_killed_builder_had_fetched_by_half_is_never_used(tmp_path: Path) -> None:
    stuck = Mirror(tmp_path, middle=f"echo $PPID >{tmp_path}/stuck; exec sleep 60").builder()
    end = time.monotonic() + 20
    while not (tmp_path / "stuck").exists():
        assert time.monotonic() < end, "the builder never came to fetching"
        time.sleep(0.01)
    os.killpg(stuck.pid, signal.SIGKILL)
    stuck.communicate()
    assert list((tmp_path / "cache").rglob("*_1_amd64.deb"))
    again = Mirror(tmp_path).builder()
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert Path(json.loads(out)["kernel"]).exists()
    assert not list((tmp_path / "cache").rglob(".*-*"))


def test_the_agent_comes_with_the_libraries_it_is_linked_with_behind_the_plain_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror(tmp_path)
    monkeypatch.setenv("PATH", f"{mirror.root / 'bin'}:/usr/bin:/bin")
    plain = build(tmp_path / "cache", progress=lambda line: None)
    mirrored = mirror.fetched()
    made = build(tmp_path / "cache", progress=lambda line: None, agent=True)
    assert set(mirror.fetched()) - set(mirrored) == {"qemu-guest-agent", "libglib", "libc"}
    assert made.kernel == plain.kernel
    first, second = plain.initrd.read_bytes(), made.initrd.read_bytes()
    assert second.startswith(first)
    found = _names(gzip.decompress(second[len(first) :]))
    assert found["usr/sbin/qemu-ga"][1] == b"agent\n"
    assert found["lib/x86_64-linux-gnu/libglib.so"][1] == b"glib\n"
    assert stat.S_ISLNK(found["lib64/ld-linux-x86-64.so.2"][0])
    assert build(tmp_path / "cache", agent=True, progress=pytest.fail) == made


def test_a_library_that_no_package_brings_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Mirror(tmp_path)
    dpkg = mirror.root / "bin/dpkg-deb"
    dpkg.write_text(
        dpkg.read_text(encoding="utf-8").replace("${2%%:*}/libglib.so (0x1)", "not found"), encoding="utf-8"
    )
    monkeypatch.setenv("PATH", f"{mirror.root / 'bin'}:/usr/bin:/bin")
    with pytest.raises(GuestError, match=r"no package .* has libglib.so"):
        build(tmp_path / "cache", progress=lambda line: None, agent=True)
    assert build(tmp_path / "cache", progress=pytest.fail).kernel.exists()


def test_a_second_build_asks_nobody(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.builder().communicate()
    (tmp_path / "log").unlink()
    again = mirror.builder()
    assert again.communicate()[1] == b""
    assert not (tmp_path / "log").exists()
