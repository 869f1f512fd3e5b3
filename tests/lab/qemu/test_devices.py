"""What a guest is connected with: a bridge, a screen, a console on a socket."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import NotFound
from anyvirt.client._generated_sync import Connection
from qemu_stage.small import Small

HOST, INSIDE = "198.51.100.1", "198.51.100.2"  # of TEST-NET-2


@pytest.fixture(scope="module")
def bridge() -> Iterator[str]:
    if os.geteuid() != 0:
        pytest.skip("making a bridge needs root")
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed")
    name = f"avt{secrets.token_hex(4)}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", f"{HOST}/24", "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


def slaves(bridge: str) -> list[str]:
    """Devices in the bridge."""
    return os.listdir(f"/sys/class/net/{bridge}/brif")


def test_a_guest_with_two_cards_a_screen_and_a_console_on_a_socket(
    connection: Connection, tmp_path: Path, bridge: str
) -> None:
    screen, line = tmp_path / "screen", tmp_path / "line"
    small = Small(
        connection,
        tmp_path,
        name="wired",
        cards=f"<interface type='bridge'><mac address='52:54:00:00:77:01'/><source bridge='{bridge}'/>"
        "<model type='virtio'/></interface><interface type='user'><model type='virtio'/></interface>",
        more=f"<graphics type='vnc' socket='{screen}'/><video><model type='vga'/></video>",
    )
    cmdline = f"{small.guest.cmdline} odd=a,b,,c=on,"
    xml = small.xml.replace("<serial type='pty'/>", f"<serial type='unix'><source mode='bind' path='{line}'/></serial>")
    xml = xml.replace(small.guest.cmdline, cmdline)
    small.domain.undefine()
    small.domain = connection.domain_create(xml)
    try:
        small.booted()
        assert small.domain.facts().persistent is False
        assert small.run("cat /proc/cmdline").strip() == cmdline
        assert "52:54:00:00:77:01" in small.run("cat /sys/class/net/eth0/address")
        small.run(f"killall udhcpc; ip addr flush dev eth0; ip addr add {INSIDE}/24 dev eth0; ip link set eth0 up")
        assert " 0% packet loss" in small.run(f"ping -c 2 -W 5 {HOST}")
        assert "10.0.2.15" in small.run("until ip addr show eth1 | grep 10.0.2.15; do sleep 1; done")
        (tap,) = slaves(bridge)
        (answer,) = connection.stats([small.domain.ref], ["interface"]).values()
        wired, _user = answer.get().interface or ()
        assert (wired.name, wired.mac) == (tap, "52:54:00:00:77:01")
        assert (wired.tx_packets or 0) >= 2
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(screen))
            assert client.recv(12).startswith(b"RFB 003.")
        assert small.run("ls /dev/vda").strip() == "/dev/vda"
    finally:
        small.hang_up()
        small.domain.destroy()
    assert slaves(bridge) == []
    assert not screen.exists()
    assert not line.exists()
    with pytest.raises(NotFound):
        small.domain.state()
    assert "wired" not in [one.name for one in connection.domain_list()]
