"""Every task a maintainer runs. ``./bootstrap X`` sets the machine up and runs ``nox -s X``."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "unit"]
nox.options.error_on_external_run = False

ROOT = Path(__file__).parent
DISTRIBUTIONS = ["core", *sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("plugins/*/pyproject.toml"))]
# One environment for everything that tests this checkout as it stands; a session each would cost minutes.
shared = nox.session(venv_backend="none")


def python(session: nox.Session, *words: str, place: str = "shared", group: str = "dev") -> None:
    """Run Python in an environment that outlives the session."""
    session.run(environment(session, place, group), *words)


def environment(session: nox.Session, place: str, group: str) -> str:
    """The Python of ``.nox/<place>``: a group's tools and every distribution, editable, as declared now."""
    folder = ROOT / ".nox" / place
    executable, stamp = str(folder / "bin" / "python"), folder / "installed"
    declared = [ROOT / "pyproject.toml", *(ROOT / name / "pyproject.toml" for name in DISTRIBUTIONS)]
    wanted = hashlib.sha256(b"\0".join([sys.version.encode(), *(path.read_bytes() for path in declared)])).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return executable
    session.log(f"setting up .nox/{place}")
    if not Path(executable).exists():
        session.run(sys.executable, "-m", "virtualenv", "--quiet", str(folder), log=False)
    install = (executable, "-m", "pip", "--disable-pip-version-check", "install", "-qq")
    editable = [word for name in DISTRIBUTIONS for word in ("-e", f"./{name}")]
    session.run(*install, *tools(group), log=False)
    session.run(*install, "--no-build-isolation", *editable, log=False)
    stamp.write_text(wanted, encoding="ascii")
    return executable


def tools(group: str) -> list[str]:
    """The requirements of a dependency group."""
    return list(nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), group))


def lowest() -> list[str]:
    """What each distribution and its ``testing`` extra require, at the lowest version; their own names aside."""
    found = []
    for name in DISTRIBUTIONS:
        project = nox.project.load_toml(ROOT / name / "pyproject.toml")["project"]
        for words in [*project["dependencies"], *project.get("optional-dependencies", {}).get("testing", [])]:
            match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[\w+\])?>=([0-9.]+).*", words)
            if match is None:
                raise ValueError(f"{name}: no lowest version in {words!r}")
            if not match[1].startswith("anyvirt"):
                found.append(f"{match[1]}=={match[2]}")
    return found


@shared
def lint(session: nox.Session) -> None:
    """Ruff, the formatter, generated files that are stale."""
    generators = [path for path in sorted(ROOT.glob("tools/gen_*.py")) if '"--check"' in path.read_text("utf-8")]
    run_sections(session, "lint", "format", *(path.stem.replace("_", "-") for path in generators))


@shared
def types(session: nox.Session) -> None:
    """Mypy, strict, over everything."""
    run_sections(session, "types")


@shared
def unit(session: nox.Session) -> None:
    """Core's own tests: ``nox -s unit -- -k lanes``."""
    python(session, "-m", "pytest", "tests/unit", *session.posargs)


@shared
def contract(session: nox.Session) -> None:
    """The contract suite over every plug-in here."""
    python(session, "-m", "pytest", *sorted(map(str, ROOT.glob("plugins/*/tests"))), *session.posargs)


@shared
def lab(session: nox.Session) -> None:
    """Real hypervisors, fresh machines and the second QEMU generation; some of it needs root."""
    python(session, "tools/run_tests.py", "--lab", *session.posargs)


@shared
def docs(session: nox.Session) -> None:
    """The documentation, warnings are errors."""
    run_sections(session, "docs")


@nox.session
def minimums(session: nox.Session) -> None:
    """Core's own tests with the lowest versions that the distributions allow."""
    session.install("--quiet", *lowest(), *tools("test"), *(f"./{name}" for name in DISTRIBUTIONS))
    session.run("python", "-m", "pytest", "-n", "2", "tests/unit", *session.posargs)


@shared
def downstream(session: nox.Session) -> None:
    """A driver from outside, installed from its own wheel beside core's."""
    run_sections(session, "downstream")


@shared
def build(session: nox.Session) -> None:
    """Every wheel: built, installed one by one into a clean environment, imported."""
    run_sections(session, "build")


@shared
def mutants(session: nox.Session) -> None:
    """Would the contract suite notice a hook that does nothing? ``nox -s mutants -- test``."""
    python(session, "tools/mutants.py", *session.posargs)


@shared
def fuzz(session: nox.Session) -> None:
    """Every property test with thousands of new examples."""
    folders = ["tests", *sorted(map(str, ROOT.glob("plugins/*/tests")))]
    session.env["PYTHONPATH"] = str(ROOT / "tools")
    python(session, "-m", "pytest", "-p", "fuzz_profile", "-m", "hypothesis", *folders, *session.posargs)


@shared
def outside(session: nox.Session) -> None:
    """Suites and data that others wrote, and the fractions of them: ``nox -s outside -- [FOLDER]``."""
    words = list(session.posargs)
    if words and Path(session.invoked_from, words[0]).is_dir():
        session.env["ANYVIRT_OUTSIDE_DATA"] = str(Path(session.invoked_from, words.pop(0)).resolve())
    session.env["ANYVIRT_MUTANTS"] = os.environ.get("ANYVIRT_MUTANTS") or "10000"
    python(session, "-m", "pytest", "-q", "tests/outside", *words)


@shared
def support(session: nox.Session) -> None:
    """What the QEMU driver makes of each path of a domain; folders of definitions follow."""
    folders = [str(Path(session.invoked_from, word).resolve()) for word in session.posargs]
    python(session, "-m", "tests.outside.qemu_support", *folders)


@nox.session(name="device-tree", venv_backend="none")
def device_tree(session: nox.Session) -> None:
    """Plans beside recorded command lines on a real QEMU: ``nox -s device-tree -- FOLDER --json FILE``."""
    python(session, "-m", "tests.device_tree", *session.posargs)


@shared
def lies(session: nox.Session) -> None:
    """Does the comparison notice 30 small lies about recorded lines? ``nox -s lies -- FOLDER [--seed N]``."""
    python(session, "-m", "tests.device_tree.mutate", *session.posargs)


@shared
def bench(session: nox.Session) -> None:
    """Side by side with libvirt: ``nox -s bench -- --json FILE``."""
    python(session, "-m", "tests.bench", *session.posargs)


@shared
def demo(session: nox.Session) -> None:
    """A small Linux guest on QEMU, from its definition to its end."""
    python(session, "examples/demo.py", *session.posargs, place="demo", group="build")


@shared
def tests(session: nox.Session) -> None:
    """Everything that can run on this machine, in two lanes, with a list of what could not."""
    python(session, "tools/run_tests.py", *session.posargs)


def run_sections(session: nox.Session, *names: str) -> None:
    """Run sections of ``tests`` alone."""
    python(session, "tools/run_tests.py", "--only", *names, *session.posargs)
