from __future__ import annotations

import os
import pty
import select
import socket
import time
from collections.abc import Iterator
from threading import Thread, Timer

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Failed, Interrupted
from anyvirt.transport.stream import Stream

Pair = tuple[Stream, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    stream = Stream.over(ours, what="console of web")
    with theirs:
        yield stream, theirs
    stream.abort()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_bytes_go_both_ways(pair: Pair) -> None:
    stream, peer = pair
    stream.write(b"login\n")
    assert peer.recv(99) == b"login\n"
    peer.sendall(b"abcdef")
    assert (stream.read(4), stream.read(4)) == (b"abcd", b"ef")


def test_the_end_is_an_empty_read(pair: Pair) -> None:
    stream, peer = pair
    peer.sendall(b"last")
    peer.close()
    assert (stream.read(), stream.read(), stream.read()) == (b"last", b"", b"")


def test_much_data_arrives_whole(pair: Pair) -> None:
    stream, peer = pair
    data = os.urandom(5_000_000)

    def send() -> None:
        stream.write(data)
        stream.end()

    thread = Thread(target=send)
    thread.start()
    found = bytearray()
    while chunk := peer.recv(1 << 16):
        found += chunk
    thread.join()
    assert found == data


def test_ending_one_direction_leaves_the_other(pair: Pair) -> None:
    stream, peer = pair
    stream.end()
    assert peer.recv(1) == b""
    peer.sendall(b"answer")
    assert stream.read() == b"answer"
    with pytest.raises(Interrupted, match="direction"):
        stream.write(b"x")


def test_a_deadline_ends_the_call_and_not_the_stream(pair: Pair) -> None:
    stream, peer = pair
    began = time.monotonic()
    with pytest.raises(Interrupted, match="console of web") as caught, within(Deadline(1)):
        stream.read()
    assert 0.9 < time.monotonic() - began < 1.3
    assert caught.value.code == "interrupted.deadline"
    peer.sendall(b"later")
    assert stream.read() == b"later"


def test_a_peer_that_takes_nothing_ends_at_the_deadline(pair: Pair) -> None:
    began = time.monotonic()
    with pytest.raises(Interrupted), within(Deadline(0.5)):
        pair[0].write(b"x" * 10_000_000)
    assert time.monotonic() - began < 0.9


def test_one_readers_deadline_is_not_anothers(pair: Pair) -> None:
    stream, peer = pair
    found: list[bytes] = []
    thread = Thread(target=lambda: found.append(stream.read()))
    thread.start()
    with pytest.raises(Interrupted), within(Deadline(0.3)):
        stream.read()
    assert thread.is_alive()
    peer.sendall(b"for the other")
    thread.join(5)
    assert found == [b"for the other"]


def test_aborting_wakes_a_reader(pair: Pair) -> None:
    stream, _ = pair
    timer = Timer(0.2, stream.abort)
    timer.start()
    with pytest.raises(Interrupted) as caught:
        stream.read()
    assert caught.value.code == "interrupted.lost"
    timer.join()


def test_a_closed_stream_says_so(pair: Pair) -> None:
    stream, _ = pair
    stream.close()
    stream.close()
    assert stream.fileno() == -1
    for attempt in (stream.read, lambda: stream.write(b"x")):
        with pytest.raises(Interrupted, match="closed"):
            attempt()


def test_a_peer_that_goes_loses_what_is_written(pair: Pair) -> None:
    stream, peer = pair
    peer.close()
    with pytest.raises(Interrupted) as caught:
        stream.write(b"x" * 1_000_000)
    assert caught.value.code == "interrupted.lost"


def test_a_terminal_whose_other_side_goes_is_at_its_end() -> None:
    ours, theirs = pty.openpty()
    with Stream(ours, ours) as stream:
        os.write(theirs, b"boot")
        assert stream.read() == b"boot"
        os.close(theirs)
        assert stream.read() == b""


def test_a_one_way_stream_refuses_the_other() -> None:
    reader, writer = os.pipe()
    with Stream(reader=reader) as source, Stream(writer=writer) as sink:
        sink.write(b"x")
        assert source.read() == b"x"
        with pytest.raises(Interrupted):
            source.write(b"x")
        with pytest.raises(Interrupted):
            sink.read()


def test_a_selector_can_wait_for_it(pair: Pair) -> None:
    stream, peer = pair
    assert select.select([stream], [], [], 0)[0] == []
    peer.sendall(b"x")
    assert select.select([stream], [], [], 5)[0] == [stream]


def test_closing_asks_whether_all_arrived_and_aborting_does_not() -> None:
    said: list[str] = []

    def incomplete() -> None:
        raise Failed("the volume is smaller than the data")

    for end in (Stream.close, Stream.abort):
        reader, writer = os.pipe()
        os.close(writer)
        stream = Stream(reader, finish=incomplete, abandon=lambda: said.append("abandoned"))
        if end is Stream.close:
            with pytest.raises(Failed, match="smaller"):
                end(stream)
        else:
            end(stream)
    assert said == ["abandoned"]


def test_a_close_that_the_deadline_ended_can_be_waited_for_again() -> None:
    said: list[str] = []

    def slow() -> None:
        said.append("asked")
        if len(said) < 3:
            raise Interrupted("deadline", "the far end")

    for abandoned in (False, True):
        said.clear()
        theirs, ours = os.pipe()
        stream = Stream(writer=ours, finish=slow, abandon=lambda: said.append("abandoned"))
        os.close(theirs)
        with pytest.raises(Interrupted):
            stream.close()
        if abandoned:
            stream.abort()
            stream.close()
            assert said == ["asked", "abandoned"]
        else:
            with pytest.raises(Interrupted):
                stream.close()
            stream.close()
            stream.close()
            stream.abort()
            assert said == ["asked"] * 3


def test_a_write_that_nobody_reads_says_why_where_that_is_known() -> None:
    def why() -> None:
        raise Failed("no room")

    theirs, ours = os.pipe()
    os.close(theirs)
    stream = Stream(writer=ours, reason=why)
    with pytest.raises(Failed, match="no room"):
        stream.write(b"x")
    stream.abort()


def test_leaving_by_an_error_aborts() -> None:
    said: list[str] = []
    with (
        pytest.raises(ValueError, match="stop"),
        Stream(finish=lambda: said.append("finished"), abandon=lambda: said.append("abandoned")),
    ):
        raise ValueError("stop")
    assert said == ["abandoned"]


def test_no_descriptor_is_left_open() -> None:
    before = open_descriptors()
    for _ in range(10):
        ours, theirs = socket.socketpair()
        with theirs, Stream.over(ours) as stream:
            with pytest.raises(Interrupted), within(Deadline(0.01)):
                stream.read()
            stream.end()
    assert open_descriptors() == before
