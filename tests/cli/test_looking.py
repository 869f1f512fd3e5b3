"""``list``, ``state``, ``info``."""

from __future__ import annotations

from typing import Any

import pytest


def test_list_shows_active_domains_as_virsh_does(cli: Any) -> None:
    result = cli("list")
    lines = result.out.splitlines()
    assert lines[0] == " Id   Name    State"
    assert set(lines[1]) == {"-"}
    assert lines[2:4] == [" 1    web     running", " 2    db      paused"]


def test_a_domain_that_cannot_be_asked_is_listed_with_its_error(cli: Any) -> None:
    result = cli("list")
    assert result.code == 1
    assert "stuck   unknown (error[hypervisor.failed]: the monitor does not answer)" in result.out


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("--all", "web db stuck old"),
        ("--inactive", "old"),
        ("--state-running", "web"),
        ("--state-shutoff", "old"),
        ("--state-paused --state-shutoff", "db old"),
        ("--state-other", "stuck"),
        ("--all --autostart", "web"),
        ("--all --no-autostart", "db stuck old"),
        ("--all --transient", "db"),
        ("--all --persistent --autostart --no-autostart", "web stuck old"),
        ("--transient --autostart", ""),
        ("--inactive --state-running", ""),
    ],
)
def test_filters_of_a_kind_widen_and_kinds_narrow(cli: Any, words: str, names: str) -> None:
    assert cli("list", "--name", *words.split()).out.split() == names.split()


def test_an_empty_list_names_the_uri(cli: Any) -> None:
    result = cli("list", "--state-paused", "--autostart")
    assert result.code == 0
    assert result.err == "no domains to show on fake:///default; --all lists those that do not run, too\n"


def test_a_foreign_domain_is_marked(cli: Any) -> None:
    assert "old    shut off (foreign: libvirtd)" in cli("list", "--inactive").out


def test_state_of_one_is_its_word_alone(cli: Any) -> None:
    assert cli("state", "web").out == "running\n"
    assert cli("domstate", "--reason", "--domain", "web").out == "running (booted)\n"


def test_states_of_several_are_named_and_one_failure_leaves_the_others(cli: Any) -> None:
    result = cli("state", "web", "stuck", "old")
    assert result.code == 1
    expected = "web: running\nstuck: error[hypervisor.failed]: the monitor does not answer\nold: shut off\n"
    assert result.out == expected


def test_a_name_that_is_not_there_brings_near_ones(cli: Any) -> None:
    result = cli("state", "wep")
    assert (result.code, result.out) == (1, "")
    assert result.err == "error[domain.not-found]: no domain 'wep'\nhint: did you mean web?\n"
