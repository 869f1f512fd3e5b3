"""Scripts that run inside a guest, with this interpreter, what they import there and the programs that they start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import guest as small_guest
import pytest
from anyvirt.api import Connection
from sector_stage import read_until

# what a script has loaded, asked at its end
LOADED = """
import atexit, json, os, sys
def tell():
    found = [getattr(x, name, None) for x in list(sys.modules.values()) for name in ('__file__', '__cached__')]
    print("LOADED", json.dumps([sys.path, [x for x in found if x and os.path.isfile(x)]]))
atexit.register(tell)
"""


class Inside(NamedTuple):
    """An initramfs with all that a script needs, and the command that runs it there."""

    initrd: Path
    command: str


def packed(guest: small_guest.Guest, script: Path, folder: Path, more: Iterable[str], *words: str) -> Inside:
    """The guest's initramfs with the script and what it needs.

    The script is run here first, with ``words``, to see what that is.

    :param more: paths of programs, libraries and folders that are to be there, too.
    """
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed")
    argv = [sys.executable, "-c", f"{LOADED}\nimport runpy; runpy.run_path({str(script)!r}, run_name='__main__')"]
    said = subprocess.run([*argv, *words], capture_output=True, text=True, check=True).stdout
    paths, files = json.loads(said.rpartition("LOADED ")[2])
    program = str(Path(sys.executable).resolve())
    tree = folder / "tree"
    wanted = {program, *files, *more}
    for path in sorted(wanted | _libraries(wanted)):
        place = tree / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.isdir(path):
            shutil.copytree(path, place, dirs_exist_ok=True)
        else:
            shutil.copy2(path, place)  # with its time: what is compiled is as old as its source
    for path in paths:  # landmarks that tell the interpreter where it lives
        if path.startswith("/") and os.path.isdir(path):
            (tree / path[1:]).mkdir(parents=True, exist_ok=True)
    shutil.copy(script, tree / "script.py")
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    whole = folder / "initrd"
    start = guest.initrd.read_bytes()
    with whole.open("wb") as out:
        out.write(start + bytes(-len(start) % 4))
        out.flush()
        argv = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
        subprocess.run(argv, input=names.encode(), stdout=out, cwd=tree, check=True)
    imports = ":".join(path for path in paths if path.startswith("/"))
    return Inside(whole, f"PYTHONPATH={imports} {program} -S -B /script.py")


def _libraries(files: Iterable[str]) -> set[str]:
    """The libraries that programs and libraries are linked with."""
    linked = [file for file in files if os.path.isfile(file) and (".so" in file or os.access(file, os.X_OK))]
    said = subprocess.run(["ldd", *linked], capture_output=True, text=True, check=False).stdout
    words = {word for line in said.splitlines() if line.startswith("\t") for word in line.split()}
    return {word for word in words if word.startswith("/") and os.path.isfile(word)}


def asked(connection: Connection, xml: str, prompt: str, command: str, *, seconds: float) -> Any:
    """What the script prints as JSON between ``FOUND`` and ``END``, in the guest of this definition."""
    domain = connection.domain_define(xml)
    domain.start()
    try:
        with domain.console(replay=True) as console:
            read_until(console, prompt.encode(), 60)
            console.write(f"{command}; echo DO''NE\n".encode())
            shown = read_until(console, b"DONE", seconds).decode(errors="replace")
    finally:
        domain.destroy()
    shown = shown.replace("\r\n", "\n")
    assert 'FOUND {"' in shown, shown[-3000:]
    return json.loads(shown.rpartition("FOUND ")[2].partition(" END")[0].replace("\n", ""))
