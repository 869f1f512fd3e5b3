"""Debian packages, fetched with apt and unpacked without being installed; no root needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_WAIT: Final = 300.0  # seconds for one apt or dpkg command; a slow mirror is not a dead one

_LIBRARIES: Final = ("lib", "zlib1g")


class PackageError(Exception):
    """A package could not be found, fetched or unpacked; says what to do."""


class Packages:
    """The packages that this machine's apt knows, kept under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._options: list[str] = ["-o", "APT::Sandbox::User="]  # root's folder is closed to apt's own user

    def dependency(self, package: str, prefix: str) -> str:
        """The name of what ``package`` depends on that starts with ``prefix``.

        :raises PackageError: apt knows neither
        """
        out = self._apt("apt-cache", "depends", package)
        names = [line.split(":", 1)[1].strip() for line in out.splitlines() if "Depends:" in line]
        for name in names:
            if name.startswith(prefix):
                return name
        raise PackageError(f"apt knows no package {package} that depends on {prefix}*: check /etc/apt/sources.list*")

    def libraries(self, package: str) -> list[str]:
        """``package``, the libraries that it depends on, the ones that those depend on, and so on.

        :raises PackageError: apt does not know it
        """
        out = self._apt("apt-cache", "depends", "--recurse", "--important", package)
        needs: dict[str, list[str]] = {}
        name = ""
        for line in out.splitlines():
            if line[:1] not in (" ", "|", ""):
                name = line.strip()
            elif ":" in line:
                needs.setdefault(name, []).append(line.partition(":")[2].strip())
        if package not in needs:
            raise PackageError(f"apt knows no package {package}: check /etc/apt/sources.list*")
        found = [package]
        for one in found:  # it grows meanwhile
            found += [need for need in needs.get(one, ()) if need.startswith(_LIBRARIES) and need not in found]
        return found

    def fetch(self, package: str) -> Path:
        """The package's file, from ``folder`` or fetched; whole or not there at all.

        :raises PackageError: with apt's own words
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = sorted(self._folder.glob(f"{package}_*.deb"))
        if kept:
            return kept[-1]
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".fetching-") as scratch:
            self._apt("apt-get", "-q", "download", package, folder=scratch)
            for path in Path(scratch).glob("*.deb"):
                return path.rename(self._folder / path.name)
        raise PackageError(f"apt-get download {package} succeeded and brought nothing: is the disk full?")

    def refresh(self) -> None:
        """From now on use package lists of our own, fetched now: the machine's are missing or stale."""
        state = self._folder / "apt"
        (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (state / "cache").mkdir(exist_ok=True)
        self._options += ["-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"]
        self._apt("apt-get", "-q", "update")

    def unpack(self, package: str, into: Path) -> None:
        """Fetch a package and unpack its files below ``into``.

        :raises PackageError: a broken package (it is thrown away, so that the next try fetches it again)
        """
        path = self.fetch(package)
        done = _run(["dpkg-deb", "-x", str(path), str(into)])
        if done.returncode:
            path.unlink(missing_ok=True)
            raise PackageError(f"dpkg-deb -x {path.name} failed: {done.stderr.strip()[-500:]}")

    def _apt(self, tool: str, *words: str, folder: str | None = None) -> str:
        if shutil.which(tool) is None:
            raise PackageError(f"{tool} is not here: the guest is made from Debian packages, on Debian or Ubuntu")
        done = _run([tool, *self._options, *words], folder)
        if done.returncode:
            raise PackageError(f"{tool} {' '.join(words)} failed: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout


def _run(argv: list[str], folder: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"LC_ALL": "C"},
            timeout=_WAIT,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise PackageError(f"{argv[0]} was not done after {_WAIT:.0f} s: is the mirror reachable?") from late
