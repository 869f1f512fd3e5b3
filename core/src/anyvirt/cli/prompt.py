"""The one place where a person is asked for something."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyvirt.auth import Question


def ask(questions: Sequence[Question]) -> dict[str, str]:
    """Answers typed at the terminal, secrets without an echo; none where nobody sits there."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return {}
    from getpass import getpass

    answers = {}
    for question in questions:
        text = f"{question.prompt}: "
        if question.secret:
            answers[question.name] = getpass(text, stream=sys.stderr)
            continue
        print(text, end="", file=sys.stderr, flush=True)
        answers[question.name] = sys.stdin.readline().rstrip("\n")
    return answers


def confirm(text: str) -> bool:
    """Whether the person at the terminal says yes."""
    print(f"{text} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
