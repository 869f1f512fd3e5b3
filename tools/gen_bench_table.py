"""Write the README's table of measurements from the newest results: ``python tools/gen_bench_table.py [--check]``.

Results are ``tests/bench/results/*.json``, as ``nox -s bench -- --json FILE`` writes them; the newest is the one
with the latest date in it. Figures that need no libvirt may come from ``nox -s bench -- launching --json FILE``.
The table stands between two markers, and nothing else of the README is touched.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.bench.figures import ALONE, FIGURES, Figure  # noqa: E402  # found through the line above

README: Final = ROOT / "README.md"
RESULTS: Final = ROOT / "tests" / "bench" / "results"
BEGIN: Final = "<!-- bench -->"
END: Final = "<!-- /bench -->"
PART: Final = 8  # figures that a run of a part gives at most


def main(words: list[str]) -> int:
    """Write the table, or with ``--check`` say whether it is as it would be written."""
    found = sorted((json.loads(path.read_text("utf-8")) for path in RESULTS.glob("*.json")), key=_date)
    text = README.read_text("utf-8") if README.exists() else ""
    if not found or BEGIN not in text or END not in text:
        print(f"nothing to do: no results in {RESULTS.relative_to(ROOT)}, or no {BEGIN} ... {END} in README.md")
        return 0
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table(found)}{END}{after}"
    if text == wanted:
        return 0
    if words == ["--check"]:
        print("README.md: the table of measurements is stale; run tools/gen_bench_table.py", file=sys.stderr)
        return 1
    README.write_text(wanted, "utf-8")
    return 0


def _date(result: dict[str, Any]) -> str:
    return str(result["context"]["date"])


def table(results: list[dict[str, Any]]) -> str:
    """The table in Markdown: each figure out of its newest run, and a sentence on what each run was taken with.

    :param results: from the oldest on.
    """
    newest = {key: one for one in results for key in one["absolute"]}
    rows = ["| | anyvirt | libvirt | ratio | to reach |", "|---|---:|---:|---:|---:|"]
    shown = {key: (figure, newest[key]) for key, figure in {**FIGURES, **ALONE}.items() if key in newest}
    rows += [_row(figure, one["absolute"][key], one["ratios"].get(key)) for key, (figure, one) in shown.items()]
    runs = [one for one in reversed(results) if any(one is used for _, used in shown.values())]
    beside = [_words(one, shown) for one in runs if one["ratios"]]
    return "\n".join([*rows, "", "\n\n".join(beside), ""])


def _words(result: dict[str, Any], shown: dict[str, tuple[Figure, dict[str, Any]]]) -> str:
    """What a run beside libvirt was taken with; of a part of it, which figures it gave."""
    context = result["context"]
    version = int(context["libvirt"])
    libvirt = f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
    given = [figure.what for figure, one in shown.values() if one is result]
    begin = f"{'; '.join(given)}: medians" if len(given) <= PART else "Medians"
    words = (
        f"{begin} of {context['rounds']} rounds of fresh processes, {context['date'][:10]}, {context['commit']}, "
        f"{context['machine']}, {context['qemu']}, libvirt {libvirt}, Python {context['python']}; "
        "shipped defaults on both sides, every define on the disk before it returns."
    )
    if "note" in context:
        words += f" {context['note'][0].upper()}{context['note'][1:]}."
    return words[0].upper() + words[1:]


def _row(figure: Figure, row: dict[str, Any], ratio: float | None) -> str:
    cells = [_value(row[side]["median"], figure.unit) if side in row else "" for side in ("anyvirt", "libvirt")]
    cells.append("" if ratio is None else f"{ratio:.2f}")
    wanted = "" if figure.reach is None else f"{figure.reach:g}"
    cells.append(wanted if figure.limit is None else _value(figure.limit, figure.unit))
    return f"| {figure.what} | {' | '.join(cells)} |"


def _value(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.2g} ms"
    return f"{value:.2f} {unit}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
