"""What holds for every model and every document, tried on thousands of them."""

from __future__ import annotations

import json
import random

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.canonical import fingerprint
from anyvirt.model.capabilities import Capabilities
from anyvirt.model.devices.disk import Disk
from anyvirt.model.diff import diff
from anyvirt.model.domain import Domain
from anyvirt.model.element import Element
from anyvirt.model.form import from_json, to_json
from anyvirt.model.snapshot import Snapshot
from anyvirt.model.storage import Pool, Volume
from anyvirt.model.strict import unknown
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from model_meaning import meaning
from model_mutations import mutate
from model_samples import full, made

SEEDS = st.integers(0, 2**32)
OFTEN = settings(max_examples=100, deadline=None)


@OFTEN
@given(SEEDS, st.sampled_from([Domain, Pool, Volume, Snapshot, Capabilities]))
def test_what_is_written_is_read_back(seed: int, cls: type[Element]) -> None:
    x = made(cls, random.Random(seed), share=0.2)
    text = dump(x)
    again = parse(text, type(x))
    assert again == x
    assert unknown(again) == ()
    assert parse(dump(x, canonical=True), type(x)) == x
    assert fingerprint(again) == fingerprint(x)
    assert from_json(type(x), json.loads(json.dumps(to_json(x)))) == x


@OFTEN
@given(SEEDS, SEEDS)
def test_models_differ_exactly_when_they_are_not_equal(left: int, right: int) -> None:
    one, two = (made(Disk, random.Random(seed % 5), share=0.2) for seed in (left, right))
    assert bool(diff(one, two)) == (one != two)
    assert (dump(one, canonical=True) == dump(two, canonical=True)) == (one == two)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="<>/=!-[]'\"& domainvcpu\n\0", max_size=80) | st.binary(max_size=80))
def test_no_input_raises_anything_but_invalid(text: str | bytes) -> None:
    for document in (
        text,
        b"<domain>" + text + b"</domain>" if isinstance(text, bytes) else f"<domain>{text}</domain>",
    ):
        try:
            parse(dump(parse(document)))
        except Invalid as error:
            assert error.problems  # noqa: PT017 - any input may be refused


@pytest.mark.parametrize("seed", range(240))
def test_mutated_documents_are_kept_whole(seed: int) -> None:
    chance = random.Random(seed)
    root = etree.fromstring(SOURCES[seed % len(SOURCES)])
    for _ in range(chance.randrange(1, 8)):
        mutate(root, chance)
    text = etree.tostring(root)
    x = parse(text)
    written = dump(x)
    assert meaning(etree.fromstring(written)) == meaning(etree.fromstring(text)), f"seed {seed}"
    assert parse(written) == x
    assert parse(dump(x, canonical=True)) == x
    assert from_json(type(x), to_json(x)) == x
    assert fingerprint(parse(written)) == fingerprint(x)


SOURCES = [dump(made(Domain, random.Random(seed), share=0.15)) for seed in range(20)] + [
    dump(full(cls, turn=1)) for cls in (Pool, Volume)
]
