"""A command line as a shell splits it: variables, the program, its words; no shell is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from anyvirt.api import Invalid, Problem

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
# programs that run another one, and those of their options that take a word
BEFORE: Final = {
    "sudo": frozenset({"-u", "-g", "-p", "-C", "-h", "-D"}),
    "doas": frozenset({"-u", "-C"}),
    "env": frozenset({"-u", "-C", "--unset", "--chdir"}),
    "nice": frozenset({"-n"}),
    "ionice": frozenset({"-c", "-n"}),
    "taskset": frozenset({"-c"}),
    "numactl": frozenset(),
    "exec": frozenset({"-a"}),
    "nohup": frozenset(),
    "setsid": frozenset(),
    "time": frozenset(),
    "cgexec": frozenset({"-g"}),
}
ASIDE: Final = frozenset({"cd", "set", "export", "exit", "mkdir", "echo", "ulimit", "trap"})
OPERATORS: Final = frozenset(";&|<>()")
ESCAPED: Final = frozenset('$`"\\\n')
# what a shell puts something else in the place of
EXPANDED: Final = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[^}]*\}?|\([^)]*\)?|[0-9@*#?$!-])|`[^`]*`?")


@dataclass(frozen=True, slots=True)
class Line:
    """One command.

    :param env: variables that it is given.
    :param before: programs that it is run through, such as ``sudo``, with their options.
    :param folder: where it is run, as far as a ``cd`` before it tells.
    :param unexpanded: what a shell would have put something else in the place of, such as ``$HOME``.
    """

    program: str
    words: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    before: tuple[str, ...] = ()
    folder: str = ""
    unexpanded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """A word, the line that it begins on, whether it is an operator of the shell's, and what of it is unexpanded."""

    text: str
    line: int
    operator: bool = False
    unexpanded: tuple[str, ...] = ()


def line_of(data: bytes) -> Line:
    """The command that a text holds: a shell's, or the words of a process as ``/proc/PID/cmdline`` has them.

    Comments, other commands before it (``cd``, ``set``, ``export``) and what follows an operator are passed over.

    :raises Invalid: there is no command, or a quote that does not end, with the line.
    """
    text = data.decode("utf-8", "surrogateescape")
    if "\0" in text:
        return _line([Word(word, 1) for word in text.removesuffix("\0").split("\0")])
    folder = ""
    found = []
    for part in _commands(split(text)):
        if len(part) > 1 and part[0].text == "cd" and part[1].text.startswith("/"):
            folder = part[1].text
        elif part and part[0].text not in ASIDE and not all(VARIABLE.match(word.text) for word in part):
            found.append(replace(_line(part), folder=folder))
    for line in found:
        name = line.program.rpartition("/")[2]
        if "qemu" in name or name == "kvm":
            return line
    if found:
        return found[-1]
    raise Invalid([Problem("config.invalid", "", 1, "there is no command", "give the command line of a QEMU")])


def split(text: str) -> Iterator[Word]:
    """Words and operators, unquoted as ``sh`` does it; nothing is expanded.

    :raises Invalid: a quote does not end.
    """
    place, number = 0, 1
    while place < len(text):
        char = text[place]
        if char == "\n":
            yield Word("\n", number, operator=True)
            number += 1
            place += 1
        elif char in " \t\r":
            place += 1
        elif text.startswith(("\\\n", "\\\r\n"), place):
            place = text.index("\n", place) + 1
            number += 1
        elif char == "#":
            end = text.find("\n", place)
            place = len(text) if end < 0 else end
        elif char in OPERATORS:
            yield Word(char, number, operator=True)
            place += 1
        else:
            begun = number
            word, end, number = _word(text, place, number)
            yield Word(word, begun, unexpanded=tuple(_unexpanded(text[place:end])))
            place = end


def _unexpanded(word: str) -> Iterator[str]:
    """What a shell would put something else in the place of, in a word as it was written, with its quotes."""
    quote, place = "", 0
    while place < len(word):
        char = word[place]
        found = EXPANDED.match(word, place) if quote != "'" else None
        if found is not None:
            yield found[0]
        elif char == quote:
            quote = ""
        elif char in "'\"" and not quote:
            quote = char
        skipped = 2 if char == "\\" and quote != "'" else 1
        place = found.end() if found is not None else place + skipped


def _word(text: str, place: int, number: int) -> tuple[str, int, int]:
    """One word: its text, where it ends, and the line there."""
    parts: list[str] = []
    while place < len(text):
        char = text[place]
        if char in " \t\r\n" or char in OPERATORS:
            break
        if char == "\\":
            after = text[place + 1 : place + 2]
            if after == "\n":
                number += 1
            else:
                parts.append(after)
            place += 2
        elif char in "'\"":
            inside, end = _quoted(text, place, number)
            number += text.count("\n", place, end)
            parts.append(inside)
            place = end
        else:
            parts.append(char)
            place += 1
    return "".join(parts), place, number


def _quoted(text: str, place: int, number: int) -> tuple[str, int]:
    """What stands between quotes, and where they end."""
    quote = text[place]
    parts: list[str] = []
    at = place + 1
    while at < len(text):
        char = text[at]
        if char == quote:
            return "".join(parts), at + 1
        if quote == '"' and char == "\\" and text[at + 1 : at + 2] in ESCAPED:
            if text[at + 1] != "\n":
                parts.append(text[at + 1])
            at += 2
        else:
            parts.append(char)
            at += 1
    raise Invalid([Problem("config.invalid", "", number, f"the quote {quote} does not end", "add another one")])


def _commands(words: Iterator[Word]) -> Iterator[list[Word]]:
    part: list[Word] = []
    for word in words:
        if word.operator:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _line(words: list[Word]) -> Line:
    env: list[tuple[str, str]] = []
    before: list[str] = []
    at = 0
    while at < len(words):
        text = words[at].text
        name = text.rpartition("/")[2]
        if VARIABLE.match(text):
            key, _, value = text.partition("=")
            env.append((key, value))
            at += 1
        elif name in BEFORE:
            before.append(text)
            at += 1
            while at < len(words) and words[at].text.startswith("-"):
                taken = 2 if words[at].text in BEFORE[name] else 1
                before += [word.text for word in words[at : at + taken]]
                at += taken
            if name == "taskset" and "-c" not in before and at < len(words):
                before.append(words[at].text)
                at += 1
        else:
            break
    if at >= len(words) or not words[at].text:
        line = words[0].line if words else 1
        raise Invalid([Problem("config.invalid", "", line, "no program is named", "give the command line of a QEMU")])
    unexpanded = dict.fromkeys(part for word in words for part in word.unexpanded)
    return Line(
        words[at].text, tuple(word.text for word in words[at + 1 :]), tuple(env), tuple(before), "", tuple(unexpanded)
    )
