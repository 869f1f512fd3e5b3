"""KVM only where guest code runs under it."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from anyvirt.api import NotFound
from anyvirt_qemu.probing import accelerator
from anyvirt_qemu.probing.accelerator import EXIT_CODE, boot, choose

SCRIPT = "#!/bin/sh\n{}\n"


def fake(folder: Path, words: str, name: str = "qemu-system-x86_64") -> str:
    """A program in QEMU's place that counts its runs and then does what it is told."""
    program = folder / name
    program.write_text(SCRIPT.format(f"echo run >> '{folder}/runs'\n{words}"))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().split()) if (folder / "runs").exists() else 0


@pytest.fixture
def device(tmp_path: Path) -> str:
    """Something that opens like /dev/kvm."""
    (tmp_path / "kvm").touch()
    return str(tmp_path / "kvm")


def test_guests_of_another_architecture_are_never_tried_under_kvm(tmp_path: Path, device: str) -> None:
    for name in ("qemu-system-s390x", "qemu-system-riscv64"):
        choice = choose(fake(tmp_path, "exit 67", name), tmp_path / "cache", device=device)
        assert choice.name == "tcg"
        assert f"{name} is for others" in choice.reason
    assert runs(tmp_path) == 0


def test_the_boot_sector_signals_through_the_firmware_under_emulation(qemu: str) -> None:
    assert boot(qemu, "tcg", 20.0) == (EXIT_CODE, "")


def test_the_choice_here_is_what_a_guest_would_really_get(qemu: str, tmp_path: Path) -> None:
    began = time.monotonic()
    choice = choose(qemu, tmp_path)
    assert time.monotonic() - began < 5
    if accelerator.refused(qemu) is not None:
        assert choice.name == "tcg"
        assert "/dev/kvm" in choice.reason
        return
    ran = boot(qemu, "kvm", 1.0)[0] == EXIT_CODE
    assert choice.name == ("kvm" if ran else "tcg")
    assert choice.reason
    again = time.monotonic()
    assert choose(qemu, tmp_path) == choice
    assert time.monotonic() - again < 0.2


def test_kvm_that_runs_the_sector_is_chosen_and_remembered(tmp_path: Path, device: str) -> None:
    program = fake(tmp_path, f"exit {EXIT_CODE}")
    first = choose(program, tmp_path / "cache", device=device)
    assert first.name == "kvm"
    assert choose(program, tmp_path / "cache", device=device) == first
    assert runs(tmp_path) == 1


def test_kvm_that_crawls_is_not_chosen_and_the_user_reads_why(tmp_path: Path, device: str) -> None:
    program = fake(tmp_path, "exec sleep 60")
    choice = choose(program, tmp_path / "cache", device=device, limit=0.3)
    assert choice.name == "tcg"
    assert "did not run under it within 0.3 s: using emulation (TCG)" in choice.reason
    choose(program, tmp_path / "cache", device=device, limit=0.3)
    assert runs(tmp_path) == 1


def test_a_qemu_that_refuses_kvm_is_asked_again_next_time(tmp_path: Path, device: str) -> None:
    program = fake(tmp_path, "echo 'failed to initialize kvm' >&2; exit 1")
    choice = choose(program, tmp_path / "cache", device=device)
    assert choice.name == "tcg"
    assert "failed to initialize kvm" in choice.reason
    choose(program, tmp_path / "cache", device=device)
    assert runs(tmp_path) == 2


def test_without_the_device_nothing_is_run(tmp_path: Path) -> None:
    choice = choose(fake(tmp_path, "exit 0"), tmp_path / "cache", device=str(tmp_path / "none"))
    assert choice.name == "tcg"
    assert "missing" in choice.reason
    assert runs(tmp_path) == 0


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x86_64: the host of this test")
def test_other_architectures_are_emulated(tmp_path: Path, device: str) -> None:
    choice = choose(fake(tmp_path, "exit 0", "qemu-system-aarch64"), tmp_path / "cache", device=device)
    assert choice.name == "tcg"
    assert "qemu-system-aarch64" in choice.reason
    assert runs(tmp_path) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="root: becoming a user without rights")
def test_a_user_without_rights_reads_who_was_refused_and_what_to_do() -> None:
    user = pwd.getpwuid(65534).pw_name
    code = (
        f"import sys, os; sys.path[:0] = {sys.path!r}\n"
        "from anyvirt_qemu.probing.accelerator import refused\n"
        "import pwd\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(refused('qemu-system-x86_64', sys.argv[1]))\n"
    )
    with tempfile.NamedTemporaryFile() as device:  # in the one folder that is open to all
        done = subprocess.run([sys.executable, "-c", code, device.name], capture_output=True, text=True, check=True)
    assert f"permission denied for user {user}" in done.stdout
    assert "group kvm" in done.stdout


def test_a_missing_binary_is_named(device: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="qemu-system-x86_64"):
        choose("/nonexistent/qemu-system-x86_64", tmp_path, device=device)
