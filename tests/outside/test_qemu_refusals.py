"""What libvirt's QEMU driver refuses on x86, and QEMU 7.2 still gives reason to, is refused here for that reason.

``qemu_refusals.toml`` maps the cases to our code, path and words; those of ``refusals.toml`` are refused by core
already. A case that is refused for something else counts apart, and so does one whose reason is gone.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from anyvirt.errors import Invalid, Problem
from anyvirt.model.check import check
from anyvirt.model.domain import Domain
from anyvirt.model.strict import unknown
from anyvirt.model.xml import parse

FOLDER = os.environ.get("ANYVIRT_OUTSIDE_DATA") or os.environ.get("ANYVIRT_LIBVIRT_DATA") or ""
HERE = Path(__file__).parent
COMMON = tomllib.loads((HERE / "refusals.toml").read_text(encoding="utf-8"))["refused"]
LEDGER = tomllib.loads((HERE / "qemu_refusals.toml").read_text(encoding="utf-8"))
QEMU = {"i686": "qemu-system-i386"}

pytestmark = pytest.mark.skipif(not FOLDER, reason="ANYVIRT_OUTSIDE_DATA names no folder of libvirt's documents")


class Without:
    """A probed QEMU that lacks some things: devices, objects, CPU models, features."""

    def __init__(self, caps: Any, lacking: Sequence[str]) -> None:
        self._caps, self._lacking = caps, frozenset(lacking)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._caps, name)
        if not name.startswith("has_"):
            return found
        return lambda what, *more: ".".join((what, *more)) not in self._lacking and found(what, *more)


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Domain], Any]:
    """The QEMU of this machine that runs guests like this one."""
    from anyvirt_qemu.probing.capability import probe
    from anyvirt_qemu.probing.caps import Caps

    cache = tmp_path_factory.mktemp("cache")

    def ask(domain: Domain) -> Any:
        arch = (domain.os.arch if domain.os else None) or "x86_64"
        binary = shutil.which(QEMU.get(arch, "qemu-system-x86_64"))
        if binary is None:
            pytest.skip("QEMU is not installed")
        return Caps(probe(binary, cache))

    return ask


def refused() -> dict[str, Path]:
    """The cases that libvirt's tests expect to fail, with their documents."""
    found = {path.name.split(".")[0]: path for path in sorted(Path(FOLDER).rglob("*.err"))}
    return {name: path.with_name(f"{name}.xml") for name, path in found.items()}


def problems(
    path: Path, probed: Callable[[Domain], Any], lacking: Sequence[str] = (), cache: Path = Path()
) -> list[Problem]:
    """All that keeps the document's guest from starting here.

    :param cache: folder for what QEMU says of its devices, where some of that is taken from it.
    """
    from anyvirt_qemu.planning import config, defaults
    from anyvirt_qemu.planning.beside import Program
    from anyvirt_qemu.planning.plan import Paths, Storage
    from anyvirt_qemu.readiness import preflight

    given = parse(path.read_bytes(), Domain)
    wrong = [*check(given), *(problem for problem in unknown(given) if problem.code == "xml.value")]
    if wrong:
        return wrong
    caps = Without(probed(given), lacking)
    places = Paths(
        guest="/run/guest", nvram="/nvram", memory="/ram", hugepages={2 << 20: "/dev/2M", 1 << 30: "/dev/1G"}
    )
    try:
        domain = defaults.complete(given, caps, Random(1).randbytes)
        place = "/usr/libexec/virtiofsd"  # the one that came with QEMU 7.2, wherever it is
        virtiofsd = Program(place, frozenset({"--fd", "--thread-pool-size"}))
        chains: dict[str, Any] = {disk.target or "": () for disk in domain.disks}
        plan = config.plan(
            domain,
            caps,
            places,
            accelerator="tcg",
            chains=chains,
            storage=Storage(overlays="/overlays"),
            programs={"virtiofsd": virtiofsd, f"virtiofsd {place}": virtiofsd},
        )
    except Invalid as error:
        return list(error.problems)
    return [*preflight.blockers(domain, plan), *(unknown_properties(plan, cache, lacking) if lacking else ())]


def unknown_properties(plan: Any, cache: Path, lacking: Sequence[str]) -> list[Problem]:
    """Properties that devices would not have, were they without some of theirs (``DRIVER.PROPERTY``)."""
    from anyvirt_qemu.readiness import properties

    devices = properties.devices(plan)
    found = properties.known_of(plan.argv[0], cache, {str(one["driver"]) for one in devices})
    known = {driver: [name for name in names if f"{driver}.{name}" not in lacking] for driver, names in found.items()}
    return list(properties.missing(plan, devices, known))


def fits(found: Sequence[Problem], code: str, path: str, words: str) -> bool:
    return any((one.code, one.path) == (code, path) and words in one.text for one in found)


def told(found: Sequence[Problem]) -> str:
    return "; ".join(f"{one.code} {one}" for one in found) or "nothing stands in its way"


def test_what_is_wrong_for_this_qemu_is_refused_for_that_reason(
    probed: Callable[[Domain], Any], figure: Callable[..., None]
) -> None:
    cases = refused()
    reasons = {**{name: (*reason, "") for name, reason in COMMON.items()}, **LEDGER["refused"]}
    found = {name: problems(cases[name], probed) for name in reasons if name in cases}
    missed = {name: told(wrong) for name, wrong in found.items() if not fits(wrong, *reasons[name])}
    if cases:
        unrelated = sum(bool(found[name]) for name in missed)
        gone = len(cases) - len(found)
        note = f"{unrelated} of the rest for something else; {gone} more have no reason with this QEMU on x86"
        figure("qemu-refused", len(found) - len(missed), len(found), note)
    assert missed == {}


def test_what_a_qemu_lacks_is_refused_by_the_name_of_what_is_missing(
    probed: Callable[[Domain], Any], figure: Callable[..., None], tmp_path: Path
) -> None:
    cases = refused()
    here = [name for name in LEDGER["lacking"] if name in cases]
    missed = {}
    for name in here:
        lacking, *reason = LEDGER["lacking"][name]
        found = problems(cases[name], probed, lacking, tmp_path)
        if not fits(found, *reason):
            missed[name] = told(found)
    if here:
        figure("qemu-lacking", len(here) - len(missed), len(here))
    assert missed == {}


def test_every_refused_case_is_in_one_place_of_the_ledger() -> None:
    parts = [COMMON, LEDGER["refused"], LEDGER["lacking"], LEDGER["elsewhere"]]
    counts = {name: sum(name in part for part in parts) for name in refused()}
    unlisted = [name for name, count in counts.items() if count == 0]
    if unlisted:
        print(f"refused by libvirt and not in the ledger: {unlisted}")
    assert [name for name, count in counts.items() if count > 1] == []
    known = {name for part in parts for name in part}
    assert len(known & counts.keys()) < len(known) or unlisted == []
