"""``help``: what ``--help`` shows, asked for by name."""

from __future__ import annotations

from typing import Annotated, Any

from anyvirt.cli.declare import arg, command
from anyvirt.cli.invocation import Invocation

_WHICH = "A command or a group of commands; without it, all of them."


def _commands(incomplete: str) -> list[str]:
    from anyvirt.cli.tree import root

    return [name for name in root().list_commands(None) if name.startswith(incomplete)]


@command("help", examples=("anyvirt help", "anyvirt help start", "anyvirt help pool", "anyvirt help vol create-as"))
def help_of(
    cli: Invocation,
    words: Annotated[list[str], arg(_WHICH, "COMMAND...", autocompletion=_commands)] = [],  # noqa: B006
) -> None:
    """Show the help of a command, as COMMAND --help does."""
    import shutil

    from anyvirt.cli import reference

    name = " ".join(words)
    width = min(reference.WIDTH, shutil.get_terminal_size().columns) - 2  # as Typer does
    text = reference.shown(name, _found(name), width)
    if not cli.json("help/1", command=name, help=text):
        cli.document(text)


def _found(name: str) -> Any:
    """The command or group of that name.

    :raises Usage: there is none; near ones are named.
    """
    from anyvirt.cli import tree
    from anyvirt.cli._index import COMMANDS

    if not name:
        return tree.root()
    if name in tree.GROUPS:
        return tree.group(name)
    if name in COMMANDS:
        return tree.load(name)
    from difflib import get_close_matches

    from anyvirt.cli.usage import Usage

    near = get_close_matches(name, [*COMMANDS, *tree.GROUPS], n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "anyvirt help lists the commands"
    raise Usage(f"there is no command {name!r}", hint=hint)
