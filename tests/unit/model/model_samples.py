"""Values for every declared field, made from the declarations."""

from __future__ import annotations

from random import Random
from typing import Any
from uuid import UUID

from anyvirt.model.element import Element
from anyvirt.model.plan import Field, plan_of
from anyvirt.model.rest import Xml
from anyvirt.model.types import (
    Bytes,
    Codec,
    CpuNumbers,
    Integer,
    IntegerOr,
    MacAddress,
    Opaque,
    Presence,
    Switch,
    Uuid,
    Words,
)

LETTERS = "abz019 ,;:=<>&'\"/\\\t\n\r-_.%$#@[]{}()\u00e9\u4e2d\U0001f600\u2028\x85"


def value_of(codec: Codec, tag: str, chance: Random) -> Any:
    """A value that a scalar type can have."""
    if codec.samples:
        return codec.read(chance.choice(codec.samples))
    if isinstance(codec, Words):
        return codec.read(chance.choice(codec.words))
    if isinstance(codec, Presence):
        return True
    if isinstance(codec, Switch):
        return chance.random() < 0.5
    if isinstance(codec, Bytes):
        return chance.choice([0, 1, 1023, 1024, 2**50]) * (1 if codec.beside else codec.scale)
    if isinstance(codec, Integer):
        return chance.choice([codec.low, codec.high, chance.randint(codec.low, codec.high)])
    if isinstance(codec, IntegerOr):
        return chance.choice([codec.word, -7200, 3600])
    if isinstance(codec, Uuid):
        return str(UUID(int=chance.getrandbits(128)))
    if isinstance(codec, MacAddress):
        return chance.randbytes(6).hex(":")
    if isinstance(codec, CpuNumbers):
        return frozenset(chance.sample(range(200), chance.randint(1, 20)))
    if isinstance(codec, Opaque):
        return Xml(f"<{tag}><a:b xmlns:a='urn:a' c='{chance.random()}'/></{tag}>")
    return "".join(chance.choices(LETTERS, k=chance.randint(1, 12))) + "."


def made(cls: type[Element], chance: Random, depth: int = 6, share: float = 0.3) -> Any:
    """An element of a class with some of its fields set, and below them, too."""
    values: dict[str, Any] = {}
    for field in plan_of(cls).fields:
        if field.classes == (Element,) or (field.classes and depth == 0):
            continue
        if field.at.required or chance.random() < share:
            items = tuple(_item(field, chance, depth, share) for _ in range(chance.randint(1, 3)))
            values[field.name] = items if field.many else items[0]
    for field in plan_of(cls).fields:
        # An element that something else makes appear is there, too.
        if isinstance(field.codec, (Presence, Switch)) and not values.get(field.name):
            home = f"{field.node}/{field.tag}".lstrip("/")
            others = (other for other in plan_of(cls).fields if other.name in values and other.name != field.name)
            if any(f"{other.node}/".startswith(f"{home}/") for other in others):
                values[field.name] = True
    return cls(**values)


def _item(field: Field, chance: Random, depth: int, share: float) -> Any:
    if field.classes:
        return made(chance.choice(field.classes), chance, depth - 1, share)
    assert field.codec is not None
    return value_of(field.codec, field.tag, chance)


def full(cls: type[Element], depth: int = 10, turn: int = 0, *, again: bool = False) -> Any:
    """An element with every field set, below it too; ``turn`` chooses among words and classes."""
    values: dict[str, Any] = {}
    for field in plan_of(cls).fields:
        if field.classes == (Element,) or (cls in field.classes and again) or (field.classes and depth == 0):
            continue
        if field.classes:
            chosen = field.classes[turn % len(field.classes)]
            made = full(chosen, depth - 1, turn, again=chosen is cls)
        else:
            assert field.codec is not None
            made = plain(field.codec, field.tag, turn)
        # Two of each would double all that is below them, so deep ones are alone.
        values[field.name] = ((made, made) if depth > 8 else (made,)) if field.many else made
    return cls(**values)


def plain(codec: Codec, tag: str, turn: int) -> Any:
    """One value of a scalar type."""
    if codec.samples:
        return codec.read(codec.samples[turn % len(codec.samples)])
    if codec.words:
        return codec.read(codec.words[turn % len(codec.words)]) if isinstance(codec, Words) else turn % 2 == 0
    if isinstance(codec, Integer):
        return max(codec.low, 1)
    fixed: dict[type[Codec], Any] = {
        Presence: True,
        Bytes: 4096,
        Uuid: "c7a5fdbd-edaf-9455-926a-d65c16db1809",
        MacAddress: "52:54:00:12:34:56",
        CpuNumbers: frozenset({0, 1, 2, 5}),
        Opaque: Xml(f"<{tag}><!-- kept --><a:b xmlns:a='urn:a'>mixed <i/> text</a:b></{tag}>"),
        IntegerOr: 1,
    }
    return fixed.get(type(codec), f"<text> & 'more' {turn}")
