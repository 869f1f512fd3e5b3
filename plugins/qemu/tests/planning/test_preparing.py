"""What is wrong with a definition, and what this host lacks for it, are told together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, Invalid
from anyvirt.api import open as opened
from anyvirt_qemu.probing.capability import probe
from anyvirt_qemu.probing.caps import Caps

Guest = Callable[..., str]
BOTH = """<disk type='file'><source file='{folder}/none'/><target dev='vda' bus='virtio'/></disk>
<disk type='file'><source file='{folder}/none'/><target dev='vdb1' bus='virtio'/></disk>"""


@pytest.fixture
def connection(qemu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    with opened("qemu:///session") as found:
        yield found


def test_refusals_of_a_definition_keep_no_blocker_of_the_host_back(
    connection: Connection, guest: Guest, tmp_path: Path
) -> None:
    domain = connection.domain_define(guest(BOTH.format(folder=tmp_path)))
    expected = {
        "/devices/disk[vdb1]/target/@dev": "config.invalid",
        "/devices/disk[vda]/source/@file": "file.not-found",
        "/devices/disk[vdb1]/source/@file": "file.not-found",
    }
    assert {one.path: one.code for one in domain.preflight()} == expected
    with pytest.raises(Invalid) as refusal:
        domain.start()
    assert {one.path: one.code for one in refusal.value.problems} == expected
    plan = domain.plan()
    assert {one.path: one.code for one in plan.blockers} == expected
    assert ("-uuid", str(domain.uuid)) in plan.argv


def test_a_machine_type_or_cpu_that_is_not_there_is_told_with_names_like_it(
    qemu: str, guest: Guest, tmp_path: Path, connection: Connection
) -> None:
    caps = Caps(probe(qemu, tmp_path))
    assert "pc-q35-" in caps.near("machine", "pc-q35-99.0")
    assert caps.near("cpu", "haswell").startswith("did you mean Haswell")
    assert caps.near("machine", "zzzzzz") == "anyvirt host capabilities lists those there are"
    with pytest.raises(Invalid) as refusal:
        connection.domain_define(guest(machine="pc-q35-99.0"))
    (problem,) = refusal.value.problems
    assert (problem.code, problem.path) == ("unsupported.config", "/os/type/@machine")
    assert problem.hint.startswith("did you mean pc-q35-")
