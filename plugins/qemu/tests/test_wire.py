"""QMP's codec believes nothing."""

from __future__ import annotations

import json

import pytest
from anyvirt.api import Failed
from anyvirt_qemu.qmp.wire import LINE_MAX, Event, Greeting, Refusal, Reply, Wire
from hypothesis import given
from hypothesis import strategies as st

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"},'
    b' "capabilities": ["oob"]}}\r\n'
)


def test_a_conversation_is_taken_apart_at_any_cut() -> None:
    wire = Wire()
    first, line = wire.command("query-status")
    second, _ = wire.command("nope", {"a": 1})
    assert json.loads(line) == {"execute": "query-status", "id": first}
    stream = (
        GREETING
        + b'{"timestamp": {"seconds": 5, "microseconds": 7}, "event": "STOP"}\r\n'
        + b'{"return": {"status": "paused"}, "id": %d}\r\n' % first
        + b'{"id": %d, "error": {"class": "CommandNotFound", "desc": "no"}}\r\n' % second
    )
    found = [message for byte in stream for message in wire.feed(bytes([byte]))]
    assert found == [
        Greeting((7, 2, 22), "Debian", ("oob",)),
        Event("STOP", {}, 5_000_007_000),
        Reply(first, {"status": "paused"}),
        Refusal(second, "CommandNotFound", "no"),
    ]
    assert wire.unanswered == 0


@pytest.mark.parametrize(
    "line",
    [
        b"rubbish\n",
        b"[]\n",
        b"7\n",
        b"{}\n",
        b'{"return": {}}\n',
        b'{"return": {}, "id": 99}\n',
        b'{"return": {}, "id": true}\n',
        b'{"return": {}, "id": "1"}\n',
        b'{"return": {}, "id": [1]}\n',
        b'{"error": "text", "id": 1}\n',
        b'{"event": 7}\n',
        b'{"event": "X", "data": 7}\n',
        b'{"QMP": {}}\n',
        b'{"QMP": 7}\n',
        b'{"return": NaN, "id": 1}\n',
        b'{"return": "\xff\xfe", "id": 1}\n',
        b'{"return": ' + b"1" * 10_000 + b', "id": 1}\n',
        b'{"return": ' + b"[" * 100_000 + b"]" * 100_000 + b', "id": 1}\n',
        b"\0\0\0\n",
    ],
    ids=lambda line: repr(line[:24]),
)
def test_what_is_not_qmp_is_a_coded_error(line: bytes) -> None:
    wire = Wire("the monitor of web")
    wire.command("query-status")
    with pytest.raises(Failed, match="the monitor of web"):
        wire.feed(line)


def test_an_answer_counts_once() -> None:
    wire = Wire()
    number, _ = wire.command("query-status")
    line = b'{"return": {}, "id": %d}\n' % number
    wire.feed(line)
    with pytest.raises(Failed, match="not asked"):
        wire.feed(line)


def test_a_second_greeting_is_refused() -> None:
    wire = Wire()
    wire.feed(GREETING)
    with pytest.raises(Failed, match="twice"):
        wire.feed(GREETING)


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    wire = Wire()
    quarter = b"x" * (LINE_MAX // 4)
    for _ in range(4):
        assert wire.feed(quarter) == []
    with pytest.raises(Failed, match="64 MiB"):
        wire.feed(quarter)


def test_the_error_shows_little_of_what_came() -> None:
    with pytest.raises(Failed) as caught:
        Wire().feed(b"secret" * 100_000 + b"\n")
    assert len(str(caught.value.details)) < 300


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_coded_errors(data: bytes) -> None:
    wire = Wire()
    wire.command("query-status")
    try:
        wire.feed(data + b"\n")
    except Failed:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_every_argument_and_every_answer_survives(value: object) -> None:
    wire = Wire()
    number, line = wire.command("x", {"value": value})
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line)["arguments"]["value"] == value
    (reply,) = wire.feed(json.dumps({"return": value, "id": number}).encode() + b"\r\n")
    assert reply == Reply(number, value)


@given(
    st.dictionaries(
        st.sampled_from(["QMP", "event", "return", "error", "id", "data", "timestamp", "class"]), json_values
    )
)
def test_no_object_raises_anything_but_coded_errors(found: dict[str, object]) -> None:
    wire = Wire()
    wire.command("query-status")
    try:
        wire.feed(json.dumps(found).encode() + b"\n")
    except Failed:
        return
