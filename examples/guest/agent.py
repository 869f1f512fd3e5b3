"""QEMU's guest agent for the small guest: a second archive behind the first, since it needs half a Debian.

The agent wants the C library and GLib: 6 MB that a guest without it does not unpack at boot.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from guest.cpio import Archive
from guest.packages import PackageError, Packages

PACKAGE: Final = "qemu-guest-agent"
PROGRAM: Final = "usr/sbin/qemu-ga"
LOADER: Final = "ld-linux-x86-64.so.2"
LIBRARIES: Final = "lib/x86_64-linux-gnu"  # where that loader looks without being told


def fetch(packages: Packages) -> list[str]:
    """The agent's package and those of its libraries, fetched; their names.

    :raises PackageError: with apt's own words
    """
    names = packages.libraries(PACKAGE)
    for name in names:
        packages.fetch(name)
    return names


def archive(packages: Packages, names: list[str], tree: Path) -> bytes:
    """What the kernel unpacks over the guest's own files: the agent, its libraries and their loader.

    :param tree: an empty folder to unpack the packages in
    :raises PackageError: the agent needs a library that no package brought
    """
    for name in names:
        packages.unpack(name, tree)
    made = Archive()
    made.file(PROGRAM, (tree / PROGRAM).read_bytes(), 0o755)
    for path in _needed(tree):
        made.file(f"{LIBRARIES}/{path.name}", path.read_bytes(), 0o755)
    made.link(f"lib64/{LOADER}", f"../{LIBRARIES}/{LOADER}")
    return made.gzipped()


def _needed(tree: Path) -> list[Path]:
    """The files that the agent is linked with: its own loader tells."""
    folders = [folder for folder in (tree / LIBRARIES, tree / "usr" / LIBRARIES) if folder.is_dir()]
    loader = next(folder / LOADER for folder in folders if (folder / LOADER).exists())
    words = [str(loader), "--library-path", ":".join(map(str, folders)), "--list", str(tree / PROGRAM)]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    found = [loader]
    for line in said.stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        path = Path(rest.rpartition(" (")[0])
        if arrow and not path.is_relative_to(tree):
            raise PackageError(f"no package of those that {PACKAGE} depends on has {name}")
        if arrow and path.name != LOADER:
            found.append(path)
    if said.returncode or len(found) == 1:
        raise PackageError(f"{PROGRAM} does not say what it is linked with: {said.stderr.strip()[-500:]}")
    return found
