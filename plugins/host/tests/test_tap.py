"""Tap devices and bridges; what needs root or the kernel's help is skipped by name."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import Denied, Invalid, NotFound
from anyvirt_host.local import tap

BRIDGE = "anyvtestbr"
SIOCBRADDBR, SIOCBRDELBR = 0x89A0, 0x89A1

needs_tun = pytest.mark.skipif(tap.problem() is not None, reason=str(tap.problem()))


def sysfs(name: str, field: str) -> str:
    return Path(f"/sys/class/net/{name}/{field}").read_text().strip()


@pytest.fixture
def bridge() -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, SIOCBRADDBR, struct.pack("16s", BRIDGE.encode()))
        except OSError as error:
            pytest.skip(f"no bridge can be made here: {error.strerror}")
        yield BRIDGE
        fcntl.ioctl(sock, SIOCBRDELBR, struct.pack("16s", BRIDGE.encode()))


@needs_tun
def test_a_tap_is_there_until_its_last_descriptor_is_closed() -> None:
    device = tap.create("anyvtest%d")
    try:
        assert device.name.startswith("anyvtest")
        assert Path(f"/sys/class/net/{device.name}").exists()
        assert int(sysfs(device.name, "tun_flags"), 16) & tap.IFF_VNET_HDR
    finally:
        device.close()
    assert not Path(f"/sys/class/net/{device.name}").exists()


@needs_tun
def test_devices_that_are_closed_elsewhere_are_waited_for_and_not_for_ever() -> None:
    device = tap.create("anyvtest%d")
    with subprocess.Popen(["sleep", "0.3"], pass_fds=device.fds) as other:
        device.close()
        assert not tap.gone([device.name], 0.02)
        assert tap.gone([device.name, "no-such-device"], 5)
        assert other.wait(5) == 0


@needs_tun
def test_two_queues_are_two_descriptors_of_one_device() -> None:
    device = tap.create("anyvtest%d", queues=2)
    try:
        assert len(device.fds) == 2
        assert int(sysfs(device.name, "tun_flags"), 16) & tap.IFF_MULTI_QUEUE
    finally:
        device.close()


@needs_tun
def test_address_and_mtu_are_set() -> None:
    device = tap.create("anyvtest%d")
    try:
        tap.configure(device.name, mac=tap.host_mac("52:54:00:01:02:03"), mtu=1300, up=True)
        assert sysfs(device.name, "address") == "fe:54:00:01:02:03"
        assert sysfs(device.name, "mtu") == "1300"
        assert int(sysfs(device.name, "flags"), 16) & tap.IFF_UP
    finally:
        device.close()


@needs_tun
def test_a_tap_joins_its_bridge(bridge: str) -> None:
    device = tap.bridged(bridge, "52:54:00:01:02:03", template="anyvtest%d")
    try:
        assert Path(f"/sys/class/net/{device.name}/master").resolve().name == bridge
    finally:
        device.close()


@needs_tun
def test_a_bridge_that_is_missing_leaves_no_tap() -> None:
    with pytest.raises(NotFound, match="anyvnobridge"):
        tap.bridged("anyvnobridge", "52:54:00:01:02:03", template="nobridge%d")
    assert not [name for name in os.listdir("/sys/class/net") if name.startswith("nobridge")]


@needs_tun
def test_qemus_own_program_hands_over_a_tap(bridge: str, tmp_path: Path) -> None:
    if tap.helper() is None:
        pytest.skip("qemu-bridge-helper is missing or not set-uid")
    if not Path("/etc/qemu/bridge.conf").exists():
        with pytest.raises(Denied, match=bridge) as caught:
            tap.through_helper(bridge)
        assert "bridge.conf" in caught.value.hint
        return
    device = tap.through_helper(bridge)
    try:
        assert Path(f"/sys/class/net/{device.name}").exists()
    finally:
        device.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="root: becoming a user without rights")
def test_a_user_without_rights_reads_who_was_refused_what_and_what_to_do() -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; from anyvirt_host.local import tap; import os\n"
        "from anyvirt.api import Denied\n"
        "import pwd\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: tap.create()\n"
        "except Denied as error: print(error, '|', error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "/dev/net/tun" in done.stdout
    assert "nobody" in done.stdout
    assert "qemu:///system" in done.stdout


@pytest.mark.parametrize("name", ["", "a" * 16, "a/b", "..", "a b", "a\n", "é"])
def test_names_that_are_no_interface_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        tap.configure(name, up=True)


@pytest.mark.parametrize("mac", ["", "52:54:00:01:02", "525400010203", "52:54:00:01:02:zz"])
def test_a_malformed_address_is_refused(mac: str) -> None:
    with pytest.raises(Invalid):
        tap.host_mac(mac)
