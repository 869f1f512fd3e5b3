"""What a guest gets of a host that has all there is to give: a guest with an IOMMU of its own, and a guest in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import open  # noqa: A004
from anyvirt_host.local.launch import LAUNCHER
from boot_stage.full import full
from qemu_stage.inside import asked, packed
from qemu_stage.small import URI

SCRIPT = Path(__file__).with_name("lender_guest.py")
PROGRAMS = ("qemu-system-x86_64", "ip", "tc", "bridge")
MODULES = "/usr/lib/x86_64-linux-gnu/qemu"
NEEDED = (
    "/usr/share/seabios",
    "/usr/share/qemu/kvmvapic.bin",
    f"{MODULES}/accel-tcg-x86_64.so",
    f"{MODULES}/hw-usb-host.so",
)
FOLDERS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
MACVTAP, BRIDGED = "52:54:00:0b:00:01", "52:54:00:0b:00:02"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the host in the guest showed."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    programs = [shutil.which(name, path=FOLDERS) for name in PROGRAMS]
    for name, path in zip(PROGRAMS, programs, strict=True):
        if path is None:
            pytest.skip(f"{name} is not installed")
    folder = tmp_path_factory.mktemp("guest")
    guest = full()
    own = {os.path.realpath(path) for path in programs if path is not None}
    more = [path for path in (*own, LAUNCHER, *NEEDED) if os.path.exists(path)]
    inside = packed(guest, SCRIPT, folder, more, "here", str(folder / "here"))
    xml = (
        "<domain type='kvm'><name>outer</name><memory unit='MiB'>1024</memory><vcpu>2</vcpu>"
        f"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{guest.kernel}</kernel><initrd>{inside.initrd}"
        f"</initrd><cmdline>{guest.cmdline} intel_iommu=on</cmdline></os><features><acpi/></features><devices>"
        "<serial type='pty'/><iommu model='intel'/><controller type='usb' model='qemu-xhci'/>"
        "<input type='tablet' bus='usb'/><interface type='user'><model type='e1000e'/></interface></devices></domain>"
    )
    with open(URI, state_dir=folder / "state") as connection:
        command = f"{inside.command} {':'.join(sorted({os.path.dirname(path) for path in own}))}"
        yield asked(connection, xml, guest.prompt, command, seconds=240)


def test_a_card_is_with_vfio_while_its_guest_runs_and_with_its_own_driver_afterwards(found: dict[str, Any]) -> None:
    assert found["problems"] == []
    assert found["before"]["driver"] == ["e1000e", ""]
    assert found["during"]["driver"] == ["vfio-pci", "vfio-pci"]
    assert found["after"] == found["before"]
    assert {"/dev/vfio/vfio"} < set(found["opened"])


def test_a_start_that_is_cut_off_leaves_the_card_to_the_host(found: dict[str, Any]) -> None:
    assert {step: cut for step, (cut, _) in found["cut"].items()} == {
        "unbind-pci": ["e1000e", "vfio-pci"],
        "bind-pci": ["", "vfio-pci"],
        "launch": ["vfio-pci", "vfio-pci"],
    }
    for _, left in found["cut"].values():
        assert left == found["before"]


def test_the_kernel_moves_the_packets_of_the_macvtap(found: dict[str, Any]) -> None:
    assert found["opened"].count("/dev/vhost-net") == 2
    assert len([path for path in found["opened"] if path.startswith("/dev/tap")]) == 2
    assert "macvtap mode bridge" in found[MACVTAP]["link"]


def test_limits_hold_in_both_directions_as_seen_from_the_guest(found: dict[str, Any]) -> None:
    beside, bridged = found[MACVTAP], found[BRIDGED]
    assert "rate 8Mbit ceil 16Mbit burst 64Kb" in beside["class"]  # what it sends
    assert "rate 4Mbit" in beside["filter"]
    assert "rate 4Mbit ceil 4Mbit" in bridged["class"]  # what it receives
    assert "rate 8Mbit burst 64Kb" in bridged["filter"]


def test_the_bridge_tells_vlans_apart_and_keeps_the_port_alone(found: dict[str, Any]) -> None:
    words = found[BRIDGED]["vlans"]
    assert words[words.index("42") :] == ["42", "PVID", "Egress", "Untagged", "47"]
    assert "isolated on" in found[BRIDGED]["link"]
