"""The program itself, as a process: what it loads, how it ends, what a shell completes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# what takes longer to import than a list of domains takes to print
HEAVY = ("anyvirt.model.domain", "anyvirt.model.xml", "asyncio", "importlib_metadata", "lxml", "rich", "ssl", "typer")
PROGRAM = [sys.executable, "-m", "anyvirt.cli.main"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANYVIRT_", "XDG_"))}
    return {**kept, "HOME": str(tmp_path), "ANYVIRT_URI": "test:///default", "COLUMNS": "80"}


def run(environ: dict[str, str], *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], env=environ, capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize("line", ["list --all", "state test", "shutdown test", "uri"])
def test_what_is_done_all_day_loads_nothing_heavy(line: str, environ: dict[str, str]) -> None:
    run(environ, "uri")  # the list of installed plug-ins is kept from the first time on
    source = (
        "import json, sys; from anyvirt.cli import main; code = main.main(sys.argv[1:]);"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    argv = [sys.executable, "-c", source, *line.split()]
    argv_first = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    assert argv_first.returncode == 0
    loaded = json.loads(done.stderr.splitlines()[-1])
    assert [name for name in loaded if name in HEAVY] == []


def test_help_loads_no_driver_no_model_and_no_rich(environ: dict[str, str]) -> None:
    source = (
        "import json, sys\nfrom anyvirt.cli import main\ncode = main.main(['--help'])\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", source], env=environ, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stderr))
    assert not loaded & {"rich", "lxml", "anyvirt_test", "anyvirt.session", "anyvirt.cli.listing"}


def test_ctrl_c_ends_it_with_130_and_no_words(environ: dict[str, str]) -> None:
    heard = ["env", "--default-signal=INT"]  # what runs in a shell's background is deaf to Ctrl-C
    process = subprocess.Popen([*heard, *PROGRAM, "events", "--json"], env=environ, stdout=-1, stderr=-1)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_a_reader_that_has_seen_enough_hears_no_complaint(environ: dict[str, str]) -> None:
    ours, theirs = os.pipe()
    process = subprocess.Popen([*PROGRAM, "stats"], env=environ, stdout=theirs, stderr=-1)
    os.close(theirs)
    os.close(ours)
    _out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, b"")


def test_output_that_cannot_be_written_is_a_failure(environ: dict[str, str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "uri"], env=environ, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error[file.no-space]: what was found cannot be written: No space left on device")
    assert "Traceback" not in done.stderr


def test_a_variable_that_cannot_be_meant_is_named(environ: dict[str, str]) -> None:
    done = run({**environ, "ANYVIRT_TIMEOUT": "soon"}, "list")
    assert done.returncode == 2
    assert done.stderr.startswith("error[invalid]: ANYVIRT_TIMEOUT is 'soon'")


def test_a_scheme_that_nobody_serves_says_what_to_install(environ: dict[str, str]) -> None:
    done = run(environ, "-c", "acme:///", "list")
    assert done.returncode == 1
    assert "error[connect.no-driver]" in done.stderr
    assert "pip install anyvirt-acme" in done.stderr


def test_state_lasts_across_processes_when_told(environ: dict[str, str], tmp_path: Path) -> None:
    uri = f"test:///default?state={tmp_path}/state"
    assert run(environ, "-c", uri, "shutdown", "test").stdout == "Domain 'test' is being shutdown\n"
    assert run(environ, "-c", uri, "wait", "test", "--timeout", "10").returncode == 0
    assert run(environ, "-c", uri, "list", "--all", "--name").stdout == "test\n"
    assert run(environ, "-c", uri, "start", "test").returncode == 0
    assert "running" in run(environ, "-c", uri, "domstate", "test").stdout


def test_version_is_printed(environ: dict[str, str]) -> None:
    assert run(environ, "--version").stdout.startswith("anyvirt ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_each_shell(shell: str, environ: dict[str, str]) -> None:
    done = run({**environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}, "--show-completion", shell)
    assert done.returncode == 0
    assert "_ANYVIRT_COMPLETE" in done.stdout


def complete(environ: dict[str, str], line: str) -> list[str]:
    words = {"_ANYVIRT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    return run({**environ, **words}).stdout.split()


def test_commands_options_and_domain_names_complete(environ: dict[str, str]) -> None:
    assert complete(environ, "anyvirt sta") == ["start", "state", "stats"]
    assert complete(environ, "anyvirt list --state-p") == ["--state-paused"]
    assert complete(environ, "anyvirt start te") == ["test"]
    assert complete(environ, "anyvirt pool def") == ["define", "define-as"]
    assert complete(environ, "anyvirt help sc") == ["schema"]


def test_words_and_names_of_other_things_complete(environ: dict[str, str]) -> None:
    assert complete(environ, "anyvirt pool info def") == ["default-pool"]
    assert complete(environ, "anyvirt net info -c test:///default d") == ["default"]
    assert complete(environ, "anyvirt shutdown test --mode a") == ["acpi", "agent"]
    assert complete(environ, "anyvirt dumpxml test --format y") == ["yaml"]
    assert complete(environ, "anyvirt wait test --state cr") == ["crashed"]


def test_volumes_and_secrets_complete(environ: dict[str, str], tmp_path: Path) -> None:
    uri = f"test:///default?state={tmp_path / 'host'}"
    assert run(environ, "-c", uri, "vol", "create-as", "default-pool", "disk", "1M").returncode == 0
    (tmp_path / "secret.xml").write_text("<secret><usage type='tls'><name>pki</name></usage></secret>")
    assert run(environ, "-c", uri, "secret", "define", str(tmp_path / "secret.xml")).returncode == 0
    assert complete(environ, f"anyvirt vol info -c {uri} d") == ["disk"]
    assert complete(environ, f"anyvirt vol info -c {uri} --pool default-pool d") == ["disk"]
    assert complete(environ, f"anyvirt secret info -c {uri} p") == ["pki"]
    assert complete(environ, "anyvirt vol wipe x --algorithm pf") == ["pfitzner7", "pfitzner33"]
    assert complete(environ, "anyvirt secret set-value x --keeper k") == ["keyring"]


def test_drivers_lists_what_is_installed(environ: dict[str, str]) -> None:
    rows = {row["name"]: row for row in json.loads(run(environ, "--json", "drivers").stdout)["drivers"]}
    assert rows["test"]["distribution"] == "anyvirt-test"
    assert "domain_start" in rows["test"]["hooks"]
    assert rows["test"]["error"] == ""


def test_coverage_grades_each_function_of_libvirts_driver(environ: dict[str, str]) -> None:
    done = json.loads(run(environ, "--json", "drivers", "--coverage").stdout)
    row = next(row for row in done["drivers"] if row["name"] == "test")
    grades = [function["grade"] for function in row["functions"]]
    assert (row["covered"], row["partly"], row["not"]) == tuple(map(grades.count, ("covered", "partly", "not")))
    table = run(environ, "drivers", "--coverage").stdout
    assert [line.split()[2:6] for line in table.splitlines() if line.startswith(" test ")] == [
        [str(number) for number in (len(grades), row["covered"], row["partly"], row["not"])]
    ]


def test_a_line_whose_streams_are_closed_is_run_all_the_same(environ: dict[str, str]) -> None:
    argv = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *PROGRAM, "list"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
