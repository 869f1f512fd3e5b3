"""The contract suite on a pool of the type fs whose file system is behind an NBD server.

A kernel with an NBD client has the export as /dev/nbd0. One without reaches it through the storage daemon of QEMU,
whose file the pool is on; everything that is written goes over the protocol to the server.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from anyvirt.client._generated_sync import Pool
from anyvirt.testing.contract.removal import *  # noqa: F403
from anyvirt.testing.contract.storage import *  # noqa: F403
from anyvirt.testing.contract.transfers import *  # noqa: F403
from anyvirt.testing.contract.volumes import *  # noqa: F403
from anyvirt_host.storage.kinds.serving import Served

TOOLS = ("qemu-nbd", "qemu-storage-daemon", "mkfs.ext4", "findmnt", "blkid", "losetup")
SIZE = 192 << 20
PATIENCE = 20.0


@pytest.fixture(scope="session")
def image() -> Iterator[Path]:
    """What the server has: a file on its side alone."""
    folder = Path(tempfile.mkdtemp(prefix="anyvirt-lab-nbd-"))
    path = folder / "server.img"
    with path.open("xb") as file:
        file.truncate(SIZE)
    yield path
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server(image: Path) -> Iterator[int]:
    """The port of an NBD server on the loopback."""
    if os.geteuid():
        pytest.skip("needs root: a file system is mounted")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    argv = ["qemu-nbd", "-f", "raw", "-t", "-e", "4", "-b", "127.0.0.1", "-p", str(port), str(image)]
    with subprocess.Popen(argv) as daemon:
        try:
            until = time.monotonic() + PATIENCE
            while not answers(port):
                assert daemon.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            yield port
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(PATIENCE)


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def device(server: int) -> Iterator[str]:
    """The export as a file of this host."""
    node = {"driver": "nbd", "server": {"type": "inet", "host": "127.0.0.1", "port": str(server)}}
    served = Served(node, "the export", writable=True)
    yield served.path
    served.end()


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "storage:///session"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def patience() -> float:
    return 30.0


@pytest.fixture
def cannot() -> Mapping[str, str]:
    return {"pool_delete.zeroed": "what is behind a server is not zeroed by a hole in a file"}


@pytest.fixture
def pool_xml(device: str, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    target = tmp_path / "mounted"
    target.mkdir()
    made = subprocess.run(["mkfs.ext4", "-q", "-F", device], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"package e2fsprogs is missing: {made.stderr}")
    if subprocess.run(["mount", device, str(target)], check=False, capture_output=True).returncode:
        pytest.skip("an image behind a server: none can be mounted here: mount refuses")
    subprocess.run(["umount", str(target)], check=True)
    yield (
        lambda name: (
            f"<pool type='fs'><name>{name}</name><source><device path='{device}'/><format type='ext4'/></source>"
            f"<target><path>{target}</path></target></pool>"
        )
    )
    subprocess.run(["umount", "-q", str(target)], check=False, capture_output=True)


def test_what_is_in_a_volume_is_on_the_server(pool: Pool, image: Path) -> None:
    connection = pool.connection
    xml = "<volume><name>disk</name><capacity unit='MiB'>1</capacity></volume>"
    volume = connection.volume(connection.volume_create(pool, xml).wait(30))
    marked = os.urandom(32) + b"over the network"
    with volume.upload() as stream:
        stream.write(marked)
    pool.stop()
    assert marked in image.read_bytes()
