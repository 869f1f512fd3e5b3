"""A real sshd on the loopback, with a configuration and keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from anyvirt.auth import Auth
from anyvirt.settings import Settings
from anyvirt.transport.ssh import SshRun
from anyvirt.uri import Uri

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100:30:200
"""


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int
    user: str

    def uri(self, key: str = "key", known: str = "known", **more: str) -> Uri:
        """The server's URI; ``key`` and ``known`` are files of its folder."""
        query = {
            "ssh_config": str(self.folder / "client"),
            "keyfile": str(self.folder / key),
            "known_hosts": str(self.folder / known),
            **more,
        }
        return Uri("xen", "ssh", self.user, "127.0.0.1", self.port, "system", tuple(query.items()))


def _sshd() -> str:
    found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:" + os.environ.get("PATH", ""))
    if not found or not shutil.which("ssh"):
        pytest.skip("sshd is not installed")
    return found


def _key(path: Path, passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", path], check=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait(port: int, log: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if server.poll() is not None:
            pytest.fail(f"sshd ended at once: {log.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("sshd does not listen")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program, folder, port = _sshd(), tmp_path_factory.mktemp("sshd"), _free_port()
    _key(folder / "host")
    _key(folder / "key")
    _key(folder / "locked", "open sesame")
    _key(folder / "stranger")
    host = (folder / "host.pub").read_text().split()
    (folder / "authorized").write_text((folder / "key.pub").read_text() + (folder / "locked.pub").read_text())
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host[0]} {host[1]}\n")
    (folder / "unknown").write_text("")
    (folder / "client").write_text("")
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen([program, "-D", "-e", "-f", folder / "config"], stderr=log)
    try:
        _wait(port, folder / "log", daemon)
        yield Server(folder, port, getpass.getuser())
    finally:
        daemon.terminate()
        daemon.wait()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings with a run-time folder of the test's own, short enough for a socket's path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        yield Settings.read({"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": place})


@pytest.fixture
def connect(settings: Settings) -> Iterator[Callable[..., SshRun]]:
    """Connections by URI, each ended with the test."""
    made: list[SshRun] = []

    def connected(uri: Uri, auth: Auth | None = None) -> SshRun:
        made.append(SshRun(uri, settings, auth))
        return made[-1]

    yield connected
    for run in made:
        run.close()


@pytest.fixture
def run(server: Server, connect: Callable[..., SshRun]) -> SshRun:
    return connect(server.uri())
