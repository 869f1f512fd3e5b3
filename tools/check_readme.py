"""Run the ``console`` blocks of README.md in an empty home and compare what they print; volatile things are masked.

``python tools/check_readme.py`` fails with the first difference.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
MASKS: Final = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"deadline passed \(.*\)"), "deadline passed (...)"),  # who notices first says what it waited for
)
MARK: Final = "__anyvirt_tour__"


@dataclass(frozen=True)
class Step:
    """One command and what stands under it."""

    line: int
    command: str
    output: str


def steps(text: str) -> list[Step]:
    """The commands of all ``console`` blocks, in order."""
    found: list[Step] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append(Step(number, line[2:], ""))
        elif inside and found:
            last = found[-1]
            found[-1] = Step(last.line, last.command, f"{last.output}{line}\n")
    return found


def run(wanted: list[Step], folder: str) -> list[str]:
    """What each command printed, both streams together, in one shell."""
    script = "".join(f"{step.command}\necho {MARK}\n" for step in wanted)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"HOME": folder, "PATH": path, "LC_ALL": "C.UTF-8", "COLUMNS": "100"}
    done = subprocess.run(
        ["sh"],
        input=script,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.split(f"{MARK}\n")


def masked(text: str) -> str:
    """Without what differs from run to run, and without blanks at the end of lines."""
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def main() -> int:
    """Compare; 1 and the difference where there is one."""
    wanted = steps((ROOT / "README.md").read_text())
    with tempfile.TemporaryDirectory() as folder:
        got = run(wanted, folder)
    wrong = 0
    for step, text in zip(wanted, got, strict=False):
        if masked(step.output) != masked(text):
            wrong += 1
            print(f"README.md:{step.line}: $ {step.command}\n--- stands there\n{step.output}--- was printed\n{text}")
    print(f"{len(wanted)} commands of README.md were run, {wrong} print something else")
    return 1 if wrong or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
