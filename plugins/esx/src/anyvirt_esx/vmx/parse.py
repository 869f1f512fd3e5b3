"""From the bytes of a VMX file to its settings; pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from anyvirt.api import Invalid, Problem

FILE_MAX: Final = 1 << 20
LINE_MAX: Final = 128 << 10
PROBLEMS_MAX: Final = 20
NAMES_MAX: Final = 12
NOTE_MAX: Final = 2000
NAME_MAX: Final = 80  # characters of a name that are shown
LINE: Final = re.compile(r'[ \t]*([^\s="#][^\s="]*)[ \t]*=[ \t]*(?:"([^"]*)"|([^\s"#]*))[ \t]*(?:#.*)?')
BLANK: Final = re.compile(r"[ \t]*(?:#.*)?")
ENCODING: Final = re.compile(rb'^[ \t]*\.encoding[ \t]*=[ \t]*"?([^"\s]*)', re.IGNORECASE | re.MULTILINE)
# names of encodings that agree with ASCII on everything but what is beyond it
KNOWN: Final = re.compile(
    r"utf-?8|(?:us-)?ascii|(?:windows|cp|ibm)-?(?:[0-9]{3,5}|31j)|iso-?8859-?[0-9]{1,2}|latin-?1|koi8-[ru]|"
    r"gbk|gb-?2312|gb-?18030|big-?5|shift[-_]?jis|sjis|euc[-_]?(?:jp|kr|cn)",
    re.IGNORECASE,
)
PAGE: Final = re.compile(r"(?:windows|ibm|cp)-?([0-9]+)")
ESCAPES: Final = re.compile(r"(?:\|[0-9a-fA-F]{2})+")
PERCENT: Final = re.compile(r"(?:%[0-9a-fA-F]{2})+")
UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
TRUE: Final = frozenset({"true", "yes", "on", "1"})
FALSE: Final = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One line: the key as it was written, the value as it stands in the file, the number of the line."""

    key: str
    raw: str
    line: int


class Settings:
    """What a file says; keys are the same in any case, and what was asked for is remembered.

    What is wrong with a value that is asked for is collected in ``problems``, and the answer is as if it was not there.

    :param found: settings by key in lower case.
    """

    def __init__(self, found: dict[str, Setting], encoding: str, notes: list[str]) -> None:
        self._found, self._encoding = found, encoding
        self._read: set[str] = set()
        self._of: dict[str, list[str]] = {}  # keys by what stands before their first dot
        for key in found:
            self._of.setdefault(key.partition(".")[0], []).append(key)
        self.problems: list[Problem] = []
        self.notes = notes

    def text(self, key: str) -> str | None:
        """The value without its escapes; None where there is none, or it is empty."""
        return self.given(key) or None

    def given(self, key: str) -> str | None:
        """The value, which may be empty."""
        setting = self._found.get(key.lower())
        if setting is None:
            return None
        self._read.add(key.lower())
        try:
            value = unescaped(setting.raw, self._encoding)
        except ValueError:
            self.wrong(key, "after | two hexadecimal digits are wanted", "write |7C for | itself")
            return None
        if UNWRITABLE.search(value):
            self.wrong(key, "it has characters that no definition can hold", "take them out")
            return None
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Whether it is so."""
        value = (self.text(key) or "").lower()
        if value in TRUE or value in FALSE:
            return value in TRUE
        if value:
            self.wrong(key, f"{value[:40]!r} is neither true nor false", 'write "TRUE" or "FALSE"')
        return default

    def number(self, key: str, least: int, most: int) -> int | None:
        """A whole number within bounds; None where there is none."""
        value = self.text(key)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,20}", value, re.ASCII):
            self.wrong(key, f"{value[:40]!r} is no whole number", "correct it")
            return None
        if not least <= int(value) <= most:
            self.wrong(key, f"{value} is not within {least} and {most}", "correct it", "config.range")
            return None
        return int(value)

    def one_of(self, key: str, words: dict[str, str]) -> str | None:
        """What a word stands for, in any case; None where there is none."""
        value = self.text(key)
        if value is None:
            return None
        found = words.get(value.lower())
        if found is None:
            known = ", ".join(words)
            self.wrong(key, f"{value[:40]!r} is not known here", f"there are {known}", "unsupported.config")
        return found

    def wrong(self, key: str, text: str, hint: str, code: str = "config.invalid") -> None:
        """Say what is wrong with a setting, or with one that is not there."""
        if len(self.problems) >= PROBLEMS_MAX:
            return
        setting = self._found.get(key.lower())
        name, line = (setting.key[:NAME_MAX], setting.line) if setting is not None else (key, None)
        self.problems.append(Problem(code, name, line, text, hint))

    def numbered(self, pattern: str) -> list[tuple[int, ...]]:
        """Numbers of devices that have settings, in order; the pattern of names has a group for each number."""
        find: Callable[[str], re.Match[str] | None] = re.compile(pattern, re.ASCII).fullmatch
        found = {tuple(int(part) for part in match.groups()) for name in self._of if (match := find(name))}
        return sorted(found)

    def skip(self, prefix: str) -> None:
        """Everything that begins so is of something that is not there, or means nothing."""
        prefix = prefix.lower()
        self._read.update(key for key in self._of.get(prefix.partition(".")[0], ()) if key.startswith(prefix))

    def note(self, text: str) -> None:
        """Something that the reader is told, in at most so many characters."""
        self.notes.append(text if len(text) <= NOTE_MAX else f"{text[:NOTE_MAX]}...")

    def left(self, quiet: re.Pattern[str]) -> list[str]:
        """Keys that nobody asked for, but for those that match."""
        return [
            one.key[:NAME_MAX] for key, one in self._found.items() if key not in self._read and not quiet.fullmatch(key)
        ]


def parse(data: bytes) -> Settings:
    """The settings of a file.

    :raises Invalid: lines that are none, an encoding that is not known or not kept, too much of anything.
    """
    if len(data) > FILE_MAX:
        text = f"it has {len(data)} bytes, and a VMX file at most {FILE_MAX}"
        raise Invalid([Problem("config.range", "", None, text, "give a VMX file")])
    notes: list[str] = []
    text, encoding = _decoded(data, notes)
    found: dict[str, Setting] = {}
    problems: list[Problem] = []
    twice: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        setting = _setting(line.removesuffix("\r"), number, problems)
        if len(problems) >= PROBLEMS_MAX:
            break
        if setting is not None:
            if setting.key.lower() in found and setting.raw != found[setting.key.lower()].raw:
                twice[setting.key[:NAME_MAX]] = None
            found[setting.key.lower()] = setting
    if problems:
        raise Invalid(problems)
    if twice:
        notes.append(f"given more than once, and the last one counts: {', '.join(list(twice)[:NAMES_MAX])}")
    return Settings(found, encoding, notes)


def unescaped(raw: str, encoding: str = "utf-8") -> str:
    """Text with ``|XX`` for bytes, as it is meant.

    :raises ValueError: a ``|`` without two digits behind it, or bytes that are no text of the encoding.
    """
    if "|" in ESCAPES.sub("", raw):
        raise ValueError(raw)
    return ESCAPES.sub(lambda found: bytes.fromhex(found[0].replace("|", "")).decode(encoding), raw)


def unpercented(text: str) -> str:
    """Text with ``%XX`` for bytes, as names have it, as it is meant; what is no escape stays."""
    return PERCENT.sub(lambda found: _bytes(found[0]), text)


def _bytes(escapes: str) -> str:
    try:
        return bytes.fromhex(escapes.replace("%", "")).decode()
    except ValueError:
        return escapes


def _setting(line: str, number: int, problems: list[Problem]) -> Setting | None:
    if len(line) > LINE_MAX:
        text = f"the line has {len(line)} characters, and may have {LINE_MAX}"
        problems.append(Problem("config.range", "", number, text, "shorten it"))
        return None
    if BLANK.fullmatch(line):
        return None
    found = LINE.fullmatch(line)
    if found is None or "\0" in line:
        hint = 'write KEY = "VALUE", with |22 for a quote inside it and |0A for the end of a line'
        problems.append(Problem("config.invalid", "", number, "this is no setting", hint))
        return None
    return Setting(found[1], found[2] if found[2] is not None else found[3], number)


def _decoded(data: bytes, notes: list[str]) -> tuple[str, str]:
    data = data.removeprefix(codecs.BOM_UTF8)
    found = ENCODING.search(data)
    name = found[1].decode("ascii", "replace") if found else ""
    if found and name:
        line = data.count(b"\n", 0, found.start()) + 1
        return _as_said(data, name, line)
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        pass
    text, encoding = _as_said(data, "windows-1252", None)
    notes.append("it is no UTF-8 and names no encoding: taken to be in windows-1252")
    return text, encoding


def _as_said(data: bytes, name: str, line: int | None) -> tuple[str, str]:
    encoding = _codec(name)
    if encoding is None:
        text = f"the encoding {name[:40]!r} is not known"
        raise Invalid([Problem("config.invalid", ".encoding", line, text, 'save it with .encoding = "UTF-8"')])
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        text = f"there are bytes that are no text in {name[:40]}"
        raise Invalid([Problem("config.invalid", "", number, text, "correct .encoding, or the line")]) from error


def _codec(name: str) -> str | None:
    if not KNOWN.fullmatch(name):
        return None
    lower = name.lower()
    page = PAGE.fullmatch(lower)
    if lower in {"windows-31j", "windows31j"}:
        lower = "cp932"
    try:
        return codecs.lookup(f"cp{page[1]}" if page else lower).name
    except LookupError:
        return None
