"""The help of every command, held still by golden files."""

from __future__ import annotations

import re
from typing import Any

import pytest
from anyvirt.cli import reference
from anyvirt.cli._index import COMMANDS
from anyvirt.cli.parse import Entry

SHOWN = dict(reference.commands())
HIDDEN = dict(reference.aliases())


def plain(text: str) -> str:
    """Without what versions of Typer differ in: brackets around arguments, and the width of their column."""
    return re.sub(r"^  \[?([A-Z][A-Z.-]+)\]? +", r"  \1  ", text.replace("{", "").replace("}", ""), flags=re.MULTILINE)


@pytest.mark.parametrize("name", SHOWN)
def test_help_is_as_it_was(name: str, golden: Any) -> None:
    golden(f"help/{name.replace(' ', '-')}.txt", plain(SHOWN[name]))


def test_virsh_spellings_are_as_they_were(golden: Any) -> None:
    heads = [text.splitlines()[0] for text in HIDDEN.values()]
    golden("help/aliases.txt", plain("\n".join(heads)) + "\n")


@pytest.mark.parametrize("name", sorted(SHOWN.keys() - {"anyvirt", "anyvirt host", "anyvirt pool"}))
def test_every_command_has_an_example_and_its_exit_statuses(name: str) -> None:
    if name.removeprefix("anyvirt ") in COMMANDS:
        assert "  anyvirt " in SHOWN[name].partition("Examples:")[2]
        assert "Exit status: 0 " in SHOWN[name]


def test_no_command_is_without_a_sentence() -> None:
    assert [path for path, row in COMMANDS.items() if not Entry(*row).help.endswith((".", "..."))] == []


@pytest.mark.parametrize("group", ["", "host", "pool", "vol", "secret", "net", "iface"])
def test_no_list_of_commands_cuts_a_sentence_short(group: str, cli: Any) -> None:
    shown = cli(*filter(None, [group]), "--help").out
    assert [line for line in shown.splitlines() if line.endswith("...") and not line.startswith("Usage")] == []


def test_top_help_fits_a_terminal(cli: Any) -> None:
    result = cli("--help")
    assert result.code == 0
    assert max(len(line) for line in result.out.splitlines()) <= 80


def test_no_words_at_all_is_help_and_wrong_usage(cli: Any) -> None:
    result = cli()
    assert result.code == 2
    assert "Usage: anyvirt" in result.out + result.err


def test_a_command_that_does_not_exist_names_a_near_one(cli: Any) -> None:
    result = cli("lst")
    assert (result.code, result.out) == (2, "")
    assert "No such command 'lst'. Did you mean 'list'?" in result.err


def test_an_option_that_does_not_exist_is_wrong_usage(cli: Any) -> None:
    result = cli("list", "--everything")
    assert result.code == 2
    assert "No such option" in result.err
