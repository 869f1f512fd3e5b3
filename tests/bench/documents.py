"""How long documents take: read, written, imported, beside libvirt's own parser.

``python -m tests.bench documents [--json FILE]`` over every ``*.xml`` below ``ANYVIRT_OUTSIDE_DATA``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any, Final

ROUNDS: Final = 5
TARGETS: Final = {"parse_ms": 0.25, "dump_ms": 0.2, "import_ms": 40.0}
VALIDATED: Final = 20
# Processor time of a fresh interpreter: on a loaded machine the clock on the wall says more about the others.
IMPORT: Final = """
import time
begun = time.process_time()
from anyvirt.model.domain import Domain
middle = time.process_time()
from anyvirt.model.xml import parse
from anyvirt.model.write import dump
print(middle - begun, time.process_time() - middle)
"""
# Runs in the system's Python, where libvirt's binding is: names of files in, seconds for each out.
LIBVIRT: Final = r"""
import json, re, sys, time
import libvirt
libvirt.registerErrorHandler(lambda *_: None, None)
peer, found = libvirt.open("test:///default"), {}
for name in json.load(sys.stdin):
    text = open(name, encoding="utf-8").read()
    text = re.sub(r"<domain([^>]*?)type=(['\"])[a-z]+\2", r"<domain\1type='test'", text, 1)
    try:
        made = peer.defineXML(text)
        made.undefine()
    except libvirt.libvirtError:
        continue
    best = [9.0, 9.0]
    for _ in range(5):
        begun = time.perf_counter(); made = peer.defineXML(text); middle = time.perf_counter()
        made.XMLDesc(); ended = time.perf_counter()
        made.undefine()
        best = [min(best[0], middle - begun), min(best[1], ended - middle)]
    found[name] = best
json.dump(found, sys.stdout)
"""


def main(words: list[str]) -> int:
    """Measure and print; 1 where a target is missed, 2 where there are no documents."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- documents", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(words)
    folder = os.environ.get("ANYVIRT_OUTSIDE_DATA", "")
    paths = sorted(path for path in Path(folder).rglob("*.xml") if path.is_file()) if folder else []
    if not paths:
        print("ANYVIRT_OUTSIDE_DATA names no folder of documents", file=sys.stderr)
        return 2
    ours = _ours(paths)
    found = {"documents": len(ours), **_figures(ours), **_imports()}
    found |= _beside(_domains(paths), ours)
    for name, value in found.items():
        target = f"  (target {TARGETS[name]})" if name in TARGETS else ""
        print(f"{name:<32}{value}{target}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(found[name] > target for name, target in TARGETS.items()))


def _ours(paths: Iterable[Path]) -> dict[str, list[float]]:
    """Seconds for reading and for writing each document: the best of some rounds, as a loaded machine only adds."""
    from anyvirt.model.write import dump
    from anyvirt.model.xml import parse

    found: dict[str, list[float]] = {}
    gc.collect()
    gc.disable()
    for path in paths:
        data = path.read_bytes()
        x = parse(data)
        found[str(path)] = [_best(parse, data), _best(dump, x)]
    gc.enable()
    return found


def _best(work: Callable[[Any], Any], value: Any) -> float:
    best = 9.0
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work(value)
        best = min(best, time.perf_counter() - begun)
    return best


def _figures(times: dict[str, list[float]]) -> dict[str, float]:
    made = {}
    for index, name in enumerate(("parse", "dump")):
        column = sorted(1000 * pair[index] for pair in times.values())
        made[f"{name}_ms"] = round(median(column), 3)
        made[f"{name}_ms_at_95%"] = round(column[int(0.95 * (len(column) - 1))], 3)
        made[f"{name}_ms_together"] = round(sum(column), 1)
    return made


def _imports() -> dict[str, float]:
    rows = []
    for _ in range(11):
        done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
        rows.append([1000 * float(word) for word in done.stdout.split()])
    models, parser = (round(median(column), 2) for column in zip(*rows, strict=True))
    return {"import_ms": models, "import_parser_ms": parser}


def _domains(paths: Iterable[Path]) -> list[str]:
    return [str(path) for path in paths if b"<domain " in path.read_bytes()[:4000]]


def _beside(names: list[str], ours: dict[str, list[float]]) -> dict[str, Any]:
    """Libvirt's figures over the domains that its test driver takes, ours over the same, and one external check."""
    made: dict[str, Any] = {}
    peer = subprocess.run(
        ["/usr/bin/python3", "-c", LIBVIRT], input=json.dumps(names), capture_output=True, text=True, check=False
    )
    if peer.returncode == 0:
        theirs: dict[str, list[float]] = json.loads(peer.stdout)
        made["libvirt_documents"] = len(theirs)
        made["libvirt_define_ms"] = round(1000 * median(pair[0] for pair in theirs.values()), 3)
        made["libvirt_xmldesc_ms"] = round(1000 * median(pair[1] for pair in theirs.values()), 3)
        made["same_parse_ms"] = round(1000 * median(ours[name][0] for name in theirs), 3)
        made["same_dump_ms"] = round(1000 * median(ours[name][1] for name in theirs), 3)
    else:
        print("libvirt's binding is not installed: nothing beside ours", file=sys.stderr)
    if shutil.which("virt-xml-validate"):
        begun = time.perf_counter()
        for name in names[:VALIDATED]:
            subprocess.run(["virt-xml-validate", name, "domain"], capture_output=True, check=False)
        made["virt-xml-validate_ms"] = round(1000 * (time.perf_counter() - begun) / len(names[:VALIDATED]), 1)
    return made
