"""The rules of the house that no linter knows: who imports whom, how long things are, what they are called."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Final

FILE_LINES: Final = 600
FUNCTION_LINES: Final = 60
GENERATED: Final = ("*/_generated_*.py", "*/cli/_index.py", "*/anyvirt/api.py")
SHAPELESS: Final = {"manager", "helper", "helpers", "util", "utils", "base"}
# QEMU calls its set-uid program for bridges a helper.
NAMED_BY_OTHERS: Final = ("plugins/host/*/local/tap.py", "plugins/host/tests/test_tap.py")
# Written as somebody outside would write it.
OUTSIDE: Final = ("tests/downstream/*/*",)

CORE: Final = "core/src/anyvirt"
# What may be imported, by files that match one of the patterns and by no other file of the product.
ONLY_IN: Final = {
    "lxml": (f"{CORE}/model/xml.py", "plugins/*/config.py", "plugins/*/wire.py"),
    "pluggy": (f"{CORE}/hooks/*", f"{CORE}/discovery.py", f"{CORE}/session.py"),
    "subprocess": (f"{CORE}/transport/*", f"{CORE}/testing/*", "plugins/host/src/anyvirt_host/local/*"),
    "socket": (f"{CORE}/transport/*", f"{CORE}/testing/*", "plugins/host/src/anyvirt_host/local/*"),
    "pyroute2": ("plugins/host/src/anyvirt_host/local/netlink.py",),
    "concurrent.futures": (),
    "multiprocessing": (),
    "typer": (f"{CORE}/cli/*",),
    "rich": (f"{CORE}/cli/*",),
    "pytest": (f"{CORE}/testing/*",),
    "anyvirt.cli": (f"{CORE}/cli/*",),
    "anyvirt.testing": (f"{CORE}/testing/*",),
}
# What may be named after a dot, in the same way: threads start and the environment is read in one place.
USED_ONLY_IN: Final = {
    "threading.Thread": (f"{CORE}/lanes.py", f"{CORE}/deadline.py"),
    "threading.Timer": (f"{CORE}/deadline.py",),
    "asyncio.to_thread": (),
    "os.environ": (f"{CORE}/settings.py",),
    "os.getenv": (f"{CORE}/settings.py",),
    "os.system": (),
    "os.popen": (),
    "os.fork": ("plugins/host/src/anyvirt_host/local/launcher.py",),
}
# The parts of core from the ground up: a part imports none that stands after it.
LAYERS: Final = (
    ("errors", "ref"),
    ("model",),
    ("hooks",),
    ("session",),
    ("client",),
    ("cli",),
)


@dataclass(frozen=True)
class Source:
    """One file of Python: its path inside the checkout and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Each module imported, inside functions too, with its line; ``from a import b`` gives ``a`` and ``a.b``."""
        found: list[tuple[int, str]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, name.name) for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found += [(node.lineno, module), *((node.lineno, f"{module}.{name.name}") for name in node.names)]
        return found

    def is_in(self, patterns: tuple[str, ...]) -> bool:
        """Whether the path matches one of the patterns."""
        return any(fnmatchcase(self.path, pattern) for pattern in patterns)


def sources(root: Path, *folders: str) -> list[Source]:
    """The Python files below folders (patterns) of the checkout."""
    found = [
        path
        for folder in folders
        for top in root.glob(folder)
        for path in ([top] if top.is_file() else top.rglob("*.py"))
    ]
    return [Source(str(path.relative_to(root)), path.read_text(encoding="utf-8")) for path in sorted(found)]


def too_long(source: Source) -> Iterator[str]:
    """Files and functions past their limit; what a generator wrote is as long as it is."""
    if source.is_in(GENERATED):
        return
    lines = source.text.count("\n")
    if lines > FILE_LINES:
        yield f"{source.path} has {lines} lines"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{source.path}:{node.lineno} {node.name} has {lines} lines"


def badly_opened(source: Source) -> Iterator[str]:
    """Files without a docstring (tests speak by their names), or without the future import where they have code."""
    if not ast.get_docstring(source.tree) and not source.is_in(("tests/*", "*/tests/*")):
        yield f"{source.path} has no docstring"
    if source.is_in(OUTSIDE):
        return
    future = any(name == "__future__.annotations" for _, name in source.imports)
    if len(source.tree.body) > 1 and not future and not source.is_in(GENERATED):
        yield f"{source.path} lacks 'from __future__ import annotations'"


def relative_imports(source: Source) -> Iterator[str]:
    """Imports that depend on where the file lies."""
    yield from _each_line(source, [(line, name) for line, name in source.imports if name.startswith(".")])


def shapeless_names(source: Source) -> Iterator[str]:
    """Files, classes and functions called manager, helper, util or base."""
    if source.is_in(NAMED_BY_OTHERS):
        return
    stem = Path(source.path).stem
    if _words(stem) & SHAPELESS:
        yield f"{source.path} is called {stem}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _words(node.name) & SHAPELESS:
            yield f"{source.path}:{node.lineno} is called {node.name}"


def misplaced_imports(source: Source) -> Iterator[str]:
    """Imports that belong to one place, made elsewhere."""
    for module, places in ONLY_IN.items():
        if source.is_in(places):
            continue
        for line in sorted({line for line, name in source.imports if _within(name, module)}):
            yield f"{source.path}:{line} imports {module}"


def misplaced_uses(source: Source) -> Iterator[str]:
    """Threads, forks, shells and the environment, used where they must not be."""
    named = [(node.lineno, ast.unparse(node)) for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)]
    for used, places in USED_ONLY_IN.items():
        if source.is_in(places):
            continue
        for line in sorted({line for line, name in [*named, *source.imports] if _within(name, used)}):
            yield f"{source.path}:{line} uses {used}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.keyword) and node.arg in {"shell", "preexec_fn"}:
            yield f"{source.path}:{node.value.lineno} passes {node.arg}"


def upward_imports(source: Source) -> Iterator[str]:
    """Parts of core that import a part above them, or a plug-in."""
    if not source.path.startswith(f"{CORE}/"):
        return
    part = source.path.removeprefix(f"{CORE}/").split("/")[0].removesuffix(".py")
    level = next((number for number, parts in enumerate(LAYERS) if part in parts), None)
    above = {f"anyvirt.{name}" for parts in LAYERS[level + 1 :] for name in parts} if level is not None else set()
    wrong = [
        (line, name)
        for line, name in source.imports
        if name.startswith("anyvirt_") or any(_within(name, module) for module in above)
    ]
    yield from _each_line(source, wrong)


def foreign_imports(source: Source) -> Iterator[str]:
    """Imports of a plug-in beyond the API, what local hypervisors share, its own package and the standard library.

    A library of the hypervisor's vendor belongs in ``connect.py``.
    """
    match = re.match(r"plugins/[^/]+/src/(anyvirt_\w+)/", source.path)
    if match is None:
        return
    allowed = ["anyvirt.api", "anyvirt_host.local", match[1], "lxml", "pyroute2", *sys.stdlib_module_names]
    connect = Path(source.path).name == "connect.py"
    wrong = [
        (line, name)
        for line, name in source.imports
        if not any(_within(name, module) for module in allowed) and (name.startswith("anyvirt") or not connect)
    ]
    yield from _each_line(source, [(line, name) for line, name in wrong if name != "anyvirt"])


def _each_line(source: Source, wrong: list[tuple[int, str]]) -> Iterator[str]:
    yield from (f"{source.path}:{line} imports {name}" for line, name in dict(reversed(wrong)).items())


def _within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}
