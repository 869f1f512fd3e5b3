"""Run everything that can run on this machine, in two lanes.

What ran, what it took, what was skipped and why stands at the end; the last line is the count.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from outcome import Outcome, fallen, idle_labs, outcome, unlisted, write_figures
from sections import BUDGETS, ROOT, WALL, Section, everything, labs

LOGS: Final = ROOT / ".nox" / "tests"
FIGURES: Final = ROOT / "tests" / "figures.json"
LANES: Final = 2
SLACK: Final = 1.4  # machines differ, one by a fifth from run to run: a budget is exceeded at this much of it
TAIL: Final = 60


class Lanes:
    """Runs sections side by side, each lane taking the next one that waits."""

    def __init__(self, sections: Iterable[Section]) -> None:
        self.results: list[Outcome] = []
        self._waiting: queue.SimpleQueue[Section] = queue.SimpleQueue()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._print = threading.Lock()
        for section in sections:
            self._waiting.put(section)

    def run(self) -> None:
        """Run all; an interrupt ends what runs and drops what waits."""
        lanes = [threading.Thread(target=self._lane, args=(number,), daemon=True) for number in range(1, LANES + 1)]
        for lane in lanes:
            lane.start()
        try:
            for lane in lanes:
                lane.join()
        finally:
            for process in list(self._running):
                _end(process)

    def _lane(self, number: int) -> None:
        while True:
            try:
                section = self._waiting.get_nowait()
            except queue.Empty:
                return
            result = self._one(section)
            self.results.append(result)
            with self._print:
                print(f"lane {number}  {_line(result)}", flush=True)
                if not result.good:
                    print(_tail(LOGS / f"{section.name}.log"), flush=True)

    def _one(self, section: Section) -> Outcome:
        report, left = LOGS / f"{section.name}.xml", LOGS / f"{section.name}.left"
        report.unlink(missing_ok=True)
        left.unlink(missing_ok=True)
        argv = [sys.executable, "tools/reaper.py", str(left), *section.argv]
        argv += [f"--junit-xml={report}"] if section.cases else []
        began = time.monotonic()
        code: int | None = None
        with (LOGS / f"{section.name}.log").open("wb") as log:
            process = subprocess.Popen(
                argv,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
            try:
                code = process.wait(section.limit)
            except subprocess.TimeoutExpired:
                _end(process)
            self._running.discard(process)
        result = outcome(section, code, time.monotonic() - began, report)
        outlived = left.read_text(encoding="utf-8").splitlines() if left.exists() else []
        result.problems += [f"still ran at the end: {line}" for line in outlived]
        return result


def main() -> int:
    """Parse, run, report; 1 where anything failed, in CI also where too little ran or took too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the sections and stop")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="run these sections alone")
    parser.add_argument("--lab", action="store_true", help="each lab, also the slow ones, and the second QEMU")
    parser.add_argument("--write-figures", action="store_true", help="commit to what passed now")
    chosen = parser.parse_args()
    sections = labs() if chosen.lab else everything()
    if chosen.list:
        print("\n".join(section.name for section in sections))
        return 0
    if chosen.only:
        unknown = set(chosen.only) - {section.name for section in sections}
        if unknown:
            parser.error(f"no section {', '.join(sorted(unknown))}; --list names them")
        sections = [section for section in sections if section.name in chosen.only]
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    lanes = Lanes(sections)
    lanes.run()
    results = sorted(lanes.results, key=lambda result: sections.index(result.section))
    whole = not chosen.only and not chosen.lab
    if whole and chosen.write_figures:
        write_figures(results, FIGURES)
    return report(results, time.monotonic() - began, whole=whole)


def report(results: list[Outcome], wall: float, *, whole: bool) -> int:
    """Print the closing summary, count last.

    :param whole: everything ran, so that what is missing from it is a failure in CI
    """
    skips: Counter[str] = sum((result.skipped for result in results), Counter())
    problems = [f"{result.section.name}: {problem}" for result in results for problem in result.problems]
    problems += [f"skipped for a reason that tests/skips.txt does not allow: {reason}" for reason in unlisted(results)]
    strict = [*_over(results, wall), *_missing(results)] if whole else []
    print(f"\n{'section':<16} {'seconds':>8} {'passed':>7} {'failed':>7} {'skipped':>8} {'expected failures':>18}")
    for result in sorted(results, key=lambda result: -result.seconds):
        counts = f"{result.passed:>7} {result.failed:>7} {result.skipped.total():>8} {result.expected:>18}"
        print(f"{result.section.name:<16} {result.seconds:>8.1f} {counts}")
    for area, seconds in _areas(results).items():
        print(f"{area}: {seconds:.0f} of {BUDGETS[area]} lane-seconds, {wall:.0f} s on the clock")
    print("\nskipped, with the reason:" if skips else "\nnothing was skipped")
    for reason, times in sorted(skips.items()):
        print(f"  {times:>4} x {reason}")
    if strict:
        print("\nfails in CI:" if "CI" not in os.environ else "\nnot good enough:")
        print("\n".join(f"  {line}" for line in strict))
    if problems:
        print("\nproblems:\n" + "\n".join(f"  {line}" for line in problems))
    failed = sum(result.failed for result in results) + len(problems) + (len(strict) if "CI" in os.environ else 0)
    passed = sum(result.passed + result.expected for result in results)
    print(f"\n{passed} passed, {failed} failed, {skips.total()} skipped", flush=True)
    return 1 if failed else 0


def _missing(results: list[Outcome]) -> list[str]:
    return [
        *(f"the lab {lab} is required and nothing passed in it" for lab in idle_labs(results)),
        *(f"fewer passed than tests/figures.json says: {line}" for line in fallen(results, FIGURES)),
    ]


def _over(results: list[Outcome], wall: float) -> list[str]:
    spent = _areas(results).items()
    over = [
        f"{area} took {took:.0f} s of lanes, over {BUDGETS[area]}"
        for area, took in spent
        if took > BUDGETS[area] * SLACK
    ]
    return [*over, f"all took {wall:.0f} s, over {WALL}"] if wall > WALL else over


def _areas(results: list[Outcome]) -> dict[str, float]:
    areas: dict[str, float] = {}
    for result in results:
        areas[result.section.area] = areas.get(result.section.area, 0.0) + result.seconds
    return areas


def _line(result: Outcome) -> str:
    counts = f"{result.passed} passed, {result.failed} failed, {result.skipped.total()} skipped"
    word = "ok  " if result.good else "FAIL"
    return (
        f"{word} {result.section.name:<16} {result.seconds:6.1f} s  {counts if result.section.cases else ''}".rstrip()
    )


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
    return "\n".join(f"    | {line}" for line in lines) + f"\n    ({log.relative_to(ROOT)})"


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


if __name__ == "__main__":
    sys.exit(main())
