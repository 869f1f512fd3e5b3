"""What a binary can do is asked once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Failed, NotFound, VirtError
from anyvirt_qemu.probing import capability
from anyvirt_qemu.probing.capability import probe, schema_has


def wrapped(qemu: str, folder: Path) -> Path:
    """A program of its own identity that is QEMU."""
    program = folder / "qemu-system-x86_64"
    program.write_text(f'#!/bin/sh\nexec {qemu} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """Nothing is known from an earlier test."""
    capability._known.clear()


def test_a_real_qemu_tells_machines_models_devices_and_that_the_journal_works(qemu: str, tmp_path: Path) -> None:
    found = probe(qemu, tmp_path)
    assert found.version >= (6, 2, 0)
    assert found.arch == "x86_64"
    assert "tcg" in found.accels
    assert found.journal
    assert found.machines["q35"].name.startswith("pc-q35-")
    assert found.machines["q35"] is found.machines[found.machines["q35"].name]
    assert found.machines["q35"].max_cpus >= 255
    assert found.machines["q35"].cpu == "qemu64"
    assert found.cpus["max"].usable
    assert {"virtio-blk-pci", "pcie-root-port", "isa-serial"} <= found.devices
    assert "memory-backend-memfd" in found.objects
    assert {"query-status", "blockdev-add"} <= found.commands
    assert {"json.device", "json.object", "json.blockdev"} <= found.features
    assert found.has_option("sandbox", "spawn")
    assert not found.has_option("sandbox", "nope")
    assert not found.has_option("nope")


def test_the_second_time_is_from_the_file_and_the_third_from_memory(qemu: str, tmp_path: Path) -> None:
    copy = wrapped(qemu, tmp_path)
    cache = tmp_path / "cache"
    first = probe(str(copy), cache)
    (file,) = cache.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert probe(str(copy), cache) is first
    capability._known.clear()
    began = time.perf_counter()
    again = probe(str(copy), cache)
    assert time.perf_counter() - began < 0.05
    assert again.digest == first.digest


def test_another_file_under_the_same_name_is_asked_again(qemu: str, tmp_path: Path) -> None:
    copy = wrapped(qemu, tmp_path)
    probe(str(copy), tmp_path / "cache")
    copy.write_text("#!/bin/sh\necho 'no machine at all' >&2\nexit 1\n")
    with pytest.raises(Failed, match="no machine at all"):
        probe(str(copy), tmp_path / "cache")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 1}', b"\xff"])
def test_a_spoilt_file_is_made_anew(qemu: str, tmp_path: Path, content: bytes) -> None:
    first = probe(qemu, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    capability._known.clear()
    assert probe(qemu, tmp_path).digest == first.digest


PROBE = """
import sys, time
from pathlib import Path
from anyvirt_qemu.probing.capability import probe

def slow(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "readline":
        time.sleep(0.1)

sys.setprofile(slow)
probe(sys.argv[1], Path(sys.argv[2]))
"""


def test_answers_are_whole_however_slowly_they_are_read(qemu: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PROBE, qemu, tmp_path], check=True, timeout=60)


def test_a_full_or_missing_cache_costs_time_only(qemu: str, tmp_path: Path) -> None:
    assert probe(qemu, tmp_path / "a/b/c").journal


def test_what_is_no_qemu_is_a_coded_error_in_time(tmp_path: Path) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    began = time.monotonic()
    with pytest.raises(VirtError):
        probe(str(program), tmp_path / "cache")
    assert time.monotonic() - began < 5
    with pytest.raises(NotFound, match="/nonexistent"):
        probe("/nonexistent", tmp_path)


def test_nothing_is_left_behind_and_what_killed_probes_left_is_swept(qemu: str, tmp_path: Path) -> None:
    dead = tmp_path / "probe-4194305-abcd"
    (dead / "q").mkdir(parents=True)
    (dead / "q/ev.out").touch()
    alive = tmp_path / f"probe-{os.getpid()}-abcd"
    (alive / "q").mkdir(parents=True)
    probe(qemu, tmp_path)
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["capability", "probe"]
    assert alive.exists()


SCHEMA: dict[str, dict[str, Any]] = {
    "cmd": {"name": "cmd", "arg-type": "1", "features": ["f"]},
    "1": {"name": "1", "members": [{"name": "m", "type": "2"}], "variants": [{"case": "v", "type": "3"}]},
    "2": {"name": "2", "values": ["on"]},
    "3": {"name": "3", "members": []},
}


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("cmd", True),
        ("nope", False),
        ("cmd/$f", True),
        ("cmd/$g", False),
        ("cmd/arg/m", True),
        ("cmd/arg/m/^on", True),
        ("cmd/arg/m/^off", False),
        ("cmd/arg/n/^on", False),
        ("cmd/arg/+v", True),
        ("cmd/arg/+w", False),
    ],
)
def test_a_path_into_the_schema_is_there_or_not(path: str, there: bool) -> None:
    assert schema_has(SCHEMA, path) is there
