"""Values for every declared field, made from the declarations."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from anyvirt.model.element import Element
from anyvirt.model.plan import Field, plan_of
from anyvirt.model.rest import Xml
from anyvirt.model.types import Bytes, Codec, CpuNumbers, Hexadecimal, Integer, MacAddress, Opaque, Presence, Switch, Uuid, Words

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1, max_size=20
).filter(lambda text: not text.isspace())


def values_of(codec: Codec, tag: str) -> st.SearchStrategy[Any]:
    """Values that a scalar type can have."""
    if isinstance(codec, Words):
        return st.sampled_from([codec.read(word) for word in codec.words])
    if isinstance(codec, Presence):
        return st.just(True)
    if isinstance(codec, Switch):
        return st.booleans()
    if isinstance(codec, Bytes):
        scale = 1 if codec.beside else codec.scale
        return st.integers(0, 2**50).map(lambda number: number * scale)
    if isinstance(codec, (Integer, Hexadecimal)):
        return st.integers(codec.low, codec.high)
    if isinstance(codec, Uuid):
        return st.uuids().map(str)
    if isinstance(codec, MacAddress):
        return st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
    if isinstance(codec, CpuNumbers):
        return st.frozensets(st.integers(0, 200), min_size=1, max_size=20)
    if isinstance(codec, Opaque):
        return TEXTS.map(lambda text: Xml(f"<{tag}><a:b xmlns:a='urn:a' c='{len(text)}'/></{tag}>"))
    return TEXTS


def elements(cls: type[Element], depth: int = 6, share: float = 0.3) -> st.SearchStrategy[Any]:
    """Elements of a class with some of their fields set, and below them, too."""

    @st.composite
    def build(draw: st.DrawFn) -> Element:
        values: dict[str, Any] = {}
        for field in plan_of(cls).fields:
            if field.classes == (Element,) or (field.classes and depth == 0):
                continue
            if not field.at.required and draw(st.floats(0, 1)) > share:
                continue
            values[field.name] = draw(_items(field, depth, share))
        return cls(**values)

    return build()


def _items(field: Field, depth: int, share: float) -> st.SearchStrategy[Any]:
    if field.classes:
        one = st.one_of([elements(cls, depth - 1, share) for cls in field.classes])
    else:
        assert field.codec is not None
        one = values_of(field.codec, field.tag)
    return st.lists(one, min_size=1, max_size=3).map(tuple) if field.many else one


def full(cls: type[Element], depth: int = 10, turn: int = 0) -> Any:
    """An element with every field set, below it too; ``turn`` chooses among words and classes."""
    values: dict[str, Any] = {}
    for field in plan_of(cls).fields:
        if field.classes == (Element,) or (cls in field.classes and depth < 5) or (field.classes and depth == 0):
            continue
        if field.classes:
            made = full(field.classes[turn % len(field.classes)], depth - 1, turn)
        else:
            assert field.codec is not None
            made = plain(field.codec, field.tag, turn)
        values[field.name] = (made, made) if field.many else made
    return cls(**values)


def plain(codec: Codec, tag: str, turn: int) -> Any:
    """One value of a scalar type."""
    if codec.words:
        return codec.read(codec.words[turn % len(codec.words)]) if isinstance(codec, Words) else turn % 2 == 0
    fixed: dict[type[Codec], Any] = {
        Presence: True,
        Bytes: 4096,
        Uuid: "c7a5fdbd-edaf-9455-926a-d65c16db1809",
        MacAddress: "52:54:00:12:34:56",
        CpuNumbers: frozenset({0, 1, 2, 5}),
        Opaque: Xml(f"<{tag}><!-- kept --><a:b xmlns:a='urn:a'>mixed <i/> text</a:b></{tag}>"),
        Integer: 1,
        Hexadecimal: 1,
    }
    return fixed.get(type(codec), f"<text> & 'more' {turn}")
