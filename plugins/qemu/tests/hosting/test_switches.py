"""Ports of Open vSwitch, in a switch of this test's own that moves packets itself."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import State
from anyvirt_qemu.hosting import switches
from anyvirt_qemu.planning.cabling import Ends, SwitchUse, TapUse, VlanUse
from qemu_stage.scene import Scene

FOLDERS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/lib/openvswitch-switch"
RUNNING = Path("/var/run/openvswitch")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
UUID = "11111111-2222-4333-8444-555555555555"
PORT = "d1b1e2c3-1111-4222-8333-444444444444"


def vsctl(*words: str) -> str:
    return subprocess.run(
        ["ovs-vsctl", "--timeout=10", *words], check=True, capture_output=True, text=True, env={"PATH": FOLDERS}
    ).stdout.strip()


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[str]:
    """A bridge in a switch that nobody else uses."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in ("ovs-vsctl", "ovsdb-server", "ovsdb-tool", "ovs-vswitchd"):
        if shutil.which(tool, path=FOLDERS) is None:
            pytest.skip(f"{tool} is missing")
    if RUNNING.exists() and list(RUNNING.iterdir()):
        pytest.skip("root: a switch of this machine's own is not touched")
    RUNNING.mkdir(exist_ok=True)
    database, socket, pids = tmp_path / "conf.db", f"unix:{RUNNING}/db.sock", []
    for argv in (
        ["ovsdb-tool", "create", str(database), str(SCHEMA)],
        ["ovsdb-server", str(database), f"--remote=p{socket}", "--detach", f"--pidfile={tmp_path}/1.pid"],
        ["ovs-vsctl", "--no-wait", "init"],
        ["ovs-vswitchd", socket, "--detach", f"--pidfile={tmp_path}/2.pid"],
    ):
        subprocess.run(argv, check=True, capture_output=True, env={"PATH": FOLDERS})
    pids = [int((tmp_path / f"{number}.pid").read_text()) for number in (2, 1)]
    name = f"ov{secrets.token_hex(4)}"
    vsctl("add-br", name, "--", "set", "bridge", name, "datapath_type=netdev")
    yield name
    vsctl("del-br", name)
    for pid in pids:
        fd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        select.select([fd], [], [], 10)  # its sockets are its own to remove
        os.close(fd)
    shutil.rmtree(RUNNING)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    made = Scene(tmp_path, "")
    yield made
    made.end()


def test_a_card_is_a_port_of_the_switch_while_the_guest_runs_and_none_after_a_kill(bridge: str, scene: Scene) -> None:
    card = (
        f"<interface type='bridge'><mac address='52:54:00:0a:10:01'/><source bridge='{bridge}'/>"
        "<vlan><tag id='42'/></vlan><virtualport type='openvswitch'>"
        f"<parameters interfaceid='{PORT}' profileid='a &quot;b&quot;, c=d'/></virtualport>"
        "<model type='virtio'/></interface>"
    )
    with scene.open() as connection:
        guest = connection.domain_define(scene.xml("guest", card))
        guest.start()
        assert guest.state().state is State.RUNNING
        (port,) = vsctl("list-ports", bridge).split()
        assert vsctl("get", "port", port, "tag") == "42"
        told = {key: vsctl("get", "interface", port, f"external_ids:{key}") for key in ("iface-id", "vm-id")}
        assert told == {"iface-id": f'"{PORT}"', "vm-id": f'"{guest.ref.key}"'}
        assert vsctl("get", "interface", port, "external_ids:port-profile") == '"a \\"b\\", c=d"'
        assert vsctl("get", "interface", port, "error") == "[]"
        switches.take_back(None, {"name": port, "guest": UUID, "program": shutil.which("ovs-vsctl", path=FOLDERS)})  # type: ignore[arg-type]
        assert vsctl("list-ports", bridge) == port, "another guest's"
        guest.destroy()
        assert vsctl("list-ports", bridge) == ""
        steps = scene.order("domain_start", ref="guest")["steps"]
        guest.destroy()
        at = steps.index("prepare-switch-port") + 1
        assert scene.order("domain_start", ref="guest", at=at)["killed"]
        assert vsctl("list-ports", bridge) != ""
        connection.recover()
        assert vsctl("list-ports", bridge) == ""


@pytest.mark.parametrize(
    ("vlans", "words"),
    [
        ((VlanUse(42, True, True),), ["tag=42"]),
        ((VlanUse(42), VlanUse(47)), ["trunks=[42,47]"]),
        ((VlanUse(42, True, False), VlanUse(47)), ["trunks=[42,47]", "vlan_mode=native-tagged", "tag=42"]),
        ((VlanUse(42), VlanUse(47, True, True)), ["trunks=[42,47]", "vlan_mode=native-untagged", "tag=47"]),
    ],
)
def test_the_switch_is_told_of_vlans_in_its_own_words(vlans: tuple[VlanUse, ...], words: list[str]) -> None:
    use = TapUse("net0", "52:54:00:0a:10:01", "anyv%d", "br", ends=Ends(vlans=vlans), switch=SwitchUse())
    said = switches.words("anyv0", use, UUID)
    at = said.index("add-port")
    assert said[at : at + 3 + len(words) + 1] == ["add-port", "br", "anyv0", *words, "--"]
