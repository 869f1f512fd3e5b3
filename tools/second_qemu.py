"""A second QEMU generation beside the system's, from another Debian release, in a tree of the user's own.

apt resolves and fetches the packages against an empty machine, ``dpkg-deb`` unpacks them; nothing is
installed and root is not needed. Wrappers run the tools outside the tree: same paths, same sockets.
``python tools/second_qemu.py -- COMMAND`` runs a command that finds that QEMU first.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

PACKAGES: Final = ("qemu-system-x86", "qemu-utils", "seabios", "ipxe-qemu", "ovmf")
# QEMU takes a module that its own folder lacks from the system's, which is of another build, and aborts.
MODULES: Final = {"trixie": ("qemu-system-modules-opengl", "qemu-system-modules-spice")}
TOOLS: Final = ("qemu-system-x86_64", "qemu-img", "qemu-io", "qemu-nbd", "qemu-storage-daemon")
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARIES: Final = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
FIRMWARE: Final = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")

WRAPPER: Final = """#!/bin/sh
QEMU_MODULE_DIR={tree}/usr/lib/x86_64-linux-gnu/qemu
export QEMU_MODULE_DIR
exec {loader} --library-path {libraries} {tree}/usr/bin/{tool} {options}"$@"
"""


def other_release() -> str:
    """The Debian release whose QEMU differs from the system's: 13 has 10.0, 12 has 7.2."""
    try:
        said = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
    except OSError:
        return "trixie"
    version = re.search(r"version (\d+)", said)
    return "bookworm" if version and int(version[1]) >= 10 else "trixie"


def build(release: str) -> Path:
    """The tree with that release's QEMU: ``bin`` has the wrappers. Built once; several may ask at once."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    root = (Path(caches) if caches.startswith("/") else Path.home() / ".cache") / "anyvirt" / "qemu"
    root.mkdir(parents=True, exist_ok=True)
    tree = root / release
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.is_dir():
            with tempfile.TemporaryDirectory(dir=root, prefix=".building-") as scratch:
                made = Path(scratch) / "tree"
                for package in _fetch(release, Path(scratch)):
                    subprocess.run(["dpkg-deb", "-x", str(package), str(made)], check=True)
                _wrap(made, tree)
                made.chmod(0o755)
                made.rename(tree)
    return tree


def _fetch(release: str, scratch: Path) -> list[Path]:
    """All packages that QEMU needs on a machine that has none."""
    apt = scratch / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "etc"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    source = f"deb [signed-by={KEYRING}] {_mirror()} {release} main\n"
    (apt / "sources.list").write_text(source, encoding="ascii")
    settings = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": apt / "etc",
        "Dir::Etc::preferencesparts": apt / "etc",
        "Dir::State": apt,
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "",
        "APT::Architecture": "amd64",
        "Debug::NoLocking": "1",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
    wanted = ["--yes", "--download-only", "--no-install-recommends", "install", *PACKAGES, *MODULES.get(release, ())]
    subprocess.run(["apt-get", "-qq", *options, *wanted], check=True, stdout=subprocess.DEVNULL)
    return sorted((apt / "cache" / "archives").glob("*.deb"))


def _mirror() -> str:
    """Where this machine's apt takes Debian from."""
    named = os.environ.get("DEBIAN_MIRROR")
    if named:
        return named
    listed = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    said = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
    found = [line for line in said.splitlines() if line.rstrip("/").endswith("/debian")]
    return found[0] if found else "http://deb.debian.org/debian"


def _wrap(made: Path, tree: Path) -> None:
    """Write a wrapper for each tool, for the place where the tree will lie."""
    loader = next(path for path in ("usr/lib64", "lib64") if (made / path / "ld-linux-x86-64.so.2").exists())
    (made / "bin").mkdir(exist_ok=True)
    for tool in TOOLS:
        if not (made / "usr/bin" / tool).exists():
            continue
        options = "".join(f"-L {tree / path} " for path in FIRMWARE) if tool.startswith("qemu-system") else ""
        wrapper = WRAPPER.format(
            tree=tree,
            tool=tool,
            options=options,
            loader=tree / loader / "ld-linux-x86-64.so.2",
            libraries=":".join(str(tree / path) for path in LIBRARIES),
        )
        (made / "bin" / tool).write_text(wrapper, encoding="utf-8")
        (made / "bin" / tool).chmod(0o755)


def main() -> int:
    """Build; then run the command with that QEMU first in PATH, or print the folder of the wrappers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", help="Debian release; default: the one whose QEMU differs")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run, after --")
    chosen = parser.parse_args()
    if shutil.which("apt-get") is None:
        parser.error("the second QEMU is made from Debian packages; this machine has no apt")
    folder = build(chosen.release or other_release()) / "bin"
    version = subprocess.run([folder / TOOLS[0], "--version"], capture_output=True, text=True, check=True).stdout
    print(version.splitlines()[0], file=sys.stderr)
    command = chosen.command[1:] if chosen.command[:1] == ["--"] else chosen.command
    if command:
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        os.execvp(command[0], command)  # noqa: S606  # it becomes the command, with its exit status
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
