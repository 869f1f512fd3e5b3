"""What a section came to: counts, skips with their reasons, and whether those reasons are allowed."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from sections import ROOT, Section

# A failure that the driver's ledger expects: pytest's own type for it in the report.
_EXPECTED: Final = "pytest.xfail"


@dataclass
class Outcome:
    """How one section ended. ``problems`` are failures of the section itself, not of a case in it."""

    section: Section
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing failed."""
        return not self.failed and not self.problems


def outcome(section: Section, code: int | None, seconds: float, report: Path) -> Outcome:
    """Judge an ended command.

    :param code: exit status; None where it was killed for taking too long
    :param report: pytest's JUnit report, for a section of cases
    """
    result = Outcome(section, seconds)
    if code is None:
        result.problems.append(f"killed after {seconds:.0f} s")
    if not section.cases:
        result.passed, result.failed = (1, 0) if code == 0 else (0, 1)
        return result
    if not report.exists():
        result.problems.append(f"ended with {code} and no report")
        return result
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314  # written by our own pytest
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif skip is None:
            result.passed += 1
        elif skip.get("type") == _EXPECTED:
            result.expected += 1
        else:
            result.skipped[skip.get("message", "no reason given")] += 1
    if code and not result.failed:
        result.problems.append(f"pytest ended with {code}")
    return result


def unlisted(results: list[Outcome]) -> list[str]:
    """The reasons of skips that no line of ``tests/skips.txt`` allows."""
    allowed = _lines(ROOT / "tests" / "skips.txt")
    reasons = sorted({reason for result in results for reason in result.skipped})
    return [reason for reason in reasons if not any(fnmatch.fnmatchcase(reason, line) for line in allowed)]


def idle_labs(results: list[Outcome]) -> list[str]:
    """The labs on ``tests/lab/required.txt`` in which nothing passed."""
    ran = {result.section.lab for result in results if result.passed}
    return [lab for lab in _lines(ROOT / "tests" / "lab" / "required.txt") if lab not in ran]


def fallen(results: list[Outcome], figures: Path) -> list[str]:
    """The sections with fewer passed cases than the committed figure; a section that did not run has none."""
    now = {result.section.name: result.passed for result in results}
    return [
        f"{name}: {passed} passed, {now.get(name, 0)} now"
        for name, passed in json.loads(figures.read_text(encoding="utf-8"))["passed"].items()
        if now.get(name, 0) < passed
    ]


def write_figures(results: list[Outcome], figures: Path) -> None:
    """Put down what passed now as what has to pass from now on."""
    kept = json.loads(figures.read_text(encoding="utf-8"))
    kept["passed"] |= {result.section.name: result.passed for result in results if result.section.cases}
    figures.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
