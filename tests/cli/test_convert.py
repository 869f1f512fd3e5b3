"""``convert`` and virsh's words for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

XML = "<domain type='test'><name>web</name><memory unit='MiB'>64</memory></domain>"


def test_a_document_is_converted_to_every_form_and_back(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text(XML)
    for form in ("json", "yaml", "domain"):
        result = cli("convert", "--to", form, str(file))
        assert result.code == 0
        file.write_text(result.out)
    assert "<name>web</name>" in file.read_text()


def test_formats_are_listed_with_what_brings_them(cli: Any) -> None:
    assert [row["name"] for row in json.loads(cli("convert", "--list", "--json").out)["formats"]][:3] == [
        "domain",
        "json",
        "yaml",
    ]
    assert "anyvirt" in cli("convert", "--list").out


def test_a_format_that_is_not_there_is_refused_with_what_brings_it(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text(XML)
    result = cli("convert", "--to", "xen-xl", str(file))
    assert result.code == 1
    assert "hint: pip install anyvirt-xen; there are domain, json, yaml" in result.err
    assert cli("convert", "--to", "json").code == 2


def test_virshs_words_convert_a_file_or_a_domain(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text(cli("dumpxml", "web", "--format", "json").out)
    assert "<name>web</name>" in cli("domxml-from-native", "json", str(file)).out
    assert json.loads(cli("domxml-to-native", "json", "web").out)["name"] == "web"
    for words in (("json", "--domain", "web"), ("--domain", "web", "json"), ("--format", "json", "--domain=web")):
        assert json.loads(cli("domxml-to-native", *words).out)["name"] == "web"
    file.write_text(XML)
    assert json.loads(cli("domxml-to-native", "json", "--xml", str(file)).out)["name"] == "web"
    assert cli("domxml-to-native", "json").code == 2
    assert cli("domxml-to-native", "json", "web", "--xml", str(file)).code == 2
