"""What ``run_tests`` runs: sections of one command each, and the time that an area of them may take."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
# Lane-seconds for all sections of an area together, and wall clock for the whole.
BUDGETS: Final = {"esx": 180, "foundation": 360, "house": 120, "models": 120, "qemu-devices": 300, "storage": 300}
WALL: Final = 1800
# A section that takes longer than this hangs. The Debian lab installs two machines from the network.
LIMIT: Final = 600
LIMITS: Final = {"debian": 2400, "rbd": 1200, "storage": 3600}
# Labs that are too slow, or need too much of a machine, to run each time; ``nox -s lab`` runs them.
SEPARATE: Final = ("debian", "far_whole", "filesystems", "guest", "inside", "nbd", "rbd", "storage")
# What the second QEMU generation is put through: the real-QEMU part of the suite.
QEMU_SUITE: Final = ("plugins/qemu/tests", "tests/lab/guest", "tests/lab/qemu")
# Folders that are sections of their own, apart from the one that they lie in: the area whose time they take.
APART: Final = {
    "tests/unit/model": "models",
    "tests/unit/far": "storage",
    "tests/cli/stores": "storage",
    "plugins/qemu/tests/planning": "qemu-devices",
    "plugins/qemu/tests/hosting": "qemu-devices",
    "plugins/qemu/tests/probing": "qemu-devices",
}
# Plug-ins and labs whose time is another area's than the foundation's.
PLUGIN_AREAS: Final = {"esx": "esx", "host": "storage"}
LAB_AREAS: Final = {
    "boots": "qemu-devices",
    "esx": "esx",
    "far": "storage",
    "far_whole": "storage",
    "filesystems": "storage",
    "iscsi": "storage",
    "machines": "qemu-devices",
    "sizes": "storage",
    "storage": "storage",
}
# More than half of the time of these goes by in waits, for deadlines or for a guest.
WORKERS: Final = {
    "tests/unit": ["-n", "3"],
    "tests/faults": ["-n", "2"],
    "plugins/qemu/tests": ["-n", "2"],
    "plugins/host/tests": ["-n", "2"],
}
# What is asked of the checkout as a whole and grows with it, whatever its parts are.
HOUSE: Final = ("bootstrap", "runner", "downstream")
# What runs as a user without rights: the contract on ``qemu:///session``, and what such a user meets.
SESSION_SUITE: Final = ("tests/lab/session", "plugins/qemu/tests/test_contract.py")


@dataclass(frozen=True)
class Section:
    """One command. ``cases`` tells that pytest runs and counts; otherwise the command is one case.

    :param limit: seconds that it may take.
    """

    name: str
    argv: tuple[str, ...]
    cases: bool = False
    lab: str = ""
    area: str = "foundation"
    limit: int = LIMIT


def everything() -> list[Section]:
    """All sections of ``./bootstrap tests``, those that take long first so that the lanes end together."""
    apart = [_pytest(Path(path).name, path, area=area) for path, area in APART.items() if _has_tests(ROOT / path)]
    return [*_plugins(), _as_user(), *_labs(), *apart, *_folders(), *_checks()]


def labs() -> list[Section]:
    """All sections of ``nox -s lab``: each lab, also the slow ones, and the suite on the second QEMU."""
    again = [path for path in QEMU_SUITE if _has_tests(ROOT / path)]
    inner = _pytest("qemu-second", *again, lab="qemu10")
    argv = (sys.executable, "tools/second_qemu.py", "--", *inner.argv)
    many = Section("sizes", (sys.executable, "-m", "tests.lab.sizes"), area="storage", limit=1200)
    return [replace(inner, argv=argv), many, *_labs(separate=True)]


def _plugins() -> list[Section]:
    found = [path for path in sorted(ROOT.glob("plugins/*/tests")) if _has_tests(path)]
    found.sort(key=lambda path: path.parent.name != "qemu")
    areas = {path: PLUGIN_AREAS.get(path.parent.name, "foundation") for path in found}
    return [_pytest(path.parent.name, str(path.relative_to(ROOT)), area=area) for path, area in areas.items()]


def _labs(*, separate: bool = False) -> list[Section]:
    found = [path for path in sorted((ROOT / "tests" / "lab").glob("*")) if _has_tests(path)]
    made = [
        _pytest(f"lab-{path.name}", str(path.relative_to(ROOT)), lab="qemu" if path.name == "guest" else path.name)
        for path in found
        if path.name != "session" and (separate or path.name not in SEPARATE)
    ]
    areas = {f"lab-{name}": area for name, area in LAB_AREAS.items()}
    return [
        replace(section, limit=LIMITS.get(section.lab, LIMIT), area=areas.get(section.name, section.area))
        for section in made
    ]


def _as_user() -> Section:
    paths = [path for path in SESSION_SUITE if (ROOT / path).exists()]
    argv = (sys.executable, "tests/lab/session_user.py", "-q", "--durations=5", "-n", "2", *paths)
    return Section("session-user", argv, cases=True)


def _folders() -> list[Section]:
    """Whatever else lies below ``tests``: a new folder of tests needs no entry here to be run."""
    own = {"lab", "bench", "outside"}
    found = [path for path in sorted((ROOT / "tests").glob("*")) if path.name not in own and _has_tests(path)]
    found.sort(key=lambda path: path.name == "unit")
    areas = {path: "house" if path.name in HOUSE else "foundation" for path in found}
    return [_pytest(path.name, str(path.relative_to(ROOT)), area=area) for path, area in areas.items()]


def _checks() -> list[Section]:
    python = sys.executable
    code = ["core/src", *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("plugins/*/src")))]
    beside = ["examples", "tools", "noxfile.py", "tests"]
    beside += [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("plugins/*/tests")) if any(path.glob("*.py"))]
    checks = [
        Section("types", (python, "-m", "mypy", "--no-error-summary", *code, *beside)),
        Section("build", (python, "tools/check_wheels.py")),
        Section("docs", (python, "-m", "sphinx", "-W", "-q", "--keep-going", "-b", "html", "docs", "docs/_build/html")),
        Section("readme", (python, "tools/check_readme.py")),
        Section("lint", (python, "-m", "ruff", "check", "--quiet", ".")),
        Section("format", (python, "-m", "ruff", "format", "--quiet", "--check", ".")),
    ]
    generators = [path for path in sorted((ROOT / "tools").glob("gen_*.py")) if '"--check"' in path.read_text("utf-8")]
    checks += [Section(path.stem.replace("_", "-"), (python, str(path), "--check")) for path in generators]
    return [replace(section, area="house") for section in checks]


def _pytest(name: str, *paths: str, lab: str = "", area: str = "foundation") -> Section:
    besides = [f"--ignore={inner}" for inner in APART if any(inner.startswith(f"{path}/") for path in paths)]
    besides += WORKERS.get(paths[0], [])
    argv = (sys.executable, "-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider", *paths, *besides)
    return Section(name, argv, cases=True, lab=lab, area=area)


def _has_tests(path: Path) -> bool:
    return any(path.rglob("test_*.py"))
