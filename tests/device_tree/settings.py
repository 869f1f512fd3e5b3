"""What the settings of the recording host were, read from a recorded command line: documents do not hold them."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Audio, Disk, Domain, Protocol, SourceHost, SourceType
from anyvirt_qemu.planning.filling import Policy
from anyvirt_qemu.planning.plan import Serving, Storage

from tests.device_tree.line import Option, fields
from tests.device_tree.world import World

DRIVERS: Final = {"pa": "pulseaudio", "wav": "file"}
# libvirt's tests choose these where a definition leaves a port open
PORTS: Final = (5901, 5902)
FOLDERS: Final = {
    "chardev": "/etc/pki/libvirt-chardev",
    "nbd": "/etc/pki/libvirt-nbd",
    "spice": "/etc/pki/libvirt-spice",
    "vnc": "/etc/pki/libvirt-vnc",
}


def policy(line: list[Option]) -> Policy:
    """How definitions were filled in: libvirt leaves one PCIe port empty; servers were on sockets, or on TCP."""
    ports = [one.get("p2") for one in _all(line, "-device", "driver") if one.get("driver") == "qemu-xhci"]
    sockets = not any("127.0.0.1:0" in option.text for option in line)
    return Policy(spare_ports=1, vnc_socket=sockets, usb_ports=ports[0] if ports else None)


def serving(line: list[Option], world: World) -> Serving:
    """Encryption, authentication and passwords that were chosen for all guests of the host."""
    screens = _all(line, "-vnc", "vnc")
    spices = _all(line, "-spice", "")
    chardevs = _all(line, "-chardev", "backend")
    # without a password of the definition's or of the host's, libvirt switches tickets off
    ticketed = any("disable-ticketing" not in one for one in spices)
    keyed = [
        one for one in _all(line, "-object", "") if one.get("qom-type") == "tls-creds-x509" and "passwordid" in one
    ]
    value = next((world.decrypted(one) for one in _all(line, "-object", "") if "data" in one), b"")
    return Serving(
        certificates=folders(line),
        keys={name: value for one in keyed for name in FOLDERS if f"libvirt-{name}" in one["dir"]},
        chardev_tls=any("tls-creds" in one for one in chardevs),
        vnc_tls=any("tls-creds" in one for one in screens),
        vnc_sasl=any("sasl" in one for one in screens),
        spice_sasl=any("sasl" in one for one in spices),
        sockets=frozenset(name for name, at in (("vnc", "vnc"), ("spice", "addr")) if _own(line, name, at)),
        passwords={"spice": "123456"} if ticketed else {},
        ports=PORTS,
    )


def storage(document: bytes, line: list[Option], world: World) -> Storage:
    """What disks needed that definitions do not hold: every secret had the same value, some images came opened."""
    held = [world.decrypted(one) for one in _all(line, "-object", "") if "data" in one]
    named = re.findall(r"<secret [^>]*(?:uuid|usage)='([^']*)'|<encryption secret='([^']*)'", document.decode())
    groups = dict.fromkeys(re.findall(r"fdgroup='([^']*)'", document.decode()), 2)
    sets = [fields(option.text)["set"] for option in line if option.flag == "-add-fd"]
    if len(groups) > len(set(sets)) or sets.count("0") == 1:
        groups |= {name: 1 for name in groups if name == "testgroup5"}
    return Storage(
        secrets=dict.fromkeys(map("".join, named), held[0] if held else b"secret"),
        groups=groups,
        cdroms={"/dev/cdrom"},
        overlays="/var/lib/libvirt/qemu/overlays",
    )


def resolved(domain: Domain) -> Domain:
    """The definition with the volumes of the recording host's pools as what they were."""
    return domain.replace(disks=tuple(_resolved(disk) for disk in domain.disks))


def _resolved(disk: Disk) -> Disk:
    source = disk.source
    if disk.type != "volume" or source is None:
        return disk
    unit = (source.volume or "").rpartition(":")[2]
    kind, plus, _ = (source.volume or "").partition("+")
    kept = {"pool": None, "volume": None, "mode": None}
    if source.mode != "direct":
        if plus and kind == "file":
            place = source.replace(file=f"/some/file/device/{source.volume}", **kept)
            return disk.replace(type=SourceType.FILE, source=place)
        place = source.replace(dev=f"/some/block/device/{source.volume}", **kept)
        return disk.replace(type=SourceType.BLOCK, source=place)
    server = SourceHost(name="iscsi.example.com", port=3260)
    place = source.replace(protocol=Protocol.ISCSI, name=f"demo-target/{unit}", hosts=(server,), **kept)
    return disk.replace(type=SourceType.NETWORK, source=place, auth=None)


def folders(line: list[Option]) -> dict[str, str]:
    """Where certificates were, by what they were for."""
    seen = [str(one["dir"]) for one in _all(line, "-object", "") if one.get("qom-type") == "tls-creds-x509"]
    return FOLDERS | {service: place for service in FOLDERS for place in seen if f"libvirt-{service}" in place}


def _own(line: list[Option], name: str, at: str) -> bool:
    """Whether a server is on a socket of the guest's own."""
    return any(str(one.get(at, "")).endswith(f"/{name}.sock") for one in _all(line, f"-{name}", at))


def audio(domain: Domain, line: list[Option]) -> Domain:
    """The definition with the back end for sound that the host has chosen for definitions without one."""
    if domain.audios:
        return domain
    kinds = {DRIVERS.get(one["driver"], one["driver"]) for one in _all(line, "-audiodev", "")} - {"none", "spice"}
    return domain.replace(audios=(Audio(id=1, type=kinds.pop()),)) if kinds else domain


def _all(line: list[Option], flag: str, head: str) -> list[dict[str, Any]]:
    return [fields(option.text, head) for option in line if option.flag == flag]
