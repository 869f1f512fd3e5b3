"""How a command is declared: a function whose annotations say what Typer is to make of it.

Annotations are strings until Typer asks for them, and the functions here import Typer only then,
so that a command can be loaded and run without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
EXITS: Final = "Exit status: 0 done; 1 failed, with error[CODE] on stderr; 2 wrong usage."


class Command:
    """Where a function stands in the tree of commands.

    :param names: the first is shown in help; the others are spellings that virsh's users type.
    :param examples: command lines with what they are for, shown at the end of the help.
    :param exits: what its exit status means.
    :param hidden: not shown in any list.
    """

    def __init__(self, names: tuple[str, ...], examples: tuple[str, ...], exits: str, *, hidden: bool) -> None:
        self.names, self.examples, self.exits, self.hidden = names, examples, exits, hidden


def command(*names: str, examples: tuple[str, ...] = (), exits: str = EXITS, hidden: bool = False) -> Callable[[F], F]:
    """Put a function into the tree: ``@command("pool list", "pool-list")``."""

    def mark(function: F) -> F:
        function.anyvirt_command = Command(names, examples, exits, hidden=hidden)  # type: ignore[attr-defined]
        return function

    return mark


def opt(*flags: str, help: str, metavar: str | None = None, hidden: bool = False, **more: Any) -> Any:  # noqa: A002
    """An option of a command; for ``Annotated``."""
    import typer

    return typer.Option(*flags, help=help, metavar=metavar, hidden=hidden, show_default=False, **more)


def arg(help: str, metavar: str | None = None, **more: Any) -> Any:  # noqa: A002
    """A positional argument of a command; for ``Annotated``."""
    import typer

    return typer.Argument(help=help, metavar=metavar, show_default=False, **more)


def form(help: str = "xml, json or yaml; told from the content without it.") -> Any:  # noqa: A002
    """The option that names the form of a document."""
    return opt("--format", help=help, metavar="FORM", autocompletion=words("xml", "json", "yaml"))


def shown_form() -> Any:
    """The option that names the form in which a document is printed."""
    return form("xml, json or yaml.")


def xpath() -> Any:
    """The option that picks parts of a document."""
    return opt("--xpath", help="Print only the parts that this XPath names.", metavar="XPATH")


def wrap() -> Any:
    """The option that makes one document of such parts."""
    return opt("--wrap", help="With --xpath: put <nodes> around them.")


def domain(help: str = "Name, UUID or number of a domain.") -> Any:  # noqa: A002
    """The argument that names one domain."""
    return arg(help, "DOMAIN", autocompletion=_names("domain"))


def domains(help: str = "Names, UUIDs or numbers of domains.") -> Any:  # noqa: A002
    """The argument that names domains."""
    return arg(help, "DOMAIN...", autocompletion=_names("domain"))


def named(kind: str) -> Any:
    """The argument that names a pool, a network, an interface or a secret."""
    text = "UUID of a secret, or what it is for." if kind == "secret" else f"Name or UUID of a {kind}."
    return arg(text, kind.upper(), autocompletion=_names(kind))


def volume(help: str = "Name, key or path of a volume.") -> Any:  # noqa: A002
    """The argument that names one volume."""
    return arg(help, "VOL", autocompletion=_names("volume"))


def words(*known: str) -> Callable[[str], list[str]]:
    """What completes an option or argument that takes one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return complete


def _names(kind: str) -> Callable[..., list[str]]:
    def complete(ctx: Any, incomplete: str) -> list[str]:
        from anyvirt.cli.complete import names

        return names(kind, ctx, incomplete)

    return complete
