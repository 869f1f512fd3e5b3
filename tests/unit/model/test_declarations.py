"""Every declared field is written and read back, as XML and as JSON."""

from __future__ import annotations

import json
import pickle

import pytest
from anyvirt.model.canonical import fingerprint
from anyvirt.model.element import Element
from anyvirt.model.form import from_json, to_json
from anyvirt.model.plan import plan_of
from anyvirt.model.reference import reference
from anyvirt.model.roots import ROOTS, classes_of
from anyvirt.model.strict import unknown
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from model_samples import full

ALL = [cls for tag in ROOTS for cls in classes_of(tag)]


def reached() -> list[type[Element]]:
    """Every model class that a document can have in it."""
    found = dict.fromkeys(ALL)
    left = list(ALL)
    while left:
        inner = [cls for field in plan_of(left.pop()).fields for cls in field.classes if cls is not Element]
        left += [cls for cls in inner if cls not in found]
        found.update(dict.fromkeys(inner))
    return list(found)


EVERY = [cls for cls in reached() if cls._tag]


def turns(cls: type[Element]) -> range:
    """So many that each word and each class of each field has its turn."""
    fields = plan_of(cls).fields
    choices = [len(field.classes) if field.codec is None else len(field.codec.words) for field in fields]
    return range(max([2, *choices]))


def held(x: Element) -> None:
    """An element is the same in each of its forms."""
    cls = type(x)
    again = parse(dump(x), cls)
    assert unknown(again) == ()
    assert again == x
    assert dump(parse(dump(again), cls)) == dump(again)
    assert parse(dump(x, canonical=True), cls) == x
    assert fingerprint(again) == fingerprint(x)
    assert from_json(cls, json.loads(json.dumps(to_json(x)))) == x
    assert pickle.loads(pickle.dumps(x)) == x
    assert hash(pickle.loads(pickle.dumps(x))) == hash(x)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_every_field_survives_writing_and_reading_with_each_of_its_words_and_kinds(cls: type[Element]) -> None:
    for turn in turns(cls):
        held(full(cls, depth=1, turn=turn))


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_document_survives_writing_and_reading_with_all_that_can_be_in_it(cls: type[Element]) -> None:
    for turn in range(2):
        held(full(cls, turn=turn))


def test_no_field_is_left_at_its_default_by_the_samples() -> None:
    left: list[str] = []
    for cls in EVERY:
        samples = [full(cls, depth=1, turn=turn) for turn in range(2)]
        fields = [field for field in plan_of(cls).fields if field.classes != (Element,)]
        left += [
            f"{cls.__name__}.{field.name}"
            for field in fields
            if all(getattr(x, field.name) == field.at.default for x in samples)
        ]
    assert left == []


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_field_has_a_path_a_type_and_a_sentence(cls: type[Element]) -> None:
    entries = reference(cls)
    assert entries
    for entry in entries:
        assert entry.path.startswith("/")
        assert entry.type
        assert len(entry.doc) >= 3
        assert not entry.doc.endswith(".") or entry.doc.endswith(" ...")
    places = [(entry.path, entry.values, entry.field) for entry in entries]
    assert len(set(places)) == len(places)


def test_documentation_tools_see_the_fields_as_keywords() -> None:
    import inspect

    from anyvirt.model.domain import Domain

    parameters = inspect.signature(Domain).parameters
    assert parameters["name"].default is inspect.Parameter.empty
    assert parameters["uuid"].default is None
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters.values())
