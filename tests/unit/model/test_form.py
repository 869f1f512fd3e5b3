"""Models as plain data, fingerprints, namespaces."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.errors import Invalid
from anyvirt.model import namespaces
from anyvirt.model.canonical import fingerprint
from anyvirt.model.domain import Domain
from anyvirt.model.element import Element, at
from anyvirt.model.form import from_json, to_json
from anyvirt.model.grammar import relax_ng
from anyvirt.model.schema import json_schema
from anyvirt.model.strict import unknown
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from jsonschema import Draft202012Validator
from lxml import etree

TEXT = """<domain type='kvm'><name>d</name><vcpuz/><memory unit='MiB'>64</memory><vcpu cpuset='0-3'>2</vcpu>
<devices><disk device='cdrm' z='1'><target dev='vda'/><address type='drive' unit='1'/></disk>
<lamp/></devices></domain>"""

GOLDEN = {
    "<domain/>": "1:29d2f27dfe2066cc7bf2d6022b07661098c7e714397234efcfb0f75e760f946f",
    TEXT: "1:e995abf1d642ccda528d6dc7cd25e1872ba2dfa9a5ae93ff69842981f1674a92",
}


class Argument(Element, tag="arg", namespace=("urn:engine", "engine")):
    """An argument."""

    value: str | None = at("@value", "The argument", default=None)


class CommandLine(Element, tag="commandline", namespace=("urn:engine", "engine")):
    """Arguments of the engine."""

    arguments: tuple[Argument, ...] = at("arg", "The arguments", default=())


@pytest.fixture
def engine_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution that registers a namespace."""
    info = tmp_path / "engine_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: engine-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[{namespaces.GROUP}]\nbroken = no_such_module:x\nengine = engine_ns:MODELS\n"
    )
    (tmp_path / "engine_ns.py").write_text("MODELS = []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("engine_ns").MODELS.append(("urn:engine", CommandLine, "engine"))
    namespaces.registered.cache_clear()
    yield
    namespaces.registered.cache_clear()


def test_json_holds_words_numbers_and_lists() -> None:
    data = to_json(parse(TEXT))
    assert data["type"] == "kvm"
    assert data["memory"] == 64 << 20
    assert data["vcpu_cpuset"] == "0-3"
    assert data["disks"][0]["address"] == {"$kind": "drive", "unit": 1}
    assert from_json(Domain, data) == parse(TEXT)


def test_json_that_does_not_fit_is_refused_with_every_path() -> None:
    data = {
        "title": 5,
        "vcpuz": 2,
        "memory": "much",
        "disks": [{"bus": "virtoi", "address": {"slot": 1}}, 7],
        "interfaces": {},
        "on_crash": "explode",
    }
    with pytest.raises(Invalid) as caught:
        from_json(Domain, data)
    assert [problem.path for problem in caught.value.problems] == [
        "/title",
        "/vcpuz",
        "/memory",
        "/devices/disk[0]/target/@bus",
        "/devices/disk[0]/address",
        "/devices/disk[1]",
        "/devices/interface",
        "/on_crash",
        "/name",
    ]
    assert "did you mean 'vcpu'?" in caught.value.problems[1].hint


def test_json_of_another_kind_is_not_read_as_this_one() -> None:
    with pytest.raises(Invalid, match="this is a volume, not a domain"):
        from_json(Domain, {"$kind": "volume", "name": "d"})


@pytest.mark.parametrize(
    "rest",
    [
        5,
        {"attributes": [["", "a"]], "content": [], "bare": []},
        {"attributes": [], "content": [["", "", 0, "unknown", "x", "<x>"]], "bare": []},
    ],
)
def test_unknown_content_in_json_must_be_sound(rest: object) -> None:
    with pytest.raises(Invalid):
        from_json(Domain, {"name": "d", "$unknown": rest})


def test_fingerprints_are_the_same_in_every_process_and_change_with_the_meaning() -> None:
    code = (
        "import sys; from anyvirt.model.xml import parse; from anyvirt.model.canonical import fingerprint;"
        "print(fingerprint(parse(sys.stdin.read())))"
    )
    for seed in ("0", "1", "random"):
        done = subprocess.run(
            [sys.executable, "-c", code], input=TEXT, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.stdout.strip() == fingerprint(parse(TEXT))
    assert fingerprint(parse(TEXT)) == GOLDEN[TEXT]
    assert fingerprint(parse("<domain/>")) == GOLDEN["<domain/>"]
    assert fingerprint(parse(TEXT.replace("64", "65"))) != GOLDEN[TEXT]
    assert fingerprint(parse(TEXT.replace("unit='MiB'>64", "unit='KiB'>65536"))) == GOLDEN[TEXT]


def test_a_registered_namespace_is_read_into_its_model(engine_namespace: None) -> None:
    text = "<domain xmlns:e='urn:engine'><name>d</name><e:commandline><e:arg value='-v'/></e:commandline></domain>"
    x = parse(text, Domain)
    assert x.extensions == (CommandLine(arguments=(Argument(value="-v"),)),)
    assert unknown(x) == ()
    out = dump(x)
    assert "<domain xmlns:engine='urn:engine'>" in out
    assert "<engine:arg value='-v'/>" in out
    assert parse(out) == x
    assert from_json(Domain, to_json(x)) == x


def test_the_schemas_know_a_registered_namespace(engine_namespace: None) -> None:
    text = "<domain xmlns:e='urn:engine'><name>d</name><e:commandline><e:arg value='-v'/></e:commandline></domain>"
    grammar = etree.RelaxNG(etree.fromstring(relax_ng("domain").encode()))
    assert grammar.validate(etree.fromstring(text))
    assert not grammar.validate(etree.fromstring(text.replace("value", "valeu")))
    assert grammar.validate(etree.fromstring(text.replace("urn:engine", "urn:nobody")))
    validator = Draft202012Validator(json_schema("domain"))
    data = to_json(parse(text))
    assert validator.is_valid(data)
    data["extensions"][0]["arguments"][0]["valeu"] = "-v"
    assert not validator.is_valid(data)


def test_without_its_plug_in_a_namespace_is_kept_as_it_is() -> None:
    text = "<domain xmlns:e='urn:engine'><name>d</name><e:commandline><e:arg value='-v'/></e:commandline></domain>"
    x = parse(text, Domain)
    assert x.extensions == ()
    assert '<e:commandline xmlns:e="urn:engine"><e:arg value="-v"/></e:commandline>' in dump(x)


def test_attributes_of_other_namespaces_are_kept() -> None:
    x = parse("<domain xmlns:e='urn:e' e:colour='red' xml:lang='en'><name>d</name></domain>", Domain)
    again = parse(dump(x), Domain)
    assert again == x
    assert {problem.path for problem in unknown(x)} == {
        "/@{urn:e}colour",
        "/@{http://www.w3.org/XML/1998/namespace}lang",
    }


def test_models_load_without_the_parser() -> None:
    code = "import sys; import anyvirt.model.domain, anyvirt.model.write; print('lxml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
