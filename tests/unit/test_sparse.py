from __future__ import annotations

import pytest
from anyvirt.api import Hole, Invalid, SparseDecoder, sparse
from hypothesis import given
from hypothesis import strategies as st

PARTS = st.lists(st.one_of(st.binary(max_size=40), st.builds(Hole, st.integers(0, 1 << 40))), max_size=12)


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """The stream in pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    return [*pieces, stream]


def meaning(parts: list[bytes | Hole]) -> list[bytes | int]:
    """Bytes and lengths of holes, with neighbours of a kind made one."""
    found: list[bytes | int] = []
    for part in parts:
        value: bytes | int = part.length if isinstance(part, Hole) else part
        if value and found and type(found[-1]) is type(value):
            found[-1] += value  # type: ignore[operator]
        elif value:
            found.append(value)
    return found


@given(parts=PARTS, sizes=st.lists(st.integers(0, 30), max_size=20))
def test_what_was_encoded_is_decoded_however_the_stream_is_cut(parts: list[bytes | Hole], sizes: list[int]) -> None:
    stream = b"".join(sparse.encode(parts))
    decoder = SparseDecoder()
    found = [part for piece in cut(stream, sizes) for part in decoder.feed(piece)]
    decoder.end()
    assert meaning(found) == meaning(parts)
    assert decoder.position == sum(part.length if isinstance(part, Hole) else len(part) for part in parts)
    assert meaning(list(sparse.decode(cut(stream, sizes)))) == meaning(parts)


@given(stream=st.binary(max_size=200), sizes=st.lists(st.integers(1, 30), max_size=10))
def test_any_bytes_are_decoded_or_refused(stream: bytes, sizes: list[int]) -> None:
    try:
        found = list(sparse.decode(cut(stream, sizes)))
    except Invalid:
        return
    assert meaning(found) == meaning(list(sparse.decode([b"".join(sparse.encode(found))])))


@given(parts=PARTS.filter(lambda parts: bool(meaning(parts))), less=st.integers(1, 9))
def test_a_stream_that_ends_inside_a_record_is_refused(parts: list[bytes | Hole], less: int) -> None:
    *before, last = [part for part in parts if meaning([part])]
    stream = b"".join(sparse.encode([*before, last]))
    kept = len(b"".join(sparse.encode([last])))
    if less < kept:
        with pytest.raises(Invalid, match="inside a record"):
            list(sparse.decode([stream[:-less]]))


@pytest.mark.parametrize("stream", [b"X" + bytes(8), b"H" + b"\xff" * 8, b"D" + b"\x80" + bytes(7), b"D1234567890"[:9]])
def test_a_record_of_another_kind_or_that_no_volume_holds_is_refused(stream: bytes) -> None:
    with pytest.raises(Invalid):
        list(sparse.decode([stream]))


def test_holes_add_up_to_no_more_than_a_volume_can_have() -> None:
    with pytest.raises(Invalid, match="longer than any volume"):
        list(sparse.decode([sparse.hole(1 << 62), sparse.hole(1 << 62)]))
    with pytest.raises(Invalid):
        sparse.hole(1 << 63)
    with pytest.raises(Invalid):
        sparse.data_head(-1)


def test_a_long_record_is_not_kept_in_memory() -> None:
    decoder = SparseDecoder()
    assert list(decoder.feed(sparse.data_head(1 << 60) + b"ab")) == [b"ab"]
    assert list(decoder.feed(b"cd")) == [b"cd"]
    with pytest.raises(Invalid):
        decoder.end()
