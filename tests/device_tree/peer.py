"""One paused QEMU, and everything that it says of itself over QMP."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

START: Final = 30.0
# Kinds of children that are plumbing of the objects beside them and say nothing of their own.
PLUMBING: Final = ("memory-region", "irq", "iommu-memory-region", "qemu:", "tcg-", "or-irq")
SILENT: Final = {"type", "hotpluggable", "hotplugged", "realized", "rtc-time", "date", "parent_bus"}


class Refused(Exception):
    """QEMU did not start; the text is what it said last."""


class Child(NamedTuple):
    """A child of an object, as ``qom-list`` names it."""

    path: str
    kind: str


class Peer:
    """A QEMU that was started with ``-S``; it counts as started when it has answered a command."""

    def __init__(self, binary: str, words: Sequence[str], folder: Path, fds: Sequence[int]) -> None:
        self._place = folder / "qmp"
        self._log = folder / "log"
        own = ["-qmp", f"unix:{self._place},server=on,wait=off"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary, *words, *own],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=tuple(fds), cwd=folder,
            )  # fmt: skip
        try:
            self._socket, self._lines = self._connect()
            self.ask(["qmp_capabilities"])
            self.version = self.ask(["query-version"])[0]
        except (OSError, ValueError, Refused) as error:
            self.close()
            raise Refused(self._said() or str(error)) from error

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()

    def _said(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace").strip()
        lines = [line for line in text.splitlines() if "warning:" not in line]
        said = lines[-1] if lines else ""
        return re.sub(r"^[^:]*qemu-system-[^:]*: ", "", said)

    def _connect(self) -> tuple[socket.socket, Any]:
        end = time.monotonic() + START
        while True:
            if self.process.poll() is not None:
                raise Refused(self._said() or f"ended with {self.process.returncode}")
            one = socket.socket(socket.AF_UNIX)
            try:
                one.connect(str(self._place))
                break
            except OSError:
                one.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
        one.settimeout(START)
        lines = one.makefile("rb")
        json.loads(lines.readline())
        return one, lines

    def ask(self, commands: Sequence[str | tuple[str, dict[str, Any]]]) -> list[Any]:
        """Answers in order, sent in one go; a refusal is its class and text."""
        if not commands:
            return []
        pairs = [(command, {}) if isinstance(command, str) else command for command in commands]
        answers: list[Any] = []
        for start in range(0, len(pairs), 200):
            part = pairs[start : start + 200]
            data = [json.dumps({"execute": name, "arguments": given}).encode() for name, given in part]
            self._socket.sendall(b"\n".join(data) + b"\n")
            want = len(answers) + len(part)
            while len(answers) < want:
                line = self._lines.readline()
                if not line:
                    raise Refused(self._said() or "the monitor was closed")
                found = json.loads(line)
                if "return" in found:
                    answers.append(found["return"])
                elif "error" in found:
                    answers.append({"error": found["error"]["desc"]})
        return answers

    def objects(self, *roots: str) -> dict[str, dict[str, Any]]:
        """All objects below the roots by path: ``type`` and every property."""
        found: dict[str, dict[str, Any]] = {}
        level = [Child(root, "") for root in roots]
        while level:
            lists = self.ask([("qom-list", {"path": child.path}) for child in level])
            reads: list[tuple[str, str]] = []
            below: list[Child] = []
            for child, properties in zip(level, lists, strict=True):
                found[child.path] = {"type": child.kind}
                if isinstance(properties, dict):
                    continue
                for one in properties:
                    name, kind = one["name"], one["type"]
                    if kind.startswith("child<"):
                        kind = kind[6:-1]
                        if not kind.startswith(PLUMBING):
                            below.append(Child(f"{child.path}/{name}", kind))
                    elif name not in SILENT and not name.startswith("legacy-"):
                        reads.append((child.path, name))
            values = self.ask([("qom-get", {"path": path, "property": name}) for path, name in reads])
            for (path, name), value in zip(reads, values, strict=True):
                found[path][name] = value
            level = below
        return found
