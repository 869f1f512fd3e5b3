"""Tables, sizes and progress as people read them."""

from __future__ import annotations

import pytest
from anyvirt.api import Progress
from anyvirt.cli import paper
from anyvirt.cli.invocation import seconds
from anyvirt.cli.jobs import drawn
from anyvirt.cli.sizes import in_bytes
from anyvirt.errors import Invalid
from hypothesis import given
from hypothesis import strategies as st


def test_a_table_is_as_wide_as_its_widest_cells() -> None:
    assert list(paper.table(("Id", "Name"), [(1, "a-long-name"), (None, "b")])) == [
        " Id   Name",
        "-------------------",
        " 1    a-long-name",
        " -    b",
    ]


def test_wide_characters_take_two_columns() -> None:
    lines = list(paper.table(("A", "B"), [("漢字", "x"), ("ab", "y")]))
    assert lines[2:] == [" 漢字   x", " ab     y"]


def test_a_coloured_cell_is_as_wide_as_it_looks() -> None:
    lines = list(paper.table(("A", "B"), [("running", "x"), ("off", "y")], colors={"running": "green"}))
    assert lines[2:] == [" \x1b[32mrunning\x1b[0m   x", " off       y"]


@given(st.text())
def test_nothing_that_controls_a_terminal_gets_through(text: str) -> None:
    assert paper.clean(text).isprintable()


@pytest.mark.parametrize(
    ("number", "text"), [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.000 KiB"), (3 << 40, "3.000 TiB")]
)
def test_sizes(number: int | None, text: str) -> None:
    assert paper.size(number) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [("1024", 1024), ("1k", 1024), ("1K", 1024), ("2MiB", 2 << 20), ("3g", 3 << 30), ("1 T", 1 << 40), ("7B", 7)],
)
def test_sizes_that_are_typed(text: str, number: int) -> None:
    assert in_bytes(text) == number


@pytest.mark.parametrize("text", ["", "k", "1x", "-1", "1.5G", "1kk"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no size"):
        in_bytes(text)


def test_seconds() -> None:
    assert seconds("0.5") == 0.5
    assert seconds("none") is None
    with pytest.raises(Invalid):
        seconds("nan")


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(), ""),
        (Progress(3, None, "steps", "probing"), "probing  3 steps"),
        (
            Progress(1 << 30, 1 << 31, "B", "memory"),
            f"memory       [{'#' * 12}{'.' * 12}]  50%  1.000 GiB of 2.000 GiB",
        ),
        (Progress(1, 4, "steps", "x"), f"x            [{'#' * 6}{'.' * 18}]  25%  1 of 4 steps"),
        (Progress(200, 100, "%", "x"), f"x            [{'#' * 24}] 100%"),
    ],
)
def test_progress_is_one_line(progress: Progress, text: str) -> None:
    assert drawn(progress).strip() == text
