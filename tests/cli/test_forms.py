"""Documents in and out of the command line as XML, JSON and YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

YAML = """\
# a small one
name: fresh
type: test
memory: 67108864
vcpu: 1
os:
  type: hvm
"""


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str, name: str = "fresh.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("form", ["xml", "json", "yaml"])
def test_what_dumpxml_prints_define_takes_in_every_form(cli: Any, file: Any, form: str) -> None:
    text = cli("dumpxml", "web", "--format", form).out
    assert cli("define", file(text.replace("web", "web2").replace("1111", "9999"))).out.startswith("Domain 'web2'")
    old, new = (cli("dumpxml", name, "--canonical").out for name in ("web", "web2"))
    assert new == old.replace("web", "web2").replace("1111", "9999")


def test_dumpxml_has_the_document_as_an_object_within_json(cli: Any) -> None:
    made = json.loads(cli("--json", "dumpxml", "web", "--format", "json").out)
    assert made["json"]["$kind"] == "domain"
    assert made["json"]["name"] == "web"
    assert "xml" not in made
    assert cli("dumpxml", "web", "--format", "toml").code == 2


def test_a_document_in_yaml_is_checked_with_lines(cli: Any, file: Any) -> None:
    name = file(YAML.replace("vcpu:", "vcpuz:"))
    result = cli("validate", name)
    assert result.code == 1
    assert result.out == f"{name}:5: /vcpuz: no field 'vcpuz'; did you mean 'vcpu'? [xml.unknown-element]\n"
    assert cli("define", name).code == 1


def test_another_kind_of_document_is_refused(cli: Any, file: Any) -> None:
    result = cli("define", file("$kind: secret\nuuid: 11111111-1111-4111-8111-111111111111\n"))
    assert result.code == 1
    assert "the document is a <secret>, not a <domain>" in result.err


def test_the_form_can_be_told(cli: Any, file: Any) -> None:
    name = file('{"$kind": "domain", name: web, type: test}')
    assert "is no JSON" in cli("validate", name).out
    assert "is no JSON" not in cli("validate", name, "--format", "yaml").out
    assert cli("validate", name, "--format", "ini").code == 2
