"""Looks at a document before any tree is built and refuses what is too large, too deep or no text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from anyvirt.errors import Invalid, Problem


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a document may be; ``size`` counts bytes of UTF-8, ``attributes`` those of one element."""

    size: int = 10 * 1024 * 1024
    elements: int = 200_000
    depth: int = 256
    attributes: int = 1000


DEFAULT: Final = Limits()

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_DECLARATION: Final = re.compile(r"\s*<\?xml\s[^>]*?\?>")
_ENCODING: Final = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_TAG: Final = re.compile(rb"<[^<>\"']*+(?:\"[^\"]*+\"[^<>\"']*+|'[^']*+'[^<>\"']*+)*+>")
_ASSIGNED: Final = re.compile(rb"=\s*[\"']")
_BOMS: Final = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_ENCODINGS: Final = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "utf-16", "iso-8859-1", "latin1", "iso-8859-15", "windows-1252"}
)


def admit(document: str | bytes, limits: Limits = DEFAULT) -> bytes:
    """The document as UTF-8 without XML declaration, or ``Invalid`` with every reason against it.

    :raises Invalid: ``xml.limits`` or ``xml.malformed``.
    """
    if len(document) > limits.size:
        raise Invalid([_limit(f"{len(document):,} bytes or more", f"{limits.size:,} bytes")])
    text = document if isinstance(document, str) else _decoded(document)
    text = text.removeprefix("\ufeff")
    declaration = _DECLARATION.match(text)
    if declaration:  # the line numbers of what follows stay right
        text = "\n" * text.count("\n", 0, declaration.end()) + text[declaration.end() :]
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise Invalid([_malformed(line, "a lone surrogate is no character")]) from error
    problems = []
    if len(data) > limits.size:
        problems.append(_limit(f"{len(data):,} bytes", f"{limits.size:,} bytes"))
    control = _CONTROL.search(data)
    if control:
        line = data.count(b"\n", 0, control.start()) + 1
        problems.append(_malformed(line, f"control character {control[0][0]:#04x} is not allowed"))
    opened = data.count(b"<") - data.count(b"</")
    crowded = data.count(b"=") > limits.attributes  # libxml2 compares each attribute with all others
    if opened > min(limits.elements, limits.depth) or crowded or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        problems += _walk(data, limits)
    if problems:
        raise Invalid(problems)
    return data


def _decoded(document: bytes) -> str:
    encoding = next((name for bom, name in _BOMS if document.startswith(bom)), "")
    if not encoding:
        declared = _ENCODING.match(document[:200].lstrip())
        encoding = declared[1].decode().lower() if declared else "utf-8"
    if encoding not in _ENCODINGS and encoding != "utf-32":
        raise Invalid([_malformed(1, f"encoding {encoding!r} is not supported")], hint="convert the document to UTF-8")
    try:
        return document.decode(encoding)
    except UnicodeDecodeError as error:
        line = document.count(b"\n", 0, error.start) + 1
        raise Invalid([_malformed(line, f"the bytes are not {encoding}")]) from error


def _walk(data: bytes, limits: Limits) -> list[Problem]:
    """Count elements and depth exactly; stops at the first thing that is out of bounds or no markup."""
    depth = deepest = elements = 0
    place = data.find(b"<")
    while place >= 0:
        end, step = _markup(data, place)
        if step is None:
            line = data.count(b"\n", 0, place) + 1
            return [_malformed(line, "a document type or entity declaration is not allowed")]
        if end < 0:
            break  # the parser says what is wrong here, with no more tree than was counted
        depth += step
        if step == 1 or data[end - 2 : end] == b"/>":
            elements += 1 if data[place + 1] not in b"/!?" else 0
            deepest = max(deepest, depth + (step == 0))
        if end - place > 4 * limits.attributes and len(_ASSIGNED.findall(data, place, end)) > limits.attributes:
            line = data.count(b"\n", 0, place) + 1
            return [
                _limit(f"an element with more than {limits.attributes:,} attributes", f"{limits.attributes:,}", line)
            ]
        if elements > limits.elements:
            return [_limit(f"more than {limits.elements:,} elements", f"{limits.elements:,}")]
        if deepest > limits.depth:
            line = data.count(b"\n", 0, place) + 1
            return [_limit(f"elements nested deeper than {limits.depth}", f"{limits.depth}", line)]
        place = data.find(b"<", end)
    return []


def _markup(data: bytes, place: int) -> tuple[int, int | None]:
    """End of the markup at ``place`` (-1: broken) and its step in depth (None: forbidden)."""
    for start, stop in ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")):
        if data.startswith(start, place):
            found = data.find(stop, place + len(start))
            return (found + len(stop) if found >= 0 else -1), 0
    if data.startswith(b"<!", place):
        return place, None
    tag = _TAG.match(data, place)
    if tag is None:
        return -1, 0
    if data.startswith(b"</", place):
        return tag.end(), -1
    return tag.end(), 0 if data[tag.end() - 2 : tag.end()] == b"/>" else 1


def _limit(has: str, allowed: str, line: int | None = None) -> Problem:
    return Problem(
        "xml.limits", "", line, f"the document has {has}; {allowed} are allowed", "raise the limit if it is meant"
    )


def _malformed(line: int, text: str) -> Problem:
    return Problem("xml.malformed", "", line, text)
