from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread, Timer

import pytest
from anyvirt.deadline import Deadline, within
from anyvirt.errors import Busy, Cancelled, Denied, Failed, Interrupted, Invalid, Unreachable
from anyvirt.transport.unix import LineSocket, connect, listen

Pair = tuple[LineSocket, socket.socket]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with LineSocket(ours, "monitor of web") as line, theirs:
        yield line, theirs


def test_a_name_in_a_folder_can_be_connected_to(folder: int, tmp_path: Path) -> None:
    with listen(folder, "sock") as server:
        for place in ((folder, "sock"), str(tmp_path / "sock"), tmp_path / "sock"):
            with connect(place) as client, server.accept()[0] as peer:
                client.sendall(b"hello")
                assert peer.recv(9) == b"hello"
                assert client.getblocking()


def test_a_path_of_any_length_can_be_listened_at_and_connected_to(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    fd = os.open(deep, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with listen(fd, "sock") as server, connect(deep / "sock"), server.accept()[0]:
            assert len(str(deep / "sock")) > 240
    finally:
        os.close(fd)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_a_socket_is_its_owners_alone_whatever_the_umask(folder: int, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        server = listen(folder, "sock")
    finally:
        os.umask(before)
    with server:
        assert stat.S_IMODE((tmp_path / "sock").stat().st_mode) == 0o600


def test_a_taken_name_is_busy(folder: int) -> None:
    with listen(folder, "sock"), pytest.raises(Busy, match="sock"):
        listen(folder, "sock")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 100])
def test_a_name_is_one_part_of_a_path(folder: int, name: str) -> None:
    with pytest.raises(Invalid):
        listen(folder, name)


def test_nobody_there_is_unreachable(folder: int, tmp_path: Path) -> None:
    listen(folder, "dead").close()
    for place in ((folder, "dead"), tmp_path / "missing", tmp_path / ("x" * 200) / "missing"):
        with pytest.raises(Unreachable) as caught:
            connect(place)
        assert caught.value.stage == "connect"


@pytest.mark.skipif(os.geteuid() != 0, reason="being refused by a mode needs root to become somebody else")
def test_a_socket_of_somebody_else_is_denied(folder: int, tmp_path: Path) -> None:
    with listen(folder, "sock"):
        os.seteuid(65534)
        try:
            with pytest.raises(Denied):
                connect((folder, "sock"))
        finally:
            os.seteuid(0)


def test_a_full_queue_ends_at_the_deadline(folder: int) -> None:
    with listen(folder, "sock", backlog=0), connect((folder, "sock")):
        began = time.monotonic()
        with pytest.raises(Interrupted, match="sock"), within(Deadline(1)):
            connect((folder, "sock"))
        assert 0.9 < time.monotonic() - began < 1.5


def test_a_full_queue_that_empties_is_waited_for(folder: int) -> None:
    with listen(folder, "sock", backlog=0) as server, connect((folder, "sock")):

        def take_one() -> None:
            server.accept()[0].close()

        timer = Timer(0.3, take_one)
        timer.start()
        with within(Deadline(5)):
            connect((folder, "sock")).close()
        timer.join()


def test_lines_come_one_by_one(pair: Pair) -> None:
    line, peer = pair
    peer.sendall(b"one\ntwo\r\n\nthr")
    assert [line.readline(), line.readline(), line.readline()] == [b"one", b"two\r", b""]
    peer.sendall(b"ee\n")
    assert line.readline() == b"three"


def test_a_long_line_arrives_whole(pair: Pair) -> None:
    line, peer = pair
    data = os.urandom(3_000_000).replace(b"\n", b"x")
    thread = Thread(target=peer.sendall, args=(data + b"\n",))
    thread.start()
    assert line.readline() == data
    thread.join()


def test_a_line_beyond_the_cap_is_a_failure(pair: Pair) -> None:
    line, peer = pair
    peer.sendall(b"x" * 11)
    with pytest.raises(Failed, match="monitor of web"):
        line.readline(10)
    peer.sendall(b"\n")
    with pytest.raises(Failed):
        line.readline(10)


def test_a_peer_that_never_answers_ends_at_the_deadline(pair: Pair) -> None:
    line, peer = pair
    peer.sendall(b"half a li")
    began = time.monotonic()
    with pytest.raises(Interrupted, match="monitor of web") as caught, within(Deadline(1)):
        line.readline()
    assert 0.9 < time.monotonic() - began < 1.3
    assert caught.value.code == "interrupted.deadline"


def test_a_peer_that_drips_gains_no_time(pair: Pair) -> None:
    line, peer = pair

    def drip() -> None:
        for _ in range(40):
            try:
                peer.send(b"x")
            except OSError:
                return
            time.sleep(0.05)

    thread = Thread(target=drip)
    thread.start()
    began = time.monotonic()
    with pytest.raises(Interrupted), within(Deadline(0.5)):
        line.readline()
    assert time.monotonic() - began < 0.8
    thread.join()


def test_a_peer_that_takes_nothing_ends_at_the_deadline(pair: Pair) -> None:
    line, _ = pair
    began = time.monotonic()
    with pytest.raises(Interrupted) as caught, within(Deadline(0.5)):
        line.send(b"x" * 10_000_000)
    assert caught.value.code == "interrupted.deadline"
    assert time.monotonic() - began < 0.9


def test_a_line_that_was_cut_off_is_not_used_again(pair: Pair) -> None:
    line, _ = pair
    with pytest.raises(Interrupted), within(Deadline(0.1)):
        line.readline()
    for attempt in (line.readline, lambda: line.send(b"x")):
        with pytest.raises(Interrupted) as caught:
            attempt()
        assert caught.value.code == "interrupted.lost"


def test_a_cancel_breaks_a_read(pair: Pair) -> None:
    limit = Deadline(None)
    timer = Timer(0.2, limit.cancel)
    timer.start()
    with pytest.raises(Cancelled), within(limit):
        pair[0].readline()
    timer.join()


def test_a_peer_that_goes_is_a_lost_line(pair: Pair) -> None:
    line, peer = pair
    peer.sendall(b"whole\nhalf")
    peer.close()
    assert line.readline() == b"whole"
    for attempt in (line.readline, lambda: line.send(b"x" * 1000)):
        with pytest.raises(Interrupted) as caught:
            attempt()
        assert caught.value.code == "interrupted.lost"


def test_what_is_here_is_given_without_waiting(pair: Pair) -> None:
    line, peer = pair
    assert line.ready() == []
    peer.sendall(b"one\ntwo\nth")
    assert select.select([line], [], [], 5)[0] == [line]
    assert line.ready() == [b"one", b"two"]
    peer.sendall(b"ree\n")
    peer.close()
    assert line.ready() == [b"three"]
    with pytest.raises(Interrupted):
        line.ready()


def test_descriptors_travel_with_the_first_byte(pair: Pair, tmp_path: Path) -> None:
    line, peer = pair
    with (tmp_path / "file").open("w+b") as file:
        line.send(b'{"execute": "getfd"}\n', fds=[file.fileno()])
        data, fds, _, _ = socket.recv_fds(peer, 100, 4)
        assert data == b'{"execute": "getfd"}\n'
        assert os.fstat(fds[0]).st_ino == os.fstat(file.fileno()).st_ino
        os.close(fds[0])
