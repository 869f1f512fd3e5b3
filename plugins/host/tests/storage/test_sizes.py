"""Capacity, allocation and physical beside ``stat`` and ``qemu-img info``, whatever was done to the image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.client._generated_sync import Volume as Handle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = [
    pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")
    for tool in ("qemu-img", "qemu-io")
]
SIZE = 4 << 20
UNIT = 4096
PARTS = st.tuples(st.integers(0, SIZE // UNIT - 1), st.integers(1, 64)).map(
    lambda part: (part[0] * UNIT, min(part[1] * UNIT, SIZE - part[0] * UNIT))
)
WRITES = st.tuples(st.sampled_from(["write -P 7", "write -z", "discard"]), PARTS)
RAW = st.lists(st.one_of(WRITES, st.tuples(st.just("truncate"), PARTS)), max_size=6)
QCOW2 = st.lists(
    st.one_of(
        WRITES,
        st.tuples(st.just("write -c -P 9"), PARTS),
        st.tuples(st.sampled_from(["snapshot", "resize"]), PARTS),
    ),
    max_size=6,
)
few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def told(path: Path, kind: str) -> dict[str, Any]:
    words = ["qemu-img", "info", "--output=json", "-f", kind, str(path)]
    found: dict[str, Any] = json.loads(subprocess.check_output(words))
    return found


def change(path: Path, kind: str, ops: list[tuple[str, tuple[int, int]]]) -> None:
    """Take the steps; the size only grows, so that each part stays inside."""
    for number, (what, (start, count)) in enumerate(ops):
        if what == "truncate":
            os.truncate(path, max(path.stat().st_size, SIZE + start))
        elif what == "snapshot":
            subprocess.run(["qemu-img", "snapshot", "-c", f"s{number}", str(path)], check=True)
        elif what == "resize":
            grown = max(int(told(path, kind)["virtual-size"]), SIZE + start)
            subprocess.run(["qemu-img", "resize", "-q", "-f", kind, str(path), str(grown)], check=True)
        else:
            part = f"{start // 65536 * 65536} 64k" if " -c" in what else f"{start} {count}"
            words = ["qemu-io", "-f", kind, "-c", f"{what} {part}", str(path)]
            # QEMU refuses to compress over a cluster that is there.
            subprocess.run(words, check=" -c" not in what, capture_output=True)


def agree(volume: Handle, path: Path, kind: str) -> None:
    info, found, said = volume.info(), path.stat(), told(path, kind)
    assert (info.capacity, info.allocation, info.physical) == (
        said["virtual-size"], found.st_blocks * 512, found.st_size,
    )  # fmt: skip
    assert info.allocation == said["actual-size"]
    model = volume.config().model
    assert (model.capacity, model.allocation, model.physical) == (info.capacity, info.allocation, info.physical)


@few
@given(ops=RAW)
def test_the_sizes_of_a_raw_volume(make: Callable[..., Handle], place: Path, ops: Any) -> None:
    volume = make("disk", SIZE)
    try:
        change(place / "disk", "raw", ops)
        agree(volume, place / "disk", "raw")
    finally:
        volume.delete()


@few
@given(ops=QCOW2, above=st.booleans())
def test_the_sizes_of_a_qcow2_volume(make: Callable[..., Handle], place: Path, ops: Any, above: bool) -> None:
    base = make("base", SIZE, "qcow2")
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 3 0 1M", str(place / "base")], check=True, capture_output=True
    )
    volume = make("disk", SIZE, "qcow2", below=place / "base" if above else None)
    try:
        change(place / "disk", "qcow2", ops)
        agree(volume, place / "disk", "qcow2")
        agree(base, place / "base", "qcow2")
    finally:
        volume.delete(force=True)  # its own snapshots go with it
        base.delete()
