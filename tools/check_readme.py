"""Run the ``console`` blocks of the README and of pages of the documentation, and compare what they print.

``python tools/check_readme.py`` fails with what differs; ``--write`` writes what was printed into the pages.
Each page has an empty home of its own; a page of the documentation finds what lies beside it there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
# Pages, and the folder beside each that its commands read.
PAGES: Final = (("README.md", ""), ("docs/documents.rst", "docs/broken"), ("docs/storage-tour.rst", ""))
MASKS: Final = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"\d+(\.\d+)? KiB"), "SIZE"),  # what an image takes is the file system's to say
    (re.compile(r" {2,}|-{3,}"), "  "),  # so wide is what stands in the column
    (re.compile(r"deadline passed \(.*\)"), "deadline passed (...)"),  # who notices first says what it waited for
)
HOME: Final = "/home/mary/files"  # as long as most homes of a run
MARK: Final = "__anyvirt_tour__"
OPENINGS: Final = ("```console", ".. code-block:: console")


@dataclass
class Step:
    """One command, and the lines from ``line`` on that stand under it."""

    line: int
    indent: str
    command: str
    output: list[str]

    @property
    def text(self) -> str:
        return "".join(f"{line.removeprefix(self.indent)}\n" for line in self.output)


def steps(lines: list[str]) -> list[Step]:
    """The commands of all ``console`` blocks, in order."""
    found: list[Step] = []
    inside, indent = False, ""
    for number, line in enumerate(lines):
        if line in OPENINGS:
            inside, indent = True, "" if line.startswith("`") else "   "
        elif inside and (line.startswith("```") if not indent else line and not line.startswith(indent)):
            inside = False
        elif inside and line.startswith(f"{indent}$ "):
            found.append(Step(number + 1, indent, line.removeprefix(f"{indent}$ "), []))
        elif inside and found and found[-1].line + len(found[-1].output) == number:
            found[-1].output.append(line)
    for step in found:
        while step.output and not step.output[-1].strip():
            step.output.pop()
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


def checked(name: str, beside: str, *, write: bool) -> int:
    """The number of commands of a page that print something else; written down there with ``write``."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    wanted = steps(lines)
    with tempfile.TemporaryDirectory() as folder:
        if beside:
            shutil.copytree(ROOT / beside, Path(folder, Path(beside).name))
        got = run(wanted, folder)
    got = [text.replace(folder, HOME) for text in got]
    different = [(step, text) for step, text in zip(wanted, got, strict=False) if masked(step.text) != masked(text)]
    for step, text in reversed(different):
        if write:
            lines[step.line : step.line + len(step.output)] = [
                f"{step.indent}{line}".rstrip() for line in text.splitlines()
            ]
        else:
            print(f"{name}:{step.line}: $ {step.command}\n--- stands there\n{step.text}--- was printed\n{text}")
    if write:
        (ROOT / name).write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(wanted)} commands of {name} were run, {len(different)} print something else")
    return len(different) if wanted else 1


def main() -> int:
    """Compare; 1 and the differences where there are some."""
    write = "--write" in sys.argv[1:]
    wrong = [checked(name, beside, write=write) for name, beside in PAGES]
    return int(any(wrong) and not write)


if __name__ == "__main__":
    sys.exit(main())
