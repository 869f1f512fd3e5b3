"""A command line of QEMU as data: options, and what their arguments say."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

# Options without an argument; every other flag takes one.
BARE: Final = {
    "-S", "-nodefaults", "-no-user-config", "-no-shutdown", "-no-reboot", "-no-acpi", "-no-hpet", "-mem-prealloc",
    "-nographic", "-usb", "-daemonize", "-enable-kvm", "-no-fd-bootchk",
}  # fmt: skip


class Option(NamedTuple):
    """A flag and its argument; ``""`` for none."""

    flag: str
    text: str

    @property
    def json(self) -> bool:
        return self.text.startswith("{")


def recorded(path: Path) -> list[Option]:
    """The options of a recorded command line: a shell script with one option a line."""
    words = shlex.split(path.read_text(encoding="utf-8").replace("\\\n", " "))
    start = next(index for index, word in enumerate(words) if not re.match(r"[A-Za-z_]+=", word))
    return list(options(words[start + 1 :]))


def options(words: list[str]) -> Iterator[Option]:
    """The options of an argument list, without its program."""
    rest = iter(words)
    for flag in rest:
        yield Option(flag, "" if flag in BARE else next(rest))


def words(found: list[Option]) -> list[str]:
    """The argument list again."""
    return [word for option in found for word in ((option.flag,) if option.flag in BARE else option)]


def fields(text: str, head: str = "") -> dict[str, Any]:
    """What an argument says; a leading word without a key is stored under ``head``, lists under ``key.N``."""
    if text.startswith("{"):
        found: dict[str, Any] = json.loads(text)
        return found
    result: dict[str, Any] = {}
    for index, part in enumerate(re.split(r"(?<!,),(?!,)", text.replace(",,", "\0"))):
        key, equal, value = part.partition("=")
        if not equal and index == 0 and head:
            result[head] = part.replace("\0", ",")
        elif not equal:
            result[key] = True
        else:
            result[key] = value.replace("\0", ",")
    return result


def text(found: Mapping[str, Any], head: str = "") -> str:
    """``fields`` backwards, for arguments that are no JSON."""
    parts = [str(found[head]).replace(",", ",,")] if head in found else []
    for key, value in found.items():
        if key != head:
            parts.append(key if value is True else f"{key}={str(value).replace(',', ',,')}")
    return ",".join(parts)
