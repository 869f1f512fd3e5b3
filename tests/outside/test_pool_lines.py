"""Pools of other people's definitions are started with the commands that libvirt was recorded to run: same meaning.

What a line means is compared, not how it is written: what is mounted where, as which file system, with which options;
which volume group is activated, and how far. The table beside this file has a row for each recorded line.
"""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Document, Output, Pool
from anyvirt_host.storage.backend import backend_of

TABLE = Path(__file__).with_name("pool_lines.toml")
LINES = "storagepoolxml2argvdata"
INPUTS = "storagepoolxml2xmlin"
GROUP = {"vg_uuid": "u", "vg_size": "1", "vg_free": "1", "vg_extent_size": "1", "vg_missing_pv_count": "0"}
Meaning = dict[str, Any]


def meaning(words: list[str]) -> Meaning:
    """What a command line means.

    :raises AssertionError: it has a word that is not understood: then nothing can be said of it.
    """
    tool, rest = words[0], words[1:]
    options: dict[str, str] = {}
    plain = []
    while rest:
        word = rest.pop(0)
        if word in {"-o", "-t", "--config"}:
            options[word] = rest.pop(0)
        elif word.startswith("-a"):
            options["-a"] = word[2:]
        else:
            assert not word.startswith("-"), word
            plain.append(word)
    if tool == "vgchange":
        return {"tool": tool, "activates": options["-a"], "groups": plain}
    assert (tool, len(plain)) == ("mount", 2), words
    source, target = plain
    given = options.get("-o", "")
    return {
        "tool": tool,
        "options": set(filter(None, given.split(","))),
        "type": options.get("-t", ""),
        "source": source,
        "target": target,
    }


def run_here(model: Pool, place: Path) -> Meaning:
    """What is run to start a pool, with what is mounted in a folder that is there."""
    lines: list[list[str]] = []

    def run(*argv: str, **_: object) -> Output:
        lines.append(list(argv))
        if argv[0] == "vgs":
            rows = [{"vg_name": argv[-1], **GROUP}]
            return Output(0, json.dumps({"report": [{"vg": rows}]}).encode(), tool="vgs")
        return Output(1 if argv[0] == "findmnt" else 0, tool=argv[0])

    backend = backend_of(str(model.type), run)
    live = backend.live(model)
    backend.start(live._replace(path=str(place)) if live.type in {"fs", "netfs"} else live)
    (line,) = [line for line in lines if line[0] in {"mount", "vgchange"}]
    return meaning([live.path if word == str(place) else word for word in line])


def test_pools_are_started_as_in_recorded_lines(folder: Path, tmp_path: Path, figure: Callable[..., None]) -> None:
    table = tomllib.loads(TABLE.read_text())
    found = sorted(path.stem for path in (folder / LINES).glob("*.argv"))
    assert found, "there are no recorded lines"
    assert set(found) <= table.keys(), "a recorded line has no row in the table"
    same, wrong, derived, elsewhere = [], [], [], []
    for name in found:
        row = table[name]
        source = folder / INPUTS / f"{row.get('input', name)}.xml"
        if not source.exists():
            derived.append(name)
        document: Document[Pool] = Document(source.read_text() if source.exists() else row["derived"])
        ours = run_here(document.model, tmp_path)
        recorded = (folder / LINES / f"{name}.argv").read_text().replace("\\\n", " ")
        theirs = meaning(shlex.split(recorded))
        lacks = set(row.get("lacks", ()))
        if lacks:
            assert row["why"]
            assert not lacks & theirs["options"], f"{name}: {row['why']}: it has them now"
            theirs["options"] |= lacks
            elsewhere.append(name)
        if ours == theirs:
            same.append(name)
        else:
            wrong.append(f"{name}: {ours} is not {theirs}")
    assert not wrong, "\n".join(wrong)
    note = (
        f"{len(elsewhere)} of other systems, less options of Linux; {len(derived)} whose definition is derived from it"
    )
    figure("pool-lines", len(same), len(found), note=note)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mount -o a,b x /y", "mount x /y -o b,a"),
        ("vgchange -aly g", "vgchange -aly g --config x"),
    ],
)
def test_how_a_line_is_written_means_nothing(one: str, other: str) -> None:
    assert meaning(one.split()) == meaning(other.split())


@pytest.mark.parametrize("other", ["mount x /z", "mount -t nfs x /y", "mount -o ro x /y", "mount z /y"])
def test_what_a_line_says_does(other: str) -> None:
    assert meaning(["mount", "x", "/y"]) != meaning(other.split())
