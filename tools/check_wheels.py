"""Do the wheels hold? Each is installed after the other into one clean environment and imported whole."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

from wheels import distributions, environment, install, wheels

# Imports every module of a package as installed, and says where it came from.
IMPORT: Final = """
import importlib, importlib.metadata, pkgutil, sys
name, optional = sys.argv[1], sys.argv[2:]
package = importlib.import_module(name)
for module in pkgutil.walk_packages(package.__path__, name + "."):
    if not module.name.startswith(tuple(optional)) and not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
assert "site-packages" in package.__file__, package.__file__
for group in ("anyvirt.drivers", "anyvirt.services", "anyvirt.namespaces", "console_scripts"):
    for point in importlib.metadata.entry_points(group=group):
        if point.value.startswith("anyvirt"):
            point.load()
"""
# Needs an extra, so it is imported only after that extra is installed.
OPTIONAL: Final = ("anyvirt.testing",)


def main() -> int:
    """Check all; the first problem ends it."""
    folder = wheels()
    with tempfile.TemporaryDirectory() as scratch:
        python = environment(Path(scratch) / "venv")
        for source in distributions():
            project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
            package = project.replace("-", "_")
            _look_inside(next(folder.glob(f"{package}-*.whl")), package)
            install(python, project)
            _import(python, package, *OPTIONAL)
            print(f"{project}: installed and imported")
        install(python, "anyvirt[testing]")
        for name in OPTIONAL:
            _import(python, name)
            print(f"{name}: imported from the wheel")
    return 0


def _look_inside(wheel: Path, package: str) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (f"{package}/py.typed", ".dist-info/licenses/LICENSE"):
        if not any(name.endswith(wanted) for name in names):
            sys.exit(f"{wheel.name} has no {wanted}")
    stray = [name for name in names if not name.startswith((f"{package}/", f"{package}-"))]
    if stray:
        sys.exit(f"{wheel.name} also holds {', '.join(stray)}")


def _import(python: str, *words: str) -> None:
    done = subprocess.run(
        [python, "-I", "-W", "error", "-c", IMPORT, *words], cwd="/", capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"importing {words[0]} from its wheel failed:\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
