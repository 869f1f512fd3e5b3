"""A pytest plug-in for ``mutants``: notes which test calls which hook, or replaces one hook of a driver.

``ANYVIRT_MUTATE=record:PACKAGE:FILE`` notes; ``ANYVIRT_MUTATE=replace:PACKAGE:HOOK`` replaces.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from anyvirt.api import Answer

Hook = Callable[..., Any]


class Record:
    """For each hook that the driver has, the tests that called it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._test = ""
        self._calls: dict[str, dict[str, None]] = {}

    def wrap(self, name: str, function: Hook) -> Hook:
        """A hook that notes who calls it."""
        callers = self._calls.setdefault(name, {})

        @functools.wraps(function)
        def noted(*args: Any, **words: Any) -> Any:
            if self._test:
                callers[self._test] = None
            return function(*args, **words)

        return noted

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Remember which test runs."""
        self._test = nodeid

    def pytest_sessionfinish(self) -> None:
        """Write down what was noted."""
        calls = {name: list(callers) for name, callers in sorted(self._calls.items())}
        self._file.write_text(json.dumps(calls), encoding="utf-8")


def mutant(function: Hook) -> Hook:
    """The hook, doing nothing: a change has no effect, a question has the answer that it had first."""
    meta = spec_of(function.__name__)
    if meta.kind == "bulk":
        return _same_for_all(function)
    if meta.kind == "job" or (meta.kind == "stream" and inspect.isgeneratorfunction(function)):
        return functools.wraps(function)(_nothing_follows)
    if meta.access == "write" and meta.function.__annotations__.get("return") in {None, "None"}:
        return functools.wraps(function)(_no_effect)
    return _as_at_first(function)


def _no_effect(*_args: Any, **_words: Any) -> None:
    return None


def _nothing_follows(*_args: Any, **_words: Any) -> Iterator[Any]:
    yield from ()


def _as_at_first(function: Hook) -> Hook:
    first: list[Any] = []

    @functools.wraps(function)
    def constant(*args: Any, **words: Any) -> Any:
        if not first:
            value = function(*args, **words)
            first.append(list(value) if inspect.isgenerator(value) else value)
        return iter(first[0]) if isinstance(first[0], list) else first[0]

    return constant


def _same_for_all(function: Hook) -> Hook:
    first: list[Any] = []

    @functools.wraps(function)
    def constant(self: Any, refs: Any, *args: Any, **words: Any) -> Iterator[Any]:
        for ref in refs:
            if not first:
                first.extend(
                    answer.value for _, answer in function(self, [ref], *args, **words) if answer.error is None
                )
            yield ref, Answer(first[0]) if first else Answer(None)

    return constant


def spec_of(name: str) -> Any:
    """The specification of a hook, from whichever area declares it."""
    import anyvirt.hooks

    for module in pkgutil.iter_modules(anyvirt.hooks.__path__):
        for area in vars(importlib.import_module(f"anyvirt.hooks.{module.name}")).values():
            meta = getattr(getattr(area, name, None), "anyvirt_meta", None) if isinstance(area, type) else None
            if meta is not None:
                return meta
    raise LookupError(name)


def replace_hooks(package: str, change: Callable[[str, Hook], Hook | None]) -> None:
    """Change the hooks that the classes of a package implement, wherever they stand."""
    top = importlib.import_module(package)
    modules = [top, *(importlib.import_module(found.name) for found in _below(top))]
    seen: set[type] = set()
    for module in modules:
        for thing in list(vars(module).values()):
            if isinstance(thing, type) and thing.__module__.startswith(package) and thing not in seen:
                seen.add(thing)
                for name, member in list(vars(thing).items()):
                    changed = change(name, member) if _is_hook(member) else None
                    if changed is not None:
                        setattr(thing, name, changed)


def _below(package: Any) -> Iterator[pkgutil.ModuleInfo]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return (info for info in found if not info.name.endswith(("__main__", ".launcher")))


def _is_hook(member: Any) -> bool:
    return isinstance(member, FunctionType) and hasattr(member, "anyvirt_accepts")


def pytest_configure(config: pytest.Config) -> None:
    """Do what the environment asks for, before anything opens a connection."""
    mode, package, target = os.environ["ANYVIRT_MUTATE"].split(":", 2)
    if mode == "record":
        record = Record(Path(target))
        config.pluginmanager.register(record)
        replace_hooks(package, record.wrap)
    else:
        replace_hooks(package, lambda name, function: mutant(function) if name == target else None)
