"""Consoles of real guests: every byte reaches every reader, and one writes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from anyvirt.api import (
    Busy,
    Connection,
    Deadline,
    Denied,
    Interrupted,
    Invalid,
    State,
    Unsupported,
    WrongState,
    open_async,
    within,
)
from anyvirt_qemu.consoles import console_log
from anyvirt_qemu.consoles.console_log import ConsoleLog
from anyvirt_qemu.site import Site
from sector_stage import UP, read_until, until_state

KINDS = {"pty": "<serial type='pty'/>", "unix": "<serial type='unix'/>"}
ALL = bytes(ord("a") + (-number & 15) for number in range(65536))

HOLDER = """
import sys, time
from anyvirt.api import open
with open("qemu:///session", state_dir=sys.argv[1]) as connection:
    with connection.lookup("one").console() as stream:
        print("sitting", flush=True)
        try:
            while stream.read():
                pass
        finally:
            print("over", flush=True)
"""


def once(seen: bytes) -> bytes:
    """Without repeats: QEMU logs a byte again when it finds a socket full; none of ``ALL`` stands twice in a row."""
    return bytes(byte for byte, before in zip(seen, b"\0" + seen, strict=False) if byte != before)


@pytest.fixture(params=sorted(KINDS))
def booted(request: pytest.FixtureRequest, connection: Connection, xml: Callable[..., str]) -> Connection:
    """A connection with a guest ``one`` that is up."""
    connection.domain_define(xml(serial=KINDS[request.param])).start()
    with connection.lookup("one").console(readonly=True, replay=True) as stream:
        read_until(stream, UP)
    return connection


def test_what_was_printed_before_anybody_looked_is_replayed(booted: Connection) -> None:
    with booted.lookup("one").console(readonly=True, replay=True) as stream:
        assert read_until(stream, UP).endswith(UP)


def test_what_is_typed_reaches_the_guest_and_its_answer_everybody(booted: Connection) -> None:
    one = booted.lookup("one")
    with one.console() as writer, one.console(readonly=True) as first, one.console(readonly=True) as second:
        writer.write(b"hello!")
        for stream in (writer, first, second):
            assert read_until(stream, b"hello!") == b"hello!"


def test_a_reader_sees_nothing_of_what_was_before(booted: Connection) -> None:
    one = booted.lookup("one")
    with one.console() as writer:
        writer.write(b"once")
        read_until(writer, b"once")
        with one.console(readonly=True) as late:
            writer.write(b"then")
            assert read_until(late, b"then") == b"then"


def test_every_byte_arrives_also_while_nobody_reads(booted: Connection) -> None:
    one = booted.lookup("one")
    with one.console() as writer, one.console(readonly=True) as slow:
        writer.write(b"d")
        time.sleep(1)  # 64 KiB: more than a terminal's buffer and a pipe hold
        writer.write(b".")
        assert once(read_until(slow, b".")) == ALL + b"."
        assert once(read_until(writer, b".")) == ALL + b"."


def test_the_log_goes_on_when_nobody_is_attached(booted: Connection) -> None:
    one = booted.lookup("one")
    with one.console() as writer:
        writer.write(b"d")
    with one.console(readonly=True, replay=True) as stream:
        seen = read_until(stream, UP)
        with within(Deadline(20)):
            while len(once(seen)) < len(UP + ALL):
                seen += stream.read()
        assert once(seen) == UP + ALL


def test_a_second_writer_is_told_who_is_the_first(booted: Connection) -> None:
    one = booted.lookup("one")
    with one.console(), pytest.raises(Busy, match=f"process {os.getpid()}") as caught:
        one.console()
    assert "force" in caught.value.hint
    with one.console() as stream:  # the first has left
        stream.write(b"x")
        read_until(stream, b"x")


def test_a_writer_who_was_refused_does_not_disturb_the_first(booted: Connection) -> None:
    one = booted.lookup("one")
    with one.console(force=True):
        pass
    with one.console(force=True) as stream:
        for _ in range(3):
            with suppress(Busy):
                one.console()
        stream.write(b"still me")
        assert read_until(stream, b"still me") == b"still me"


def test_force_takes_over_and_the_old_writer_learns_of_it(booted: Connection) -> None:
    one = booted.lookup("one")
    old = one.console()
    with one.console(force=True) as new:
        new.write(b"mine")
        read_until(new, b"mine")
        while old.read():
            pass
        with pytest.raises(Interrupted):
            old.write(b"lost" * 65536)
        with pytest.raises(Busy, match="taken over"):
            old.close()


def test_force_takes_over_from_a_process_that_hangs(booted: Connection, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "state")]
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"sitting\n"
        holder.send_signal(signal.SIGSTOP)
        with booted.lookup("one").console(force=True) as stream:
            stream.write(b"mine")
            assert read_until(stream, b"mine") == b"mine"
            holder.send_signal(signal.SIGCONT)
            assert holder.stdout.readline() == b"over\n"
            stream.write(b"still")
            assert read_until(stream, b"still") == b"still"
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_a_writer_that_was_killed_leaves_the_seat_free(booted: Connection, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "state")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"sitting\n"
        holder.kill()
    with booted.lookup("one").console() as stream:
        stream.write(b"open")
        read_until(stream, b"open")


def test_the_stream_ends_with_the_guest_after_its_last_byte(booted: Connection) -> None:
    one = booted.lookup("one")
    with one.console() as writer, one.console(readonly=True) as reader:
        writer.write(b"byeq")
        for stream in (writer, reader):
            seen = b""
            while piece := stream.read():
                seen += piece
            assert seen == b"bye"
    until_state(one, State.SHUTOFF)
    with pytest.raises(WrongState, match="shut off"):
        one.console()


def test_a_paused_guest_has_its_console(booted: Connection) -> None:
    one = booted.lookup("one")
    one.suspend()
    with one.console() as stream:
        stream.write(b"then")
        with within(Deadline(0.3)), pytest.raises(Interrupted):
            stream.read()
        one.resume()
        assert read_until(stream, b"then") == b"then"


def test_devices_are_named_and_others_refused(booted: Connection) -> None:
    one = booted.lookup("one")
    with one.console("serial0", readonly=True):
        pass
    with pytest.raises(Invalid) as caught:
        one.console("serial7")
    assert "serial0" in caught.value.hint


def test_a_device_that_only_logs_is_read_and_not_written(connection: Connection, xml: Callable[..., str]) -> None:
    one = connection.domain_define(xml(serial="<serial type='null'/>"))
    one.start()
    with one.console(readonly=True, replay=True) as stream:
        read_until(stream, UP)
    with pytest.raises(Unsupported):
        one.console()


def test_a_log_that_grew_too_large_is_cut_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_log, "LIMIT", 1 << 20)
    monkeypatch.setattr(console_log, "KEEP", 1 << 18)
    path = tmp_path / "log"
    path.write_bytes(b"x" * (3 << 20))
    folder = os.open(tmp_path, os.O_RDONLY)
    log = ConsoleLog.open(str(path), folder, str(tmp_path))
    try:
        before, place = log.read(0)
        assert log.trim()
        assert path.stat().st_blocks * 512 < 1 << 20
        assert log.size == 3 << 20  # offsets stay what they were
        gap, place = log.read(place)
        kept = (3 << 20) - place
        assert gap == b"\r\n[gap %d bytes]\r\n" % ((3 << 20) - len(before) - kept)
        assert kept >= 1 << 18
        rest = b""
        while piece := log.read(place)[0]:
            rest, place = rest + piece, place + len(piece)
        assert rest == b"x" * kept
        assert not log.trim()
    finally:
        log.close()
        os.close(folder)


def test_a_log_is_cut_by_whoever_looks_at_the_guest(
    booted: Connection, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_log, "LIMIT", 1 << 20)
    monkeypatch.setattr(console_log, "KEEP", 1 << 16)
    one = booted.lookup("one")
    with site.run(one.ref.key) as run:
        assert run is not None
        log = os.open("console-serial0.log", os.O_WRONLY | os.O_APPEND, dir_fd=run.place.q)
        os.write(log, b"x" * (2 << 20))
        booted.stats_collect([one], {"state"})
        assert os.fstat(log).st_blocks * 512 < 1 << 18
        os.close(log)
    with one.console(replay=True) as stream:
        seen = read_until(stream, b"bytes]\r\n")
        assert seen.startswith(b"\r\n[gap ")
        stream.write(b"mo")
        seen += read_until(stream, b"mo")
        assert seen.endswith(b"\n" + b"x" * seen.count(b"x") + b"mo")
        assert seen.count(b"x") >= 1 << 16


def test_a_log_that_the_guests_user_replaced_is_refused(booted: Connection, site: Site) -> None:
    one = booted.lookup("one")
    with site.run(one.ref.key) as run:
        assert run is not None
        os.unlink("console-serial0.log", dir_fd=run.place.q)
        os.symlink("/etc/passwd", "console-serial0.log", dir_fd=run.place.q)
    with pytest.raises(Denied, match="console's log"):
        one.console(readonly=True)


def test_asyncio_types_on_a_console_and_loses_nothing_to_a_cancelled_read(
    connection: Connection, xml: Callable[..., str], tmp_path: Path
) -> None:
    connection.domain_define(xml()).start()

    async def work() -> bytes:
        async with await open_async("qemu:///session", state_dir=tmp_path / "state") as there:
            one = await there.lookup("one")
            async with await one.console(replay=True) as console:
                seen = b""
                while UP not in seen:
                    seen += await console.read(timeout=20)
                reading = asyncio.create_task(console.read())
                await asyncio.sleep(0.05)
                reading.cancel()
                await console.write(b"hello!")
                while b"hello!" not in seen:
                    seen += await console.read(timeout=20)
                return seen

    assert UP in asyncio.run(asyncio.wait_for(work(), 60))
