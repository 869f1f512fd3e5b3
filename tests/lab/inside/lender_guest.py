"""Run in a guest that is a host with an IOMMU, VFIO, vhost and a filtering bridge, and before on the host itself."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyroute2.iproute.linux
import pyroute2.netlink.exceptions
from anyvirt.api import Document, Domain, Host, Settings, Uri
from anyvirt_host.local import netlink
from anyvirt_qemu import connect_open
from anyvirt_qemu.hosting.assigned import Sysfs

LOADED = (gzip, pyroute2.netlink.exceptions)  # what is only imported where it is needed
MACVTAP, BRIDGED = "52:54:00:0b:00:01", "52:54:00:0b:00:02"
USER = "<interface type='user'><model type='virtio'/></interface>"
SETUP = (
    *("sh /etc/host", "ip link set lo up", "ip link add v0 type veth peer name v1", "ip link set v0 up"),
    *("ip link set v1 up", "ip link add br0 type bridge vlan_filtering 1", "ip link set br0 up"),
)


def definition(card: str) -> str:
    """A guest with a card of the host's, a USB device, a macvtap and a tap."""
    domain, bus, rest = card.split(":")
    slot, function = rest.split(".")
    at = f"<address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/>"
    limits = "<inbound average='500'/><outbound average='1000' peak='2000' burst='64'/>"
    return (
        f"<hostdev mode='subsystem' type='pci' managed='yes'><source>{at}</source></hostdev>"
        "<controller type='usb' model='qemu-xhci'/><hostdev mode='subsystem' type='usb'>"
        "<source><vendor id='0x0627'/><product id='0x0001'/></source></hostdev>"
        f"<interface type='direct'><mac address='{MACVTAP}'/><source dev='v0' mode='bridge'/><model type='virtio'/>"
        f"<driver name='vhost' queues='2'/><rom enabled='no'/><bandwidth>{limits}</bandwidth></interface>"
        f"<interface type='bridge'><mac address='{BRIDGED}'/><source bridge='br0'/><vlan trunk='yes'>"
        "<tag id='42' nativeMode='untagged'/><tag id='47'/></vlan><port isolated='yes'/>"
        f"<model type='virtio'/><rom enabled='no'/><bandwidth>{limits}</bandwidth></interface>"
    )


def whole(devices: str) -> str:
    """A guest that never boots."""
    return (
        "<domain type='qemu'><name>one</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>"
        f"<devices>{devices}</devices></domain>"
    )


def said(*argv: str) -> str:
    """What a program of the host says."""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def seen(card: str) -> dict[str, Any]:
    """What the host shows of all that a guest changes there."""
    links = [row.split(":")[1].strip().split("@")[0] for row in said("ip", "-o", "link").splitlines()]
    sysfs = Sysfs()
    return {
        "driver": [sysfs.driver(card), sysfs.override(card)],
        "links": sorted(links),
        "claims": sorted(path.name for path in Path("/srv/state").rglob("qemu-assigned/*")),
    }


def killed(plugin: Any, ref: Any, at: str) -> None:
    """A start that is cut off just before a step."""
    child = os.fork()
    if not child:
        plugin._site.step = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == at else None
        plugin.domain_start(ref, True)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def lent(plugin: Any, card: str) -> dict[str, Any]:
    """The guest with everything, started, looked at, and ended; and cut off on its way."""
    found: dict[str, Any] = {"before": seen(card)}
    ref = plugin.domain_define(Document[Domain](whole(definition(card))))
    found["problems"] = [f"{problem.path}: {problem.text}" for problem in plugin.domain_preflight(ref)]
    plugin.domain_start(ref, True)
    found["during"] = seen(card)
    with plugin._site.run(ref.key) as run:
        links = Path(f"/proc/{run.process.pid}/fd")
        found["opened"] = sorted(os.readlink(path) for path in links.iterdir() if os.path.lexists(path))
        nets = {net["mac"]: net["name"] for net in run.record.nets.values()}
    for mac, name in nets.items():
        found[mac] = {
            "class": said("tc", "class", "show", "dev", name),
            "filter": said("tc", "filter", "show", "dev", name, "ingress"),
            "vlans": said("bridge", "-compressvlans", "vlan", "show", "dev", name).split(),
            "link": said("ip", "-d", "link", "show", name),
        }
    plugin.domain_destroy(ref, False)
    found["after"] = seen(card)
    found["cut"] = {}
    for step in ("unbind-pci", "bind-pci", "launch"):
        killed(plugin, ref, step)
        cut = seen(card)["driver"]
        list(plugin.connect_recover())
        found["cut"][step] = [cut, seen(card)]
    return found


def main(state: Path, *, inside: bool) -> dict[str, Any]:
    """As one host; without an IOMMU only far enough to know what is imported on the way."""
    host = Host(uri=Uri.of("qemu:///system"), settings=Settings.read(), state_dir=state)
    host.run("true")
    plugin: Any = connect_open(host.uri, host)
    if inside:
        sysfs = Sysfs()
        cards = sorted(os.listdir("/sys/bus/pci/devices"))
        return lent(plugin, next(card for card in cards if sysfs.driver(card) == "e1000e"))
    netlink.device("lo")
    ref = plugin.domain_define(Document[Domain](whole(USER)))
    plugin.domain_preflight(ref)
    plugin.domain_start(ref, True)
    seen("0000:00:00.0")
    plugin.domain_destroy(ref, False)
    list(plugin.connect_recover())
    return {}


if __name__ == "__main__":
    if sys.argv[1] == "here":
        main(Path(sys.argv[2]), inside=False)
    else:
        os.environ["PATH"] = f"{sys.argv[1]}:/usr/bin:/bin:/usr/sbin:/sbin"
        for line in SETUP:
            subprocess.run(line.split(), check=True)
        Path("/srv/state").mkdir(parents=True)
        sys.stdout.write(f"FOUND {json.dumps(main(Path('/srv/state'), inside=True))} END\n")
