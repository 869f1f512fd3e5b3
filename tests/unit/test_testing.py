from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Settings, impl
from anyvirt.testing import connected, host, recorded, recording
from anyvirt.testing.recorded import exchanges
from anyvirt.transport.run import LocalRun, Output

HEAD = """
import pytest
from anyvirt.testing import needs, proves
from anyvirt.testing.contract import *


@pytest.fixture
def connection_uri():
    return "test:///default"


"""


def suite(folder: Path, text: str, *words: str) -> tuple[int, str]:
    """Run a conformance test as its author would."""
    (folder / "test_it.py").write_text(HEAD + text)
    argv = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--import-mode=importlib"]
    argv += [f"--rootdir={folder}", *words, str(folder / "test_it.py")]
    out = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder, timeout=120)
    return out.returncode, out.stdout


# -- the suite ---------------------------------------------------------------------------------


def test_a_lacking_hook_skips_a_test_by_its_name(tmp_path: Path) -> None:
    text = """
from anyvirt.testing import connected

class Bare:
    pass

@pytest.fixture
def driver():
    return Bare()
"""
    code, out = suite(tmp_path, text, "-k", "test_a_started_domain_was_booted")
    assert code == 0
    assert "the driver has no domain_start" in out
    assert "1 skipped" in out


def test_what_a_kind_of_pool_cannot_do_skips_its_tests_with_the_reason(tmp_path: Path) -> None:
    text = """
@pytest.fixture
def cannot():
    return {"volume_create": "a server makes them", "volume_create_from.reflink": "no blocks are shared"}
"""
    words = "test_a_volume_is_made_with_its_sizes or shares_blocks or is_active_between"
    code, out = suite(tmp_path, text, "-k", words)
    assert code == 0
    assert "no volume_create: a server makes them" in out
    assert "no volume_create_from.reflink: no blocks are shared" in out
    assert "1 passed, 2 skipped" in out


def test_the_ledger_makes_expected_failures_that_are_strict(tmp_path: Path) -> None:
    text = """
@pytest.fixture
def ledger():
    return {
        "test_mine": ("later", "it is not there yet"),
        "test_an_open_connection_is_alive": ("regression", "it was dead"),
    }

@needs("domain_list")
def test_mine(connection):
    assert len(connection.domain_list()) == 7

contract = __import__("anyvirt.testing.contract", fromlist=["x"])
contract.__all__.append("test_mine")
"""
    code, out = suite(tmp_path, text, "-k", "test_mine or is_alive")
    assert code == 1
    assert "XFAIL" in out
    assert "later: it is not there yet" in out
    assert "[XPASS(strict)] regression: it was dead" in out


def test_a_ledger_that_names_no_test_is_a_failure(tmp_path: Path) -> None:
    text = """
@pytest.fixture
def ledger():
    return {"test_that_never_was": ("later", "really")}
"""
    code, out = suite(tmp_path, text, "-k", "is_alive")
    assert code == 1
    assert "the ledger names tests that there are not: test_that_never_was" in out


def test_an_author_is_told_which_fixture_to_give(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("from anyvirt.testing.contract import *\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "is_alive", str(tmp_path)]
    out = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)
    assert out.returncode == 1
    assert "give a fixture connection_uri" in out.stdout


def test_what_passed_is_written_down_and_nothing_else(tmp_path: Path) -> None:
    import json

    text = """
@pytest.fixture
def proven_on():
    return "simulator"

@proves("domain_list")
def test_red(connection):
    assert False
"""
    code, _ = suite(tmp_path, text, "-k", "test_red or is_alive", "--coverage-json", str(tmp_path / "coverage.json"))
    assert code == 1
    written = json.loads((tmp_path / "coverage.json").read_text())
    assert (written["schema"], written["driver"]) == ("coverage/1", "test")
    (row,) = written["proven"]
    assert (row["hook"], row["parameter"], row["test"], row["on"]) == (
        "connect_alive", "", "test_an_open_connection_is_alive", "simulator",
    )  # fmt: skip


# -- recordings --------------------------------------------------------------------------------

TALK = """\
# acmectl 3.1
$ acmectl --json ls
= 0
> [{"id": "7"}]
$ acmectl boot 'a b'
= 44
! no such guest
$ acmectl --json ls
= 0
> []
$ acmectl define -
= 0
< <domain>
<   <name>x</name>
<- </domain>
>- no line's end
"""


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.txt"
    path.write_text(TALK)
    return path


def test_a_recording_answers_in_order_and_repeats_the_last_one(talk: Path) -> None:
    run = recorded(talk)
    said = [run("acmectl", "--json", "ls").text for _ in range(3)]
    assert said == ['[{"id": "7"}]\n', "[]\n", "[]\n"]
    out = run("acmectl", "boot", "a b")
    assert (out.code, out.err) == (44, b"no such guest\n")
    assert run.asked[-1] == ("acmectl", "boot", "a b")


def test_a_recording_minds_what_a_command_was_given(talk: Path) -> None:
    run = recorded(talk)
    out = run("acmectl", "define", "-", input="<domain>\n  <name>x</name>\n</domain>")
    assert out.out == b"no line's end"
    with pytest.raises(AssertionError, match="has no answer to: acmectl define -"):
        run("acmectl", "define", "-", input="<other/>")
    assert run.unasked == ["acmectl --json ls", "acmectl boot 'a b'", "acmectl --json ls"]


def test_a_command_that_was_never_recorded_fails_and_names_those_that_were(talk: Path) -> None:
    with pytest.raises(AssertionError, match="it knows:\nacmectl --json ls"):
        recorded(talk)("acmectl", "reset")


def test_a_line_without_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        list(exchanges("$ x\nrubbish\n"))


def test_what_is_recorded_plays_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sh.txt"
    live = recording(path, LocalRun(Settings.read()), "sh of this machine")
    script = "cat; echo '# no comment'; printf 'two\\nlines'; echo oops >&2; exit 3"
    asked: list[tuple[tuple[str, ...], str]] = [
        (("sh", "-c", script), "given\n\nin"),
        (("sh", "-c", "true"), ""),
        (("sh", "-c", "echo '$ x'"), ""),
    ]
    first = [live(*argv, input=given) for argv, given in asked]
    live.close()
    assert path.read_text().startswith("# sh of this machine\n")
    played = recorded(path)
    for out, (argv, given) in zip(first, asked, strict=True):
        again = played(*argv, input=given)
        assert (again.code, again.out, again.err) == (out.code, out.out, out.err)
    assert played.unasked == []


@pytest.mark.parametrize(
    "word",
    ["two\nlines", "\n", "it's\n\n'quoted'", "carriage\rreturn\r\n", "\x0b\x0c\x1c\x85\u2028", "# no remark", " "],
)
def test_a_recording_keeps_every_word_and_every_byte(tmp_path: Path, word: str) -> None:
    path = tmp_path / "odd-1.txt"

    def tool(*argv: str, **given: Any) -> Output:
        return Output(3, word.encode(), b"\xff\x00\n" + given["input"])

    live = recording(path, tool, "odd 1")
    said = live("tool", word, "-c", f"{word}; exit", input=word.encode())
    live.close()
    again = recorded(path)("tool", word, "-c", f"{word}; exit", input=word.encode())
    assert (again.code, again.out, again.err) == (said.code, said.out, said.err)


def test_a_driver_runs_on_a_recording(talk: Path) -> None:
    class Listing:
        def __init__(self, run: object) -> None:
            self.run = run

        @impl
        def connect_alive(self) -> bool:
            return bool(self.run("acmectl", "--json", "ls").text)  # type: ignore[operator]

    there = host("acme:///", run=recorded(talk))
    assert connected(Listing(there.run), "acme:///", on=there).connect_alive()
