"""The help of every command as text: for the documentation and for what holds it still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import typer

from anyvirt.cli import tree
from anyvirt.cli._index import COMMANDS
from anyvirt.cli.parse import Entry

WIDTH: Final = 100


def commands() -> Iterator[tuple[str, str]]:
    """``("anyvirt list", its help)`` of every command that help shows, groups before their members."""
    yield "anyvirt", shown("", tree.root())
    for path, row in COMMANDS.items():
        if not Entry(*row).hidden and " " not in path:
            yield f"anyvirt {path}", shown(path, tree.load(path))
    for name in tree.GROUPS:
        yield f"anyvirt {name}", shown(name, tree.group(name))
        for path, row in COMMANDS.items():
            if path.startswith(f"{name} ") and not Entry(*row).hidden:
                yield f"anyvirt {path}", shown(path, tree.load(path))


def aliases() -> Iterator[tuple[str, str]]:
    """``("anyvirt domstats", its help)`` of every command that only virsh's users type."""
    for path, row in COMMANDS.items():
        if Entry(*row).hidden:
            yield f"anyvirt {path}", shown(path, tree.load(path))


def shown(path: str, command: object, width: int = WIDTH) -> str:
    """The help of one command, or group; ``path`` is empty for the whole."""
    context = typer.Context(
        command,  # type: ignore[arg-type]
        info_name=f"anyvirt {path}".rstrip(),
        terminal_width=width,
        help_option_names=["-h", "--help"],
    )
    text: str = command.get_help(context)  # type: ignore[attr-defined]
    return text.rstrip() + "\n"
