"""``events`` and ``console``: what goes on for a while."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from anyvirt.events import Change, Gap, Lifecycle, Reboot

HERE = Path(__file__).parent
RUNNER = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("cli_fakes", {fakes!r})
fakes = importlib.util.module_from_spec(spec); sys.modules["cli_fakes"] = fakes; spec.loader.exec_module(fakes)
from anyvirt.cli import main
fake = fakes.Fake()
fake.echo = {echo}
sys.exit(main.run(main.parse(sys.argv[1:]), lambda cli: fakes.session(fake, timeout=cli.timeout)))
"""


def ref_of(fake: Any, name: str) -> Any:
    return next(ref for ref in fake.guests if ref.name == name)


@pytest.fixture
def story(fake: Any) -> Any:
    web, db = ref_of(fake, "web"), ref_of(fake, "db")
    fake.events = [
        Lifecycle(ref=web, change=Change.STARTED, detail="booted", at=1000.25, token="t1"),
        Gap(at=1001.0, since=940.0, reason="pruned", token="t2"),
        Reboot(ref=db, at=1002.5, token="t3"),
    ]
    return fake


def test_each_event_is_one_line_with_time_domain_and_detail(cli: Any, story: Any) -> None:
    lines = cli("events", "--count", "3").out.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "web  started (booted)",
        "-  gap since=940.0 reason=pruned",
        "db  reboot",
    ]
    assert lines[0][10:14] == " " + time.strftime("%H:", time.localtime(1000))
    assert ".250" in lines[0]


def test_a_gap_is_shown_whatever_was_asked_for(cli: Any, story: Any) -> None:
    out = cli("events", "--domain", "db", "--count", "2").out
    assert [line.split("  ")[1] for line in out.splitlines()] == ["-", "db"]


def test_events_go_on_after_a_token(cli: Any, story: Any) -> None:
    first = [json.loads(line) for line in cli("--json", "events", "--count", "2").out.splitlines()]
    cli("events", "--after", first[1]["token"], "--count", "1")
    assert story.calls == [("events", None), ("events", "t2")]


def test_a_kind_of_event_that_there_is_not_is_wrong_usage(cli: Any) -> None:
    assert (wrong := cli("events", "--event", "lifecycel")).code == 2
    assert "one of lifecycle, reboot" in wrong.err


def test_events_end_quietly_when_time_is_up(cli: Any, fake: Any) -> None:
    hold = threading.Event()

    def follow(after: str | None) -> Any:
        hold.wait(5)
        yield from ()

    fake.events = follow(None)
    result = cli("events", "--timeout", "0.1")
    hold.set()
    assert (result.code, result.out, result.err) == (0, "", "")


def run(echo: str, *words: str, **more: Any) -> subprocess.Popen[bytes]:
    source = RUNNER.format(fakes=str(HERE / "fakes.py"), echo=echo)
    return subprocess.Popen([sys.executable, "-c", source, *words], **more)


def test_a_console_in_pipes_types_what_is_piped_in_and_ends_with_the_guest() -> None:
    guest_in, ours_out = os.pipe()
    ours_in, guest_out = os.pipe()
    process = run(
        f"({ours_in}, {ours_out})",
        "console",
        "web",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(ours_in, ours_out),
    )
    os.close(ours_in)
    os.close(ours_out)
    os.write(guest_out, b"login: ")
    assert process.stdin is not None
    process.stdin.write(b"root\n")
    process.stdin.flush()
    assert os.read(guest_in, 100) == b"root\n"
    os.write(guest_out, b"welcome\n")
    os.close(guest_out)
    out, err = process.communicate(timeout=20)
    os.close(guest_in)
    assert (process.returncode, out, err) == (0, b"login: welcome\n", b"")


def test_a_console_in_pipes_ends_a_moment_after_its_input() -> None:
    ours_in, guest_out = os.pipe()
    os.write(guest_out, b"still here\n")
    process = run(
        f"({ours_in}, os.open('/dev/null', os.O_WRONLY))",
        "console",
        "web",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=(ours_in,),
    )
    os.close(ours_in)
    out, _err = process.communicate(timeout=20)
    os.close(guest_out)
    assert (process.returncode, out) == (0, b"still here\n")


def test_on_a_terminal_the_escape_leaves_and_the_terminal_is_as_it_was() -> None:
    ours, theirs = pty.openpty()
    guest_in, ours_out = os.pipe()
    ours_in, guest_out = os.pipe()
    before = termios.tcgetattr(theirs)
    process = run(
        f"({ours_in}, {ours_out})",
        "console",
        "web",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        pass_fds=(ours_in, ours_out),
    )
    shown = _until(ours, b"Escape character is ^] (Ctrl + ])")
    assert b"Connected to domain 'web'" in shown
    os.write(guest_out, b"# ")
    _until(ours, b"# ")
    os.write(ours, b"ls\r")
    assert os.read(guest_in, 100) == b"ls\r"
    os.write(ours, b"\x03")
    assert os.read(guest_in, 100) == b"\x03"
    os.write(ours, b"\x1d")
    assert process.wait(timeout=20) == 0
    assert termios.tcgetattr(theirs)[:4] == before[:4]
    for fd in (ours, theirs, guest_in, guest_out, ours_in, ours_out):
        os.close(fd)


def _until(fd: int, wanted: bytes, limit: float = 20.0) -> bytes:
    seen, end = b"", time.monotonic() + limit
    while wanted not in seen:
        assert select.select([fd], [], [], max(0.0, end - time.monotonic()))[0], seen
        seen += os.read(fd, 1000)
    return seen
