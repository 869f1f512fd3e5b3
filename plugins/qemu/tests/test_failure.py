"""QEMU's words become coded errors that keep them."""

from __future__ import annotations

import pytest
from anyvirt.api import Busy, Denied, Failed, NotFound, Unsupported
from anyvirt_qemu.qmp import failure
from anyvirt_qemu.qmp.wire import Refusal


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (Refusal(1, "CommandNotFound", "The command foo has not been found"), Unsupported, "foo"),
        (Refusal(1, "DeviceNotFound", "Device 'zzz' not found"), NotFound, "zzz"),
        (Refusal(1, "GenericError", "Could not open '/x': No such file or directory"), Failed, "'/x'"),
        (Refusal(1, "GenericError", "Could not open '/x': Permission denied"), Denied, "'/x'"),
        (Refusal(1, "GenericError", 'Failed to get "write" lock'), Busy, "another process"),
        (Refusal(1, "GenericError", "cannot set up guest memory 'pc.ram': Cannot allocate memory"), Failed, "memory"),
    ],
    ids=lambda value: getattr(value, "text", ""),
)
def test_a_refusal_becomes_the_error_that_a_caller_can_act_on(
    refusal: Refusal, kind: type[Exception], words: str
) -> None:
    error = failure.refused("foo", refusal, "web")
    assert type(error) is kind
    assert words in str(error)
    assert error.details["class"] == refusal.kind
    assert error.details["desc"] == refusal.text


@pytest.mark.parametrize(
    ("said", "package"),
    [
        ('qemu-system-riscv64: Unable to load the RISC-V firmware "opensbi.bin"', "opensbi"),
        ("qemu-system-ppc64: Could not find LPAR firmware 'slof.bin'", "qemu-system-data"),
        ("qemu-system-s390x: could not find stage1 bootloader", "qemu-system-data"),
        ("qemu: could not load PC BIOS 'bios-256k.bin'", "seabios"),
    ],
)
def test_firmware_that_is_missing_is_told_with_its_package(said: str, package: str) -> None:
    assert package in failure.ended(said, "web").hint


def test_the_log_is_cut_down_to_why() -> None:
    log = (
        "2026-01-01T10:00:00.123456Z qemu-system-x86_64: warning: TCG doesn't support requested feature\n"
        "char device redirected to /dev/pts/3 (label serial0)\n"
        "2026-01-01T10:00:00.123456Z qemu-system-x86_64: -blockdev {}: Could not open '/x': No such file\x1b[2J\n"
    )
    assert failure.log_tail(log) == "-blockdev {}: Could not open '/x': No such file?[2J"


def test_an_end_without_words_says_so() -> None:
    assert "without a word" in str(failure.ended("", "web"))
    only = 'qemu-system-x86_64: -device usb-serial: Warning: speed mismatch trying to attach usb device "x"\n'
    warned = failure.ended(only, "web")
    assert "QEMU ended: -device usb-serial: Warning: speed mismatch" in str(warned)
    assert "xHCI" in warned.hint


def test_a_lock_that_another_holds_is_busy_with_the_way_out() -> None:
    log = 'qemu-system-x86_64: -device x: Failed to get "write" lock\nIs another process using the image [/a.img]?\n'
    error = failure.ended(log, "web")
    assert isinstance(error, Busy)
    assert str(error) == "'/a.img' is held by another process for writing"
    assert error.hint


def test_a_flood_in_the_log_stays_out_of_the_message() -> None:
    assert len(str(failure.ended("x" * 100_000 + "\n" + "y\n" * 10_000, "web"))) < 3000
