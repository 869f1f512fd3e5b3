"""A real sshd on the loopback, with a configuration and keys of its own: another host, as far as ssh can tell."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
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
AcceptEnv ANYVIRT_STATE_DIR PATH
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

    def storage(self, place: Path, **more: str) -> str:
        """The URI of its storage, with a state folder there below ``place``, and other variables there."""
        variables = {"ANYVIRT_STATE_DIR": f"{place}/state", **more}
        words = " ".join(f'"{name}={value}"' for name, value in variables.items())
        (place / "ssh_config").write_text(f"SetEnv {words}\n")
        uri = self.uri(ssh_config=str(place / "ssh_config"))
        return str(Uri("storage", "ssh", uri.user, uri.host, uri.port, "session", uri.query))


def sshd() -> str:
    """The program; the test is skipped where it is missing."""
    found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:" + os.environ.get("PATH", ""))
    if not found or not shutil.which("ssh"):
        pytest.skip("sshd is not installed")
    return found


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """The server, until the block ends."""
    program, port = sshd(), _free_port()
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
        # What a killed client left on its way here lives on for a minute: its line goes with its session.
        for pid in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGTERM)
        daemon.terminate()
        daemon.wait()


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
