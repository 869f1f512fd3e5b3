"""Run in a guest whose kernel has version 2 of control groups: what is made of a definition, as its kernel tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from anyvirt_host.local import groups as host_groups
from anyvirt_qemu.hosting import groups
from anyvirt_qemu.planning.tuning import LimitUse, Tuning

TUNING = Tuning(
    limits=(
        LimitUse("cpu.shares", (300,), "/shares"),
        LimitUse("cpu.quota", (90000, 0), "/global"),
        LimitUse("cpu.quota", (10000, 20000), "/quota", "vcpu0"),
        LimitUse("cpu.quota", (25000, 50000), "/emulator", "emulator"),
        LimitUse("cpuset.mems", (0,), "/nodes"),
        LimitUse("memory.total", (80 << 20,), "/total"),
        LimitUse("memory.hard", (64 << 20,), "/hard"),
        LimitUse("memory.soft", (0,), "/soft"),
        LimitUse("io.rbps", (1 << 20,), "/rbps", device="/dev/vda"),
        LimitUse("io.wiops", (77,), "/wiops", device="/dev/vda"),
    )
)
FILES = (
    *("cpu.weight", "cpu.max", "cpuset.mems", "memory.max", "memory.high", "memory.swap.max", "io.max"),
    *("cgroup.type", "cgroup.subtree_control"),
)


class Ready:
    """A start that writes down what it does."""

    def __init__(self) -> None:
        self.left: list[dict[str, Any]] = []
        self.record = SimpleNamespace(uuid="u", run="r")
        settings = SimpleNamespace(child_env={})
        self.site = SimpleNamespace(step=lambda name: None, host=SimpleNamespace(settings=settings))

    def leave(self, kind: str, **what: Any) -> None:
        self.left.append({"kind": kind, **what})


def thread(stop: threading.Event) -> int:
    """Start one that waits; its id."""
    said: list[int] = []
    there = threading.Event()

    def wait() -> None:
        said.append(threading.get_native_id())
        there.set()
        stop.wait()

    threading.Thread(target=wait).start()
    there.wait()
    return said[0]


def group_of(number: int) -> str:
    return Path(f"/proc/self/task/{number}/cgroup").read_text().strip().rpartition("/")[2]


USER = 1000
MODEST = Tuning(limits=(LimitUse("memory.hard", (64 << 20,), "/hard"), LimitUse("cpu.shares", (50,), "/shares")))


def delegated(tree: host_groups.Hierarchy) -> Any:
    """What a user finds who has been handed a group and is in one below it."""
    outer, inner = Path(tree.mount, "handed"), Path(tree.mount, "handed/inner")
    for folder in (outer, inner):
        folder.mkdir()
        for name in (".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(folder / name, USER, USER)
    program = [os.readlink("/proc/self/exe"), "-S", "-B", __file__, "user"]
    script = f'echo $$ >{inner}/cgroup.procs; exec "$@"'
    words = f"import os, sys; os.setgid({USER}); os.setuid({USER}); os.execv(sys.argv[1], sys.argv[1:])"
    argv = ["/bin/sh", "-c", script, "sh", program[0], "-I", "-S", "-c", words, *program]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    for folder in (inner, outer):
        folder.rmdir()
    return json.loads(said.stdout) if said.returncode == 0 else said.stderr


def modest() -> None:
    """What this user makes of his own group."""
    (tree,) = host_groups.hierarchies()
    ready: Any = Ready()
    found: dict[str, Any] = {"problems": [problem.text for problem in groups.blockers(MODEST, {})]}
    (folder,) = groups.made(ready, MODEST, ExitStack())
    Path(folder, "cgroup.procs").write_text("0")
    found["group"] = Path("/proc/self/cgroup").read_text().strip()
    found["limits"] = [Path(folder, name).read_text().strip() for name in ("memory.max", "cpu.weight")]
    Path(tree.mount, "handed/inner/cgroup.procs").write_text("0")
    groups.take_back(ready, ready.left[0])
    found["left"] = sorted(path.name for path in Path(tree.mount, "handed").iterdir() if path.is_dir())
    sys.stdout.write(json.dumps(found))


def main() -> None:
    """Tell all of it as JSON."""
    (tree,) = host_groups.hierarchies()
    ready: Any = Ready()
    found: dict[str, Any] = {"problems": [problem.text for problem in groups.blockers(TUNING, {})]}
    joins = groups.made(ready, TUNING, ExitStack())
    for folder in joins:
        Path(folder, "cgroup.procs").write_text("0")
    stop = threading.Event()
    threads = {("vcpu", 0): thread(stop), ("vcpu", 1): thread(stop), ("iothread", 1): thread(stop)}
    groups.parted(tuple(ready.left), threads)
    whole = Path(ready.left[0]["folder"])
    found["whole"] = {name: (whole / name).read_text().strip() for name in FILES}
    found["parts"] = {part: (whole / part / "cpu.max").read_text().strip() for part in ("vcpu0", "emulator")}
    found["threads"] = {"main": group_of(os.getpid()), **{f"{k}{n}": group_of(x) for (k, n), x in threads.items()}}
    # two thirds of a CPU for this one, and the kernel keeps it to that: it holds 64 MiB at most, too
    eater = f"open('{whole}/cgroup.procs', 'w').write('0'); x = bytearray(150 << 20)"
    found["eater"] = subprocess.run([os.readlink("/proc/self/exe"), "-I", "-S", "-c", eater], check=False).returncode
    Path(tree.mount, "cgroup.procs").write_text("0")
    stop.set()
    busy = Path(tree.mount, "busy")
    busy.mkdir()
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        (busy / "cgroup.procs").write_text(str(sleeper.pid))
        found["busy"] = host_groups.refusal(tree, str(busy), {"memory"})
        sleeper.kill()
    busy.rmdir()
    found["user"] = delegated(tree)
    for entry in (*ready.left, *ready.left):
        groups.take_back(ready, entry)
    found["left"] = sorted(path.name for path in Path(tree.mount).iterdir() if path.is_dir())
    sys.stdout.write(f"FOUND {json.dumps(found)} END\n")
    sys.stdout.flush()


modest() if sys.argv[1:] == ["user"] else main()
