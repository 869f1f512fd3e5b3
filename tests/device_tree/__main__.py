"""Anyvirt's plans beside recorded command lines, on a real QEMU: ``python -m tests.device_tree FOLDER``."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from anyvirt.api import VirtError
from anyvirt_qemu.devices.features import X86
from anyvirt_qemu.probing.capability import probe
from anyvirt_qemu.probing.caps import Caps

from tests.device_tree.compare import differences, tree
from tests.device_tree.line import Option, recorded, words
from tests.device_tree.ours import planned
from tests.device_tree.peer import Peer, Refused
from tests.device_tree.world import World

HERE: Final = Path(__file__).parent
LATEST: Final = ".{}-latest.args"
ARCH: Final = re.compile(rb"<type[^>]*\barch=['\"](\w+)")
CLONE_NEWNET: Final = 0x40000000
LISTED: Final = 40


@dataclass(frozen=True)
class Verdict:
    """How one case ended: ``same``, ``different``, ``refused`` by anyvirt, or ``out``; alone, ``taken`` or not."""

    case: str
    kind: str
    reason: str = ""
    lines: tuple[str, ...] = ()


def main() -> int:
    """Compare every pair of a folder; 1 where a recorded line was refused for a reason that is not on the list."""
    parser = argparse.ArgumentParser(prog="nox -s device-tree --", description=__doc__)
    parser.add_argument("folder", type=Path, help="documents NAME.xml beside NAME.ARCH-latest.args")
    parser.add_argument("--arch", default="x86_64", help="whose recorded lines are meant")
    parser.add_argument("--alone", action="store_true", help="documents without a recorded line: does QEMU take ours?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts there")
    parser.add_argument("--only", metavar="PATTERN", default="", help="cases whose name matches")
    parser.add_argument("--verbose", action="store_true", help="show each difference")
    parser.add_argument("--qemu", default="", help="the QEMU that runs both sides")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    found = (
        lonely(given.folder, given.arch) if given.alone else sorted(given.folder.glob(f"*{LATEST.format(given.arch)}"))
    )
    cases = [path for path in found if re.search(given.only, path.name)]
    program = given.qemu or f"qemu-system-{given.arch}"
    binary = shutil.which(program)
    if not cases or not binary:
        print(f"no pairs in {given.folder}" if not cases else f"no {program}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="avt") as place:
        cache = Path(place) / "cache"
        cache.mkdir()
        probe(binary, cache)
        with ProcessPoolExecutor(given.jobs, initializer=alone) as pool:
            verdicts = list(pool.map(partial(verdict, binary=binary, place=Path(place), cache=cache), cases))
    return report(verdicts, given)


def alone() -> None:
    """A network of its own for each worker, so that ports never clash; without the right to that, hope for the best."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=False, timeout=10)


def lonely(folder: Path, arch: str) -> list[Path]:
    """Documents for guests of an architecture that have no recorded line, and that libvirt does not refuse."""
    found = []
    for path in sorted(folder.glob("*.xml")):
        named = ARCH.search(path.read_bytes())
        other = any(path.parent.glob(f"{path.stem}.*-latest.[ae]*")) or path.with_suffix(".err").exists()
        if not other and named is not None and named[1].decode() == arch:
            found.append(path)
    return found


def verdict(path: Path, *, binary: str, place: Path, cache: Path) -> Verdict:
    """Start both sides of a case and compare them; of a case without a recorded line our side alone."""
    case = re.sub(r"\.[^.]*-latest\.args$|\.xml$", "", path.name)
    own = Path(tempfile.mkdtemp(dir=place, prefix=""))  # short: paths of sockets are at most 107 bytes long
    x86 = probe(binary, cache).arch in X86
    left, right = World(own / "l", cache, x86), World(own / "a", cache, x86)
    try:
        try:
            line = [] if path.suffix == ".xml" else recorded(path)
            theirs = grown(binary, left, line) if line else {}
        except Refused as refused:
            return Verdict(case, "out", str(refused).replace(str(left.folder), ""))
        try:
            found = planned(path.with_name(f"{case}.xml"), Caps(probe(binary, cache)), right, line)
            ours = grown(binary, right, found.line, found.steps)
        except VirtError as error:
            problems = getattr(error, "problems", None)
            lines = tuple(f"{one.path}: {one.text}" for one in problems or ()) or (str(error),)
            return Verdict(case, "refused", lines[0], lines)
        except Refused as refused:
            if not line and listed(str(refused)):
                return Verdict(case, "out", str(refused).replace(str(left.folder), ""))
            return Verdict(case, "different", f"QEMU refuses anyvirt's line: {refused}", (str(refused),))
        if not line:
            return Verdict(case, "taken")
        folders = (str(left.folder), str(right.folder))
        lines = tuple(differences(theirs, ours, folders, allowed()))
        return Verdict(case, "different" if lines else "same", lines[0] if lines else "", lines)
    finally:
        right.close()
        shutil.rmtree(own, ignore_errors=True)


def grown(binary: str, world: World, line: list[Option], steps: Any = ()) -> dict[str, Any]:
    """The tree of a QEMU that was started with a line, as this world has it."""
    world.folder.mkdir(exist_ok=True)
    try:
        adapted = world.adapted(line)
        peer = Peer(binary, words(adapted), world.folder, world.fds)
    except Refused:
        world.close()
        raise
    try:
        for step, answer in zip(steps, peer.ask([(step.command, dict(step.arguments)) for step in steps]), strict=True):
            if isinstance(answer, dict) and "error" in answer:
                raise Refused(f"{step.command}: {answer['error']}")
        return tree(peer, adapted, world.notes)
    finally:
        peer.close()
        world.close()  # the other side may need its ports


def allowed() -> Callable[[str], bool]:
    """Whether a place may differ."""
    table = tomllib.loads((HERE / "allowed.toml").read_text(encoding="utf-8"))["allowed"]
    pattern = re.compile("|".join(table))
    return lambda place: pattern.match(place) is not None


def listed(reason: str) -> str:
    """What a refusal by QEMU means; ``""`` for one that is not on the list."""
    table = tomllib.loads((HERE / "reasons.toml").read_text(encoding="utf-8"))["out"]
    return next((meaning for pattern, meaning in table.items() if re.search(pattern, reason)), "")


def report(verdicts: list[Verdict], given: argparse.Namespace) -> int:
    """Print and write the verdicts."""
    out = {one.case: one.reason for one in verdicts if one.kind == "out"}
    different = {one.case: one.reason for one in verdicts if one.kind in ("different", "refused")}
    same = [one.case for one in verdicts if one.kind == "same"]
    for one in verdicts:
        if one.kind in ("different", "refused"):
            print(f"{one.case}: {one.kind}, {len(one.lines)} places")
            for line in one.lines[: None if given.verbose else 1]:
                print(f"    {line}")
    unlisted = {case: reason for case, reason in out.items() if not listed(reason)}
    for case, reason in unlisted.items():
        print(f"{case}: out for a reason that is not listed: {reason}")
    if given.alone:
        taken = sum(one.kind == "taken" for one in verdicts)
        print(f"{len(verdicts)} documents: {len(verdicts) - len(out)} in, {taken} taken, {len(different)} not")
        return 0
    print(f"{len(verdicts)} pairs: {len(verdicts) - len(out)} in, {len(same)} same, {len(different)} different")
    if given.json:
        found = {"in": len(verdicts) - len(out), "same": len(same), "different": different, "out": out}
        given.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 1 if unlisted else 0


if __name__ == "__main__":
    raise SystemExit(main())
