"""QEMU's command line, built so that no text of a user can become an option of its own."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

Options = Mapping[str, Any]


class Unsafe(ValueError):
    """A text that cannot stand in an option: it holds a control character."""


def optstr(head: str, options: Options) -> str:
    """``head,key=value,...`` with commas in values doubled; keys with the value None are left out.

    :param head: a constant of ours, never a user's text; ``""`` for none.
    :raises Unsafe: a value holds a control character.
    """
    words = [head] if head else []
    words.extend(f"{key}={_value(value)}" for key, value in options.items() if value is not None)
    return ",".join(words)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return word(str(value)).replace(",", ",,")


def word(text: str) -> str:
    """The text itself, for an option that takes one text as a whole.

    :raises Unsafe: it holds control characters, or half of a character.
    """
    if not text.isprintable() and any(ord(x) < 32 or ord(x) == 127 or 0xD800 <= ord(x) < 0xE000 for x in text):
        raise Unsafe(f"QEMU cannot be given {text[:60]!r}: it holds a control character")
    return text


def jsonstr(options: Options, *, null: Collection[str] = ()) -> str:
    """The options as one JSON object on one line; keys with the value None are left out.

    :param null: keys whose None is meant and written.
    :raises Unsafe: a text holds NUL, or half of a character, neither of which QEMU can take.
    """
    kept = {key: value for key, value in options.items() if value is not None or key in null}
    text = json.dumps(kept, separators=(",", ":"))
    if "\\u0000" in text or "\\ud" in text:
        _check(kept)
    return text


def _check(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or any(0xD800 <= ord(letter) < 0xE000 for letter in value):
            raise Unsafe(f"QEMU cannot be given {value[:60]!r}: it holds what is no character")
    elif isinstance(value, Mapping):
        for item in value.values():
            _check(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item)
