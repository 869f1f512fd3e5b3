"""JSON Schema and RELAX NG that are written from the declarations take what the models take, and nothing else."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.form import to_json
from anyvirt.model.grammar import relax_ng
from anyvirt.model.roots import ROOTS, class_of, classes_of
from anyvirt.model.schema import json_schema
from anyvirt.model.write import dump
from jsonschema import Draft202012Validator
from lxml import etree
from model_samples import made
from model_thin import bare, thin

TAGS = sorted(ROOTS)
GOOD = """<domain type='kvm'><memory unit='gib'> 1 </memory><name>a</name>
  <x:y xmlns:x='urn:x' a='1'><z/>text</x:y>
  <devices><disk type='file'><target dev='vda' bus='virtio'/></disk><emulator/><disk type='block'/></devices>
</domain>"""


@cache
def grammar() -> Any:
    return etree.RelaxNG(etree.fromstring(relax_ng().encode()))


@cache
def validator(root: str | None = None) -> Any:
    return Draft202012Validator(json_schema(root))


def test_the_grammar_takes_every_field() -> None:
    refused = [name for _, name, x in thin() if not grammar().validate(etree.fromstring(dump(x)))]
    assert refused == []


def test_the_schema_takes_every_field() -> None:
    refused = [name for tag, name, x in thin() if not validator(tag).is_valid(to_json(x))]
    assert refused == []


@pytest.mark.parametrize("tag", TAGS)
def test_both_take_what_is_made_at_random(tag: str) -> None:
    for seed in range(4):
        x = made(Random(seed).choice(classes_of(tag)), Random(seed), depth=3, share=0.1)
        assert grammar().validate(etree.fromstring(dump(x))), (dump(x), grammar().error_log)
        data = {"$kind": tag, **json.loads(json.dumps(to_json(x)))}
        assert [error.message for error in validator(tag).iter_errors(data)] == []


def test_the_grammar_takes_any_order_any_unit_and_namespaces_of_others() -> None:
    assert grammar().validate(etree.fromstring(GOOD)), grammar().error_log


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<name>a</name>", "<name>a</name><vcpuz>1</vcpuz>"),
        ("<name>a</name>", "<name>a</name><name>b</name>"),
        ("<name>a</name>", "<name colour='red'>a</name>"),
        ("gib", "furlong"),
        (" 1 ", "much"),
        ("bus='virtio'", "bus='school'"),
        ("<emulator/>", "<emulator/>words"),
    ],
)
def test_the_grammar_refuses_what_is_not_declared(old: str, new: str) -> None:
    assert old in GOOD
    assert not grammar().validate(etree.fromstring(GOOD.replace(old, new, 1)))


@pytest.mark.parametrize(
    "change",
    [
        {"vcpuz": 1},
        {"memory": -1},
        {"memory": 1.5},
        {"type": "school"},
        {"disks": {}},
        {"disks": [{"type": "file", "colour": "red"}]},
        {"$kind": "pool"},
        {"name": 7},
    ],
)
def test_the_schema_refuses_what_is_not_declared(change: dict[str, Any]) -> None:
    good = {"type": "kvm", "name": "a", "memory": 1 << 30}
    assert list(validator("domain").iter_errors(good)) == []
    assert list(validator("domain").iter_errors(good | change))


def test_the_schema_of_all_kinds_tells_them_apart_by_their_kind() -> None:
    good = {"$kind": "secret", **to_json(bare(class_of("secret")))}
    assert validator().is_valid(good)
    assert not validator().is_valid({**good, "$kind": "pool"})
    assert not validator().is_valid({key: value for key, value in good.items() if key != "$kind"})


def test_a_root_that_there_is_not_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(Invalid, match="no document has the root element"):
        relax_ng("domian")
    with pytest.raises(Invalid, match="no document has the root element"):
        json_schema("domian")


def test_the_schema_is_one_itself() -> None:
    Draft202012Validator.check_schema(json_schema("network"))


def test_each_pattern_has_its_sentence() -> None:
    text = relax_ng("domain")
    assert "<a:documentation>" in text
    fields = json_schema("domain")["$defs"]["Domain"]["properties"]
    assert fields["name"]["description"]
