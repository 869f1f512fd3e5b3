"""A real QEMU where there is one, and a scripted peer where none would do such things."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import ProcessId, unix
from anyvirt_host.local.launch import Spec, launch
from anyvirt_qemu import run_dir
from anyvirt_qemu.qmp import journal
from anyvirt_qemu.run_dir import RunDir

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}

Answer = Callable[[dict[str, Any]], bytes | None]


@pytest.fixture(scope="session")
def qemu() -> str:
    """Path of a QEMU for x86."""
    found = shutil.which("qemu-system-x86_64")
    if found is None:
        pytest.skip("qemu-system-x86_64 is missing")
    return found


@dataclass
class Guest:
    """A paused empty machine with all its monitors and a journal."""

    run: RunDir
    process: ProcessId


@pytest.fixture
def paused(qemu: str, tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Starts paused machines, and ends them after the test."""
    guests: list[Guest] = []

    def start(*more: str) -> Guest:
        run = RunDir.create(tmp_path, f"guest{len(guests)}")
        journal.prepare(run.q)
        sockets = {name: run.listen(name) for name in run_dir.MONITORS}
        numbers = {name: sock.fileno() for name, sock in sockets.items()}
        argv = [qemu, "-S", "-no-user-config", "-nodefaults", "-display", "none", "-machine", "q35,accel=tcg"]
        argv += ["-m", "32", *run_dir.monitor_options(numbers), *journal.options(run.guest_path), *more]
        spec = Spec(
            argv=tuple(argv),
            fds={number: number for number in numbers.values()},
            log=(run.q, "log"),
            record=(run.fd, run_dir.RECORD),
        )
        process = launch(spec, name=run.name)
        for sock in sockets.values():
            sock.close()
        guests.append(Guest(run, process))
        return guests[-1]

    yield start
    for guest in guests:
        guest.process.signal(signal.SIGKILL)
        guest.process.wait(10)
        guest.run.close()


class Peer:
    """Listens where a monitor would, greets, and answers each command as it is told to."""

    def __init__(self, folder: int, name: str, answer: Answer, greeting: bytes) -> None:
        self._answer, self._greeting = answer, greeting
        self._listening = unix.listen(folder, name)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.seen: list[dict[str, Any]] = []

    def close(self) -> None:
        self._listening.shutdown(2)
        self._listening.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: Any) -> None:
        with sock:
            try:
                sock.sendall(self._greeting)
                for line in sock.makefile("rb"):
                    request = json.loads(line)
                    self.seen.append(request)
                    reply = self._answer(request)
                    if reply is None:
                        return
                    sock.sendall(reply)
            except OSError:
                return


def ok(request: dict[str, Any], value: Any = None) -> bytes:
    """The ordinary answer."""
    return json.dumps({"return": {} if value is None else value, "id": request["id"]}).encode() + b"\r\n"


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Callable[..., tuple[Peer, tuple[int, str]]]]:
    """Makes scripted peers: ``peer(answer, greeting=...)`` gives the peer and its place."""
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    peers: list[Peer] = []

    def make(answer: Answer = ok, *, greeting: Any = GREETING, name: str = "") -> tuple[Peer, tuple[int, str]]:
        words = greeting if isinstance(greeting, bytes) else json.dumps(greeting).encode() + b"\r\n"
        name = name or f"peer{len(peers)}"
        peers.append(Peer(folder, name, answer, words))
        return peers[-1], (folder, name)

    yield make
    for one in peers:
        one.close()
    os.close(folder)
