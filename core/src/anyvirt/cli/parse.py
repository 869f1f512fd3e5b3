"""Parsing without Typer: what the table of commands settles beyond doubt, and nothing else.

Typer takes longer to import than a list of domains takes to print. The table is made from
Typer's own commands; whatever it does not settle (help, completion, mistakes, rare
spellings) is left to Typer, which sees the same words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from anyvirt.cli.invocation import Globals

GLOBALS: Final[dict[str, tuple[str, bool]]] = {  # flag -> (field, whether it takes a value)
    "-c": ("connect", True),
    "--connect": ("connect", True),
    "--timeout": ("timeout", True),
    "--json": ("json", False),
    "-r": ("readonly", False),
    "--readonly": ("readonly", False),
    "-q": ("quiet", False),
    "--quiet": ("quiet", False),
    "--debug": ("debug", False),
}


class Param(NamedTuple):
    """One parameter of a command.

    :param flags: what it is called on the line; none for a positional argument.
    :param kind: ``bool``, ``str``, ``int`` or ``float``; ``other`` is left to Typer.
    :param many: takes any number of values.
    """

    name: str
    flags: tuple[str, ...]
    kind: str
    many: bool
    required: bool
    default: Any


class Entry(NamedTuple):
    """One command: where its function is, and what may follow its name."""

    module: str
    function: str
    help: str
    hidden: bool
    params: tuple[Param, ...]


@dataclass
class Parsed:
    """A command line, understood."""

    module: str
    function: str
    options: Globals = field(default_factory=Globals)
    arguments: dict[str, Any] = field(default_factory=dict)


class Doubt(Exception):
    """The table does not settle this line."""


def respelled(words: Sequence[str], table: Mapping[str, tuple[Any, ...]]) -> list[str]:
    """The same line with virsh's ``--domain NAME`` as the positional argument that it stands for."""
    words = list(words)
    path, at = _command(words, table)
    if path is None:
        return words
    params = [Param(*row) for row in Entry(*table[path]).params]
    flags = {flag: param.kind != "bool" for param in params for flag in param.flags}
    flags |= {flag: wants for flag, (_, wants) in GLOBALS.items()}
    names = [_spelled(param) for param in params if not param.flags]
    given: dict[str, str] = {}
    rest: list[str] = []
    tail = iter(words[at:])
    for word in tail:
        name, equals, value = word.partition("=")
        name = name if name in flags else name.lower()  # virsh has --srcSpec
        if name not in names or name in flags or name in given:
            rest.append(word)
            if word == "--":
                rest.extend(tail)
            continue
        given[name] = value if equals else next(tail, "")
    return [*words[:at], *_ordered(names, given, rest, flags), *rest]


def _ordered(names: list[str], given: Mapping[str, str], rest: list[str], flags: Mapping[str, bool]) -> list[str]:
    """Positional arguments up to the last that is given by its name; others are taken out of ``rest``."""
    found: list[str] = []
    last = max((names.index(name) for name in given), default=-1)
    for name in names[: last + 1]:
        place = None if name in given else _place(rest, flags)
        if name in given:
            found.append(given[name])
        elif place is not None:
            found.append(rest.pop(place))
    return found


def _place(words: list[str], flags: Mapping[str, bool]) -> int | None:
    """Where the first positional argument stands; None where there is none."""
    at = 0
    while at < len(words):
        if words[at] == "--":
            return at + 1 if at + 1 < len(words) else None
        if not words[at].startswith("-") or words[at] == "-":
            return at
        at += 2 if flags.get(words[at]) else 1
    return None


def _spelled(param: Param) -> str:
    name = param.name.removesuffix("s") if param.many else param.name
    return f"--{name.replace('_', '-')}"


def quick(words: Sequence[str], table: Mapping[str, tuple[Any, ...]]) -> Parsed | None:
    """The line as the table has it, or None where Typer has to look."""
    try:
        return _parsed(list(words), table)
    except Doubt:
        return None


def _command(words: Sequence[str], table: Mapping[str, tuple[Any, ...]]) -> tuple[str | None, int]:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        takes = GLOBALS.get(words[at].partition("=")[0])
        if takes is None:
            return None, at
        at += 2 if takes[1] and "=" not in words[at] else 1
    for length in (2, 1):
        path = " ".join(words[at : at + length])
        if path in table and path.count(" ") == length - 1:
            return path, at + length
    return None, at


def _parsed(words: list[str], table: Mapping[str, tuple[Any, ...]]) -> Parsed:
    path, at = _command(words, table)
    if path is None:
        raise Doubt
    entry = Entry(*table[path])
    params = [Param(*row) for row in entry.params]
    flags = {flag: param for param in params for flag in param.flags}
    parsed = Parsed(entry.module, entry.function)
    places: list[str] = []
    _options(words[: at - path.count(" ") - 1], {}, parsed, [])
    _options(words[at:], flags, parsed, places)
    _places(places, [param for param in params if not param.flags], parsed)
    for param in params:
        if param.name not in parsed.arguments:
            if param.required:
                raise Doubt
            parsed.arguments[param.name] = list(param.default) if param.many else param.default
    return parsed


def _options(words: list[str], flags: Mapping[str, Param], parsed: Parsed, places: list[str]) -> None:
    rest = iter(words)
    for word in rest:
        if word == "--":
            places.extend(rest)
            return
        if not word.startswith("-") or word == "-":
            places.append(word)
            continue
        name, equals, value = word.partition("=")
        if equals and not word.startswith("--"):
            raise Doubt
        param = flags.get(name)
        wants = param.kind != "bool" if param else GLOBALS.get(name, ("", False))[1]
        if (param is None and name not in GLOBALS) or (equals and not wants):
            raise Doubt
        if wants and not equals:
            value = next(rest, "")
            if not value or value.startswith("-"):
                raise Doubt
        if param is None:
            if wants and not value:  # ``--timeout=``: whether an earlier one counts is Typer's to say
                raise Doubt
            setattr(parsed.options, GLOBALS[name][0], value if wants else True)
        elif param.many:
            parsed.arguments.setdefault(param.name, []).append(_value(param, value))
        else:
            parsed.arguments[param.name] = _value(param, value) if wants else True


def _places(places: list[str], params: Sequence[Param], parsed: Parsed) -> None:
    for param in params:
        if param.many:
            if places:
                parsed.arguments[param.name] = [_value(param, text) for text in places]
            places = []
        elif places:
            parsed.arguments[param.name] = _value(param, places.pop(0))
    if places:
        raise Doubt


def _value(param: Param, text: str) -> Any:
    if param.kind == "str":
        return text
    if param.kind == "int" and text.isascii() and text.isdigit():
        return int(text)
    if param.kind == "float" and text.isascii() and text.replace(".", "", 1).isdigit():
        number = float(text)
        if math.isfinite(number):
            return number
    raise Doubt
