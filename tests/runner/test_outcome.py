"""What the test runner makes of a section that ended: it must not call good what is not."""

from __future__ import annotations

import json
from pathlib import Path

import outcome as judged
import pytest
from outcome import Outcome, fallen, idle_labs, outcome, unlisted, write_figures
from run_tests import report
from sections import Section

CASES = Section("unit", ("pytest",), cases=True)
REPORT = """<testsuites><testsuite>
<testcase name="a"/>
<testcase name="b"><failure message="no"/></testcase>
<testcase name="c"><error message="no fixture"/></testcase>
<testcase name="d"><skipped type="pytest.skip" message="no KVM"/></testcase>
<testcase name="e"><skipped type="pytest.skip" message="no KVM"/></testcase>
<testcase name="f"><skipped type="pytest.xfail" message="in the ledger"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tests" / "lab").mkdir(parents=True)
    (tmp_path / "tests" / "skips.txt").write_text("# machine\nno KVM\nneeds *\n", encoding="utf-8")
    (tmp_path / "tests" / "lab" / "required.txt").write_text("qemu\n", encoding="utf-8")
    (tmp_path / "tests" / "figures.json").write_text('{"passed": {"unit": 5}, "mutants": {}}', encoding="utf-8")
    monkeypatch.setattr(judged, "ROOT", tmp_path)
    return tmp_path / "tests" / "figures.json"


def _report(folder: Path, text: str = REPORT) -> Path:
    path = folder / "report.xml"
    path.write_text(text, encoding="utf-8")
    return path


def test_cases_are_counted_by_how_they_ended(tmp_path: Path) -> None:
    result = outcome(CASES, 1, 2.0, _report(tmp_path))
    assert (result.passed, result.failed, result.expected) == (1, 2, 1)
    assert result.skipped == {"no KVM": 2}
    assert not result.good


def test_a_section_without_a_report_is_not_good(tmp_path: Path) -> None:
    assert outcome(CASES, 0, 2.0, tmp_path / "none.xml").problems == ["ended with 0 and no report"]


def test_a_section_that_collects_nothing_is_not_good(tmp_path: Path) -> None:
    result = outcome(CASES, 5, 2.0, _report(tmp_path, "<testsuites/>"))
    assert result.problems == ["pytest ended with 5"]


def test_a_section_that_was_killed_is_not_good(tmp_path: Path) -> None:
    result = outcome(CASES, None, 600.0, _report(tmp_path, "<testsuites/>"))
    assert result.problems == ["killed after 600 s"]


def test_a_command_is_one_case() -> None:
    assert outcome(Section("lint", ("ruff",)), 0, 1.0, Path("none")).passed == 1
    assert outcome(Section("lint", ("ruff",)), 1, 1.0, Path("none")).failed == 1


@pytest.mark.parametrize(("reason", "listed"), [("no KVM", True), ("needs domain_start", True), ("flaky", False)])
def test_a_skip_counts_as_one_only_for_a_listed_reason(committed: Path, reason: str, listed: bool) -> None:
    result = Outcome(CASES, 1.0, passed=1)
    result.skipped[reason] += 1
    assert (unlisted([result]) == []) is listed
    assert (report([result], 1.0, whole=False) == 0) is listed


def test_a_required_lab_in_which_nothing_passed_is_idle(committed: Path) -> None:
    lab = Section("lab-guest", ("pytest",), cases=True, lab="qemu")
    assert idle_labs([Outcome(lab, 1.0)]) == ["qemu"]
    assert idle_labs([Outcome(lab, 1.0, passed=1)]) == []


def test_fewer_passed_than_committed_is_a_fall_and_more_is_not(committed: Path) -> None:
    assert fallen([Outcome(CASES, 1.0, passed=4)], committed) == ["unit: 5 passed, 4 now"]
    assert fallen([], committed) == ["unit: 5 passed, 0 now"]
    assert fallen([Outcome(CASES, 1.0, passed=6)], committed) == []


def test_writing_the_figures_keeps_the_other_ones(committed: Path) -> None:
    write_figures([Outcome(CASES, 1.0, passed=9), Outcome(Section("lint", ("ruff",)), 1.0, passed=1)], committed)
    assert json.loads(committed.read_text(encoding="utf-8")) == {"passed": {"unit": 9}, "mutants": {}}


def test_the_last_line_is_the_count(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert report([outcome(CASES, 1, 2.0, _report(tmp_path))], 2.0, whole=False) == 1
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert last.split(", ")[0] == "2 passed"
    assert last.endswith("2 skipped")
