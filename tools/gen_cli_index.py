"""Write ``anyvirt/cli/_index.py``: every command with its options, read from Typer's own commands.

``python tools/gen_cli_index.py`` writes it; ``--check`` fails where it is stale.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from anyvirt.cli import tree

FOLDER: Final = Path(__file__).parents[1] / "core/src/anyvirt/cli"
TARGET: Final = FOLDER / "_index.py"
KINDS: Final = {"str": "str", "text": "str", "int": "int", "integer": "int", "float": "float", "boolean": "bool"}
TEMPLATE: Final = '''"""Every command as Typer has it, written by tools/gen_cli_index.py: do not edit.

A row is an ``Entry`` of ``anyvirt.cli.parse``, its parameters are rows of ``Param``.
"""

from __future__ import annotations

from typing import Any, Final

# ruff: noqa: E501
# fmt: off
COMMANDS: Final[dict[str, tuple[Any, ...]]] = {{
{rows}
}}
'''


def commands() -> dict[str, Any]:
    """Name -> function, of every module of the command line, in the order of modules and lines."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem.startswith("_"):
            continue
        module = import_module(f"anyvirt.cli.{path.stem}")
        for function in vars(module).values():
            if hasattr(function, "anyvirt_command") and function.__module__ == module.__name__:
                for name in function.anyvirt_command.names:
                    if name in found:
                        raise SystemExit(f"two commands are called {name!r}")
                    found[name] = function
    return found


def row(name: str, function: Any) -> tuple[Any, ...]:
    """The ``Entry`` of one command."""
    made = tree.made(name, function)
    about = function.anyvirt_command
    params = []
    for parameter in made.params:
        if parameter.name.startswith("_"):
            continue
        option = parameter.param_type_name == "option"
        many = parameter.nargs == -1 or bool(getattr(parameter, "multiple", False))
        kind = KINDS.get(parameter.type.name, "other")
        if getattr(parameter, "is_flag", False):
            kind = "bool" if not parameter.secondary_opts else "other"
        default = () if many else parameter.default
        flags = tuple(parameter.opts) if option else ()
        params.append((parameter.name, flags, kind, many, bool(parameter.required), default))
    help_line = made.get_short_help_str(200)
    hidden = about.hidden or name != about.names[0]
    return (function.__module__, function.__name__, help_line, hidden, tuple(params))


def text() -> str:
    """The file, formatted."""
    order = {name: index for index, name in enumerate(tree.ORDER)}
    found = commands()
    missing = [name for name, function in found.items() if function.anyvirt_command.names[0] not in order]
    if missing:
        raise SystemExit(f"tree.ORDER has no place for {', '.join(missing)}")
    names = sorted(found, key=lambda name: (order[found[name].anyvirt_command.names[0]], name not in order, name))
    rows = "\n".join(f"    {quoted(name)}: {quoted(row(name, found[name]))}," for name in names)
    return formatted(TEMPLATE.format(rows=rows))


def quoted(value: Any) -> str:
    """``repr`` with the quotes that ruff wants."""
    if isinstance(value, tuple):
        inner = ", ".join(quoted(one) for one in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def formatted(source: str) -> str:
    """The source as ruff has it."""
    argv = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(argv, input=source, text=True, capture_output=True, check=True).stdout


def main() -> int:
    """Write the file, or with ``--check`` say whether it is what would be written."""
    wanted = text()
    if "--check" in sys.argv[1:]:
        stale = not TARGET.exists() or TARGET.read_text(encoding="utf-8") != wanted
        if stale:
            print(f"{TARGET} is stale: python tools/gen_cli_index.py writes it")
        return int(stale)
    TARGET.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
