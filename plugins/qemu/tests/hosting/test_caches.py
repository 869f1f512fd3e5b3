"""Parts of caches, against folders like those of a kernel that divides them; no machine of ours can."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anyvirt.api import Deadline, Failed, Interrupted, within
from anyvirt_host.local import resctrl
from anyvirt_qemu.hosting import caches
from anyvirt_qemu.planning.tuning import CacheUse, Tuning

MIB = 1 << 20
USE = CacheUse(frozenset({0, 2}), ((3, 0, "both", 2 * MIB),), ((0, 60),), "/cputune/cachetune[0]")


@pytest.fixture
def host(tmp_path: Path) -> tuple[Path, Path]:
    """A kernel with one cache of 20 MiB in 20 parts, of which the host has left the upper four to others."""
    root, cpus = tmp_path / "resctrl", tmp_path / "cpu"
    for name, files in {
        "info/L3": {"cbm_mask": "fffff", "min_cbm_bits": "1"},
        "info/MB": {"min_bandwidth": "10", "bandwidth_gran": "10"},
        "mon_groups": {},
    }.items():
        (root / name).mkdir(parents=True)
        for file, text in files.items():
            (root / name / file).write_text(f"{text}\n")
    (root / "schemata").write_text("    L3:0=ffff;1=fffff\n    MB:0=100;1=100\n")
    index = cpus / "cpu0/cache/index3"
    index.mkdir(parents=True)
    for file, text in {"level": "3", "id": "0", "size": "20480K", "type": "Unified"}.items():
        (index / file).write_text(f"{text}\n")
    return root, cpus


def group(root: Path, name: str, schemata: str = "") -> Path:
    """What the kernel puts into a group; it cannot be made in time here."""
    (root / name).mkdir()
    (root / name / "schemata").write_text(schemata)
    (root / name / "tasks").write_text("")
    return root / name


class Ready:
    """A start that writes down what it does."""

    def __init__(self) -> None:
        self.left: list[dict[str, Any]] = []
        self.record = SimpleNamespace(uuid="u", run="r")
        self.site = SimpleNamespace(step=lambda name: None)

    def leave(self, kind: str, **what: Any) -> None:
        self.left.append({"kind": kind, **what})


def test_virtual_cpus_get_bits_that_nobody_has_and_the_usual_part_of_other_caches(host: tuple[Path, Path]) -> None:
    root, cpus = host
    made = group(root, "anyvirt-u-r-0")
    ready: Any = Ready()
    threads = {("vcpu", 0): 101, ("vcpu", 1): 102, ("iothread", 0): 103}
    caches.divide(ready, Tuning(caches=(USE,)), threads, str(root), str(cpus))
    assert (made / "schemata").read_text() == "L3:0=30000;1=fffff\nMB:0=60\n"
    assert (made / "tasks").read_text() == "101\n"
    assert ready.left == [{"kind": "caches", "folder": str(made)}]
    for file in ("schemata", "tasks"):  # the kernel takes them away with the folder
        os.unlink(made / file)
    caches.take_back(Any, ready.left[0])  # type: ignore[arg-type]
    assert not made.exists()
    caches.take_back(Any, ready.left[0])  # type: ignore[arg-type]


def test_bits_of_others_are_left_alone(host: tuple[Path, Path]) -> None:
    root, cpus = host
    group(root, "of-another", "L3:0=60000;1=1\n")
    assert resctrl.lacking(resctrl.Part(3, 0, "both", MIB), str(root), str(cpus)) == ""
    text = "cache 0 of level 3 has not 2048 KiB left that nobody uses"
    assert resctrl.lacking(resctrl.Part(3, 0, "both", 2 * MIB), str(root), str(cpus)) == text
    with pytest.raises(Failed, match="nobody uses"):
        resctrl.make("new", [resctrl.Part(3, 0, "both", 2 * MIB)], (), str(root), str(cpus))
    assert not (root / "new").exists()


def test_whoever_divides_caches_is_waited_for_until_the_deadline(host: tuple[Path, Path]) -> None:
    held = os.open(host[0], os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with within(Deadline(0.1)), pytest.raises(Interrupted, match="waiting for whoever divides caches"):
            resctrl.make("new", [], (), str(host[0]), str(host[1]))
    finally:
        os.close(held)


def test_a_group_that_does_not_go_is_told_of(host: tuple[Path, Path]) -> None:
    made = group(host[0], "anyvirt-u-r-0")
    with pytest.raises(Failed, match="cannot give the parts"):
        resctrl.remove(str(made))


@pytest.mark.parametrize(
    ("part", "share", "words"),
    [
        ((3, 0, "both", MIB + 1), 50, "steps of 1024 KiB"),
        ((3, 0, "code", MIB), 50, "whose code part can be divided"),
        ((2, 0, "both", MIB), 50, "no cache 0 of level 2"),
        ((3, 0, "both", 9 * MIB), 50, "has not 9216 KiB left"),
        ((3, 0, "both", MIB), 55, "in steps of 10"),
    ],
)
def test_what_cannot_be_set_aside_is_refused_by_path(
    part: tuple[int, int, str, int], share: int, words: str, host: tuple[Path, Path]
) -> None:
    use = CacheUse(frozenset({0}), (part,), ((0, share),), "/cputune/cachetune[0]")
    (problem,) = caches.blockers(Tuning(caches=(use,)), str(host[0]), str(host[1]))
    assert words in problem.text
    assert problem.path.startswith("/cputune/cachetune[0]")


def test_a_host_without_resctrl_is_refused_by_path(tmp_path: Path) -> None:
    (problem,) = caches.blockers(Tuning(caches=(USE,)), str(tmp_path))
    assert (problem.code, problem.path) == ("unsupported.config", "/cputune/cachetune[0]")
    assert problem.hint
