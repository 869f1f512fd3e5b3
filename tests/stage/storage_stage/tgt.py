"""An iSCSI target in user space on the loopback: Debian's tgtd, with two targets, one of which wants a password."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = ("tgtd", "tgtadm", "iscsi-ls", "iscsi-readcapacity16", "qemu-io", "qemu-storage-daemon")
PREFIX = "iqn.2026-01.org.example:"
# A portal lists its targets in this order's reverse, and the tool that asks stops at one that does not let it in.
HIDDEN, LOCKED, OPEN = f"{PREFIX}hidden", f"{PREFIX}locked", f"{PREFIX}open"
INITIATOR = f"{PREFIX}anyvirt"
USER, PASSWORD = "joe", "0123456789abcdef"
SIZES = {1: 8 << 20, 2: 12 << 20, 3: 16 << 20}
PATIENCE = 20.0


@dataclass
class Target:
    """The daemon; ``image`` is the file behind a unit of a target."""

    folder: Path
    port: int
    control: int

    def image(self, target: str, number: int) -> Path:
        return self.folder / f"{target.removeprefix(PREFIX)}-{number}.img"

    def tool(self, *words: str) -> None:
        argv = ["tgtadm", "-C", str(self.control), "--lld", "iscsi", *words]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, (argv, done.stderr)

    def furnish(self) -> None:
        """Give it its targets."""
        self.tool("--op", "new", "--mode", "account", "--user", USER, "--password", PASSWORD)
        for number, name in enumerate((HIDDEN, LOCKED, OPEN), start=1):
            tid = ("--tid", str(number))
            self.tool("--op", "new", "--mode", "target", *tid, "-T", name)
            for lun in SIZES:
                self.image(name, lun).touch()
                self.fresh(name, lun)
                where = ("--lun", str(lun), "-b", str(self.image(name, lun)))
                self.tool("--op", "new", "--mode", "logicalunit", *tid, *where)
            self.tool("--op", "bind", "--mode", "target", *tid, "-I", "ALL")
        self.tool("--op", "bind", "--mode", "account", "--tid", "2", "--user", USER)

    def see(self) -> None:
        """See that this QEMU speaks iSCSI, which Debian has in a package of its own."""
        file = {"driver": "iscsi", "transport": "tcp", "portal": f"127.0.0.1:{self.port}", "target": OPEN, "lun": 1}
        name = "json:" + json.dumps({"driver": "raw", "file": file})
        done = subprocess.run(["qemu-img", "info", name], check=False, capture_output=True, text=True, timeout=PATIENCE)
        if "nknown driver" in done.stderr:
            pytest.skip("package qemu-block-extra is missing: QEMU speaks no iSCSI")
        assert done.returncode == 0, done.stderr

    def fresh(self, target: str, lun: int) -> None:
        """Put zeros into a unit; its file stays the same, as the daemon has it open."""
        with self.image(target, lun).open("r+b") as file:
            file.truncate(0)
            file.truncate(SIZES[lun])


def started(port: int = 0) -> Iterator[Target]:
    """The daemon, until the iterator goes on; on a free port unless one is named."""
    if os.geteuid():
        pytest.skip("needs root: tgtd is started")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="anyvirt-lab-iscsi-"))
    with socket.create_server(("127.0.0.1", port)) as server:
        port = int(server.getsockname()[1])
    made = Target(folder, port, random.SystemRandom().randrange(1000, 32000))
    argv = ["tgtd", "-f", "--iscsi", f"portal=127.0.0.1:{port}", "-C", str(made.control)]
    with (folder / "out").open("wb") as out, subprocess.Popen(argv, stdout=out, stderr=out) as daemon:
        try:
            until = time.monotonic() + PATIENCE
            while subprocess.run(
                ["tgtadm", "-C", str(made.control), "--mode", "sys", "--op", "show"], check=False, capture_output=True
            ).returncode:
                assert daemon.poll() is None, (folder / "out").read_text()
                assert time.monotonic() < until
                time.sleep(0.1)
            made.furnish()
            made.see()
            yield made
        finally:
            daemon.kill()
            daemon.wait(PATIENCE)
            shutil.rmtree(folder)
