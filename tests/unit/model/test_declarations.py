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
from anyvirt.model.walk import walk
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from model_samples import full

ALL = [cls for tag in ROOTS for cls in classes_of(tag)]


@pytest.mark.parametrize("turn", range(7))
@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_field_survives_writing_and_reading(cls: type[Element], turn: int) -> None:
    x = full(cls, turn=turn)
    text = dump(x)
    again = parse(text, cls)
    assert unknown(again) == ()
    assert again == x
    assert dump(parse(dump(again), cls)) == dump(again)
    assert parse(dump(x, canonical=True), cls) == x
    assert fingerprint(again) == fingerprint(x)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_field_survives_json_and_pickling(cls: type[Element]) -> None:
    x = full(cls)
    assert from_json(cls, json.loads(json.dumps(to_json(x)))) == x
    assert pickle.loads(pickle.dumps(x)) == x
    assert hash(pickle.loads(pickle.dumps(x))) == hash(x)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_no_field_is_left_at_its_default_by_the_samples(cls: type[Element]) -> None:
    seen: dict[tuple[str, str], bool] = {}
    for turn in range(13):
        for step in walk(full(cls, turn=turn)):
            for field in plan_of(type(step.element)).fields:
                if field.classes != (Element,):
                    name = (type(step.element).__name__, field.name)
                    seen[name] = seen.get(name, False) or getattr(step.element, field.name) != field.at.default
    assert [name for name, touched in seen.items() if not touched] == []


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
