"""Documents that others wrote: where they are, and the fractions that ``nox -s outside`` prints of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from anyvirt.model.roots import ROOTS
from lxml import etree

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "model"))

VARIABLES: Final = ("ANYVIRT_OUTSIDE_DATA", "ANYVIRT_LIBVIRT_DATA")
# What is printed, in this order; a figure that no test has measured stands there without one.
FIGURES: Final = {
    "others": "files that are none of libvirt's documents",
    "kept": "documents that come through whole",
    "mutants": "mutated documents that come through whole",
    "declared": "paths that are declared fields with a type",
    "plain": "declared paths that are any text",
    "open": "paths in content that is kept as XML",
    "refused": "documents that libvirt refuses and we do, by code and path",
    "qemu-refused": "documents that libvirt's QEMU driver refuses on x86 and we do, for the same reason",
    "qemu-lacking": "documents that are refused where QEMU lacks what they ask for",
    "accepted": "other documents that no check refuses",
    "pairs": "pairs of XML in and XML out (QEMU on x86) that are equal",
    "places": "command lines of QEMU whose devices sit where ours do",
    "machines": "pairs of XML in and XML out (QEMU on other architectures) that are equal",
    "argv-read": "recorded command lines of QEMU that are read into definitions that are valid",
    "argv-devices": "plans (QEMU on x86) whose command line comes back with the same devices",
    "argv-lines": "plans (QEMU on x86) whose command line comes back word by word",
    "volume-lines": "recorded lines for new volumes that mean the same as ours, with the same image by qemu-img info",
    "pool-lines": "recorded lines for starting pools that mean the same as ours",
    "vmx-read": "recorded configurations of VMware's machines that are read as recorded",
    "vmx-written": "recorded definitions of VMware's machines that are written as recorded",
    "vmx-again": "recorded configurations of VMware's machines that come back from what is written",
    "schema-rng": "documents that our RELAX NG takes",
    "schema-json": "documents that our JSON Schema takes",
}
MEASURED: Final = pytest.StashKey[dict[str, dict[str, Any]]]()
Figure = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", metavar="FILE", help="write the fractions there, with the date")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = {}


@pytest.fixture(scope="session")
def folder() -> Path:
    """The folder of documents; a test that asks for it is skipped where there is none."""
    name = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    if not name:
        pytest.skip("ANYVIRT_OUTSIDE_DATA names no folder of libvirt's documents")
    return Path(name)


@pytest.fixture(scope="session")
def documents(folder: Path) -> list[Path]:
    """Every document below it that is one of libvirt's: well-formed, with a root element that there is."""
    found = [path for path in everything(folder) if root_of(path) in ROOTS]
    assert found, f"no document of libvirt's below {folder}"
    return found


@pytest.fixture(scope="session", autouse=True)
def others(request: pytest.FixtureRequest) -> None:
    """Counts what is none of libvirt's documents, so that nothing is passed over in silence."""
    name = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    if name:
        roots = [root_of(path) for path in everything(Path(name))]
        strange = sorted({root for root in roots if root not in ROOTS})
        note = ", ".join(f"<{root}>" if root else "not well-formed" for root in strange[:8])
        done = sum(root not in ROOTS for root in roots)
        request.config.stash[MEASURED]["others"] = {"done": done, "total": len(roots), "note": note}


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.xml") if path.is_file())


def root_of(path: Path) -> str:
    """The tag of the root element; nothing where the file is no XML."""
    try:
        return str(etree.parse(path).getroot().tag)
    except (etree.XMLSyntaxError, OSError):
        return ""


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Record a fraction: ``figure("kept", done, total, note="seed 7")``; without a total it is a count."""

    def record(name: str, done: int, total: int | None = None, note: str = "") -> None:
        assert name in FIGURES
        request.config.stash[MEASURED][name] = {"done": done, "total": total, "note": note}

    return record


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    measured = config.stash[MEASURED]
    if measured:
        terminalreporter.section("documents that others wrote")
        for name, about in FIGURES.items():
            terminalreporter.write_line(f"{about + ':':<68}{_shown(measured.get(name))}")
    target = config.getoption("--figures")
    if target and measured:
        rows = {name: {"about": about, **measured[name]} for name, about in FIGURES.items() if name in measured}
        found = {"date": datetime.now(UTC).date().isoformat(), "figures": rows}
        Path(target).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _shown(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not measured"
    done, total, note = row["done"], row["total"], f" ({row['note']})" if row["note"] else ""
    return f"{done}{note}" if total is None else f"{done} of {total}, {done / (total or 1):.2%}{note}"
