"""The quick parser: whatever it settles, Typer settles the same way."""

from __future__ import annotations

import pytest
from anyvirt.cli import main
from anyvirt.cli._index import COMMANDS
from anyvirt.cli.parse import GLOBALS, Entry, Param, quick, respelled
from hypothesis import example, given, settings
from hypothesis import strategies as st

VALUES = st.sampled_from(["web", "7", "-", "a b", "", "0.5", "--", "-1", "x=y", "é", "1e3", "--json=1", "-cx"])


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command line that is mostly right."""
    path = draw(st.sampled_from(sorted(COMMANDS)))
    params = [Param(*row) for row in Entry(*COMMANDS[path]).params]
    flags = sorted({flag for param in params for flag in param.flags} | GLOBALS.keys() - {"--debug"})
    word = st.one_of(VALUES, st.sampled_from(flags), st.builds("{}={}".format, st.sampled_from(flags), VALUES))
    fitting = [draw(VALUES) for param in params if not param.flags and (param.required or draw(st.booleans()))]
    before = draw(st.sampled_from([[], ["--json"], ["-c", "test:///"], ["--timeout=3"], ["-q", "-r"], ["--timeout"]]))
    return [*before, *path.split(), *fitting, *draw(st.lists(word, max_size=4))]


@given(lines())
@example(["--timeout=3", "host", "capabilities", "--timeout="])
@settings(max_examples=400, deadline=None)
def test_what_the_table_settles_typer_settles_the_same_way(words: list[str]) -> None:
    found = quick(words, COMMANDS)
    if found is not None:
        assert main.with_typer(words) == found


def test_most_lines_need_no_typer() -> None:
    for line in ("list --all", "-c test:///default list", "start web --paused", "state web db", "pool list --all"):
        assert quick(line.split(), COMMANDS) is not None


@pytest.mark.parametrize(
    "line",
    ["", "lst", "list --al", "list extra", "start", "state --help", "--timeout", "-ctest:/// list", "wait web --state"],
)
def test_doubtful_lines_are_left_to_typer(line: str) -> None:
    assert quick(line.split(), COMMANDS) is None


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("domstate --domain web", "domstate web"),
        ("start --paused --domain=web", "start web --paused"),
        ("vol-info --vol disk --pool default", "vol-info disk --pool default"),
        ("vol-create --file f.xml --pool default", "vol-create default f.xml"),
        ("domrename --domain a --new-name b", "domrename a b"),
        ("domxml-to-native json --domain web", "domxml-to-native json web"),
        ("domxml-to-native --domain web json", "domxml-to-native json web"),
        ("domxml-to-native --json --timeout 3 --domain web json", "domxml-to-native json web --json --timeout 3"),
        ("domxml-to-native --domain web --format json", "domxml-to-native json web"),
        ("domxml-to-native --domain web -- json", "domxml-to-native json web --"),
        ("events --domain web", "events --domain web"),
        ("state -- --domain", "state -- --domain"),
        ("-c test:/// pool-info --pool default", "-c test:/// pool-info default"),
        ("nonsense --domain web", "nonsense --domain web"),
    ],
)
def test_virsh_named_arguments_are_positional_ones(line: str, same: str) -> None:
    assert respelled(line.split(), COMMANDS) == same.split()
