"""Secrets and progress at a terminal: what is asked, what is echoed, and what Ctrl-C leaves."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

VALUE = "Tr0ub4dor&3"
SECRET = "<secret><usage type='tls'><name>pki</name></usage></secret>"


class Terminal:
    """A command at a terminal."""

    def __init__(self, environ: dict[str, str], *words: str) -> None:
        self.fd, other = pty.openpty()
        command = [sys.executable, "-m", "anyvirt.cli.main", *words]
        self.process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, env=environ, start_new_session=True
        )
        os.close(other)
        self.seen = ""

    def until(self, text: str, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} did not come; seen: {self.seen!r}"
            self.seen += self._read()

    def say(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> int:
        while piece := self._read():
            self.seen += piece
        return self.process.wait(20)

    def _read(self) -> str:
        try:
            return os.read(self.fd, 4096).decode()
        except OSError:  # nobody has the other end any more
            return ""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    state = {"ANYVIRT_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path), "TERM": "xterm"}
    return {**os.environ, **state, "ANYVIRT_URI": f"test:///default?state={tmp_path / 'host'}"}


@pytest.fixture
def at_terminal(environ: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    begun: list[Terminal] = []

    def begin(*words: str) -> Terminal:
        begun.append(Terminal(environ, *words))
        return begun[-1]

    yield begin
    for one in begun:
        one.process.kill()
        one.process.wait()
        os.close(one.fd)


def run(environ: dict[str, str], *words: str, stdin: str = "") -> str:
    command = [sys.executable, "-m", "anyvirt.cli.main", *words]
    return subprocess.run(command, env=environ, input=stdin, capture_output=True, text=True, check=True).stdout


def test_a_value_is_asked_for_twice_and_never_echoed(
    at_terminal: Callable[..., Terminal], environ: dict[str, str]
) -> None:
    run(environ, "secret", "define", "-", stdin=SECRET)
    asked = at_terminal("secret", "set-value", "pki")
    for prompt in ("Value: ", "Once more: "):
        asked.until(prompt)
        asked.say(f"{VALUE}\n")
    assert asked.end() == 0
    assert VALUE not in asked.seen
    assert run(environ, "secret", "get-value", "pki", "--plain") == VALUE


def test_two_different_values_are_not_kept(at_terminal: Callable[..., Terminal], environ: dict[str, str]) -> None:
    run(environ, "secret", "define", "-", stdin=SECRET)
    asked = at_terminal("secret", "set-value", "pki", "--interactive")
    for prompt, word in (("Value: ", VALUE), ("Once more: ", VALUE.lower())):
        asked.until(prompt)
        asked.say(f"{word}\n")
    assert asked.end() == 2
    assert "the two values differ" in asked.seen
    assert VALUE.lower() not in asked.seen.lower()


def test_progress_is_shown_and_what_ctrl_c_stopped_can_be_resumed(
    at_terminal: Callable[..., Terminal], environ: dict[str, str], tmp_path: Path
) -> None:
    pipe = tmp_path / "endless"
    os.mkfifo(pipe)
    (tmp_path / "big").write_bytes(b"x" * (4 << 20))
    run(environ, "vol", "create-as", "default-pool", "disk", "8M")
    sent = at_terminal("vol", "upload", "disk", str(pipe))
    with pipe.open("wb", buffering=0) as end:
        end.write(b"x" * (1 << 20))
        sent.until("upload ")
        os.killpg(sent.process.pid, signal.SIGINT)
        assert sent.end() == 130
    assert run(environ, "vol", "download", "disk", "-", "--length", "4") == "\0" * 4
    assert "of them from before" in run(environ, "vol", "upload", "disk", str(tmp_path / "big"), "--resume")
    assert run(environ, "vol", "download", "disk", "-", "--offset", "4194300", "--length", "8") == "xxxx\0\0\0\0"
    brought = at_terminal("vol", "create", "default-pool", "--from", str(tmp_path / "big"))
    assert brought.end() == 0
    assert "Vol big created from" in brought.seen


def test_a_forced_deletion_of_what_is_needed_is_asked_for(
    at_terminal: Callable[..., Terminal], environ: dict[str, str]
) -> None:
    run(environ, "vol", "create-as", "default-pool", "base", "1M", "--format", "qcow2")
    run(environ, "vol", "create-as", "default-pool", "over", "1M", "--format", "qcow2", "--backing-vol", "base")
    asked = at_terminal("vol", "delete", "base", "--force")
    asked.until("Delete base all the same? [y/N] ")
    asked.say("n\n")
    assert asked.end() == 1
    assert "base" in run(environ, "vol", "list", "default-pool")
