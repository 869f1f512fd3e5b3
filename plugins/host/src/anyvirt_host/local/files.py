"""Small files: what the kernel says in them, and those that are for us alone."""

from __future__ import annotations

import os


def text(file: str | os.PathLike[str]) -> str:
    """What a file says, without blanks around it; ``""`` where there is none, or it is not to be read."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        found = b""
        while part := os.read(fd, 65536):
            found += part
        return found.decode("utf-8", "replace").strip()
    except OSError:  # such as a threaded group, which does not list its processes
        return ""
    finally:
        os.close(fd)


def number(file: str | os.PathLike[str]) -> int | None:
    """The number that a file has, in decimal digits; None where it has none."""
    found = text(file)
    return int(found) if found.isdecimal() else None


def private(path: str, flags: int) -> int:
    """For ``open(opener=...)``: a file that is made is for us alone (mode 0600), and no link is followed to it."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
