"""One run of the command line: its global options, its connection, what it prints."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

from anyvirt.cli import paper
from anyvirt.cli.usage import Usage
from anyvirt.errors import VirtError

if TYPE_CHECKING:
    from anyvirt.client._generated_sync import Connection
    from anyvirt.ref import Ref
    from anyvirt.session import Session
    from anyvirt.settings import Settings


@dataclass
class Globals:
    """The options of anyvirt itself; they may stand before or after the command.

    :param timeout: as typed; empty where it was not.
    """

    connect: str = ""
    timeout: str = ""
    json: bool = False
    readonly: bool = False
    quiet: bool = False
    debug: bool = False

    def update(self, given: Mapping[str, Any]) -> None:
        """Take over what is set in ``given``."""
        for name, value in given.items():
            if value:
                setattr(self, name, value)


class Invocation:
    """What a command is given beside its own arguments.

    A command that is partly done sets ``failed``, and the exit status is 1 then.

    :param opener: opens the session; another one in tests.
    """

    def __init__(self, options: Globals, settings: Settings, opener: Any = None) -> None:
        self.options, self.settings, self.opener = options, settings, opener
        self.out: TextIO = sys.stdout
        self.err: TextIO = sys.stderr
        self.failed = False

    @cached_property
    def connection(self) -> Connection:
        """The connection that ``-c`` names, opened when it is first needed."""
        from anyvirt.client._generated_sync import Connection

        if self.opener is not None:
            session: Session = self.opener(self)
            return Connection(session)
        from anyvirt import opening

        options = self.options
        return Connection(
            opening.session(
                options.connect or None,
                auth=self._ask,
                readonly=options.readonly,
                timeout=self.timeout,
                settings=self.settings,
            )
        )

    @property
    def timeout(self) -> float | None:
        """Seconds that a call may take."""
        return seconds(self.options.timeout) if self.options.timeout else self.settings.timeout

    @property
    def patience(self) -> float | None:
        """Seconds to wait for something that may never come: as told, for ever unless told."""
        return seconds(self.options.timeout) if self.options.timeout else None

    @staticmethod
    def lasting() -> None:
        """Say that this command may go on for long: garbage is collected again."""
        gc.enable()

    def close(self) -> None:
        """Close the connection, if there is one; what fails then is nobody's concern any more."""
        opened = self.__dict__.get("connection")
        if opened is not None:
            with suppress(VirtError):
                opened.close()

    # -- what it prints --------------------------------------------------------------------

    def json(self, schema: str, **content: Any) -> bool:
        """Print one JSON object where ``--json`` asks for it; whether it does."""
        if not self.options.json:
            return False
        import json

        print(json.dumps({"schema": schema, **content}, indent=2), file=self.out)
        return True

    def line(self, text: str = "") -> None:
        """Print a line; what would control a terminal is shown instead."""
        print(paper.clean(text), file=self.out)

    def lines(self, texts: Iterable[str]) -> None:
        """Print many lines as ``line`` does."""
        self.out.write("".join([f"{paper.clean(text)}\n" for text in texts]))

    def document(self, text: str) -> None:
        """Print a document as it is."""
        print(text.rstrip("\n"), file=self.out)

    def note(self, text: str) -> None:
        """Tell the person something that is not part of the result; not with ``--quiet``."""
        if not self.options.quiet and not self.options.json:
            self.out.flush()
            print(text, file=self.err, flush=True)

    def table(
        self, heads: Sequence[str], rows: Sequence[Sequence[Any]], *, colors: Mapping[str, str] | None = None
    ) -> None:
        """Print a table for people.

        :param colors: cells that are coloured on a terminal, with their colour.
        """
        shown = colors if colors and self.colorful(self.out) else {}
        for text in paper.table(heads, rows, colors=shown):
            print(text, file=self.out)

    def fields(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """Print labels and values, aligned; what is None is left out."""
        for text in paper.fields(pairs):
            print(text, file=self.out)

    def colorful(self, stream: TextIO) -> bool:
        """Whether ``stream`` is a terminal that may show colours."""
        return self.settings.color and self.settings.term not in {"", "dumb"} and stream.isatty()

    def complain(self, error: VirtError, name: str = "") -> None:
        """Report the failure of one of several, and remember it for the exit status."""
        from anyvirt.cli.complaint import print_error

        self.failed = True
        named = not name or f"'{name}'" in error.message or error.message.startswith(name)
        print_error(self, error, prefix="" if named else f"{name}: ")

    def row_error(self, error: VirtError) -> dict[str, Any]:
        """An error as it stands in a row of JSON; remembered for the exit status."""
        self.failed = True
        return {"code": error.code, "message": error.message, "hint": error.hint}

    def lookup(self, names: Sequence[str]) -> tuple[list[Ref], dict[str, VirtError]]:
        """The refs of domains by name, UUID or number, and the errors of those that are not there.

        :raises VirtError: where there is but one name.
        """
        refs: list[Ref] = []
        errors: dict[str, VirtError] = {}
        for name in names:
            try:
                refs.append(self.connection.lookup(name).ref)
            except VirtError as error:
                if len(names) == 1:
                    raise
                errors[name] = error
        return refs, errors

    @staticmethod
    def _ask(questions: Sequence[Any]) -> dict[str, str]:
        from anyvirt.cli.prompt import ask

        return ask(questions)


def seconds(text: str) -> float | None:
    """A number of seconds as it is typed; ``none`` for no limit.

    :raises Usage: where it is neither.
    """
    if text.lower() == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise Usage(f"--timeout {text!r} is no time", hint="write seconds above 0, or none")
    return value
