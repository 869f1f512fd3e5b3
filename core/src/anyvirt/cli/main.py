"""``anyvirt``: from the words on the command line to an exit status."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from anyvirt.cli.invocation import Invocation
    from anyvirt.cli.parse import Parsed
    from anyvirt.errors import VirtError

INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; its exit status.

    :param argv: the words of another line than that of this process, which then goes on afterwards.
    """
    code = _status(list(sys.argv[1:] if argv is None else argv))
    if argv is None:
        _leave(code)
    return code


def _status(words: list[str]) -> int:
    gc.disable()  # a command is over before there is garbage worth the time
    _furnish()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to fail
    try:
        parsed = parse(words)
        return parsed if isinstance(parsed, int) else run(parsed)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _quiet_pipe()


def _furnish() -> None:
    """Put an empty stream in the place of one that the caller has closed (``>&-``)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we live


def parse(words: Sequence[str]) -> Parsed | int:
    """The command line, understood; or the exit status where Typer has answered it."""
    from anyvirt.cli._index import COMMANDS
    from anyvirt.cli.parse import quick, respelled

    words = respelled(words, COMMANDS)
    return quick(words, COMMANDS) or with_typer(words)


def with_typer(words: Sequence[str]) -> Parsed | int:
    """The same by Typer, which prints help and complaints itself."""
    from anyvirt.cli.tree import root

    found: list[Parsed] = []
    try:
        root().main(args=list(words), prog_name="anyvirt", obj=found.append)
    except SystemExit as end:
        if not found:
            return end.code if isinstance(end.code, int) else 1
    return found[0]


def run(parsed: Parsed, opener: Any = None) -> int:
    """Run a command that was understood.

    :param opener: opens the session in place of ``anyvirt.open``; for tests.
    """
    from anyvirt.cli.invocation import Invocation
    from anyvirt.errors import VirtError
    from anyvirt.settings import Settings

    try:
        settings = Settings.read()
    except VirtError as error:
        print(f"error[{error.code}]: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 2
    return _guarded(Invocation(parsed.options, settings, opener=opener), parsed)


def _guarded(cli: Invocation, parsed: Parsed) -> int:
    """The exit status of a command; what it raises is told on the way."""
    from anyvirt.errors import VirtError

    try:
        return _called(cli, parsed)
    except VirtError as error:
        return _failed(cli, error)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            return _unexpected(cli, error)
        text = f"what was found cannot be written: {os.strerror(error.errno)}"
        return _failed(cli, VirtError(text, code="file.no-space"))
    except Exception as error:  # noqa: BLE001 - the last resort: a short message, not a traceback
        return _unexpected(cli, error)
    finally:
        cli.close()


def _called(cli: Invocation, parsed: Parsed) -> int:
    function = getattr(import_module(parsed.module), parsed.function)
    function(cli, **parsed.arguments)
    cli.out.flush()
    return 1 if cli.failed else 0


def _failed(cli: Invocation, error: VirtError) -> int:
    from anyvirt.cli.complaint import print_error
    from anyvirt.cli.usage import Usage

    if cli.options.debug:
        import traceback

        traceback.print_exception(error, file=cli.err)
    print_error(cli, error)
    return 2 if isinstance(error, Usage) else 1


def _unexpected(cli: Invocation, error: Exception) -> int:
    if cli.options.debug:
        import traceback

        traceback.print_exception(error, file=cli.err)
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    print(f"error[internal]: {text}\nhint: this is a mistake in anyvirt; --debug shows where", file=cli.err)
    return 1


def _leave(code: int) -> NoReturn:
    """End the process without taking the interpreter apart, which costs a seventh of a short command."""
    atexit._run_exitfuncs()  # noqa: SLF001 - what plug-ins registered is still run
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)


def _quiet_pipe() -> int:
    # whoever read our output has seen enough; the interpreter must not complain when it flushes
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


if __name__ == "__main__":
    sys.exit(main())
