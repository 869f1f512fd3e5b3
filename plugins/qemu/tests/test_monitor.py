"""The blocking client, against QEMU itself and against peers that misbehave."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from anyvirt.api import Cancelled, Deadline, Failed, Interrupted, Invalid, NotFound, Unreachable, Unsupported, within
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.monitor import Monitor

MakePeer = Callable[..., tuple[Any, tuple[int, str]]]


def ok(request: dict[str, Any], value: Any = None) -> bytes:
    return json.dumps({"return": {} if value is None else value, "id": request["id"]}).encode() + b"\r\n"


def after_negotiation(reply: Callable[[dict[str, Any]], bytes | None]) -> Callable[[dict[str, Any]], bytes | None]:
    return lambda request: ok(request) if request["execute"] == "qmp_capabilities" else reply(request)


def test_answers_and_errors_come_back_in_order(paused: Callable[..., Any]) -> None:
    guest = paused()
    with Monitor(guest.run.place("ctl"), "web") as monitor:
        assert monitor.greeting.version >= (6, 2, 0)
        names = ["query-status", "nope", "query-qmp-schema", "query-version"]
        status, nope, schema, version = monitor.execute_many([Command(name) for name in names])
        assert status["status"] == "prelaunch"
        assert isinstance(nope, Unsupported)
        assert len(schema) > 500
        assert tuple(version["qemu"][part] for part in ("major", "minor", "micro")) == monitor.greeting.version
        with pytest.raises(NotFound, match="zzz"):
            monitor.execute("device_del", id="zzz")


def test_two_hundred_commands_at_once_are_all_answered(paused: Callable[..., Any]) -> None:
    with Monitor(paused().run.place("ctl"), "web") as monitor:
        answers = monitor.execute_many([Command("query-status")] * 200)
    assert [answer["status"] for answer in answers] == ["prelaunch"] * 200


def test_events_seen_on_the_way_are_kept(paused: Callable[..., Any]) -> None:
    with Monitor(paused().run.place("ctl"), "web") as monitor:
        monitor.execute_many([Command("cont"), Command("stop"), Command("query-status")])
        assert [event.name for event in monitor.events] == ["RESUME", "STOP"]


def test_a_descriptor_goes_over_with_its_command(paused: Callable[..., Any]) -> None:
    ours, theirs = os.pipe()
    try:
        with Monitor(paused().run.place("ctl"), "web") as monitor:
            added, listed = monitor.execute_many(
                [Command("add-fd", {"fdset-id": 5}, fds=(theirs,)), Command("query-fdsets")]
            )
            assert added["fdset-id"] == 5
            assert [one["fdset-id"] for one in listed] == [5]
    finally:
        os.close(ours)
        os.close(theirs)


def test_refused_commands_are_not_sent(peer: MakePeer) -> None:
    served, place = peer()
    with Monitor(place, "web") as monitor, pytest.raises(Invalid):
        monitor.execute_many([Command("query-status"), Command("migrate", {"uri": "exec:sh"})])
    assert [request["execute"] for request in served.seen] == ["qmp_capabilities"]


def test_a_save_while_qemu_loads_is_refused_after_asking_it(peer: MakePeer) -> None:
    served, place = peer(lambda request: ok(request, {"status": "restore-vm"}))
    with Monitor(place, "web") as monitor, pytest.raises(Failed, match="loaded"):
        monitor.execute("snapshot-save", tag="x")
    assert [request["execute"] for request in served.seen] == ["qmp_capabilities", "query-status"]


def test_a_monitor_in_use_is_unreachable_at_the_greeting(paused: Callable[..., Any]) -> None:
    guest = paused()
    with Monitor(guest.run.place("r0"), "web"):
        began = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            Monitor(guest.run.place("r0"), "web", greeting=0.2)
        assert caught.value.stage == "greeting"
        assert time.monotonic() - began < 2


def test_a_stopped_qemu_is_unreachable_and_no_call_outlasts_its_deadline(paused: Callable[..., Any]) -> None:
    guest = paused()
    with Monitor(guest.run.place("ctl"), "web") as monitor:
        guest.process.signal(signal.SIGSTOP)
        began = time.monotonic()
        with within(Deadline(0.3)), pytest.raises(Interrupted, match="deadline"):
            monitor.execute("query-status")
        with within(Deadline(0.3)), pytest.raises(Interrupted, match="deadline"):
            Monitor(guest.run.place("r0"), "web")
        with pytest.raises(Unreachable):
            Monitor(guest.run.place("r1"), "web", greeting=0.2)
        assert time.monotonic() - began < 4


def test_a_qemu_that_ends_before_it_greets_is_a_lost_line_and_not_its_own_cause(peer: MakePeer) -> None:
    _, place = peer(lambda _: None)
    with within(Deadline(5)), pytest.raises(Interrupted, match="lost") as caught:
        Monitor(place, "web")
    assert caught.value.__cause__ is not caught.value


def test_nobody_there_is_unreachable_at_once(tmp_path: Any) -> None:
    with pytest.raises(Unreachable) as caught:
        Monitor(tmp_path / "none", "web")
    assert caught.value.stage == "connect"


def test_a_qemu_that_dies_under_a_command_is_a_lost_line(paused: Callable[..., Any]) -> None:
    guest = paused()
    with Monitor(guest.run.place("ctl"), "web") as monitor:
        guest.process.signal(signal.SIGSTOP)
        guest.process.signal(signal.SIGKILL)
        with within(Deadline(10)), pytest.raises(Interrupted, match="lost"):
            monitor.execute("query-status")


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b'{"QMP": 1}\n', b'{"return": {}, "id": 1}\n' * 2], ids=repr
)
def test_a_greeting_that_is_none_is_refused(peer: MakePeer, greeting: bytes) -> None:
    _, place = peer(greeting=greeting)
    with within(Deadline(5)), pytest.raises((Failed, Unreachable)):
        Monitor(place, "web")


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (lambda _: b"rubbish\r\n", Failed, "no JSON"),
        (lambda _: b'{"return": {}, "id": 4711}\r\n', Failed, "not asked"),
        (lambda _: b'{"return": {', Interrupted, "deadline"),
        (lambda _: b"", Interrupted, "deadline"),
        (lambda _: None, Interrupted, "lost"),
        (lambda _: b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\r\n', Failed, "JSON parse"),
    ],
    ids=["rubbish", "wrong id", "half a line", "silence", "hang up", "could not read"],
)
def test_a_peer_that_misbehaves_is_a_coded_error_in_time(
    peer: MakePeer, reply: Callable[[Any], bytes | None], kind: type[Exception], words: str
) -> None:
    _, place = peer(after_negotiation(reply))
    with Monitor(place, "web") as monitor:
        began = time.monotonic()
        with within(Deadline(0.5)), pytest.raises(kind, match=words):
            monitor.execute("query-status")
        assert time.monotonic() - began < 3


def test_a_flood_of_events_fills_no_memory_and_passes_no_deadline(peer: MakePeer) -> None:
    event = b'{"event": "X", "data": {}, "timestamp": {"seconds": 1, "microseconds": 1}}\r\n'

    def flood(_: Any) -> bytes:
        return event * 200_000

    _, place = peer(after_negotiation(flood))
    with Monitor(place, "web") as monitor:
        with within(Deadline(1.0)), pytest.raises(Interrupted):
            monitor.execute("query-status")
        assert len(monitor.events) == 1000


def test_a_cancel_ends_the_wait(peer: MakePeer) -> None:
    deadline = Deadline(None)

    def silent(_: Any) -> bytes:
        deadline.cancel()
        return b""

    _, place = peer(after_negotiation(silent))
    with Monitor(place, "web") as monitor, within(deadline), pytest.raises(Cancelled):
        monitor.execute("query-status")
