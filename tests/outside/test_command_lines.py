"""Command lines of QEMU that libvirt recorded are read, and those of our own plans come back.

The folder is named by ``ANYVIRT_OUTSIDE_DATA``; nothing of it is in this project.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anyvirt.errors import VirtError
from anyvirt.model.check import check
from anyvirt.model.domain import Domain
from anyvirt.model.xml import parse

FOLDER = os.environ.get("ANYVIRT_OUTSIDE_DATA") or os.environ.get("ANYVIRT_LIBVIRT_DATA") or ""
CASES = Path(FOLDER, "qemuxml2argvdata")
NAMES = {"id", "drive", "netdev", "chardev", "tpmdev", "fsdev", "rng", "memdev", "audiodev", "cryptodev"}
Figure = Callable[..., None]

pytestmark = pytest.mark.skipif(not FOLDER, reason="ANYVIRT_OUTSIDE_DATA names no folder of libvirt's documents")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Domain], Any]:
    """Plans for the QEMU of this host."""
    binary = shutil.which("qemu-system-x86_64")
    if binary is None:
        pytest.skip("qemu-system-x86_64 is missing")
    from anyvirt_qemu.planning import config, defaults
    from anyvirt_qemu.planning.plan import NodeUse, Paths, Storage
    from anyvirt_qemu.probing.capability import probe
    from anyvirt_qemu.probing.caps import Caps

    caps = Caps(probe(binary, tmp_path_factory.mktemp("found")))

    def made(domain: Domain) -> Any:
        whole = defaults.complete(domain, caps, random.Random(1).randbytes)
        return config.plan(
            whole,
            caps,
            Paths(guest="/RUN", nvram="/NVRAM", memory="/MEMORY"),
            accelerator="kvm" if whole.type == "kvm" else "tcg",
            chains={x.target: (NodeUse("", "file", "/", "raw"),) for x in whole.disks if x.target},
            storage=Storage(overlays="/OVERLAYS"),
            now=0,
        )

    return made


def devices(plan: Any) -> Counter[str]:
    rows = (json.loads(text) for flag, text in pairwise(plan.argv) if flag == "-device" and text.startswith("{"))
    return Counter(json.dumps({k: v for k, v in row.items() if k not in NAMES}, sort_keys=True) for row in rows)


def test_recorded_command_lines_are_read(figure: Figure) -> None:
    from anyvirt_qemu.argv.reading import read

    lines = sorted(CASES.glob("*.args"))
    wrong = {}
    for path in lines:
        found = check(read(path.read_bytes()).model)
        if found:
            wrong[path.stem] = [str(problem) for problem in found]
    if lines:
        figure("argv-read", len(lines) - len(wrong), len(lines))
    assert wrong == {}


def test_plans_come_back_from_their_command_lines(plan: Callable[[Domain], Any], figure: Figure) -> None:
    from anyvirt_qemu.argv.reading import read

    total = same = whole = 0
    lost = []
    for path in sorted(CASES.glob("*.xml")):
        try:
            first = plan(parse(path.read_bytes(), Domain))
        except VirtError:  # what this QEMU lacks, or no driver honours, has no command line
            continue
        total += 1
        again = plan(read(shlex.join(first.argv).encode()).model)
        if devices(again) == devices(first):
            same += 1
        else:
            lost.append(path.stem)
        whole += Counter(pairwise(again.argv)) == Counter(pairwise(first.argv))
    if total:
        figure("argv-devices", same, total, note=", ".join(lost))
        figure("argv-lines", whole, total)
    assert lost == []
