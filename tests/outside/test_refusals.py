"""What libvirt refuses for every hypervisor is refused here, too, by code and path; what it accepts is not.

``refusals.toml`` lists the cases; a case that it does not list is refused by one driver alone.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.model.check import check
from anyvirt.model.domain import Domain
from anyvirt.model.strict import unknown
from anyvirt.model.xml import parse

VARIABLES = ("ANYVIRT_OUTSIDE_DATA", "ANYVIRT_LIBVIRT_DATA")
FOLDER = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
LIST = tomllib.loads((Path(__file__).parent / "refusals.toml").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(not FOLDER, reason="ANYVIRT_OUTSIDE_DATA names no folder of libvirt's documents")


def refused() -> dict[str, Path]:
    """The cases that libvirt's tests expect to fail, with their documents."""
    found = {path.name.split(".")[0]: path for path in sorted(Path(FOLDER).rglob("*.err"))}
    return {name: path.with_name(f"{name}.xml") for name, path in found.items()}


def problems(path: Path) -> list[tuple[str, str]]:
    """Codes and paths of what is wrong whatever the hypervisor; empty for what is no domain."""
    model = parse(path.read_bytes())
    if not isinstance(model, Domain):
        return []
    values = [problem for problem in unknown(model) if problem.code == "xml.value"]
    return [(problem.code, problem.path) for problem in (*check(model), *values)]


def test_what_is_wrong_for_every_hypervisor_is_refused_for_that_reason(figure: Callable[..., None]) -> None:
    missed, cases, seen = [], refused(), 0
    for name, (code, path) in LIST["refused"].items():
        if name in cases:
            seen += 1
            if (code, path) not in problems(cases[name]):
                missed.append(name)
    if cases:
        figure("refused", seen - len(missed), len(cases))
    assert missed == []


def test_no_case_is_refused_without_being_listed() -> None:
    unlisted = {name: problems(path) for name, path in refused().items() if name not in LIST["refused"]}
    assert {name: found for name, found in unlisted.items() if found} == {}


def test_no_document_that_libvirt_accepts_is_refused(documents: list[Path], figure: Callable[..., None]) -> None:
    cases = set(refused().values())
    wrong, count = {}, 0
    for path in documents:
        if path not in cases and path.stem not in LIST["outside"]:
            count += 1
            found = [problem for problem in problems(path) if problem[0] != "xml.value"]
            if found:
                wrong[str(path.relative_to(FOLDER))] = found
    figure("accepted", count - len(wrong), count)
    assert wrong == {}
