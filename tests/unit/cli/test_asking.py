"""The one place where a person is asked, the bar that is drawn for one, and what Ctrl-C takes back."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest
from anyvirt.api import Job, MemoryBook, Progress, Question, Settings
from anyvirt.cli.invocation import Globals, Invocation
from anyvirt.cli.jobs import follow
from anyvirt.cli.prompt import ask


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_nobody_is_asked_where_nobody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    assert ask([Question("password", "Password")]) == {}


def test_secrets_are_asked_for_without_an_echo() -> None:
    source = (
        "from anyvirt.api import Question\nfrom anyvirt.cli.prompt import ask\n"
        "found = ask([Question('username', 'User on box', secret=False), Question('password', 'Password for box')])\n"
        "assert found == {'username': 'root', 'password': 'secret'}, found\nprint('fine')"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", source], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = _until(ours, "User on box: ")
    os.write(ours, b"root\n")
    shown += _until(ours, "Password for box: ")
    time.sleep(0.2)
    os.write(ours, b"secret\n")
    shown += _until(ours, "fine")
    assert process.wait(timeout=20) == 0
    os.close(ours)
    assert "secret" not in shown


def _until(fd: int, wanted: str) -> str:
    seen = ""
    while wanted not in seen:
        seen += os.read(fd, 1000).decode()
    return seen


def job(steps: Any) -> Job[str]:
    book = MemoryBook()
    return Job("domain_save", None, steps, book=lambda: book, key="test")


def invocation(err: io.StringIO, **options: bool) -> Invocation:
    cli = Invocation(Globals(**options), Settings.read({"HOME": "/nowhere"}))  # type: ignore[arg-type]
    cli.out, cli.err = io.StringIO(), err
    return cli


def done() -> Generator[Progress, None, str]:
    yield Progress(1, 2, "steps", "memory")
    return "fine"


def test_a_bar_is_drawn_on_a_terminal_and_wiped_away() -> None:
    err = Terminal()
    assert follow(invocation(err), job(done)) == "fine"
    assert err.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("err", "options"), [(io.StringIO(), {}), (Terminal(), {"quiet": True}), (Terminal(), {"json": True})]
)
def test_no_bar_is_drawn_where_nobody_sees_it(err: io.StringIO, options: dict[str, bool]) -> None:
    assert follow(invocation(err, **options), job(done)) == "fine"
    assert err.getvalue() == ""


def test_ctrl_c_cancels_a_job_and_waits_until_it_is_taken_back() -> None:
    taken, going = threading.Event(), threading.Event()

    def endless() -> Generator[Progress, None, str]:
        try:
            while True:
                going.set()
                time.sleep(0.01)
                yield Progress()
        finally:
            taken.set()

    def interrupt() -> None:
        going.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            follow(invocation(io.StringIO()), job(endless))
    finally:
        signal.signal(signal.SIGINT, before)
    assert taken.is_set()
