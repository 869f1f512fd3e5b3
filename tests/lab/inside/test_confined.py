"""QEMU in a profile of AppArmor's, on a kernel that has it: that of a small guest, with a guest in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import open  # noqa: A004
from anyvirt_host.local.launch import LAUNCHER
from qemu_stage.inside import asked, packed
from qemu_stage.small import URI, built

SCRIPT = Path(__file__).with_name("confined_guest.py")
NEEDED = ("/usr/share/seabios", "/usr/share/qemu/kvmvapic.bin", "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a guest in the guest was seen to do."""
    programs = [shutil.which(name) for name in ("qemu-system-x86_64", "apparmor_parser")]
    if os.geteuid() != 0:
        pytest.skip("needs root to start the guest of a guest as another user")
    for name, path in zip(("qemu-system-x86_64", "apparmor_parser"), programs, strict=True):
        if path is None:
            pytest.skip(f"{name} is not installed")
    folder = tmp_path_factory.mktemp("guest")
    guest = built()
    more = [path for path in (*programs, LAUNCHER, *NEEDED) if path is not None and os.path.exists(path)]
    with tempfile.TemporaryDirectory(prefix="anyvirt-") as first:
        os.chmod(first, 0o755)
        inside = packed(guest, SCRIPT, folder, more, "here", f"{first}/srv")
    xml = (
        "<domain type='kvm'><name>outer</name><memory unit='MiB'>1024</memory><vcpu>2</vcpu>"
        f"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{guest.kernel}</kernel>"
        f"<initrd>{inside.initrd}</initrd><cmdline>{guest.cmdline}</cmdline></os><features><acpi/></features>"
        "<devices><serial type='pty'/></devices></domain>"
    )
    with open(URI, state_dir=folder / "state") as connection:
        command = f"{inside.command} {os.path.dirname(str(programs[1]))}"
        yield asked(connection, xml, guest.prompt, command, seconds=300)


def test_the_guest_runs_in_its_own_profile_as_its_own_user(found: dict[str, Any]) -> None:
    assert found["problems"] == []
    assert found["label"] == f"anyvirt-{found['uuid']} (enforce)"
    assert found["loaded"] == [f"anyvirt-{found['uuid']}"]
    assert found["uid"] == "1234"


def test_all_that_it_has_works_there(found: dict[str, Any]) -> None:
    assert found["printed"] == "up"
    assert found["own"] == ""
    assert "RESUME" in found["events"]


def test_what_it_does_not_have_is_closed_to_it_whatever_its_mode(found: dict[str, Any]) -> None:
    assert "/srv/secret" in found["secret"]
    assert "Permission denied" in found["secret"]


def test_its_profile_goes_with_it(found: dict[str, Any]) -> None:
    assert found["left"] == []
