from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Coroutine, Generator
from functools import partial
from threading import Event
from typing import Any

import pytest
from anyvirt.api import AsyncDomain, AsyncStream, Busy, Cancelled, Failed, Interrupted, JobState, Progress, open_async
from anyvirt.api import Stream as SyncStream
from anyvirt.client.awaiting import AsyncJob
from anyvirt.deadline import Deadline, current, within
from anyvirt.jobs import Job, MemoryBook
from anyvirt.testing import connected

GUEST = "<domain type='test'><name>{}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
Steps = Generator[Progress, None, Any]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


def job(steps: Any) -> AsyncJob[Any]:
    return AsyncJob(Job("domain_save", None, steps, book=MemoryBook, key="awaiting"))


def pair(**how: Any) -> tuple[AsyncStream, socket.socket]:
    ours, theirs = socket.socketpair()
    fd = ours.detach()
    return AsyncStream(SyncStream(fd, fd, what="console of web", **how), "awaiting", 5.0), theirs


async def started(name: str = "test") -> AsyncDomain:
    connection = await open_async("test:///default")
    return await connection.lookup(name)


# -- jobs --------------------------------------------------------------------------------------


def test_a_job_is_awaited_and_its_progress_comes_as_it_is_made() -> None:
    gates = [Event(), Event()]

    def steps() -> Steps:
        for number, gate in enumerate(gates, 1):
            gate.wait(5)
            yield Progress(number, 2)
        return "value"

    async def work() -> None:
        one = job(steps)
        seen = []
        async for progress in one:
            seen.append(progress.done)
            if len(seen) <= 2:
                gates[len(seen) - 1].set()
        assert seen == [0, 1, 2]
        assert await one.wait() == "value"
        assert (one.state, one.hook, one.ref, one.progress) == (JobState.DONE, "domain_save", None, Progress(2, 2))
        assert len(one.id) == 12

    run(work())


def test_waiting_for_a_job_holds_neither_the_loop_nor_longer_than_asked() -> None:
    gate = Event()

    def steps() -> Steps:
        gate.wait(10)
        yield Progress()

    async def work() -> None:
        one = job(steps)
        with pytest.raises(Interrupted) as late:
            await one.wait(0.1)
        assert late.value.code == "interrupted.deadline"
        waiting = asyncio.create_task(one.wait())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert one.state is JobState.RUNNING
        gate.set()
        assert await one.wait() is None

    run(work())


def test_a_cancelled_or_failed_job_says_so_to_whoever_awaits_it() -> None:
    begun = Event()

    def hangs() -> Steps:
        stop = Event()
        with current().breaks(stop.set):
            begun.set()
            stop.wait(10)
        yield Progress()

    def fails() -> Steps:
        yield Progress()
        raise Failed("no")

    async def work() -> None:
        one = job(hangs)
        await asyncio.to_thread(begun.wait, 5)
        one.cancel()
        with pytest.raises(Cancelled):
            await one.wait()
        assert one.state is JobState.CANCELLED
        with pytest.raises(Failed):
            await job(fails).wait()

    run(work())


def test_a_guest_is_saved_and_restored() -> None:
    async def work(path: str) -> None:
        one = await started()
        save = one.save(path)
        done = [progress async for progress in save]
        assert done[-1].done == done[-1].total
        await save.wait()
        back = one.connection.domain_restore(path)
        assert await back.wait() == one.ref
        await one.connection.close()

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        run(work(f"{folder}/saved"))


# -- streams -----------------------------------------------------------------------------------


def test_bytes_go_both_ways_and_the_end_is_an_empty_read() -> None:
    async def work() -> None:
        stream, peer = pair()
        async with stream:
            await stream.write(b"login\n")
            assert peer.recv(99) == b"login\n"
            reading = asyncio.create_task(stream.read(4))
            await asyncio.sleep(0.05)
            peer.sendall(b"abcdef")
            assert (await reading, await stream.read()) == (b"abcd", b"ef")
            await stream.end()
            assert peer.recv(1) == b""
            peer.close()
            assert await stream.read() == b""

    run(work())


def test_a_cancelled_or_late_read_loses_no_byte() -> None:
    async def work() -> None:
        stream, peer = pair()
        async with stream:
            with pytest.raises(Interrupted) as late:
                await stream.read(timeout=0.05)
            assert late.value.code == "interrupted.deadline"
            with pytest.raises(Interrupted), within(Deadline(0.05)):
                await stream.read()
            for _ in range(3):
                reading = asyncio.create_task(stream.read())
                await asyncio.sleep(0.02)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            peer.sendall(b"0123456789")
            await asyncio.sleep(0.1)  # nobody reads
            assert [await stream.read(4) for _ in range(3)] == [b"0123", b"4567", b"89"]
        peer.close()

    run(work())


def test_what_was_given_to_a_cancelled_write_goes_before_the_next() -> None:
    async def work() -> None:
        stream, peer = pair()
        first = os.urandom(2_000_000)
        writing = asyncio.create_task(stream.write(first))
        await asyncio.sleep(0.1)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        second = asyncio.create_task(stream.write(b"second"))
        got = bytearray()
        while len(got) < len(first) + 6:
            got += await asyncio.to_thread(peer.recv, 1 << 16)
        await second
        assert got == first + b"second"
        await stream.close()
        peer.close()

    run(work())


def test_a_peer_that_takes_nothing_ends_a_write_at_its_deadline_and_no_later_one() -> None:
    async def work() -> None:
        stream, peer = pair()
        began = time.monotonic()
        with pytest.raises(Interrupted) as late:
            await stream.write(b"x" * 10_000_000, timeout=0.3)
        assert late.value.code == "interrupted.deadline"
        assert time.monotonic() - began < 2
        writing = asyncio.create_task(stream.write(b"y", timeout=5))
        peer.settimeout(5)
        seen = b""
        while not seen.endswith(b"y"):  # what was on its way at the deadline comes first
            seen = await asyncio.to_thread(peer.recv, 1 << 20)
        await writing
        await stream.abort()
        peer.close()

    run(work())


def test_aborting_wakes_a_reader_and_an_exception_aborts() -> None:
    told: list[str] = []
    ends = {"finish": partial(told.append, "finished"), "abandon": partial(told.append, "abandoned")}

    async def work() -> None:
        stream, peer = pair(**ends)
        peers = [peer]
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0.05)
        await stream.abort()
        with pytest.raises(Interrupted) as lost:
            await reading
        assert lost.value.code == "interrupted.lost"
        stream, peer = pair(**ends)
        peers.append(peer)
        with pytest.raises(ZeroDivisionError):
            async with stream:
                raise ZeroDivisionError
        stream, peer = pair(**ends)
        peers.append(peer)
        async with stream:
            pass
        await stream.close()
        assert told == ["abandoned", "abandoned", "finished"]
        for peer in peers:
            peer.close()

    run(work())


def test_closing_says_what_the_other_side_has_to_say_and_holds_no_loop() -> None:
    def refuse() -> None:
        time.sleep(0.3)
        raise Failed("not all of it arrived")

    async def work() -> None:
        stream, peer = pair(finish=refuse)
        closing = asyncio.create_task(stream.close())
        began = time.monotonic()
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 0.2
        with pytest.raises(Failed, match="arrived"):
            await closing
        peer.close()

    run(work())


def test_a_console_is_typed_on_and_read() -> None:
    async def work() -> None:
        one = await started()
        async with await one.console() as console:
            await console.write(b"echo mark-one\n")
            seen = b""
            while b"mark-one\r\n" not in seen.partition(b"\r\n")[2]:
                seen += await console.read(timeout=5)
            with pytest.raises(Busy):
                await one.console()
        async with await one.console(readonly=True, replay=True) as console:
            assert b"mark-one" in await console.read(timeout=5)
        await one.connection.close()

    run(work())


def test_a_console_that_nobody_waited_for_is_given_back() -> None:
    async def work() -> None:
        async with await open_async("test:///default?delay=domain_console:200") as connection:
            one = await connection.lookup("test")
            opening = asyncio.create_task(one.console())
            await asyncio.sleep(0.05)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await asyncio.sleep(0.4)
            async with await one.console():
                pass

    run(work())


def test_a_connection_whose_driver_has_no_console_says_so_at_once() -> None:
    from anyvirt.api import AsyncConnection, Ref, Unsupported

    async def work() -> None:
        connection = AsyncConnection(connected(object()).session)
        with pytest.raises(Unsupported):
            await connection.domain_console(Ref("domain", "1"))

    run(work())
