"""Name, title, type: what identifies a domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import duplicate, missing, wrong
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of

NAME_MAX: Final = 255


def check_name(name: str, line: int | None = None, path: str = "/name") -> Iterator[Problem]:
    """Whether a name can be the name of a domain, pool, volume, network or snapshot."""
    if not name:
        yield missing(path, line, "there is no name", "give one that is unique on the host")
        return
    size = len(name.encode(errors="surrogatepass"))
    if size > NAME_MAX:
        yield wrong(path, line, f"the name is {size} bytes long", f"use at most {NAME_MAX} bytes")
    for character, text in (("\n", "a line break"), ("/", "a slash"), ("\0", "a NUL")):
        if character in name:
            yield wrong(path, line, f"the name holds {text}", "leave it out")
    if name in (".", ".."):
        yield wrong(path, line, f"the name is {name!r}", "use a name that is no path")
    elif not name.strip():
        yield wrong(path, line, "the name is blank", "use at least one visible character")


def identity(domain: Domain) -> Iterator[Problem]:
    """Name, title, labels and type."""
    yield from check_name(domain.name, line_of(domain, "name"))
    if domain.title is not None and "\n" in domain.title:
        yield wrong("/title", line_of(domain, "title"), "the title holds a line break", "use the description")
    models: set[str] = set()
    for label in domain.seclabels:
        if label.model in models:
            text = f"two labels of model {label.model}"
            yield duplicate(f"/seclabel[{label.model}]", line_of(label), text, "keep one for each model")
        models |= {label.model} if label.model else set()
    if domain.type is None:
        yield missing("/@type", line_of(domain), "the type is missing", "such as type='kvm' or type='qemu'")
