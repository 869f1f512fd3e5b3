"""Documents as XML, JSON and YAML: the same model comes of each, and nothing is taken for something else."""

from __future__ import annotations

import json
import sys
from random import Random
from typing import Any

import pytest
import yaml
from anyvirt.errors import Invalid, Unsupported
from anyvirt.model.check import check
from anyvirt.model.domain import Domain
from anyvirt.model.form import from_json
from anyvirt.model.roots import ROOTS, class_of
from anyvirt.model.write import dump
from anyvirt.model.written import FORMS, form_of, model_of, text_of
from anyvirt.model.xml import parse
from anyvirt.model.yaml_text import load, save
from hypothesis import given, settings
from hypothesis import strategies as st
from model_samples import made

XML = """<domain type='kvm'><name>web</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>
<lamp a='1'/><metadata><!-- kept --><a:b xmlns:a='urn:a'>text</a:b></metadata></domain>"""
TRAPS = [
    "no", "NO", "y", "on", "null", "~", "010", "0o10", "0x1f", "1_000", "12:30:45", "2024-01-01", "1e3", "1.5", ".inf",
    "- a", "a: b", "#a", "*a", "&a", "!a", "|", ">", "%a", "@a", "`a", "{a}", "[a]", "a #b", " a", "a ", "", "=", "<<",
    "a\nb", "a\n", "\na", "a\r\nb", "\t", "\x85", "\u2028", "\U0001f600", "'", '"', "\\", "true", "?", "-", "---",
    "...",
]  # fmt: skip


def problems(text: str, form: str = "") -> list[tuple[str, str, int | None]]:
    with pytest.raises(Invalid) as caught:
        model_of(text.encode(), form)
    return [(problem.code, problem.path, problem.line) for problem in caught.value.problems]


@pytest.mark.parametrize("form", FORMS)
def test_a_document_is_the_same_in_every_form(form: str) -> None:
    x = parse(XML)
    text = text_of(x, form).encode()
    assert form_of(text) == form
    assert model_of(text) == model_of(text, form) == x


@pytest.mark.parametrize("tag", sorted(ROOTS))
def test_every_kind_of_document_survives_every_form(tag: str) -> None:
    for seed in range(3):
        x = made(class_of(tag), Random(seed), depth=3, share=0.2)
        for form in ("json", "yaml"):
            assert model_of(text_of(x, form).encode(), form) == x


@pytest.mark.parametrize("text", TRAPS)
def test_a_text_stays_a_text_in_yaml_whoever_reads_it(text: str) -> None:
    written = save({"name": text, "list": [text]})
    assert load(written) == {"name": text, "list": [text]}
    assert yaml.safe_load(written) == {"name": text, "list": [text]}


@pytest.mark.parametrize(
    ("plain", "value"),
    [("no", "no"), ("010", "010"), ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("1.5", "1.5"),
     ("0x1f", "0x1f"), ("true", True), ("10", 10), ("-3", -3), ("'10'", "10"), ("!!str 10", "10"), ("null", None),
     ("1_000", "1_000"), ("Yes", "Yes")],
)  # fmt: skip
@pytest.mark.parametrize("parser", ["libyaml", "python"])
def test_only_truth_values_and_decimal_numbers_are_more_than_text(
    plain: str, value: Any, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parser == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert load(f"a: {plain}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x", "line 2.*alias"),
        ("a: &a [1]\nb: &b [*a, *a]\n", "line 2.*alias"),
        ("a: !!python/object/apply:os.system [ls]", "line 1.*tag"),
        ("a: !secret b", "line 1.*tag"),
        ("a: 1\na: 2", "line 2.*second time"),
        ("a: 1\n---\nb: 2", "line 2.*second document"),
        ("a: [1", "no YAML"),
        ("a: \x01", "no YAML"),
        ("? [a]\n: b", "key must be a text"),
        ("a: " + "[" * 5000, "nested too deep"),
        ("- a\n" * 300_000, "more than 200000 values"),
    ],
)
def test_what_yaml_has_beyond_json_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=f"(?s){said}"):
        load(text)


def test_what_is_wrong_in_yaml_is_told_with_path_and_line() -> None:
    text = "name: 10\nmemory: much\nvcpuz: 2\ndisks:\n- type: file\n- type: school\n"
    assert problems(text) == [
        ("xml.value", "/name", 1),
        ("xml.value", "/memory", 2),
        ("xml.unknown-element", "/vcpuz", 3),
        ("xml.value", "/devices/disk[1]/@type", 6),
    ]
    assert problems("disks:\n- colour: red\n") == [
        ("xml.unknown-element", "/devices/disk[0]/colour", 2),
        ("xml.value", "/name", None),
    ]


def test_what_contradicts_itself_in_yaml_is_told_with_its_line_too() -> None:
    text = (
        "type: kvm\nname: a\nmemory: 1024\ndisks:\n- type: file\n  target: vda\n- type: file\n"
        "  # the same again\n  target: vda\n"
    )
    x = model_of(text.encode())
    assert isinstance(x, Domain)
    found = [problem for problem in check(x) if problem.code == "config.duplicate"]
    assert [problem.line for problem in found] in ([7], [9])


def test_what_is_wrong_in_json_is_told_with_path() -> None:
    assert problems('{"type": "kvm", "name": 10}') == [("xml.value", "/name", None)]
    assert problems('{"type": "kvm",\n "name": }') == [("xml.malformed", "", 2)]
    assert problems('{"name": "a", "name": "b"}') == [("xml.malformed", "", None)]
    assert problems('{"name": NaN}') == [("xml.malformed", "", None)]
    assert problems('{"memory": ' + "9" * 5000 + "}") == [("xml.malformed", "", None)]
    assert problems("[" * 100000) == [("xml.limits", "", None)]
    assert problems("[1]") == [("xml.malformed", "", None)]
    assert problems("hello") == [("xml.malformed", "", None)]
    assert problems('{"$kind": "lamp"}') == [("xml.unknown-element", "/lamp", 1)]
    assert problems('{"$kind": 7}') == [("xml.value", "/$kind", None)]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"name": "a", "memory": true}', "/memory"),
        ('{"name": "a", "features": {"acpi": 7}}', "/features/acpi"),
        ('{"name": "a", "vcpu_cpuset": ["a"]}', "/vcpu/@cpuset"),
        ('{"name": "a", "vcpu_cpuset": [true]}', "/vcpu/@cpuset"),
        ('{"name": null}', "/name"),
        ('{"name": "a\\u0000"}', "/name"),
        ('{"name": "a", "$unknown": {"attributes": [["", "x><y", "z", "unknown"]], "content": [], "bare": []}}', ""),
        ('{"name": "a", "$unknown": {"attributes": [["", "x", "\\u0000", "unknown"]], "content": [], "bare": []}}', ""),
        (
            '{"name": "a", "$unknown": {"attributes": [["no/such", "x", "1", "unknown"]], "content": [], "bare": []}}',
            "",
        ),
        (
            '{"name": "a", "$unknown": {"attributes": [], "content": [["", "", 0, "unknown", "q", "<q"]], "bare": []}}',
            "",
        ),
    ],
)
def test_json_holds_nothing_that_would_become_something_else(text: str, path: str) -> None:
    assert problems(text) == [("xml.value", path or "/$unknown", None)]


def test_a_chain_of_images_too_long_to_be_read_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"backing_store": deep}
    with pytest.raises(Invalid) as caught:
        from_json(Domain, {"name": "a", "disks": [deep]})
    assert [problem.code for problem in caught.value.problems] == ["xml.limits"]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}[]:,-'\"&*!|>#?% \n\t\\0n\u20ac$kindamevcpu", max_size=60) | st.binary(max_size=60))
def test_no_text_raises_anything_but_invalid(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    for form in FORMS:
        try:
            dump(model_of(data, form))
        except Invalid as error:
            assert error.problems  # noqa: PT017 - any input may be refused


def test_a_file_that_is_no_utf_8_is_told_with_its_line() -> None:
    with pytest.raises(Invalid, match=r"line 2.*UTF-8"):
        model_of(b"type: kvm\nname: caf\xe9")


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"<domain/>", "xml"),
        (b"\xef\xbb\xbf \n<domain/>", "xml"),
        ("<domain/>".encode("utf-16"), "xml"),
        (b"", "xml"),
        (b' {"a": 1}', "json"),
        (b"name: a", "yaml"),
        (b"# remark\nname: a", "yaml"),
    ],
)
def test_the_form_is_told_from_the_first_character(data: bytes, form: str) -> None:
    assert form_of(data) == form


def test_without_pyyaml_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(Unsupported) as caught:
        model_of(b"name: a")
    assert "pip install 'anyvirt[yaml]'" in str(caught.value.hint)
    assert json.loads(text_of(parse(XML), "json"))["name"] == "web"
