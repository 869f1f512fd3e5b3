"""A ceph cluster of one monitor and one OSD on the loopback, with a pool in it: Debian's packages, 1 GiB at most."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

TOOLS = ("ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool", "rbd", "ceph")
PATIENCE = 60.0
CONF = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port}/0]
auth_cluster_required = {auth}
auth_service_required = {auth}
auth_client_required = {auth}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 1
mon_data_avail_crit = 1
run_dir = {folder}
admin_socket = {folder}/$cluster-$name.asok
log_file = {folder}/$name.log
keyring = {folder}/keyring
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
bluestore_block_size = 1073741824
bluestore_block_create = true
client_mount_timeout = 30
[mon.a]
mon_data = {folder}/mon
[osd.0]
osd_data = {folder}/osd
"""


@dataclass
class Daemons:
    """The cluster; ``key`` is that of ``client.libvirt``, empty where nobody is asked who he is."""

    folder: Path
    port: int
    auth: str
    key: str = ""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def tool(self, *argv: str) -> str:
        """What a tool of the cluster's administrator says."""
        tool, *words = argv
        conf = str(self.folder / "ceph.conf")
        done = subprocess.run([tool, "-c", conf, *words], check=False, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, (argv, done.stderr)
        return done.stdout

    def begin(self) -> None:
        """Start it from nothing."""
        folder, fsid, osd = self.folder, str(uuid4()), str(uuid4())
        for name in ("mon", "osd"):
            (folder / name).mkdir()
        text = CONF.format(fsid=fsid, port=self.port, auth=self.auth, folder=folder)
        (folder / "ceph.conf").write_text(text)
        ring, map_ = str(folder / "keyring"), str(folder / "monmap")
        full = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"]
        self._local("ceph-authtool", "--create-keyring", ring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self._local("ceph-authtool", ring, "--gen-key", "-n", "client.admin", *full)
        caps = ["--cap", "mon", "allow profile osd", "--cap", "osd", "allow *"]
        self._local("ceph-authtool", ring, "--gen-key", "-n", "osd.0", *caps)
        self._local("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{self.port}]", map_)
        self.tool("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_, "--keyring", ring)
        self._daemon("ceph-mon", "-i", "a")
        self.tool("ceph", "osd", "new", osd)
        self.tool("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._daemon("ceph-osd", "-i", "0")
        self.tool("ceph", "osd", "pool", "create", "libvirt", "8")
        self.tool("rbd", "ls", "libvirt")
        if self.auth == "cephx":
            caps = ["mon", "profile rbd", "osd", "profile rbd pool=libvirt"]
            self.key = self.tool("ceph", "auth", "get-or-create-key", "client.libvirt", *caps).strip()

    def empty(self) -> None:
        """Remove every image of the pool."""
        names = self.tool("rbd", "ls", "libvirt").split()
        for name in names:
            if '"parent"' in self.tool("rbd", "--format", "json", "info", f"libvirt/{name}"):
                self.tool("rbd", "flatten", "--no-progress", f"libvirt/{name}")
        for name in names:
            for snapshot in json.loads(self.tool("rbd", "--format", "json", "snap", "ls", f"libvirt/{name}")):
                if snapshot["protected"] == "true":
                    self.tool("rbd", "snap", "unprotect", f"libvirt/{name}@{snapshot['name']}")
            self.tool("rbd", "snap", "purge", "--no-progress", f"libvirt/{name}")
            self.tool("rbd", "rm", "--no-progress", f"libvirt/{name}")

    def end(self) -> None:
        """End its daemons."""
        for one in reversed(self.running):
            one.send_signal(signal.SIGKILL)
            one.wait(PATIENCE)

    def _local(self, *argv: str) -> None:
        subprocess.run(argv, check=True, capture_output=True, timeout=PATIENCE)

    def _daemon(self, tool: str, *words: str) -> None:
        argv = [tool, "-c", str(self.folder / "ceph.conf"), *words, "--foreground"]
        with (self.folder / f"{tool}.out").open("wb") as out:
            self.running.append(subprocess.Popen(argv, stdout=out, stderr=out))
        time.sleep(0.2)
        assert self.running[-1].poll() is None, (self.folder / f"{tool}.out").read_text("utf-8", "replace")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def started(auth: str) -> Iterator[Daemons]:
    """A cluster of its own; its folder goes with it."""
    if os.geteuid():
        pytest.skip("needs root: ceph's daemons are started")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="anyvirt-lab-rbd-"))
    daemons = Daemons(folder, free_port(), auth)
    try:
        daemons.begin()
        yield daemons
    finally:
        daemons.end()
        shutil.rmtree(folder)
