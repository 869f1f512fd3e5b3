"""anyvirt beside libvirt, in one run on one machine: ``python -m tests.bench --json FILE``."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.context import context
from tests.bench.figures import ALONE, FIGURES, Figure
from tests.bench.scenario import MANY
from tests.bench.sides import ROOT, Anyvirt, Libvirt, Missing, Side, check, user
from tests.bench.storing import served

ROUNDS: Final = 10
PARTS: Final = ("shell", "defined", "running", "storage", "alone")
Samples = dict[str, dict[str, list[float]]]


def main() -> int:
    """Run it all; 2 where something is missing."""
    if sys.argv[1:2] == ["documents"]:
        from tests.bench import documents

        return documents.main(sys.argv[2:])
    if sys.argv[1:2] == ["launching"]:
        return without_libvirt(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write ratios, figures and context there")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fresh processes of each side (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some parts of it")
    words = parser.parse_args()
    try:
        check()
    except Missing as error:
        print(error, file=sys.stderr)
        return 2
    begun = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="anyvirt-bench-", dir="/var/tmp"))
    place.chmod(0o755)
    try:
        anyvirt, libvirt = Anyvirt(place / "anyvirt", user()), Libvirt(place / "libvirt", user())
        compiled()
        samples = measure(anyvirt, libvirt, words.rounds, words.only)
        found = report(samples) | {"context": context(place, words.rounds, time.monotonic() - begun)}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    show(found)
    if words.json:
        words.json.parent.mkdir(parents=True, exist_ok=True)
        words.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def without_libvirt(words: list[str]) -> int:
    """What comes before a start, as whoever asks; libvirt is not needed for it."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- launching", description=without_libvirt.__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and context there")
    given = parser.parse_args(words)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="anyvirt-bench-", dir="/var/tmp") as place:
        times = launched(Path(place))
        found = report({"anyvirt": times, "libvirt": {}}) | {
            "context": context(Path(place), 1, time.monotonic() - begun)
        }
    show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def launched(place: Path) -> dict[str, list[float]]:
    """``launching`` in a process of its own, with a state of its own."""
    env = {**os.environ, "ANYVIRT_STATE_DIR": str(place / "state"), "XDG_CACHE_HOME": str(place / "cache")}
    words = [sys.executable, "-m", "tests.bench.anyvirt_peer", str(place), "launching"]
    done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    times: dict[str, list[float]] = json.loads(done.stdout)
    return times


def compiled() -> None:
    """Compile our packages as ``pip install`` does: whoever runs the sides may not write beside the sources."""
    for name in ("anyvirt", "anyvirt_host", "anyvirt_qemu", "anyvirt_test"):
        spec = find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            compileall.compile_dir(folder, quiet=1)


def measure(anyvirt: Side, libvirt: Side, rounds: int, parts: Iterable[str]) -> Samples:
    """Every sample: side -> figure -> values. The sides take turns, and take turns in being first."""
    samples: Samples = {"anyvirt": defaultdict(list), "libvirt": defaultdict(list)}
    for side in (anyvirt, libvirt):  # fills the caches of both; not counted
        with side.fresh():
            side.scenario("warm")
    for number in range(rounds):
        sides = (anyvirt, libvirt) if number % 2 else (libvirt, anyvirt)
        for part in parts:
            begun = time.monotonic()
            PART[part](sides, samples)
            print(f"round {number + 1}/{rounds}: {part} {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return samples


def shell(sides: tuple[Side, Side], samples: Samples) -> None:
    """``list`` with three guests."""
    with sides[0].fresh(), sides[1].fresh():
        for side in sides:
            side.scenario("defined", "3")
        _take_turns(sides, samples, "cli_list_3", "list", 3)


def defined(sides: tuple[Side, Side], samples: Samples) -> None:
    """Guests that are off, through the API and in the shell."""
    with sides[0].fresh(), sides[1].fresh():
        for side in sides:
            _add(samples[side.name], side.scenario("defined", str(MANY)))
        _take_turns(sides, samples, "cli_list_1000", "list", 3)
        _take_turns(sides, samples, "cli_domstats", "domstats", 3)


def running(sides: tuple[Side, Side], samples: Samples) -> None:
    """Guests that run."""
    for side in sides:
        with side.fresh():
            _add(samples[side.name], side.scenario("running"))


def storage(sides: tuple[Side, Side], samples: Samples) -> None:
    """Pools and volumes."""
    for side in sides:
        with side.fresh():
            _add(samples[side.name], side.scenario("stored"))
        with side.fresh(), served(side.images):
            _add(samples[side.name], side.scenario("stopped"))


def alone(sides: tuple[Side, Side], samples: Samples) -> None:
    """What starting costs before there is anything to do, and what comes before the start of a guest."""
    by_name = {side.name: side for side in sides}
    anyvirt, libvirt = by_name["anyvirt"], by_name["libvirt"]
    with anyvirt.fresh():
        _add(samples["anyvirt"], anyvirt.scenario("launching"))
    for side, key, words in (
        (anyvirt, "python", [sys.executable, "-c", "pass"]),
        (anyvirt, "import", [sys.executable, "-c", "import anyvirt"]),
        (anyvirt, "cli_help", anyvirt.shell("help")),
        (libvirt, "virsh", ["virsh", "--version"]),
    ):
        side.timed(words)
        samples[side.name][key] += [side.timed(words) for _ in range(3)]


PART: Final = {"shell": shell, "defined": defined, "running": running, "storage": storage, "alone": alone}


def _take_turns(sides: tuple[Side, Side], samples: Samples, key: str, command: str, times: int) -> None:
    for side in sides:
        side.timed(side.shell(command))
    for _ in range(times):
        for side in sides:
            samples[side.name][key].append(side.timed(side.shell(command)))


def _add(to: dict[str, list[float]], more: dict[str, list[float]]) -> None:
    for key, values in more.items():
        to[key] += values


def report(samples: Samples) -> dict[str, Any]:
    """Ratios of medians, and the figures that they are made of."""
    ratios, absolute = {}, {}
    for key in dict.fromkeys([*FIGURES, *ALONE, *samples["anyvirt"], *samples["libvirt"]]):
        figure = FIGURES.get(key) or ALONE.get(key)
        row: dict[str, Any] = {"unit": figure.unit if figure else "MB"}
        for side, values in ((side, samples[side].get(key)) for side in samples):
            if values:
                rounded = [round(value, 6) for value in values]
                row[side] = {"median": median(rounded), "min": min(rounded), "max": max(rounded), "samples": rounded}
        if len(row) > 1:
            absolute[key] = row
        if key in FIGURES and "anyvirt" in row and "libvirt" in row and row["libvirt"]["median"] > 0:
            ratios[key] = round(row["anyvirt"]["median"] / row["libvirt"]["median"], 4)
    return {"ratios": ratios, "absolute": absolute}


def show(found: dict[str, Any]) -> None:
    """The figures for people, and the settings that they were taken with."""
    print(f"{'':18}{'anyvirt':>12}{'libvirt':>12}{'ratio':>9}{'to reach':>10}")
    for key, row in found["absolute"].items():
        figure = FIGURES.get(key) or ALONE.get(key) or Figure(key)
        cells = [f"{row[side]['median']:.4f} {row['unit']}" if side in row else "-" for side in ("anyvirt", "libvirt")]
        ratio = found["ratios"].get(key)
        wanted = figure.reach if figure.reach is not None else figure.limit
        unit = f" {figure.unit}" if figure.reach is None else ""
        cells += ["-" if ratio is None else f"{ratio:.3f}", "-" if wanted is None else f"{wanted:g}{unit}"]
        print(f"{key:18}{cells[0]:>12}{cells[1]:>12}{cells[2]:>9}{cells[3]:>10}", *missed(key, row, ratio))
    for key, value in found["context"].items():
        print(f"{key}: {value}")


def missed(key: str, row: dict[str, Any], ratio: float | None) -> list[str]:
    """The word for it where a figure is not where it has to be."""
    figure = FIGURES.get(key) or ALONE.get(key) or Figure(key)
    over = figure.reach is not None and ratio is not None and ratio > figure.reach
    if figure.limit is not None and "anyvirt" in row:
        over = row["anyvirt"]["median"] > figure.limit
    return ["missed"] if over else []


if __name__ == "__main__":
    sys.exit(main())
