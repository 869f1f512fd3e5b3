"""Guests that leave as much as possible behind, and a look at the host from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyvirt
from anyvirt.api import State
from anyvirt.client._generated_sync import Connection
from anyvirt.locks import Locks

ACTOR = Path(__file__).with_name("actor.py")
SYSTEM = os.geteuid() == 0
URI = "qemu:///system" if SYSTEM else "qemu:///session"


class Scene:
    """One state folder, the guests in it, and an actor who is killed on the way.

    :param bridge: where taps of its guests show; empty without root.
    """

    def __init__(self, folder: Path, bridge: str) -> None:
        self.folder, self.state, self.bridge = folder, folder / "state", bridge
        self.disk = folder / "disk.img"
        self.disk.write_bytes(bytes(1 << 20))
        self._actor: subprocess.Popen[bytes] | None = None

    def xml(self, name: str, more: str = "") -> str:
        """A guest with a tap, a socket of QEMU's own, a console and a disk; nothing in it boots."""
        card = f"<interface type='bridge'><source bridge='{self.bridge}'/><model type='virtio'/></interface>"
        return (
            f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
            "<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>"
            "<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>"
            f"<source file='{self.disk}'/><target dev='vda' bus='virtio'/><shareable/></disk>"
            f"{card if self.bridge else ''}<serial type='pty'/>"
            f"<console type='unix'><source mode='bind' path='{self.socket(name)}2'/><target type='virtio'/></console>"
            f"<graphics type='vnc' socket='{self.socket(name)}'/>{more}</devices></domain>"
        )

    def socket(self, name: str) -> Path:
        """The socket that QEMU binds for the guest's screen."""
        return self.folder / f"{name}.vnc"

    def order(
        self,
        op: str,
        *,
        at: int = -1,
        effects: bool = False,
        after: float | None = None,
        traced: tuple[Path, str] | None = None,
        **given: Any,
    ) -> Any:
        """Have the actor do one thing in a process of its own; what it says of it."""
        if self._actor is None:
            argv = [sys.executable, str(ACTOR), str(self.state)]
            self._actor = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._actor.stdin is not None
        assert self._actor.stdout is not None
        order: dict[str, Any] = {"op": op, "arguments": given, "at": at, "effects": effects}
        if after is not None:
            order["after"] = after
        if traced is not None:
            order["trace"], order["inject"] = str(traced[0]), traced[1]
        self._actor.stdin.write(json.dumps(order).encode() + b"\n")
        self._actor.stdin.flush()
        said = json.loads(self._actor.stdout.readline())
        assert said.get("error") != "uncoded", said
        return said

    def open(self) -> Connection:
        """A connection of this process, which nobody kills."""
        return anyvirt.open(URI, state_dir=self.state)

    def qemus(self) -> list[int]:
        """Processes that were started for guests of this scene, as the host shows them."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"qemu-system" in words.split(b"\0")[0] and os.fsencode(self.state) in words:
                found.append(int(entry.name))
        return found

    def runs(self) -> list[str]:
        """Run directories that are there."""
        return sorted(path.name for path in self.state.glob("*/run/qemu/*"))

    def taps(self) -> list[str]:
        """Devices in the scene's bridge."""
        return sorted(os.listdir(f"/sys/class/net/{self.bridge}/brif")) if self.bridge else []

    def quiet(self) -> None:
        """Wait until nobody works on a guest any more."""
        for lock in self.state.glob("*/locks/*"):
            with Locks(lock.parent).hold(lock.name, "a look", wait=10):
                pass

    def agree(self, connection: Connection) -> None:
        """What the store says, and what the host shows from outside, are the same."""
        active = 0
        for row in connection.overview():
            status = row.status.get()
            active += status.state is not State.SHUTOFF
            if status.state is State.SHUTOFF:
                assert not list(self.folder.glob(f"{row.ref.name}.vnc*")), row
        assert len(self.qemus()) == active
        assert len(self.runs()) == active
        if self.bridge:
            assert len(self.taps()) == active
        for lock in self.state.glob("*/locks/*"):
            with Locks(lock.parent).hold(lock.name, "a look", wait=0.0):  # nobody holds it
                pass
        self.heard(connection)

    def heard(self, connection: Connection) -> None:
        """What the log of events says is what is so: no run without its start, no start without a guest or an end."""
        held: Any = connection
        store = held.session.members[0].plugin._site.store
        runs: dict[str, list[str]] = {row.run: [] for row in store.rows("domain") if row.run}
        now = set(runs)
        for entry in store.events():
            if entry.run and entry.detail.get("change") in {"started", "stopped"}:
                runs.setdefault(entry.run, []).append(entry.detail["change"])
        for run, told in runs.items():
            assert told == (["started"] if run in now else ["started", "stopped"]), (run, told)

    def end(self) -> None:
        """Take everything away, also what a failed test has left."""
        if self._actor is not None:
            assert self._actor.stdin is not None
            self._actor.stdin.close()
            self._actor.wait(10)
            assert self._actor.stdout is not None
            self._actor.stdout.close()
        for pid in self.qemus():
            os.kill(pid, signal.SIGKILL)
