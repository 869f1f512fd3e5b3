"""Secrets at the command line: what they are for is shown, and their values only to whoever may have them."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

UUID = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
XML = "<secret private='{}'><uuid>{}</uuid><usage type='ceph'><name>{}</name></usage></secret>"
VALUE = "Tr0ub4dor&3"
CODED = b64encode(VALUE.encode()).decode()


@pytest.fixture
def keeping(stores: Any) -> Any:
    """The same with a secret ``client.admin``."""
    assert stores("secret", "define", "-", stdin=XML.format("no", UUID, "client.admin")).code == 0
    return stores


def value(keeping: Any) -> str:
    return str(keeping("secret", "get-value", "client.admin", "--plain").out)


def test_a_secret_goes_through_its_life(stores: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.xml").write_text(XML.format("no", UUID, "client.admin"))
    assert stores("secret-define", "--file", str(tmp_path / "secret.xml")).out == f"Secret {UUID} created\n"
    assert stores("secret", "set-value", UUID, stdin=VALUE).out == f"Secret {UUID} value set\n"
    assert stores("secret", "list").out.splitlines()[2].split() == [UUID, "ceph", "client.admin", "file", "no"]
    assert "Value:          kept by file" in stores("secret", "info", "client.admin").out
    assert "<name>client.admin</name>" in stores("secret-dumpxml", "client.admin").out
    assert stores("secret", "get-value", "client.admin").out == f"{CODED}\n"
    assert stores("secret", "undefine", "client.admin").out == f"Secret {UUID} deleted\n"
    assert stores("--json", "secret", "list").json["secrets"] == []


def test_a_value_is_read_from_wherever_it_is(keeping: Any, tmp_path: Path) -> None:
    for name, data in (("plain", VALUE), ("coded", f"{CODED[:4]}\n{CODED[4:]}\n")):
        (tmp_path / name).write_text(data)
    for words in (f"--file {tmp_path / 'plain'}", f"--file {tmp_path / 'coded'} --base64", "--keeper file"):
        keeping("secret", "set-value", UUID, stdin="something else")
        assert keeping("secret", "set-value", UUID, *words.split(), stdin=VALUE).code == 0
        assert value(keeping) == VALUE
    assert keeping("secret", "set-value", UUID, "--base64", stdin=b64encode(b"\xff\x00\n")).code == 0
    assert value(keeping) == "\udcff\x00\n"


def test_a_newline_at_the_end_is_a_part_of_the_value_and_said_to_be(keeping: Any) -> None:
    said = keeping("secret", "set-value", UUID, stdin=f"{VALUE}\n")
    assert "the newline at the end is a part of the value" in said.err
    assert value(keeping) == f"{VALUE}\n"


def test_virshs_options_mean_what_they_mean_there(keeping: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(CODED)
    said = keeping("secret-set-value", "--secret", UUID, "--base64", CODED)
    assert (said.code, said.err.startswith("warning: everybody on this host can read")) == (0, True)
    assert value(keeping) == VALUE
    assert keeping("secret-set-value", UUID, "--file", str(tmp_path / "file"), "--plain").err == ""
    assert value(keeping) == CODED
    assert keeping("secret-set-value", UUID, "--file", str(tmp_path / "file")).code == 0
    assert value(keeping) == VALUE
    both = keeping("secret-set-value", UUID, CODED, "--interactive")
    assert (both.code, "exclude each other" in both.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "stdin", "code", "told"),
    [
        ("set-value client.admin", "", 2, "there is no value"),
        ("set-value client.admin --interactive", "", 2, "this is no terminal"),
        ("set-value client.admin --interactive --file x", "", 2, "exclude each other"),
        ("set-value client.admin --base64", f"{VALUE}!", 1, "the value is no base 64"),
        ("set-value client.admin --keeper attic", VALUE, 2, "--keeper 'attic' is none"),
        ("set-value nobody", VALUE, 1, "error[secret.not-found]"),
        ("set-value client.admin --file /nowhere/file", VALUE, 1, "error[file.not-found]"),
        ("get-value client.admin", "", 1, "error[value.not-found]"),
        ("define -", "<secret><usage type='ceph'/></secret>", 1, "error[config.missing]"),
        ("define -", XML.format("no", UUID[::-1], "client.admin"), 1, "error["),
        ("define -", "<secret><value>abc</value></secret>", 1, "error[xml.unknown-element]"),
        ("info nobody", "", 1, "error[secret.not-found]"),
    ],
)
def test_what_is_wrong_is_told_without_the_value(words: str, stdin: str, code: int, told: str, keeping: Any) -> None:
    result = keeping("secret", *words.split(), stdin=stdin)
    assert (result.code, result.out) == (code, ""), result
    assert told in result.err
    assert VALUE not in result.err
    assert "Traceback" not in result.err


def test_a_private_value_is_not_printed(keeping: Any) -> None:
    other = UUID.replace("0a", "0b")
    keeping("secret", "define", "-", stdin=XML.format("yes", other, "client.web"))
    keeping("secret", "set-value", "client.web", stdin=VALUE)
    refused = keeping("secret", "get-value", "client.web")
    assert (refused.code, refused.out, "error[denied]" in refused.err) == (1, "", True)
    rows = {row["usage"]: row for row in keeping("--json", "secret", "list").json["secrets"]}
    assert (rows["client.web"]["private"], rows["client.admin"]["private"]) == (True, False)
    assert [row["usage"] for row in keeping("--json", "secret", "list", "--private").json["secrets"]] == ["client.web"]
    left = keeping("--json", "secret-list", "--no-private", "--no-ephemeral").json["secrets"]
    assert [row["usage"] for row in left] == ["client.admin"]


def test_a_read_only_connection_prints_no_value(keeping: Any) -> None:
    keeping("secret", "set-value", "client.admin", stdin=VALUE)
    for words in (("get-value", "client.admin"), ("set-value", "client.admin"), ("undefine", "client.admin")):
        refused = keeping("secret", *words, "--readonly", stdin="other")
        assert (refused.code, refused.out) == (1, "")
        assert "error[readonly]" in refused.err
    assert value(keeping) == VALUE


def test_nothing_that_is_shown_has_a_value(keeping: Any) -> None:
    keeping("secret", "set-value", "client.admin", stdin=VALUE)
    for words in ("list", "info client.admin", "dumpxml client.admin", "event --list"):
        for more in ("", "--json"):
            result = keeping("secret", *words.split(), *more.split())
            assert result.code == 0
            assert VALUE not in result.out + result.err
            assert CODED not in result.out
            assert not more or json.loads(result.out)["schema"]
