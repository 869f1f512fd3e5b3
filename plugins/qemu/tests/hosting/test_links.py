"""The host's end of network cards, on real QEMU: made, set up, and gone or as before when the guest has ended."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anyvirt.api import Exists, Failed, Invalid, State
from anyvirt_host.local import netlink, tap
from anyvirt_qemu.hosting import links
from anyvirt_qemu.planning.cabling import MacvtapUse
from qemu_stage.scene import Scene

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
PLACE: Any = None  # what a run directory would be; links have nothing in it


def run(*argv: str) -> str:
    """What a command of the host says."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env={"PATH": PATH})
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[str, str]]:
    """Two network cards of the host with a cable between them."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in ("ip", "tc"):
        if shutil.which(tool, path=PATH) is None:
            pytest.skip(f"{tool} is missing")
    name = secrets.token_hex(4)
    ends = f"a{name}", f"b{name}"
    try:
        run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        run("ip", "link", "add", "link", ends[0], "name", f"m{name}", "type", "macvtap", "mode", "bridge")
    except RuntimeError as error:
        subprocess.run(["ip", "link", "del", ends[0]], check=False, capture_output=True, env={"PATH": PATH})
        pytest.skip(f"no macvtap can be made here: {error}")
    run("ip", "link", "del", f"m{name}")
    for end in ends:
        run("ip", "link", "set", end, "up")
    yield ends
    run("ip", "link", "del", ends[0])


@pytest.fixture
def own() -> Iterator[str]:
    """A tap that was there before, and stays."""
    name = f"t{secrets.token_hex(4)}"
    run("ip", "tuntap", "add", name, "mode", "tap", "vnet_hdr")
    run("ip", "link", "set", name, "up")
    yield name
    run("ip", "link", "del", name)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    made = Scene(tmp_path, "")
    yield made
    made.end()


@pytest.fixture
def programs(tmp_path: Path) -> Callable[[], list[str]]:
    """Programs that are run as a card comes and goes, and what they were given."""
    for word in ("up", "down"):
        path = tmp_path / word
        path.write_text(f'#!/bin/sh\necho "{word} $# $1" >> {tmp_path}/told\n')
        path.chmod(0o755)

    def told() -> list[str]:
        return (tmp_path / "told").read_text().splitlines() if (tmp_path / "told").exists() else []

    return told


def kernel(*names: str) -> dict[str, Any]:
    """What the kernel has of these devices, and those that are beside them."""
    found: dict[str, Any] = {}
    for link in json.loads(run("ip", "-j", "-d", "addr", "show")):
        if link["ifname"] in names or link.get("link") in names:
            addresses = [one["local"] for one in link["addr_info"] if not one["local"].startswith("fe80:")]
            found[link["ifname"]] = {
                "mac": link["address"],
                "kind": link.get("linkinfo", {}).get("info_kind"),
                "addresses": addresses,
                "limits": [q["kind"] for q in json.loads(run("tc", "-j", "qdisc", "show", "dev", link["ifname"]))],
                "frames": netlink.coalescing(link["ifname"]) if link["ifname"].startswith("t") else None,
                "routes": sorted(
                    route["dst"] for route in json.loads(run("ip", "-j", "-4", "route", "show", "dev", link["ifname"]))
                ),
            }
    return found


def macvtap(parent: str, mode: str, mac: str, more: str = "") -> str:
    return (
        f"<interface type='direct'><mac address='{mac}'/><source dev='{parent}' mode='{mode}'/>"
        f"<model type='virtio'/>{more}</interface>"
    )


def test_a_macvtap_is_made_as_defined_and_counts_what_the_guest_receives(scene: Scene, wire: tuple[str, str]) -> None:
    first, second = wire
    limits = "<bandwidth><outbound average='1000' peak='2000' burst='64'/></bandwidth>"
    more = f"<driver queues='2'/><mtu size='1400'/>{limits}"
    text = macvtap(first, "private", "52:54:00:0a:0b:01", more) + macvtap(second, "vepa", "52:54:00:0a:0b:02")
    with scene.open() as connection:
        guest = connection.domain_define(scene.xml("guest", text))
        guest.start()
        (found,) = [
            link for link in json.loads(run("ip", "-j", "-d", "link", "show")) if link["address"] == "52:54:00:0a:0b:01"
        ]
        assert found["link"] == first
        assert found["linkinfo"]["info_kind"] == "macvtap"
        assert found["linkinfo"]["info_data"]["mode"] == "private"
        assert found["mtu"] == 1400
        assert "UP" in found["flags"]
        assert "rate 8Mbit ceil 16Mbit burst 64Kb" in run("tc", "class", "show", "dev", found["ifname"])
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((second, 0))
            for _ in range(100):  # to everybody, from the other end of the cable
                out.send(b"\xff" * 6 + b"\x52\x54\x00\x0a\x0b\x09" + b"\x88\xb5" + bytes(50))
        stats = connection.stats([guest.ref], ["interface"])[guest.ref].get()
        assert stats.interface is not None
        card = stats.interface[0]
        assert card.name == found["ifname"]
        assert (card.rx_packets or 0) >= 100
        assert card.tx_packets == 0  # neither does the host say anything in its name
        guest.destroy()
    assert set(kernel(first, second)) == {first, second}


def everything(scene: Scene, wire: tuple[str, str], own: str) -> str:
    """A guest whose cards leave on the host all that a card can leave there."""
    return (
        macvtap(wire[0], "passthrough", "52:54:00:0a:0c:01")
        + macvtap(wire[1], "bridge", "52:54:00:0a:0c:02")
        + "<interface type='ethernet'><mac address='52:54:00:0a:0c:03'/><source>"
        "<ip address='192.0.2.97' prefix='28'/><route address='198.51.100.0' prefix='24' gateway='192.0.2.98'/>"
        f"</source><target dev='{own}' managed='no'/><model type='virtio'/>"
        "<bandwidth><inbound average='500'/></bandwidth><coalesce><rx><frames max='9'/></rx></coalesce></interface>"
        "<interface type='ethernet'><mac address='52:54:00:0a:0c:04'/><model type='virtio'/>"
        f"<script path='{scene.folder}/up'/><downscript path='{scene.folder}/down'/></interface>"
    )


def test_what_a_guest_changes_on_devices_that_stay_is_as_before_when_it_has_ended(
    scene: Scene, wire: tuple[str, str], own: str, programs: Callable[[], list[str]]
) -> None:
    before = kernel(*wire, own)
    with scene.open() as connection:
        guest = connection.domain_define(scene.xml("guest", everything(scene, wire, own)))
        guest.start()
        during = kernel(*wire, own)
        assert during[wire[0]]["mac"] == "52:54:00:0a:0c:01"
        assert [one["kind"] for one in during.values()].count("macvtap") == 2
        assert during[own] == {
            "mac": before[own]["mac"],
            "kind": "tun",
            "addresses": ["192.0.2.97"],
            "limits": during[own]["limits"],
            "frames": 9,
            "routes": ["192.0.2.96/28", "198.51.100.0/24"],
        }
        assert during[own]["limits"][0] == "htb"
        (name,) = [word.split()[2] for word in programs()]
        assert programs() == [f"up 1 {name}"]
        guest.destroy()
        assert programs() == [f"up 1 {name}", f"down 1 {name}"]
    assert kernel(*wire, own) == before


def test_a_route_that_was_there_before_the_guest_stays(scene: Scene, own: str) -> None:
    run("ip", "addr", "add", "192.0.2.97/28", "dev", own)
    run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.98", "dev", own)
    before = kernel(own)
    text = (
        "<interface type='ethernet'><source><ip address='192.0.2.97' prefix='28'/>"
        "<route address='198.51.100.0' prefix='24' gateway='192.0.2.98'/>"
        "<route address='203.0.113.0' prefix='24' gateway='192.0.2.99'/>"
        f"</source><target dev='{own}' managed='no'/><model type='virtio'/></interface>"
    )
    with scene.open() as connection:
        guest = connection.domain_define(scene.xml("guest", text))
        guest.start()
        assert kernel(own)[own]["routes"] == ["192.0.2.96/28", "198.51.100.0/24", "203.0.113.0/24"]
        guest.destroy()
    assert kernel(own) == before


def test_killed_before_any_step_a_start_leaves_no_device_and_no_setting_behind(
    scene: Scene, wire: tuple[str, str], own: str, programs: Callable[[], list[str]]
) -> None:
    before = kernel(*wire, own)
    with scene.open() as connection:
        guest = connection.domain_define(scene.xml("guest", everything(scene, wire, own)))
        steps = scene.order("domain_start", ref="guest")["steps"]
        guest.destroy()
        asked = [at for at, step in enumerate(steps) if step.startswith("prepare-") and step != "prepare-run-dir"]
        kinds = {steps[at] for at in asked}
        assert {f"prepare-{kind}" for kind in ("card-address", "macvtap", "limits", "coalesce", "script")} <= kinds
        for at in (*asked, asked[-1] + 1, steps.index("connect")):
            assert scene.order("domain_start", ref="guest", at=at)["killed"], steps[at]
            connection.recover()
            assert kernel(*wire, own) == before, f"killed before {steps[at]}"
            told = programs()
            assert not told or told[-1].startswith("down"), f"killed before {steps[at]}"
        scene.agree(connection)
        guest.start()
        assert guest.state().state is State.RUNNING
        guest.destroy()
    assert kernel(*wire, own) == before


def test_a_device_of_the_same_name_that_another_made_is_left_alone(wire: tuple[str, str]) -> None:
    name = f"m{secrets.token_hex(4)}"
    index = netlink.unused()
    netlink.add_macvtap(name, wire[1], "bridge", "52:54:00:0a:0d:01", index=index)
    ours = {"kind": "macvtap", "name": name, "mac": "52:54:00:0a:0d:01", "index": index}
    try:
        for other in ({"mac": "52:54:00:0a:0d:02"}, {"index": index + 1}):
            links.take_back(PLACE, ours | other)
            assert netlink.device(name) is not None
        links.take_back(PLACE, ours)
        assert netlink.device(name) is None
        links.take_back(PLACE, ours)
    finally:
        netlink.remove(name)


def test_a_start_that_loses_its_name_to_another_device_leaves_that_alone(wire: tuple[str, str]) -> None:
    name, mac = f"m{secrets.token_hex(4)}", "52:54:00:0a:0d:05"
    left: list[dict[str, Any]] = []

    def leave(kind: str, **what: Any) -> None:  # another is faster, and makes the very same
        left.append({"kind": kind, **what})
        netlink.add_macvtap(name, wire[1], "bridge", mac)

    ready: Any = SimpleNamespace(leave=leave)
    plan: Any = SimpleNamespace(taps=[], macvtaps=[MacvtapUse("net0", mac, name, wire[1], "bridge")])
    try:
        with ExitStack() as ours, pytest.raises(Exists):
            links.connect(ready, plan, ours, {})
        (entry,) = left
        links.take_back(PLACE, entry)
        assert netlink.device(name) is not None
    finally:
        netlink.remove(name)


def test_a_queueing_discipline_of_the_owners_is_not_replaced(scene: Scene, own: str) -> None:
    run("tc", "qdisc", "add", "dev", own, "root", "pfifo", "limit", "7")
    before = run("tc", "qdisc", "show", "dev", own)
    text = (
        f"<interface type='ethernet'><target dev='{own}' managed='no'/><model type='virtio'/>"
        "<bandwidth><inbound average='500'/></bandwidth></interface>"
    )
    with scene.open() as connection:
        guest = connection.domain_define(scene.xml("guest", text))
        with pytest.raises(Invalid) as caught:
            guest.start()
        (problem,) = caught.value.problems
        assert problem.path.endswith("/bandwidth/inbound")
        assert f"tc qdisc del dev {own} root" in problem.hint
        assert run("tc", "qdisc", "show", "dev", own) == before


def test_a_program_that_fails_ends_the_start_and_nothing_is_left(
    scene: Scene, wire: tuple[str, str], programs: Callable[[], list[str]]
) -> None:
    (scene.folder / "up").write_text("#!/bin/sh\necho no cable >&2\nexit 3\n")
    text = macvtap(wire[1], "bridge", "52:54:00:0a:0e:01") + (
        f"<interface type='ethernet'><script path='{scene.folder}/up'/><downscript path='{scene.folder}/down'/>"
        "<model type='virtio'/></interface>"
    )
    with scene.open() as connection:
        guest = connection.domain_define(scene.xml("guest", text))
        with pytest.raises(Failed, match="ended with status 3: no cable"):
            guest.start()
        assert guest.state().state is State.SHUTOFF
        (scene.folder / "up").chmod(0o644)
        with pytest.raises(Invalid) as caught:
            guest.start()
        (problem,) = caught.value.problems
        assert problem.path.endswith("/script/@path")
        scene.agree(connection)
    assert len(programs()) == 1
    assert set(kernel(*wire)) == set(wire)


def test_a_device_that_does_not_open_ends_the_start_with_its_name(scene: Scene, wire: tuple[str, str]) -> None:
    text = macvtap(wire[1], "bridge", "52:54:00:0a:0f:01", f"<driver name='vhost'/><backend vhost='{scene.folder}'/>")
    with scene.open() as connection:
        guest = connection.domain_define(scene.xml("guest", text))
        with pytest.raises(Failed, match=f"cannot open {scene.folder} for QEMU: Is a directory"):
            guest.start()
        scene.agree(connection)
    assert set(kernel(*wire)) == set(wire)


def test_a_bridged_tap_is_isolated_limited_and_collects_packets(scene: Scene, wire: tuple[str, str]) -> None:
    bridge = f"br{wire[0][1:]}"
    run("ip", "link", "add", bridge, "type", "bridge")
    try:
        text = (
            f"<interface type='bridge'><source bridge='{bridge}'/><port isolated='yes'/><model type='virtio'/>"
            "<bandwidth><inbound average='125' burst='32'/></bandwidth>"
            "<coalesce><rx><frames max='5'/></rx></coalesce></interface>"
        )
        with scene.open() as connection:
            guest = connection.domain_define(scene.xml("guest", text))
            guest.start()
            (port,) = os.listdir(f"/sys/class/net/{bridge}/brif")
            (found,) = json.loads(run("ip", "-j", "-d", "link", "show", port))
            assert found["linkinfo"]["info_slave_data"]["isolated"] is True
            assert "rate 1Mbit ceil 1Mbit burst 32Kb" in run("tc", "class", "show", "dev", port)
            assert netlink.coalescing(port) == 5
            guest.destroy()
            assert tap.gone([port])
    finally:
        run("ip", "link", "del", bridge)


def test_what_a_device_receives_is_policed(wire: tuple[str, str]) -> None:
    try:
        netlink.limit_received(wire[1], 1_000_000, 200_000)
        shown = run("tc", "filter", "show", "dev", wire[1], "ingress")
    except Failed as error:
        pytest.skip(f"no traffic can be policed here: {error.hint}")
    finally:
        netlink.unlimit(wire[1])
    assert "rate 8Mbit" in shown
    assert "drop" in shown
    assert "ingress" not in run("tc", "qdisc", "show", "dev", wire[1])
