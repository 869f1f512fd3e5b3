"""Would the contract suite notice? Each hook of a driver is replaced by one that does nothing, in turn.

``python tools/mutants.py test qemu``; ``--hook domain_start`` tries that one alone, ``--write-figures``
commits to the figure. For each hook only the tests that call it are run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FIGURES: Final = ROOT / "tests" / "figures.json"
SIDE_BY_SIDE: Final = 2
PATIENCE: Final = 300  # seconds for one mutant; a suite that hangs has noticed


def main() -> int:
    """Try all mutants of the drivers named; 1 where a committed figure falls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drivers", nargs="*", default=["test", "qemu"])
    parser.add_argument("--hook", action="append", help="this one alone; may be repeated")
    parser.add_argument("--write-figures", action="store_true", help="commit to what was caught now")
    chosen = parser.parse_args()
    return max(_driver(name, chosen.hook or [], write=chosen.write_figures) for name in chosen.drivers)


def _driver(name: str, hooks: list[str], *, write: bool) -> int:
    callers = _record(name)
    tried = [hook for hook in callers if not hooks or hook in hooks]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        caught = dict(zip(tried, pool.map(lambda hook: _caught(name, hook, callers[hook]), tried), strict=True))
    for hook, why in caught.items():
        if why:
            print(f"{name}: {hook} survives: {why}")
    share = sum(not why for why in caught.values())
    print(f"{name}: {share} of {len(tried)} mutants caught", flush=True)
    if hooks:
        return 0
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    committed = figures.setdefault("mutants", {}).get(name, 0)
    if write:
        figures["mutants"][name] = share
        FIGURES.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    elif share < committed:
        print(f"{name}: tests/figures.json has {committed}")
        return 1
    return 0


def _record(name: str) -> dict[str, list[str]]:
    """Which tests call each hook, from one run of the suite as it is, which has to pass."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "calls.json"
        began = time.monotonic()
        done = _pytest(f"record:anyvirt_{name}:{file}", [_suite(name)])
        if done.returncode:
            raise SystemExit(f"{name}: the suite fails as it is:\n{done.stdout[-4000:]}")
        calls: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    print(f"{name}: {len(calls)} hooks, the suite takes {time.monotonic() - began:.0f} s", flush=True)
    return calls


def _caught(name: str, hook: str, tests: list[str]) -> str:
    """Why the mutant was not caught; empty where it was."""
    if not tests:
        return "no test calls it"
    try:
        done = _pytest(f"replace:anyvirt_{name}:{hook}", ["-x", *tests])
    except subprocess.TimeoutExpired:
        return ""
    return f"{len(tests)} tests call it and pass" if done.returncode == 0 else ""


def _pytest(mode: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "mutate", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        env=os.environ | {"ANYVIRT_MUTATE": mode, "PYTHONPATH": str(ROOT / "tools")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=PATIENCE,
        check=False,
    )


def _suite(name: str) -> str:
    """Where the contract suite is run against a driver: on its own, or for ``test`` on the state in memory."""
    own = Path("plugins", name, "tests", "test_contract.py")
    return str(own if (ROOT / own).exists() else Path("tests", "contract", "test_memory.py"))


if __name__ == "__main__":
    sys.exit(main())
