"""Recorded conversations with a host's tools: text files that are played back, and written by a run that has them.

A file holds exchanges, one after the other::

    $ acmectl --json ls
    < {"what": "was given to it, a line each"}
    = 0
    > [{"id": "7", "label": "web"}]
    ! warnings, likewise

``$`` is the command as a shell would take it, ``=`` its exit status, ``<`` its input,
``>`` and ``!`` its output and errors. A last line without an end is marked ``>-``,
the further lines of a command that has several ``$+``, and bytes that are no text, in hex, ``>x``.
Lines before the first ``$`` and those that begin with ``#`` are for people: say there
which version spoke.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anyvirt.auth import Secret
from anyvirt.transport.run import Output, Run


@dataclass
class Exchange:
    """One command and what it said."""

    argv: tuple[str, ...]
    code: int = 0
    given: bytes = b""
    out: bytes = b""
    err: bytes = b""
    used: bool = False


@dataclass
class Recorded:
    """A ``Run`` that plays exchanges back; the same command several times gives its answers in order.

    The last answer is repeated. A command that was never recorded fails the test.
    """

    path: Path
    exchanges: list[Exchange]
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, *argv: str, input: Any = None, env: Mapping[str, Any] | None = None) -> Output:  # noqa: A002, ARG002
        self.asked.append(argv)
        given = _bytes(input)
        fitting = [one for one in self.exchanges if one.argv == argv and one.given == given]
        if not fitting:
            known = "\n".join(sorted({shlex.join(one.argv) for one in self.exchanges}))
            raise AssertionError(f"{self.path.name} has no answer to: {shlex.join(argv)}\nit knows:\n{known}")
        chosen = next((one for one in fitting if not one.used), fitting[-1])
        chosen.used = True
        return Output(chosen.code, chosen.out, chosen.err)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def unasked(self) -> list[str]:
        """Commands that were recorded and never asked for: a recording that has grown stale."""
        return [shlex.join(one.argv) for one in self.exchanges if not one.used]


@dataclass
class Recording:
    """A ``Run`` that passes commands on and writes down what is said; ``save`` makes the file."""

    run: Run
    path: Path
    version: str
    exchanges: list[Exchange] = field(default_factory=list)

    def __call__(self, *argv: str, input: Any = None, env: Mapping[str, Any] | None = None) -> Output:  # noqa: A002
        out = self.run(*argv, input=input, env=env)
        self.exchanges.append(Exchange(argv, out.code, _bytes(input), out.out, out.err))
        return out

    def close(self) -> None:
        """Write the file and let go of the host."""
        self.save()
        close = getattr(self.run, "close", None)
        if close is not None:
            close()

    def save(self) -> None:
        """Write the file."""
        text = "".join(_written(one) for one in self.exchanges)
        self.path.write_bytes(f"# {self.version}\n{text}".encode())


def recorded(name: str | Path) -> Recorded:
    """What ``name`` holds: a path, or the name of a file (``.txt`` left out) beside the calling test."""
    path = _beside_caller(Path(name))
    return Recorded(path, list(exchanges(path.read_bytes().decode())))


def recording(name: str | Path, run: Run, version: str) -> Recording:
    """Record through ``run`` into such a file; close it in the end.

    :param version: what spoke, such as ``acmectl 3.1``; belongs in the file's name as well.
    """
    return Recording(run, _beside_caller(Path(name)), version)


def exchanges(text: str) -> Iterator[Exchange]:
    """The exchanges of a recording's text.

    :raises ValueError: a line has no mark.
    """
    current: Exchange | None = None
    command = ""
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        mark, _, rest = line.partition(" ")
        if mark == "$":
            if current is not None:
                yield replace(current, argv=tuple(shlex.split(command)))
            current, command = Exchange(()), rest
        elif current is not None and mark == "$+":
            command += f"\n{rest}"
        elif current is not None and mark == "=":
            current.code = int(rest)
        elif current is not None and mark in _STREAMS:
            stream, end = _STREAMS[mark]
            data = bytes.fromhex(rest) if mark.endswith("x") else rest.encode() + end
            setattr(current, stream, getattr(current, stream) + data)
        elif current is not None:
            raise ValueError(f"line {number} begins with none of $ = < > !")
    if current is not None:
        yield replace(current, argv=tuple(shlex.split(command)))


_STREAMS = {
    "<": ("given", b"\n"), "<-": ("given", b""), ">": ("out", b"\n"), ">-": ("out", b""), "!": ("err", b"\n"),
    "!-": ("err", b""), "<x": ("given", b""), ">x": ("out", b""), "!x": ("err", b""),
}  # fmt: skip


def _written(one: Exchange) -> str:
    first, *more = shlex.join(one.argv).split("\n")
    lines = [f"$ {first}", *(f"$+ {line}" for line in more), f"= {one.code}"]
    for mark, data in (("<", one.given), (">", one.out), ("!", one.err)):
        try:
            *whole, last = data.decode().split("\n")
        except UnicodeDecodeError:
            lines.append(f"{mark}x {data.hex()}")
            continue
        lines += [f"{mark} {line}" for line in whole]
        lines += [f"{mark}- {last}"] if last else []
    return "\n".join(lines) + "\n"


def _bytes(given: Any) -> bytes:
    if given is None:
        return b""
    if isinstance(given, Secret):
        return b"***"  # whatever it is: no recording tells
    return given.encode() if isinstance(given, str) else bytes(given)


def _beside_caller(path: Path) -> Path:
    if path.is_absolute():
        return path
    here = next(frame.filename for frame in inspect.stack() if frame.filename != __file__)
    return Path(here).parent / (path if path.suffix == ".txt" else f"{path}.txt")
