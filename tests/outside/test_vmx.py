"""Configurations of VMware machines that libvirt recorded, read and written: what comes out means what is recorded.

A recorded definition has libvirt's view of a machine, a recorded configuration the hardware and the folder that the
server had when it was recorded: those are told to the reader and the writer. The table beside this file says why a
case differs; one that it lists and that does not differ any more is a failure, too.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from anyvirt.api import Domain, VirtError, diff, parse
from anyvirt_esx.vmx.parse import parse as settings_of
from anyvirt_esx.vmx.places import located
from anyvirt_esx.vmx.reading import read
from anyvirt_esx.vmx.writing import write

TABLE = Path(__file__).with_name("vmx.toml")
READ, WRITTEN = "vmx2xmldata", "xml2vmxdata"
FOLDER = "[datastore] directory"
DATACENTER = "folder1/folder2/datacenter1"
NOTHING = re.compile(r"(?!)")
NIL = "00000000-0000-0000-0000-000000000000"
Figure = Callable[..., None]


def found_by_recorder(name: str) -> str | None:
    """The folder of every recorded configuration, and files that were not there."""
    return None if "missing" in name else located(name, FOLDER)


def read_as_recorded(path: Path) -> Domain:
    place = DATACENTER if path.stem == "datacenterpath" else ""
    return read(path.read_bytes(), locate=found_by_recorder, datacenter_path=place).model


def plain(x: Domain) -> Domain:
    """A definition where no UUID is none: libvirt writes zeros where a configuration has none."""
    return x.replace(uuid=None) if x.uuid == NIL else x


def settings(data: bytes) -> dict[str, str]:
    """Every setting that has a value, by key in lower case."""
    v = settings_of(data)
    found = {key.lower(): v.text(key) for key in v.left(NOTHING)}
    return {key: value for key, value in found.items() if value is not None}


def pairs(folder: Path, ending: str) -> Iterator[tuple[Path, Path]]:
    """Configurations or definitions, each with what is recorded for it."""
    other = {".vmx": ".xml", ".xml": ".vmx"}[ending]
    for path in sorted(folder.glob(f"*{ending}")):
        if path.with_suffix(other).exists():
            yield path, path.with_suffix(other)


def wrong_in(kind: str, cases: Iterator[tuple[str, Callable[[], str]]]) -> tuple[int, int, list[str]]:
    """How many there are and how many are the same, and what the table does not explain."""
    table: dict[str, Any] = tomllib.loads(TABLE.read_text()).get(kind, {})
    total = same = 0
    wrong = []
    for name, difference in cases:
        total += 1
        try:
            found = difference()
        except VirtError as error:
            found = str(error)
        same += not found
        if bool(found) != (name in table):
            wrong.append(f"{name}: {found or 'it is the same, and the table says that it differs'}")
    return total, same, wrong


def test_recorded_configurations_are_read_as_recorded(folder: Path, figure: Figure) -> None:
    def difference(path: Path, recorded: Path) -> str:
        theirs = plain(parse(recorded.read_bytes(), Domain))
        return "; ".join(map(str, diff(theirs, read_as_recorded(path))))

    found = [*pairs(folder / READ, ".vmx")]
    assert found, "there are no recorded configurations of VMware's"
    cases = ((path.stem, partial(difference, path, other)) for path, other in found)
    total, same, wrong = wrong_in("read", cases)
    nil = sum(parse(other.read_bytes(), Domain).uuid == NIL for _, other in found)
    figure("vmx-read", same, total, note=f"{nil} have no UUID, which libvirt writes as zeros")
    assert wrong == []


def test_recorded_definitions_are_written_as_recorded(folder: Path, figure: Figure) -> None:
    def difference(path: Path, recorded: Path) -> str:
        theirs = settings(recorded.read_bytes())
        ours = settings(write(parse(path.read_bytes(), Domain), hardware=int(theirs["virtualhw.version"] or 0)))
        return "; ".join(f"{key}: {theirs.get(key)} -> {ours.get(key)}" for key in sorted({*theirs, *ours})
                         if theirs.get(key) != ours.get(key))  # fmt: skip

    found = [*pairs(folder / WRITTEN, ".xml")]
    assert found, "there are no recorded definitions of VMware's machines"
    cases = ((path.stem, partial(difference, path, other)) for path, other in found)
    total, same, wrong = wrong_in("written", cases)
    figure("vmx-written", same, total)
    assert wrong == []


def test_recorded_configurations_come_back_from_what_is_written(folder: Path, figure: Figure) -> None:
    def difference(path: Path) -> str:
        first = read_as_recorded(path)
        again = read(write(first), datacenter_path=DATACENTER if path.stem == "datacenterpath" else "").model
        return "; ".join(map(str, diff(first, again)))

    found = [*sorted((folder / READ).glob("*.vmx")), *sorted((folder / WRITTEN).glob("*.vmx"))]
    assert found, "there are no recorded configurations of VMware's"
    total, same, wrong = wrong_in("again", ((path.stem, partial(difference, path)) for path in found))
    figure("vmx-again", same, total)
    assert wrong == []
