"""The wheels of this checkout, built once for its present sources and shared by whoever needs them."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


def distributions() -> list[Path]:
    """The folders that have a distribution, core first and then what builds on it."""
    plugins = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
    plugins.sort(key=lambda path: path.name != "host")
    return [ROOT / "core", *plugins]


def wheels() -> Path:
    """A folder with one wheel of each distribution; several processes may ask at once."""
    kept = ROOT / ".nox" / "wheels"
    kept.mkdir(parents=True, exist_ok=True)
    folder = kept / _fingerprint()
    with (kept / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=kept, prefix=".building-") as scratch:
                made = Path(scratch) / "made"
                for source in distributions():
                    build(source, made)
                made.chmod(0o755)
                made.rename(folder)
    return folder


def build(source: Path, folder: Path) -> None:
    """Build the wheel of one distribution with this environment's own hatchling."""
    words = ["build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"building {source.name} failed:\n{done.stdout}{done.stderr}")


def environment(place: Path, python: str = sys.executable) -> str:
    """Make an empty virtual environment; its Python."""
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", "--python", python, str(place)], check=True)
    return str(place / "bin" / "python")


def install(python: str, *words: str) -> None:
    """Install into an environment, our own distributions from the wheels built here."""
    options = ["-qq", "--disable-pip-version-check", "--find-links", str(wheels())]
    subprocess.run([python, "-m", "pip", "install", *options, *words], check=True)


def _fingerprint() -> str:
    seen = hashlib.sha256()
    for source in distributions():
        inside = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        for path in sorted(inside):
            seen.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return seen.hexdigest()[:16]
