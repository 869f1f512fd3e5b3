"""Consoles: one who writes, any number who read, each seeing every byte from where it began."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from anyvirt.client._generated_sync import Connection, Domain
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Busy, Interrupted, Invalid, WrongState
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import needs, proves
from anyvirt.transport.stream import Stream

Open = Callable[..., Stream]


@pytest.fixture
def consoles(connection: Connection) -> Iterator[Open]:
    """``consoles(domain, ...)``: as ``domain_console``; all are closed."""
    made: list[Stream] = []

    def opened(domain: Domain, **how: Any) -> Stream:
        made.append(connection.domain_console(domain, **how))
        return made[-1]

    yield opened
    for stream in made:
        stream.abort()


def read(stream: Stream, until: bytes, seconds: float) -> bytes:
    """What comes until ``until`` has come, or the end, or no more in time."""
    got, end = b"", time.monotonic() + seconds
    while until not in got and time.monotonic() < end:
        with suppress(Interrupted), within(Deadline(max(0.01, end - time.monotonic()))):
            piece = stream.read()
            if not piece:
                break
            got += piece
    return got


@proves("domain_console")
@needs("domain_define", "domain_start")
def test_what_is_typed_is_seen_by_every_reader(
    guests: Guests, consoles: Open, patience: float, echoes: bytes | None
) -> None:
    if echoes is None:
        pytest.skip("no fixture echoes: the guest does not answer on its console")
    domain = guests.running()
    readers = [consoles(domain, readonly=True) for _ in range(2)]
    writer = consoles(domain)
    writer.write(b"echo mark-one\n")
    seen = [read(stream, echoes, patience) for stream in (*readers, writer)]
    assert all(echoes in data for data in seen)
    assert seen[0] == seen[1]


@proves("domain_console", "domain_console.force")
@needs("domain_define", "domain_start")
def test_a_second_writer_is_told_who_has_it_or_takes_it_over(guests: Guests, consoles: Open) -> None:
    domain = guests.running()
    first = consoles(domain)
    with pytest.raises(Busy) as refusal:
        consoles(domain)
    assert refusal.value.holder
    consoles(domain, force=True)
    assert _written_until_lost(first).reason == "lost"


def _written_until_lost(stream: Stream) -> Interrupted:
    for _ in range(200):
        try:
            stream.write(b"x")
        except Interrupted as lost:
            return lost
        time.sleep(0.01)
    pytest.fail("both can write")


@proves("domain_console")
@needs("domain_define", "domain_start")
def test_a_writer_that_leaves_makes_room(guests: Guests, consoles: Open) -> None:
    domain = guests.running()
    consoles(domain).close()
    consoles(domain).close()


@proves("domain_console.readonly")
@needs("domain_define", "domain_start")
def test_a_reader_keeps_nobody_from_writing_and_cannot_write(guests: Guests, consoles: Open) -> None:
    domain = guests.running()
    reader = consoles(domain, readonly=True)
    consoles(domain)
    with pytest.raises(Interrupted):
        reader.write(b"x")


@proves("domain_console.replay")
@needs("domain_define", "domain_start")
def test_a_replay_begins_with_what_was_said_before(
    guests: Guests, consoles: Open, patience: float, echoes: bytes | None
) -> None:
    if echoes is None:
        pytest.skip("no fixture echoes: the guest does not answer on its console")
    domain = guests.running()
    writer = consoles(domain)
    writer.write(b"echo mark-one\n")
    assert echoes in read(writer, echoes, patience)
    assert echoes in read(consoles(domain, readonly=True, replay=True), echoes, patience)
    assert echoes not in read(consoles(domain, readonly=True), echoes, 0.2)


@proves("domain_console")
@needs("domain_define", "domain_start", "domain_destroy")
def test_a_console_ends_with_its_guest(connection: Connection, guests: Guests, consoles: Open, patience: float) -> None:
    domain = guests.running()
    reader = consoles(domain, readonly=True)
    connection.domain_destroy(domain)
    end = time.monotonic() + patience
    with within(Deadline(patience)), suppress(Interrupted):
        while reader.read():
            assert time.monotonic() < end
    assert time.monotonic() < end
    with pytest.raises(WrongState):
        consoles(domain)


@proves("domain_console.device")
@needs("domain_define", "domain_start")
def test_a_device_that_it_does_not_have_is_refused(connection: Connection, guests: Guests) -> None:
    with pytest.raises(Invalid, match="no-such-device"):
        connection.domain_console(guests.running(), device="no-such-device")
