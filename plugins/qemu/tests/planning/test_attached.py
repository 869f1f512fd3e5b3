"""What of this host's network stands in the way of a start, by path, before anything is changed."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from anyvirt.api import Problem
from anyvirt_qemu.planning.plan import Paths, Plan
from anyvirt_qemu.readiness import attached

Guest = Callable[..., str]
Planned = Callable[..., Plan]
MAC = "52:54:00:bb:86:c3"
PLACE = f"/devices/interface[{MAC}]"
BRIDGED = "<interface type='bridge'><source bridge='br0'/>{}<model type='virtio'/></interface>"
DIRECT = "<interface type='direct'><source dev='{}' mode='{}'/>{}<model type='virtio'/></interface>"
OWN = "<interface type='ethernet'><target dev='{}' managed='no'/>{}<model type='virtio'/></interface>"
NOBODY = 65534


@pytest.fixture
def net() -> Iterator[Path]:
    """Network devices of a host, as sysfs shows them to everybody."""
    folder = Path(tempfile.mkdtemp(prefix="anyvirt-"))
    folder.chmod(0o755)
    for name, files in {
        "br0": {"bridge/vlan_filtering": "0"},
        "eth0": {"ifindex": "2"},
        "eth1": {"brport/bridge/x": ""},
        "eth2": {"upper_macvtap0": ""},
        "tap7": {"tun_flags": "0x1002", "owner": str(NOBODY)},
        "mvt7": {"macvtap/tap99999": "", "ifindex": "99999"},
    }.items():
        for file, text in files.items():
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def told(planned: Planned, guest: Guest, net: Path) -> Callable[[str], list[Problem]]:
    """What stands in the way of a guest with these devices, as root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")

    def ask(devices: str) -> list[Problem]:
        return list(attached.nets(planned(guest(devices)), net))

    return ask


@contextmanager
def nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("devices", "path", "code", "text"),
    [
        (BRIDGED.format("<vlan><tag id='42'/></vlan>"), "vlan", "unsupported.config", "br0 does not tell VLANs apart"),
        (BRIDGED.format("<target dev='eth0'/>"), "target/@dev", "interface.exists", "a network device eth0 already"),
        (DIRECT.format("eth9", "vepa", ""), "source/@dev", "interface.not-found", "no network card eth9"),
        (DIRECT.format("eth1", "bridge", ""), "source/@dev", "resource.busy", "a port of bridge bridge"),
        (DIRECT.format("eth2", "passthrough", ""), "source/@dev", "resource.busy", "macvtap0 is on it"),
        (DIRECT.format("eth0", "vepa", "<target dev='tap7'/>"), "target/@dev", "interface.exists", "device tap7"),
        (OWN.format("none7", ""), "target/@dev", "interface.not-found", "no network device none7"),
        (OWN.format("eth0", ""), "target/@dev", "config.invalid", "neither a tap nor a macvtap"),
        (OWN.format("mvt7", ""), "target/@dev", "file.not-found", "/dev/tap99999: No such file"),
        (OWN.format("tap7", "<script path='/none/up'/>"), "script/@path", "file.not-found", "folder /none"),
        (OWN.format("tap7", "<downscript path='/etc/passwd'/>"), "downscript/@path", "denied", "may not be run"),
    ],
)
def test_what_is_missing_or_taken_is_told_by_its_path(
    devices: str, path: str, code: str, text: str, told: Callable[[str], list[Problem]]
) -> None:
    (problem,) = told(devices)
    assert (problem.path, problem.code) == (f"{PLACE}/{path}", code)
    assert text in problem.text
    assert problem.hint


@pytest.mark.parametrize(
    "devices", [BRIDGED.format(""), DIRECT.format("eth0", "private", ""), DIRECT.format("eth2", "bridge", ""),
                OWN.format("tap7", "<bandwidth><inbound average='1'/></bandwidth>")]
)  # fmt: skip
def test_what_is_there_stands_in_nobodys_way(devices: str, told: Callable[[str], list[Problem]]) -> None:
    assert told(devices) == []


def test_a_user_without_rights_is_told_which_are_missing(told: Callable[[str], list[Problem]]) -> None:
    with nobody():
        (direct,) = told(DIRECT.format("eth0", "vepa", ""))
        assert (direct.path, direct.code) == (f"{PLACE}/source/@dev", "denied")
        assert "managed='no'" in direct.hint
        assert told(OWN.format("tap7", "")) == []  # it is his
        (more,) = told(OWN.format("tap7", "<coalesce><rx><frames max='3'/></rx></coalesce>"))
        assert (more.path, more.code) == (PLACE, "denied")


def test_the_configuration_of_the_kernel_tells_what_it_lacks(tmp_path: Path) -> None:
    text = "CONFIG_NET_SCH_HTB=m\n# CONFIG_NET_ACT_POLICE is not set\n"
    (tmp_path / "config.gz").write_bytes(gzip.compress(text.encode()))
    assert "# CONFIG_NET_ACT_POLICE is not set" in attached.built([tmp_path / "none", tmp_path / "config.gz"])
    assert attached.built([tmp_path / "none"]) == frozenset()


def test_limits_that_the_kernel_was_built_without_are_told_by_direction(
    planned: Planned, guest: Guest, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("# CONFIG_NET_ACT_POLICE is not set\n")
    limits = "<bandwidth><inbound average='1'/><outbound average='1'/></bandwidth>"
    for devices, word in ((BRIDGED.format(limits), "outbound"), (DIRECT.format("eth0", "vepa", limits), "inbound")):
        (problem,) = attached.unlimited(planned(guest(devices)), [tmp_path / "config"])
        assert problem.path == f"{PLACE}/bandwidth/{word}"


@pytest.mark.parametrize(
    ("more", "accelerator", "moved"),
    [
        ("", "kvm", True),
        ("", "tcg", False),
        ("<driver name='qemu'/>", "kvm", False),
        ("<driver name='vhost'/>", "tcg", True),
        ("<backend vhost='/dev/mine'/>", "kvm", True),
    ],
)
def test_the_kernel_moves_packets_of_virtio_cards_under_kvm_unless_that_is_not_wanted(
    more: str, accelerator: str, moved: bool, planned: Planned, guest: Guest, paths: Paths
) -> None:
    plan = planned(
        guest(BRIDGED.format(more)), accelerator=accelerator, paths=replace(paths, vhost_net="/dev/vhost-net")
    )
    device = "/dev/mine" if "mine" in more else "/dev/vhost-net"
    assert [use.target for use in plan.fds if use.kind == "open"] == ([device] if moved else [])


def test_the_kernel_moves_no_packets_of_other_cards(planned: Planned, guest: Guest, paths: Paths) -> None:
    text = guest(BRIDGED.format("").replace("virtio", "e1000"))
    plan = planned(text, accelerator="kvm", paths=replace(paths, vhost_net="/dev/vhost-net"))
    assert not [use for use in plan.fds if use.kind == "open"]
