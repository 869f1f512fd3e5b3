"""Does what it is told to a guest, and kills itself on the way: ``python actor.py STATE`` reads orders on stdin.

Everything is imported once; each order is carried out by a fork, which is a process of its own to the
code under test and starts in a few milliseconds. An order is a line of JSON: ``op`` and its ``arguments``,
``at`` (the number of the step, or of the effect, before which the child kills itself), ``effects`` (count
what touches the host instead of declared steps) and ``after`` (seconds until it is killed from outside).
With ``trace`` (a file) and ``inject`` strace writes down what the lane asks of the system, and meddles with it.
The answer is a line of JSON: ``killed``, ``steps`` that were reached, ``error`` (a code) and ``value``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyvirt_qemu
from anyvirt.api import Failed, VirtError, lanes
from anyvirt.client._generated_sync import Connection
from anyvirt.host import Host
from anyvirt.session import Member, Session
from anyvirt.settings import Settings
from anyvirt.uri import Uri

# what changes the host, as the interpreter's audit events name it
EFFECTS = frozenset(
    {
        *("fcntl.flock", "fcntl.ioctl", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.posix_spawn", "os.remove"),
        *("os.rename", "os.rmdir", "os.symlink", "os.truncate", "socket.bind", "socket.connect", "sqlite3.connect"),
    }
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def connect(state: Path, step: Callable[[str], None]) -> Connection:
    """A connection whose driver calls ``step`` before each lasting effect."""
    uri = Uri.of("qemu:///system" if os.getuid() == 0 else "qemu:///session")
    host = Host(uri, Settings.read(), state_dir=state, given={"step": step})
    driver = anyvirt_qemu.connect_open(uri, host)
    return Connection(Session(uri, host, [Member("qemu", "anyvirt-qemu", "0", driver)], timeout=30))


def perform(connection: Connection, op: str, arguments: dict[str, Any]) -> Any:
    """One operation by its hook's name; a domain is named, not referred to."""
    given = dict(arguments)
    if "ref" in given:
        given["ref"] = connection.lookup(given["ref"])
    return getattr(connection, op)(**given)


class Child:
    """The fork: carries out one order, counting on the way."""

    def __init__(self, order: dict[str, Any], out: int) -> None:
        self.order, self.out = order, out
        self.steps: list[str] = []

    def step(self, name: str) -> None:
        if not self.order.get("effects"):
            self._reach(name)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in EFFECTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
            self._reach(event)

    def _reach(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) - 1 == self.order.get("at", -1):
            os.write(self.out, json.dumps({"killed": True, "steps": self.steps}).encode() + b"\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def run(self, state: Path) -> None:
        said: dict[str, Any] = {"killed": False}
        try:
            connection = connect(state, self.step)
            if self.order.get("effects"):
                sys.addaudithook(self.audit)
            if "trace" in self.order:
                traced(Path(self.order["trace"]), self.order["inject"])
            said["value"] = str(perform(connection, self.order["op"], self.order.get("arguments", {})))
        except VirtError as error:
            said |= {"error": error.code, "text": str(error)}
            end = time.monotonic() + 10
            while lanes._calls and time.monotonic() < end:  # whoever gave up did so before his lane has
                time.sleep(0.01)
        except BaseException as error:  # noqa: BLE001 - an uncoded error is what the test looks for
            said |= {"error": "uncoded", "text": f"{type(error).__name__}: {error}"}
        os.write(self.out, json.dumps(said | {"steps": self.steps}).encode() + b"\n")


def traced(log: Path, inject: str) -> None:
    """Have strace look at the lane that calls run on from now on; at no other thread, and at nothing that it starts."""
    lane = lanes.call("a lane that is idle afterwards", threading.get_native_id)
    argv = ["strace", "-p", str(lane), "-o", str(log), "-e", inject]
    with log.with_suffix(".said").open("wb") as said:
        strace = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    while b"attached" not in (words := log.with_suffix(".said").read_bytes()):
        if strace.poll() is not None:
            raise Failed(words.decode(errors="replace").strip() or "strace ended")
        time.sleep(0.002)


def main(state: Path) -> None:
    """Serve orders until the end of input."""
    for line in sys.stdin:
        order = json.loads(line)
        heard, said = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(0)
            Child(order, said).run(state)
            os._exit(0)
        os.close(said)
        if "after" in order:
            time.sleep(order["after"])
            os.kill(pid, signal.SIGKILL)
        with os.fdopen(heard, "rb") as answer:
            words = answer.read()
        os.waitpid(pid, 0)
        os.write(1, words or b'{"killed": true, "steps": []}\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
