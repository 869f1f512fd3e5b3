"""Asking many guests at once: one that hangs costs the others nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Busy, Deadline, Failed, Interrupted, Invalid, Unreachable, Unsupported, VirtError, within
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.fanout import Answers, Target, ask_all
from anyvirt_qemu.run_dir import READERS, RunDir, reader_seat

STATUS = Command("query-status")


def targets(guests: list[Any]) -> list[Target[str]]:
    return [Target(guest.run.name, guest.run.name, guest.run.fd) for guest in guests]


def test_every_guest_answers_every_query_or_says_why_not(paused: Callable[..., Any]) -> None:
    guests = [paused() for _ in range(4)]
    found = dict(ask_all(targets(guests), [STATUS, Command("query-nope"), Command("query-block")]))
    assert set(found) == {guest.run.name for guest in guests}
    for answers in found.values():
        assert isinstance(answers, Answers)
        status, nope, block = answers.values
        assert status["status"] == "prelaunch"
        assert isinstance(nope, Unsupported)
        assert block == []
        assert abs(time.time() - answers.at) < 10


def test_a_guest_can_be_asked_something_of_its_own(paused: Callable[..., Any]) -> None:
    own, common = targets([paused() for _ in range(2)])
    own = replace(own, commands=(Command("query-name"), STATUS))
    found = dict(ask_all([own, common], [STATUS]))
    assert [len(answers.values) for answers in found.values() if isinstance(answers, Answers)] in ([2, 1], [1, 2])
    with pytest.raises(Invalid, match="cont is no query"):
        list(ask_all([replace(own, commands=(Command("cont"),))], ()))


def test_a_stopped_guest_delays_no_other_however_often_it_is_asked(paused: Callable[..., Any]) -> None:
    guests = [paused() for _ in range(4)]
    list(ask_all(targets(guests), [STATUS], each=10))
    guests[0].process.signal(signal.SIGSTOP)
    for _ in range(5):  # there are four monitors
        began = time.monotonic()
        when = {key: (time.monotonic() - began, found) for key, found in ask_all(targets(guests), [STATUS], each=0.8)}
        took, error = when.pop("guest0")
        assert isinstance(error, Unreachable)
        assert took < 4
        assert all(isinstance(found, Answers) for _, found in when.values())
    guests[0].process.signal(signal.SIGCONT)
    found = dict(ask_all(targets(guests), [STATUS], each=10))
    assert isinstance(found["guest0"], Answers)


def test_an_answer_that_waited_for_us_is_taken_however_late_we_look(paused: Callable[..., Any]) -> None:
    asking = ask_all(targets([paused() for _ in range(3)]), [STATUS], each=0.3)
    found = dict([next(asking)])
    time.sleep(0.6)  # the caller takes his time over the first
    found |= dict(asking)
    assert len(found) == 3
    assert all(isinstance(answers, Answers) for answers in found.values()), found


def test_the_deadline_leaves_what_is_there_and_interrupts_the_rest(paused: Callable[..., Any]) -> None:
    guests = [paused() for _ in range(2)]
    guests[0].process.signal(signal.SIGSTOP)
    began = time.monotonic()
    with within(Deadline(1.0)):
        found = dict(ask_all(targets(guests), [STATUS], each=60))
    assert time.monotonic() - began < 4
    assert isinstance(found["guest0"], Interrupted)
    assert isinstance(found["guest1"], Answers)


def test_a_guest_whose_monitors_are_all_taken_is_busy(paused: Callable[..., Any]) -> None:
    guests = [paused() for _ in range(2)]
    seats = [reader_seat(guests[0].run.fd) for _ in READERS]
    assert reader_seat(guests[0].run.fd) is None
    found = dict(ask_all(targets(guests), [STATUS], each=10))
    assert isinstance(found["guest0"], Busy)
    assert isinstance(found["guest1"], Answers)
    for seat in seats:
        assert seat is not None
        os.close(seat[1])
    assert isinstance(dict(ask_all(targets(guests), [STATUS], each=10))["guest0"], Answers)


def test_a_guest_that_is_gone_is_an_error_of_its_own(paused: Callable[..., Any]) -> None:
    guests = [paused() for _ in range(2)]
    guests[0].process.signal(signal.SIGKILL)
    guests[0].process.wait(10)
    found = dict(ask_all(targets(guests), [STATUS], each=10))
    assert isinstance(found["guest0"], VirtError)
    assert isinstance(found["guest1"], Answers)


def test_seats_and_descriptors_are_given_back_also_when_the_caller_stops_listening(paused: Callable[..., Any]) -> None:
    guests = [paused() for _ in range(3)]
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(6):
        asking = ask_all(targets(guests), [STATUS], each=10)
        next(asking)
        asking.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert reader_seat(guests[2].run.fd) is not None


def rubbish_run(tmp_path: Path, peer: Callable[..., Any], answer: Callable[[Any], bytes | None]) -> RunDir:
    """A run directory whose monitors are scripted peers, made where the peers listen."""
    peer(answer, name="r0")
    (tmp_path / "q").mkdir()
    return RunDir.open(tmp_path.parent, tmp_path.name)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda _: b"rubbish\r\n", Failed),
        (lambda _: b'{"event": "X"}\n' * 400_000, Unreachable),
        (lambda _: None, Interrupted),
    ],
    ids=["rubbish", "endless events", "hang up"],
)
def test_a_peer_that_misbehaves_is_an_error_in_its_time(
    tmp_path: Path, peer: Callable[..., Any], answer: Callable[[Any], bytes | None], kind: type[Exception]
) -> None:
    with rubbish_run(tmp_path, peer, answer) as run:
        began = time.monotonic()
        ((_, error),) = ask_all([Target("a", "a", run.fd)], [STATUS], each=0.3)
        assert isinstance(error, kind)
        assert time.monotonic() - began < 3


def test_only_queries_are_asked() -> None:
    with pytest.raises(Invalid, match="system_reset"):
        list(ask_all([], [Command("system_reset")]))
