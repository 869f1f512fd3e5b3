"""What of this host's network and devices stands in the way of a planned start, by the elements that ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt.api import Problem
from anyvirt_host.local import files, tap

from anyvirt_qemu.devices.link import VHOST_NET
from anyvirt_qemu.hosting.assigned import NODES, VFIO, Sysfs, holder
from anyvirt_qemu.hosting.switches import PACKAGE, PROGRAM, program
from anyvirt_qemu.planning.cabling import Ends
from anyvirt_qemu.readiness.rights import OURS

if TYPE_CHECKING:
    from anyvirt_qemu.planning.cabling import MacvtapUse, TapUse
    from anyvirt_qemu.planning.plan import AssignedUse, Plan
    from anyvirt_qemu.site import Site

NET: Final = Path("/sys/class/net")
ROOT_HINT: Final = "use type='user', let an administrator allow it, or use qemu:///system as root"
# drivers that leave a device to nobody on the host
IDLE: Final = frozenset({"", VFIO, "pci-stub"})


def vhost_net(node: str = VHOST_NET) -> str:
    """The device with which the kernel moves packets for QEMU, where this user may open it; else nothing."""
    return node if os.access(node, os.R_OK | os.W_OK, effective_ids=True) else ""


def nets(plan: Plan, net: Path = NET) -> Iterator[Problem]:
    """What network cards want of this host and will not get."""
    for use in plan.taps:
        yield from _tap(use, net) if use.managed else _own_tap(use, net)
        yield from _ends(use.place, use.ends)
        if (
            use.ends.vlans
            and use.bridge
            and not use.switch
            and files.text(net / use.bridge / "bridge/vlan_filtering") == "0"
        ):
            text = f"bridge {use.bridge} does not tell VLANs apart"
            hint = f"ip link set {use.bridge} type bridge vlan_filtering 1, or take <vlan> out"
            yield Problem("unsupported.config", f"{use.place}/vlan", None, text, hint)
    for macvtap in plan.macvtaps:
        yield from _macvtap(macvtap, net)
        yield from _ends(macvtap.place, macvtap.ends)
    yield from unlimited(plan)


def unlimited(plan: Plan, configs: Sequence[Path] | None = None) -> Iterator[Problem]:
    """Limits that this kernel was built without; where nobody knows how it was built, the start shows it."""
    cards: list[tuple[str, Ends, bool]] = [(use.place, use.ends, False) for use in plan.taps]
    cards += [(use.place, use.ends, True) for use in plan.macvtaps]  # what such a one sends is what the guest sends
    for place, ends, swapped in cards:
        sides = {"inbound": ends.to_guest, "outbound": ends.from_guest}
        for word, limit in sides.items():
            option = "CONFIG_NET_SCH_HTB" if (word == "inbound") is not swapped else "CONFIG_NET_ACT_POLICE"
            if limit is not None and f"# {option} is not set" in built(configs):
                text = f"this kernel was built without what limits {word} traffic here ({option})"
                yield Problem("unsupported.config", f"{place}/bandwidth/{word}", None, text, "take the limit out")


def built(files: Sequence[Path] | None = None) -> frozenset[str]:
    """Lines of the configuration that this kernel was built with; none where it is not kept."""
    for path in (Path("/proc/config.gz"), Path(f"/boot/config-{os.uname().release}")) if files is None else files:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if path.suffix == ".gz":
            import gzip  # few starts limit traffic

            data = gzip.decompress(data)
        return frozenset(data.decode("ascii", "replace").splitlines())
    return frozenset()


def devices(site: Site, plan: Plan, uuid: str, sysfs: Sysfs | None = None, nodes: Path = NODES) -> Iterator[Problem]:
    """Devices that are to be given away, and are missing, in use, or bound to others.

    :param uuid: the guest's.
    """
    sysfs = sysfs or Sysfs()
    taken = {use.address for use in plan.assigned if use.kind == "pci" and use.managed}
    for use in plan.assigned:
        other = holder(site, use)
        if other and other != uuid:
            text = f"{use.kind} device {use.address} is given to guest {other}"
            yield Problem("resource.busy", use.place, None, text, f"end it: anyvirt shutdown {other}")
        match use.kind:
            case "pci":
                yield from _pci(use, taken, sysfs)
            case "mdev" if not (sysfs.root / "bus/mdev/devices" / use.address).exists():
                text = f"there is no mediated device {use.address}"
                hint = f"mdevctl start -u {use.address}, with its parent and type"
                yield Problem("file.not-found", f"{use.place}/source/address", None, text, hint)
            case "usb":
                yield from _node(use, nodes / "bus/usb" / use.address.replace(":", "/"), "lsusb")
            case "scsi":
                for unit in (sysfs.root / "bus/scsi/devices" / use.address / "scsi_generic").glob("sg*"):
                    yield from _node(use, nodes / unit.name, "lsscsi -g")
    if any(use.kind in {"pci", "mdev"} for use in plan.assigned):
        yield from _vfio(plan, nodes / "vfio/vfio")


def _tap(use: TapUse, net: Path) -> Iterator[Problem]:
    """A tap that is to be made."""
    node = use.node or tap.TUN
    refused = tap.problem(node)
    by_helper = bool(use.bridge and not use.switch and not use.node and tap.helper())
    root = os.geteuid() == 0
    if use.switch is not None:
        yield from _switch(use, net)
    elif use.bridge and not (net / use.bridge / "bridge").is_dir():
        text = f"there is no bridge {use.bridge} on this host"
        hint = f"create it: ip link add {use.bridge} type bridge, or use type='user'"
        yield Problem("interface.not-found", f"{use.place}/source/@bridge", None, text, hint)
    elif refused is not None and not by_helper:
        yield Problem("denied", use.place, None, refused, ROOT_HINT)
    elif refused is None and not root and not by_helper:
        text = f"user {OURS.user} may not make a tap device with {node} (right CAP_NET_ADMIN)"
        yield Problem("denied", use.place, None, text, "use type='user', or qemu:///system as root")
    elif not root and (use.ends != Ends() or use.mtu):
        text = f"user {OURS.user} may put a tap into bridge {use.bridge}, and set nothing else on it"
        hint = "take bandwidth, vlan, port, mtu and coalesce out, or use qemu:///system as root"
        yield Problem("denied", use.place, None, text, hint)
    if "%d" not in use.name and (net / use.name).exists():
        text = f"there is a network device {use.name} already"
        hint = "choose another name, or write managed='no' to use it"
        yield Problem("interface.exists", f"{use.place}/target/@dev", None, text, hint)


def _switch(use: TapUse, net: Path) -> Iterator[Problem]:
    if program() is None:
        text = f"{PROGRAM} is not installed, which makes ports of Open vSwitch"
        yield Problem("program.not-found", f"{use.place}/virtualport", None, text, f"apt install {PACKAGE}")
    elif not (net / (use.bridge or "")).is_dir():
        text = f"there is no bridge {use.bridge} on this host"
        hint = f"create it: {PROGRAM} add-br {use.bridge}"
        yield Problem("interface.not-found", f"{use.place}/source/@bridge", None, text, hint)
    elif os.geteuid() != 0:
        text = f"user {OURS.user} may not make ports of Open vSwitch"
        yield Problem("denied", use.place, None, text, "use type='user', or qemu:///system as root")


def _own_tap(use: TapUse, net: Path) -> Iterator[Problem]:
    """A tap or macvtap that somebody else has made."""
    folder, place = net / use.name, f"{use.place}/target/@dev"
    if not folder.is_dir():
        hint = f"make it: ip tuntap add {use.name} mode tap user {OURS.user}, or let it be made: managed='yes'"
        yield Problem("interface.not-found", place, None, f"there is no network device {use.name}", hint)
    elif (folder / "macvtap").is_dir():
        node = f"/dev/tap{files.text(folder / 'ifindex')}"
        wrong = OURS.reach(node, write=True)
        if wrong is not None:
            yield Problem(wrong.code, place, None, wrong.text, wrong.hint)
    elif not (folder / "tun_flags").exists():
        yield Problem("config.invalid", place, None, f"{use.name} is neither a tap nor a macvtap", "name another")
    elif os.geteuid() not in {0, int(files.text(folder / "owner") or -1)}:
        text = f"tap {use.name} belongs to another than user {OURS.user}"
        hint = f"have root make it: ip tuntap add {use.name} mode tap user {OURS.user}"
        yield Problem("denied", place, None, text, hint)
    if os.geteuid() != 0 and use.ends != Ends():
        text = f"user {OURS.user} may set nothing on {use.name} (right CAP_NET_ADMIN)"
        yield Problem("denied", use.place, None, text, "take such settings out, or use qemu:///system as root")
    elif (use.ends.to_guest or use.ends.from_guest) and (NET / use.name).is_dir():
        yield from _queued(use, (folder / "macvtap").is_dir())


def _queued(use: TapUse, beside: bool) -> Iterator[Problem]:
    """Queueing disciplines of the owner's, where limits would take their place.

    :param beside: what the device sends is what the guest sends.
    """
    from anyvirt_host.local import netlink

    sides = {"inbound": use.ends.to_guest, "outbound": use.ends.from_guest}
    there = netlink.disciplines(use.name)
    for word, limit in sides.items():
        kind = "root" if (word == "inbound") is not beside else "ingress"
        if limit is not None and kind in there:
            text = f"{use.name} has a queueing discipline of its own ({kind}), which the limit would replace"
            hint = f"take the limit out, or: tc qdisc del dev {use.name} {kind}"
            yield Problem("resource.busy", f"{use.place}/bandwidth/{word}", None, text, hint)


def _macvtap(use: MacvtapUse, net: Path) -> Iterator[Problem]:
    folder, place = net / use.parent, f"{use.place}/source/@dev"
    if not folder.is_dir():
        hint = "ip link shows those there are"
        yield Problem("interface.not-found", place, None, f"there is no network card {use.parent} on this host", hint)
    elif os.geteuid() != 0:
        text = f"user {OURS.user} may not make a macvtap device beside {use.parent} (right CAP_NET_ADMIN)"
        hint = "have root make one, and name it: type='ethernet' and <target dev='...' managed='no'/>"
        yield Problem("denied", place, None, text, hint)
    elif (folder / "brport").is_dir():
        bridge = os.path.basename(os.path.realpath(folder / "brport/bridge"))
        hint = f"use type='bridge' and <source bridge='{bridge}'/>"
        yield Problem("resource.busy", place, None, f"{use.parent} is a port of bridge {bridge}", hint)
    elif use.mode == "passthrough" and any(folder.glob("upper_*")):
        above = ", ".join(sorted(path.name.removeprefix("upper_") for path in folder.glob("upper_*")))
        text = f"{use.parent} is not free to be passed through: {above} is on it"
        yield Problem("resource.busy", place, None, text, "use mode='bridge', or another card")
    if "%d" not in use.name and (net / use.name).exists():
        text = f"there is a network device {use.name} already"
        yield Problem("interface.exists", f"{use.place}/target/@dev", None, text, "choose another name")


def _ends(place: str, ends: Ends) -> Iterator[Problem]:
    for word, path in (("script", ends.script), ("downscript", ends.downscript)):
        if not path:
            continue
        wrong = OURS.reach(path)
        if wrong is not None:
            yield Problem(wrong.code, f"{place}/{word}/@path", None, wrong.text, wrong.hint)
        elif not os.path.isfile(path) or not OURS.may(path, "x"):
            text = f"{path} may not be run by user {OURS.user}"
            yield Problem("denied", f"{place}/{word}/@path", None, text, f"chmod +x {path}, or name another program")


def _pci(use: AssignedUse, taken: set[str], sysfs: Sysfs) -> Iterator[Problem]:
    place = f"{use.place}/source/address"
    if not sysfs.pci(use.address).is_dir():
        text = f"there is no PCI device {use.address} on this host"
        yield Problem("file.not-found", place, None, text, "lspci -D shows those there are")
        return
    if use.mac is not None and sysfs.parent(use.address) is None:
        text = f"PCI device {use.address} is no virtual function of a network card, and gets no MAC address"
        yield Problem("config.invalid", place, None, text, "use <hostdev> for it")
    group = sysfs.group(use.address)
    if not group:
        text = f"no IOMMU keeps PCI device {use.address} from the host's memory"
        hint = "switch it on in the firmware, and boot with intel_iommu=on (AMD: amd_iommu=on)"
        yield Problem("unsupported.config", place, None, text, hint)
    driver = sysfs.driver(use.address)
    mounted = sysfs.mounted(use.address) if use.managed else []
    if mounted:
        text = f"the host has mounted what is on PCI device {use.address}: {', '.join(mounted)}"
        yield Problem("resource.busy", place, None, text, "unmount it first, or give another device away")
    if use.managed and driver != VFIO:
        if os.geteuid() != 0:
            text = f"user {OURS.user} may not take PCI device {use.address} from its driver"
            yield Problem("denied", place, None, text, "bind it to vfio-pci as root, and write managed='no'")
        elif not (sysfs.root / "bus/pci/drivers" / VFIO).is_dir():
            yield Problem("file.not-found", place, None, "the driver vfio-pci is not loaded", "modprobe vfio-pci")
    elif driver != VFIO:
        text = f"PCI device {use.address} is with {driver or 'no driver'}, not with vfio-pci"
        yield Problem("resource.busy", place, None, text, "bind it to vfio-pci, or write managed='yes'")
    for other in group:
        if other == use.address or other in taken or sysfs.is_bridge(other) or sysfs.driver(other) in IDLE:
            continue
        text = f"PCI device {other} is in the same IOMMU group as {use.address}, and {sysfs.driver(other)} has it"
        hint = f"give {other} to the guest, too, or bind it to vfio-pci"
        yield Problem("resource.busy", place, None, text, hint)


def _vfio(plan: Plan, node: Path) -> Iterator[Problem]:
    use = next(use for use in plan.assigned if use.kind in {"pci", "mdev"})
    wrong = OURS.reach(str(node), write=True)
    if wrong is not None:
        hint = "modprobe vfio-pci" if wrong.code == "file.not-found" else wrong.hint
        yield Problem(wrong.code, use.place, None, wrong.text, hint)


def _node(use: AssignedUse, node: Path, lister: str) -> Iterator[Problem]:
    wrong = OURS.reach(str(node), write=True)
    if wrong is not None:
        hint = f"{lister} shows those there are" if wrong.code == "file.not-found" else wrong.hint
        yield Problem(wrong.code, f"{use.place}/source", None, wrong.text, hint)
