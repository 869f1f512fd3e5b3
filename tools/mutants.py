"""Breaks each hook of a driver, one after the other, and looks whether the contract suite turns red.

``python tools/mutants.py [DRIVER ...]`` prints how many mutants were caught, and which were not. A mutant is a
hook that does nothing, one that always says the same, or one that is deaf to a parameter.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from inspect import isgeneratorfunction, signature
from pathlib import Path
from typing import Any, Final

import pytest
from anyvirt.api import Answer, Ref
from anyvirt.hooks.table import SPECS
from anyvirt.opening import open as opened
from anyvirt.session import Session
from anyvirt.testing.marks import NEEDS, PROVES, claims

ROOT: Final = Path(__file__).resolve().parent.parent
FIGURES: Final = ROOT / "tests" / "figures.json"
# driver -> (a URI that tells which hooks there are, where its contract suite is)
DRIVERS: Final = {
    "test": ("test:///default", ["tests/contract"]),
    "qemu": ("qemu:///session", ["plugins/qemu/tests/test_contract.py"]),
}
# Broken, they can only be told apart by a driver that breaks the contract in another way at the same time.
EXEMPT: Final = {"connect_ready", "connect_close"}


@dataclass(frozen=True)
class Mutant:
    """One way to break one hook.

    :param way: ``nothing``, ``constant``, or ``deaf``.
    :param parameter: what it is deaf to.
    """

    hook: str
    way: str
    parameter: str = ""

    def __str__(self) -> str:
        return f"{self.hook}: " + (f"deaf to {self.parameter}" if self.parameter else self.way)

    def broken(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The hook, broken."""
        spec = SPECS[self.hook]
        names = list(signature(method).parameters)[1:]

        @wraps(method)
        def deaf(plugin: Any, *given: Any, **named: Any) -> Any:
            heard = {**dict(zip(names, given, strict=False)), **named}
            return method(plugin, **{**heard, self.parameter: spec.defaults[self.parameter]})

        @wraps(method)
        def nothing(plugin: Any, *given: Any, **named: Any) -> Any:  # noqa: ARG001
            return iter(()) if spec.kind == "bulk" or _is_many(spec) else None

        @wraps(method)
        def no_job(plugin: Any, *given: Any) -> Iterator[Any]:  # noqa: ARG001
            yield from ()

        @wraps(method)
        def same(plugin: Any, refs: Any, *given: Any) -> Iterator[tuple[Ref, Answer[Any]]]:
            first: Answer[Any] | None = getattr(plugin, "said_first", None)
            for ref, answer in method(plugin, refs, *given):
                first = first or (answer if answer.error is None else None)
                yield ref, first or answer
            plugin.said_first = first

        @wraps(method)
        def some_ref(plugin: Any, *given: Any) -> Ref:  # noqa: ARG001
            return Ref(spec.gives, "made-up", name="made-up")

        if self.way == "deaf":
            return deaf
        if self.way == "constant":
            return same if spec.kind == "bulk" else some_ref
        return no_job if spec.kind == "job" or isgeneratorfunction(method) else nothing


def mutants(supports: Any) -> Iterator[Mutant]:
    """Every mutant of a driver with those hooks."""
    for hook in supports:
        if hook in EXEMPT:
            continue
        spec = SPECS[hook]
        yield Mutant(hook, "nothing")
        returns = str(spec.function.__annotations__.get("return"))
        if spec.kind == "bulk" or (spec.kind == "call" and returns == "Ref"):
            yield Mutant(hook, "constant")
        for parameter in spec.defaults:
            if f"{hook}.{parameter}" in supports:
                yield Mutant(hook, "deaf", parameter)


class Mutating:
    """A pytest plug-in: every driver that is opened has the broken hook, and only tests that may notice are run."""

    def __init__(self, driver: str, mutant: Mutant) -> None:
        self.driver, self.mutant = driver, mutant
        self.begin = Session.__init__
        self.red = ""

    def pytest_sessionstart(self) -> None:
        begin, driver, mutant = self.begin, self.driver, self.mutant

        def broken(session: Session, uri: Any, host: Any, members: Any, **rest: Any) -> None:
            for member in members:
                kind = type(member.plugin)
                if uri.scheme == driver and hasattr(kind, mutant.hook) and not hasattr(kind, "anyvirt_broken"):
                    method = mutant.broken(getattr(kind, mutant.hook))
                    member.plugin.__class__ = type(kind.__name__, (kind,), {mutant.hook: method, "anyvirt_broken": 1})
            begin(session, uri, host, members, **rest)

        Session.__init__ = broken  # type: ignore[method-assign,assignment]

    def pytest_sessionfinish(self) -> None:
        Session.__init__ = self.begin  # type: ignore[method-assign]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        def distance(item: pytest.Item) -> int:
            for number, mark in enumerate((PROVES, NEEDS)):
                if any(name.partition(".")[0] == self.mutant.hook for name in claims(item, mark)):
                    return number
            return 2

        items[:] = sorted((item for item in items if distance(item) < 2), key=distance)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.red:
            self.red = report.nodeid


def caught(driver: str, mutant: Mutant, paths: list[str]) -> str:
    """The test that turned red; empty where none did."""
    plugin = Mutating(driver, mutant)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main(
            ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "--assert=plain", *paths], plugins=[plugin]
        )
    return plugin.red


def unbroken(paths: list[str]) -> bool:
    """Whether the suite passes as it is: one that is red anyway would catch everything."""
    words = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", *(str(ROOT / path) for path in paths)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return pytest.main(words) == 0


def fallen(driver: str, caught: int) -> bool:
    """Whether fewer mutants are caught than ``tests/figures.json`` commits to."""
    committed = json.loads(FIGURES.read_text(encoding="utf-8"))["mutants"].get(driver, 0)
    if caught < committed:
        print(f"{driver}: {FIGURES.relative_to(ROOT)} has {committed}")
    return bool(caught < committed)


def main() -> int:
    """Break, run, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drivers", nargs="*", default=["test"], help="test, qemu")
    parser.add_argument("--hook", help="break this one alone")
    parser.add_argument("--json", type=Path, help="write the figures there")
    wanted = parser.parse_args()
    figures, alive = {}, 0
    for driver in wanted.drivers:
        uri, paths = DRIVERS[driver]
        with tempfile.TemporaryDirectory() as state, opened(uri, state_dir=Path(state)) as connection:
            every = [one for one in mutants(connection.supports) if wanted.hook in (None, one.hook)]
        if not unbroken(paths):
            sys.exit(f"{driver}: the contract suite fails with every hook as it is; no mutant can be judged")
        begun, survivors = time.monotonic(), []
        for one in every:
            red = caught(driver, one, [str(ROOT / path) for path in paths])
            print(f"{driver} {one}: {red.rpartition('::')[2] or 'SURVIVED'}", flush=True)
            survivors += [] if red else [str(one)]
        seconds = round(time.monotonic() - begun)
        print(f"{driver}: caught {len(every) - len(survivors)} of {len(every)} in {seconds} s")
        print("".join(f"  survived: {one}\n" for one in survivors), end="")
        turned = len(every) - len(survivors)
        figures[driver] = {"caught": turned, "of": len(every), "survived": survivors}
        alive += len(survivors) + (not wanted.hook and fallen(driver, turned))
    if wanted.json:
        wanted.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if alive else 0


def _is_many(spec: Any) -> bool:
    return str(spec.function.__annotations__.get("return", "")).startswith(("Iterator", "Sequence"))


if __name__ == "__main__":
    sys.exit(main())
