"""YAML as plain data and back: the part of YAML 1.2 that JSON has, with line numbers and without traps.

A plain word is a truth value only as ``true`` or ``false``, a number only in decimal; everything else is text
as it is written, ``no``, ``010``, ``12:30`` and ``2024-01-01`` too. Aliases, tags, second keys and second
documents are refused.
"""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.errors import Invalid, Problem, Unsupported
from anyvirt.model.form import Items, Object

LARGEST: Final = 4 << 20
DEEPEST: Final = 100
MOST: Final = 200_000
_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,39})")
# What no YAML of any version takes for something else than text.
_SAFE: Final = re.compile(r"[A-Za-z/$][A-Za-z0-9 _./@+-]*(?<! )")
_TAKEN: Final = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null|none|nan|inf)")
_TEXT_TAG: Final = "tag:yaml.org,2002:str"


def load(text: str) -> Any:
    """Dicts, lists, texts, numbers and truth values; dicts and lists know the lines of what is in them.

    :raises Invalid: what is no YAML, or more of YAML than stands above, with its line.
    :raises Unsupported: PyYAML is not installed.
    """
    yaml = _library("reading YAML")
    if len(text) > LARGEST:
        raise _invalid(None, f"the document is larger than {LARGEST >> 20} MiB", code="xml.limits")
    builder = _Builder(yaml)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        words = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise _invalid(mark.line + 1 if mark else None, f"is no YAML: {words}") from error
    except RecursionError as error:
        raise _invalid(None, "the document is nested too deep", code="xml.limits") from error
    return builder.result


def save(data: Any) -> str:
    """Plain data as YAML that every reader takes for the same; text in quotes wherever one might not.

    :raises Unsupported: PyYAML is not installed.
    """
    yaml = _library("writing YAML")

    class Dumper(yaml.SafeDumper):  # type: ignore[name-defined, misc]
        """Knows when to quote, and repeats what occurs twice."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar(_TEXT_TAG, value, style=_style(value))

    Dumper.add_representer(str, text)
    written: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return written


def _style(text: str) -> str | None:
    """How a text is quoted: not at all, as a block of lines, or by the quotes that keep it."""
    if _SAFE.fullmatch(text) and not _TAKEN.fullmatch(text):
        return None
    if "\n" in text and text.replace("\n", "").isprintable() and not text.startswith((" ", "\n")):
        return "|"
    return "'" if text.isprintable() else '"'


def _library(what: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise Unsupported("anyvirt", what, hint="pip install 'anyvirt[yaml]' brings PyYAML; JSON needs none") from None
    return yaml


def _invalid(line: int | None, text: str, hint: str = "", code: str = "xml.malformed") -> Invalid:
    return Invalid([Problem(code, "", line, text, hint)])


class _Builder:
    """Makes data of the parser's events, without recursion and without anything that an event could run."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        self._open: list[Object | Items] = []  # containers that are not closed yet
        self._keys: list[str | None] = []  # the key that waits for its value, of each
        self._documents = self._values = 0
        self.result: Any = None

    def take(self, event: Any) -> None:
        yaml, line = self._yaml, event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise _invalid(line, f"the alias *{event.anchor} is not taken", "write out what it stands for")
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _invalid(line, "a second document begins", "put each document into a file of its own")
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._begin(Object() if isinstance(event, yaml.MappingStartEvent) else Items(), event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)

    def _begin(self, container: Object | Items, event: Any, line: int) -> None:
        if event.tag:
            raise _invalid(line, f"the tag {event.tag} is not taken", "leave it out")
        if len(self._open) >= DEEPEST:
            raise _invalid(line, "the document is nested too deep", code="xml.limits")
        self._put(container, line)
        self._open.append(container)
        self._keys.append(None)

    def _scalar(self, event: Any, line: int) -> None:
        if event.tag and event.tag not in {"!", _TEXT_TAG}:
            raise _invalid(line, f"the tag {event.tag} is not taken", "leave it out; quotes make a text")
        is_key = bool(self._open) and isinstance(self._open[-1], Object) and self._keys[-1] is None
        if is_key:
            self._key(event.value, line)
            return
        plain = not event.style and not event.tag
        self._put(_plain(event.value) if plain else event.value, line)

    def _key(self, name: str, line: int) -> None:
        if name in self._open[-1]:
            raise _invalid(line, f"{name!r} stands here a second time", "keep one")
        self._keys[-1] = name

    def _put(self, value: Any, line: int) -> None:
        self._values += 1
        if self._values > MOST:
            raise _invalid(line, f"the document has more than {MOST} values", code="xml.limits")
        if not self._open:
            self.result = value
            return
        container = self._open[-1]
        if isinstance(container, Items):
            container.lines.append(line)
            container.append(value)
            return
        key = self._keys[-1]
        if key is None:
            raise _invalid(line, "a key must be a text")
        container.lines[key] = line
        container[key] = value
        self._keys[-1] = None


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _NUMBER.fullmatch(text) else text
