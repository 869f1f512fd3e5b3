"""A line to a shell, as ssh is one: what ends it ends nothing at its other end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from anyvirt.transport.far import FarRun
from anyvirt.transport.shell import Begin, Shell

RELAY = 'cat | { setsid sh -c "$0"; sleep 0.1; kill 0; } | cat'


class Line:
    """Starts far command lines, and knows them, so that they can be cut."""

    def __init__(self) -> None:
        self.begun: list[subprocess.Popen[bytes]] = []

    def __call__(self, command: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        words = ["sh", "-c", RELAY, command]
        self.begun.append(
            subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)
        )
        return self.begun[-1]


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def begin(line: Line) -> Begin:
    return line


@pytest.fixture
def cut(line: Line) -> Callable[[], None]:
    """Ends the line that was begun last."""
    return lambda: os.killpg(line.begun[-1].pid, signal.SIGKILL)


@pytest.fixture
def shell(begin: Begin) -> Iterator[Shell]:
    made = Shell(begin, "far")
    yield made
    made.close()


@pytest.fixture
def tools(begin: Begin) -> Iterator[FarRun]:
    made = FarRun(begin, "far")
    yield made
    made.close()
