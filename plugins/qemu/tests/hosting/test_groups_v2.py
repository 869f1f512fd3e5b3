"""Version 2 of control groups with all its controllers, where there surely is one: inside a small guest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, open  # noqa: A004
from qemu_stage.small import URI, built, small_xml
from sector_stage import read_until

PATIENCE = 150.0  # seconds; it takes 8 on a machine that has nothing else to do
SCRIPT = Path(__file__).with_name("in_guest.py")
LOADED = (
    "import os, sys, json, threading, types, subprocess, contextlib, pathlib, anyvirt_qemu.planning.tuning\n"
    "import anyvirt_qemu.hosting.groups\n"
    "found = [getattr(x, name, None) for x in list(sys.modules.values()) for name in ('__file__', '__cached__')]\n"
    "print(json.dumps([sys.path, [x for x in found if x and os.path.isfile(x)]]))"
)


def packed(folder: Path) -> tuple[Path, str]:
    """An archive with this interpreter and what the script imports, and the command that runs it."""
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed")
    said = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    paths, files = json.loads(said.stdout)
    program = Path(sys.executable).resolve()
    binaries = [str(program), *(file for file in files if file.endswith(".so"))]
    linked = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=True).stdout
    words = {word for line in linked.splitlines() for word in line.split() if word.startswith("/")}
    libraries = {word.rstrip(":") for word in words}
    tree = folder / "tree"
    for file in {str(program), *files, *libraries}:
        place = tree / file[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)  # with its time: what is compiled is as old as its source
    for path in paths:  # landmarks that tell the interpreter where it lives
        (tree / path[1:]).mkdir(parents=True, exist_ok=True) if path.startswith("/") and Path(path).is_dir() else None
    shutil.copy(SCRIPT, tree / "prove.py")
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with (folder / "more.cpio").open("wb") as out:
        argv = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
        subprocess.run(argv, input=names.encode(), stdout=out, cwd=tree, check=True)
    libs = ":".join(sorted({str(Path(file).parent) for file in libraries}))
    imports = ":".join(path for path in paths if path.startswith("/"))
    return folder / "more.cpio", f"LD_LIBRARY_PATH={libs} PYTHONPATH={imports} {program} -S -B /prove.py"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the kernel of the guest says of groups that were made there."""
    folder = tmp_path_factory.mktemp("guest")
    guest = built()
    more, command = packed(folder)
    whole = folder / "initrd"
    start = guest.initrd.read_bytes()
    whole.write_bytes(start + bytes(-len(start) % 4) + more.read_bytes())
    disk = folder / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)
    text = small_xml(guest._replace(initrd=whole), disk, "v2").replace("'MiB'>160<", "'MiB'>256<")
    with open(URI, state_dir=folder / "state") as connection:
        yield _asked(connection, text, guest.prompt, command)


def _asked(connection: Connection, text: str, prompt: str, command: str) -> dict[str, Any]:
    domain = connection.domain_define(text)
    domain.start()
    try:
        with domain.console(replay=True) as console:
            read_until(console, prompt.encode(), PATIENCE)
            console.write(f"mount -t cgroup2 cgroup2 /sys/fs/cgroup && {command}; echo DO''NE\n".encode())
            shown = read_until(console, b"DONE", PATIENCE).decode(errors="replace")
    finally:
        domain.destroy()
    assert "FOUND " in shown, shown[-2000:]
    found: dict[str, Any] = json.loads(shown.partition("FOUND ")[2].partition(" END")[0].replace("\r\n", ""))
    return found


def test_nothing_is_in_the_way_of_root(told: dict[str, Any]) -> None:
    assert told["problems"] == []


def test_the_whole_guest_has_its_limits(told: dict[str, Any]) -> None:
    whole = told["whole"]
    device = whole.pop("io.max").partition(" ")
    assert device[2] == "rbps=1048576 wbps=max riops=max wiops=77"
    assert set(whole.pop("cgroup.subtree_control").split()) >= {"cpu", "cpuset"}
    assert whole == {
        "cpu.weight": "300",
        "cpu.max": "90000 100000",
        "cpuset.mems": "0",
        "memory.max": str(64 << 20),
        "memory.high": "max",
        "memory.swap.max": str(16 << 20),
        "cgroup.type": "domain threaded",
    }


def test_threads_are_in_the_parts_that_are_theirs(told: dict[str, Any]) -> None:
    assert told["parts"] == {"vcpu0": "10000 20000", "emulator": "25000 50000"}
    whole = "anyvirt-u-r"
    assert told["threads"] == {"main": "emulator", "vcpu0": "vcpu0", "vcpu1": whole, "iothread1": whole}


def test_the_kernel_ends_what_takes_more_memory_than_it_may(told: dict[str, Any]) -> None:
    assert told["eater"] == -9


def test_a_group_that_holds_processes_cannot_be_divided_and_is_refused(told: dict[str, Any]) -> None:
    assert told["busy"] == "/sys/fs/cgroup/busy holds processes of its own, and cannot be divided"


def test_a_user_makes_groups_of_his_own_below_what_he_was_handed(told: dict[str, Any]) -> None:
    assert told["user"] == {
        "problems": [],
        "group": "0::/handed/anyvirt-u-r",
        "limits": [str(64 << 20), "50"],
        "left": ["inner"],
    }


def test_nothing_is_left_of_the_groups(told: dict[str, Any]) -> None:
    assert told["left"] == []
