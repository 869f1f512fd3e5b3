"""Sizes of disks, held against what the host's own tools say; running and shut off, before and after writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import BlockInfo, Connection, NotFound
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import CONTROL
from anyvirt_qemu.site import Site
from sector_stage import UP, read_until

MIB = 1 << 20
SIZE = 16 * MIB
WRITTEN = 32768


@dataclass(frozen=True)
class Image:
    """An image, with its format and the size that its guest sees."""

    path: Path
    format: str
    block: bool = False

    @property
    def disk(self) -> str:
        """The disk of a definition; second in the boot order, so that the guest writes to it when told to."""
        kind, source = ("block", "dev") if self.block else ("file", "file")
        return (
            f"<disk type='{kind}'><driver name='qemu' type='{self.format}'/><source {source}='{self.path}'/>"
            "<target dev='vdb' bus='virtio'/><boot order='2'/></disk>"
        )

    @property
    def virtual(self) -> int:
        """What the guest sees, as qemu-img tells."""
        found = json.loads(tool("qemu-img", "info", "-U", "-f", self.format, "--output=json", self.path))
        return int(found["virtual-size"])

    @property
    def du(self) -> int:
        """What the image occupies, as du tells."""
        return int(tool("du", "--block-size=1", self.path).split()[0])

    @property
    def ls(self) -> int:
        """Where the image ends, as ls tells; a device's size, as the kernel tells."""
        if self.block:
            return int(Path(f"/sys/class/block/{self.path.name}/size").read_text()) * 512
        return int(tool("ls", "-l", self.path).split()[4])


def tool(*words: str | Path) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Path]:
    """A block device."""
    if os.geteuid() or shutil.which("losetup") is None:
        pytest.skip("needs root and losetup")
    backing = tmp_path / "backing"
    with backing.open("wb") as file:
        file.truncate(2 * SIZE)
    found = subprocess.run(["losetup", "-f", "--show", str(backing)], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"needs root who may make loop devices: {found.stderr.strip()}")
    device = Path(found.stdout.strip())
    yield device
    tool("losetup", "-d", device)


def raw_sparse(folder: Path) -> Image:
    path = folder / "sparse.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return Image(path, "raw")


def raw_full(folder: Path) -> Image:
    path = folder / "full.img"
    path.write_bytes(b"\1" * SIZE)
    return Image(path, "raw")


def qcow2(folder: Path) -> Image:
    path = folder / "plain.qcow2"
    tool("qemu-img", "create", "-q", "-f", "qcow2", path, str(SIZE))
    return Image(path, "qcow2")


def overlay(folder: Path) -> Image:
    base = raw_full(folder)
    path = folder / "overlay.qcow2"
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", base.path, "-F", "raw", path, str(2 * SIZE))
    return Image(path, "qcow2")


def snapshots(folder: Path) -> Image:
    image = qcow2(folder)
    for number in range(2):
        tool("qemu-io", "-f", "qcow2", "-c", f"write -P {number + 1} 0 12M", image.path)
        tool("qemu-img", "snapshot", "-c", f"s{number}", image.path)
    tool("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 12M", image.path)
    return image


FILES = [raw_sparse, raw_full, qcow2, overlay, snapshots]


@pytest.fixture(autouse=True)
def _tools() -> None:
    for name in ("qemu-img", "qemu-io"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is missing")


def told(domain: Any) -> BlockInfo:
    found = {info.target: info for info in domain.block_info()}
    assert set(found) == {"vda", "vdb"}
    info: BlockInfo = found["vdb"]
    return info


def write(domain: Any) -> None:
    """The guest writes to the disk."""
    with domain.console(replay=True) as stream:
        read_until(stream, UP)
        stream.write(b"w")
        assert b"E" not in read_until(stream, b"W")


def ask(site: Site, domain: Any, command: str, **arguments: Any) -> Any:
    with site.run(domain.ref.key) as run:
        assert run is not None
        with Monitor(run.place.place(CONTROL), "one") as monitor:
            return monitor.execute(command, **arguments)


def node(site: Site, domain: Any) -> tuple[str, str]:
    """The nodes of the disk: of its format, and of the file under it."""
    with site.run(domain.ref.key) as run:
        assert run is not None
        assert run.record is not None
        disk = run.record.disks["vdb"]
        return disk["node"], disk["protocol"]


@pytest.mark.parametrize("make", FILES)
def test_an_image_in_a_file_has_the_sizes_that_the_hosts_tools_tell(
    connection: Connection, xml: Callable[..., str], tmp_path: Path, site: Site, make: Callable[[Path], Image]
) -> None:
    image = make(tmp_path)
    virtual = image.virtual
    one = connection.domain_define(xml(more=image.disk))

    def agree(size: int = virtual) -> BlockInfo:
        info = told(one)
        assert info == BlockInfo("vdb", size, image.du, image.ls)
        return info

    before = agree()  # shut off
    one.start()
    agree()  # running
    write(one)
    after = agree()  # running, written to
    if make in {raw_sparse, qcow2, overlay}:
        assert (after.allocation or 0) >= (before.allocation or 0) + WRITTEN
    ask(site, one, "block_resize", node_name=node(site, one)[0], size=virtual + SIZE)
    agree(virtual + SIZE)  # running, resized
    one.destroy()
    agree(virtual + SIZE)  # shut off, written to and resized
    tool("qemu-io", "-f", image.format, "-c", "write 2M 1M", image.path)
    tool("qemu-img", "resize", "-q", "-f", image.format, image.path, str(virtual + 2 * SIZE))
    agree(virtual + 2 * SIZE)


def test_snapshots_in_an_image_may_make_it_larger_than_what_the_guest_sees(
    connection: Connection, xml: Callable[..., str], tmp_path: Path
) -> None:
    info = told(connection.domain_define(xml(more=snapshots(tmp_path).disk)))
    assert info.capacity == SIZE
    assert (info.allocation or 0) > 2 * SIZE
    assert (info.physical or 0) > 2 * SIZE


def test_the_backing_file_is_never_added(connection: Connection, xml: Callable[..., str], tmp_path: Path) -> None:
    info = told(connection.domain_define(xml(more=overlay(tmp_path).disk)))
    assert info.capacity == 2 * SIZE
    assert (info.allocation or 0) < MIB
    assert (info.physical or 0) < MIB


def test_a_raw_device_is_as_large_as_it_is(
    connection: Connection, xml: Callable[..., str], loop: Path, tmp_path: Path
) -> None:
    image = Image(loop, "raw", block=True)
    one = connection.domain_define(xml(more=image.disk))
    size = image.ls
    assert size == 2 * SIZE
    expected = BlockInfo("vdb", size, size, size)
    assert told(one) == expected
    one.start()
    assert told(one) == expected
    write(one)
    assert told(one) == expected
    one.destroy()
    assert told(one) == expected
    with (tmp_path / "backing").open("r+b") as file:
        file.truncate(3 * SIZE)
    tool("losetup", "-c", loop)
    assert told(one) == BlockInfo("vdb", 3 * SIZE, 3 * SIZE, 3 * SIZE)


def test_of_a_qcow2_on_a_device_the_highest_written_extent_counts(
    connection: Connection, xml: Callable[..., str], loop: Path, site: Site
) -> None:
    tool("qemu-img", "create", "-q", "-f", "qcow2", loop, str(SIZE))
    image = Image(loop, "qcow2", block=True)
    one = connection.domain_define(xml(more=image.disk))
    device = 2 * SIZE
    assert told(one) == BlockInfo("vdb", SIZE, device, device)
    one.start()
    assert told(one) == BlockInfo("vdb", SIZE, 0, device)  # nothing was written since QEMU opened it
    write(one)

    def highest() -> int:
        found = {entry["node-name"]: entry for entry in ask(site, one, "query-blockstats", query_nodes=True)}
        return int(found[node(site, one)[1]]["stats"]["wr_highest_offset"])

    info = told(one)
    assert info == BlockInfo("vdb", SIZE, highest(), device)
    assert WRITTEN < (info.allocation or 0) < device
    ask(site, one, "block_resize", node_name=node(site, one)[0], size=2 * SIZE)
    assert told(one) == BlockInfo("vdb", 2 * SIZE, highest(), device)
    one.destroy()
    assert told(one) == BlockInfo("vdb", 2 * SIZE, device, device)


def test_the_same_sizes_stand_in_the_statistics(
    connection: Connection, xml: Callable[..., str], tmp_path: Path
) -> None:
    one = connection.domain_define(xml(more=qcow2(tmp_path).disk))
    for _ in range(2):
        (answer,) = connection.stats_collect([one], {"block"}).values()
        blocks = {block.name: block for block in answer.get().block or ()}
        for info in one.block_info():
            block = blocks[info.target]
            assert (block.capacity, block.allocation, block.physical) == (info.capacity, info.allocation, info.physical)
        if not one.state().state.active:
            one.start()
            write(one)


def test_an_image_that_is_gone_does_not_hide_the_others(
    connection: Connection, xml: Callable[..., str], tmp_path: Path, disk: Path
) -> None:
    image = qcow2(tmp_path)
    one = connection.domain_define(xml(more=image.disk))
    image.path.unlink()
    infos = {info.target: info for info in one.block_info()}
    assert infos["vdb"] == BlockInfo("vdb", None, None, None)
    assert infos["vda"].capacity == MIB
    disk.unlink()
    with pytest.raises(NotFound):
        one.block_info()


def test_an_empty_drive_has_no_sizes(connection: Connection, xml: Callable[..., str]) -> None:
    drive = "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
    one = connection.domain_define(xml(more=drive))
    assert {info.target: info for info in one.block_info()}["sda"] == BlockInfo("sda", None, None, None)
    one.start(paused=True)
    assert {info.target: info for info in one.block_info()}["sda"] == BlockInfo("sda", None, None, None)
