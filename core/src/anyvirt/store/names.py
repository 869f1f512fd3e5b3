"""Names as file names: quoted so that no name is a path, and short enough for every file system."""

from __future__ import annotations

import re
from typing import Final

from anyvirt.errors import Invalid, Problem

LONGEST: Final = 255  # bytes of UTF-8; libvirt's tools and QEMU's -name live with that
_LONGEST_FILE: Final = 160
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@=-]*")
_INNER: Final = frozenset(b"._+@=-")
_KIND: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,79}")


def check_name(name: str, kind: str) -> None:
    """Refuse what can be no name in any store: empty, with NUL, not UTF-8, over 255 bytes.

    :raises Invalid: says which of them.
    """
    problem = ""
    if not name:
        problem = "the name is empty"
    elif "\0" in name:
        problem = "the name holds a NUL byte"
    else:
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            problem = "the name is no valid Unicode text"
        else:
            if size > LONGEST:
                problem = f"the name is {size} bytes long, and {LONGEST} are allowed"
    if problem:
        raise Invalid([Problem("config.invalid", f"/{kind}/name", None, problem, "choose another name")])


def check_key(key: str, kind: str) -> None:
    """Refuse a UUID (or another key) that could not stand in a file name.

    :raises Invalid: with the key.
    """
    if not _KEY.fullmatch(key):
        text = f"{key[:100]!r} can be no key in a store"
        raise Invalid([Problem("config.invalid", f"/{kind}/uuid", None, text, "give a UUID")])


def check_ref(ref: str, kind: str) -> None:
    """Refuse what could not be told again from a file name.

    :raises Invalid: it can be no name, or is too long with its odd characters quoted.
    """
    check_name(ref, kind)
    if unquote(quote(ref)) is None:
        raise Invalid(
            [Problem("config.invalid", f"/{kind}", None, f"{ref[:40]!r}... is too long", "choose a shorter key")]
        )


def check_kind(kind: str) -> None:
    """Refuse what is no kind of object.

    :raises Invalid: it is no lower-case word.
    """
    if not _KIND.fullmatch(kind):
        raise Invalid(f"{kind!r} is no kind of object")


def check_text(text: str, kind: str) -> None:
    """Refuse a document that no store can give back as it came.

    :raises Invalid: it holds NUL or is no valid Unicode text.
    """
    problem = "the document holds a NUL byte" if "\0" in text else ""
    try:
        text.encode()
    except UnicodeEncodeError:
        problem = "the document is no valid Unicode text"
    if problem:
        raise Invalid([Problem("xml.malformed", f"/{kind}", None, problem, "remove it")])


def quote(name: str) -> str:
    """``name`` with all but letters, digits and ``._+@=-`` as ``%XX``; the first is a letter, a digit or ``_``.

    What grows past 160 bytes is cut and ends in ``%~`` and a digest; ``unquote`` gives None for it.
    """
    if _PLAIN.fullmatch(name) and len(name) <= _LONGEST_FILE:
        return name
    out = "".join(
        chr(byte) if _PLAIN.fullmatch(chr(byte)) or (at and byte in _INNER) else f"%{byte:02X}"
        for at, byte in enumerate(name.encode("utf-8", "surrogatepass"))
    )
    if len(out) <= _LONGEST_FILE:
        return out
    import hashlib

    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    kept = out[: _LONGEST_FILE - 40]
    return f"{kept.rpartition('%')[0] or kept}%~{digest}"


def unquote(text: str) -> str | None:
    """The name that ``quote`` was given, or None where it was cut, or was no work of ``quote``."""
    if "%" not in text:
        return text
    if "%~" in text:
        return None
    try:
        return re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode()).decode()
    except UnicodeDecodeError:
        return None


def file_name(key: str) -> str:
    """A file name for any key: the key itself where it is plain."""
    return quote(key) or "%"
