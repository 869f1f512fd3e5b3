"""From settings to the text of a VMX file; pure."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Problem, line, path_of

SPECIAL: Final = re.compile(r'[\x00-\x1f\x7f"|]')
NAMED: Final = str.maketrans({"%": "%25", "/": "%2f", "\\": "%5c"})


def escaped(text: str) -> str:
    """Text as it can stand between quotes: ``|XX`` for quotes, bars and control characters."""
    return SPECIAL.sub(lambda found: f"|{ord(found[0]):02X}", text)


def percented(name: str) -> str:
    """A name as the inventory writes it: ``%XX`` for percent signs, slashes and backslashes."""
    return name.translate(NAMED)


class Lines:
    """Settings in the order in which they are written, and what the format cannot say.

    :param hardware: version of the virtual hardware.
    """

    def __init__(self, hardware: int) -> None:
        self.hardware = hardware
        self.problems: list[Problem] = []
        self._found: dict[str, str] = {}

    def put(self, key: str, value: str | int | bool) -> None:
        """Write a setting."""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        self._found[key] = escaped(text)

    def refuse(self, x: Any, field: str, text: str, hint: str, code: str = "unsupported.config") -> None:
        """Say what the format cannot say, by the element's path."""
        self.problems.append(Problem(code, path_of(x, field), line(x, field), text, hint))

    def text(self) -> str:
        """The whole file."""
        return "".join(f'{key} = "{value}"\n' for key, value in self._found.items())
