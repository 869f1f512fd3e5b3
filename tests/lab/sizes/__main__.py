"""The sizes of volumes in many random cases: ``python -m tests.lab.sizes [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.lab.sizes.cases import KINDS, cases

COUNTS: Final = {"running": 400, "raw": 300, "qcow2": 250, "backing": 300, "snapshots": 250, "compressed": 250}
OTHERS: Final = 250
BLOCK: Final = 50


def main() -> int:
    """Run them in blocks, each with a seed of its own; 1 where a case did not agree."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.sizes", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write date, commit, seeds and counts there")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the first seed (%(default)s)")
    words = parser.parse_args()
    done: dict[str, int] = {}
    seeds: dict[str, list[int]] = {}
    begun = time.monotonic()
    for kind in KINDS:
        wanted, seed = COUNTS.get(kind, OTHERS), words.seed
        while done.get(kind, 0) < wanted:
            count = min(BLOCK, wanted - done.get(kind, 0))
            done[kind] = done.get(kind, 0) + cases(kind, seed, count)
            seeds.setdefault(kind, []).append(seed)
            seed += 1
        print(f"{kind}: {done[kind]} cases agree, {time.monotonic() - begun:.0f} s", flush=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    summary = {"date": time.strftime("%Y-%m-%d"), "commit": commit, "cases": sum(done.values()), "kinds": {
        kind: {"cases": done[kind], "seeds": seeds[kind]} for kind in KINDS
    }}  # fmt: skip
    if words.json:
        words.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"{summary['cases']} cases agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
