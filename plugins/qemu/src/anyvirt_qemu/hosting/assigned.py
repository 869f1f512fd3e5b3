"""Devices of the host that a guest has to itself: claimed, taken from the host's driver, and given back.

A claim is a link named by the device that points at the guest; it is made in one step, and a guest without a run
directory has none. What the kernel does with devices is seen and changed through sysfs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Busy, Denied, Failed
from anyvirt_host.local import files

from anyvirt_qemu.planning.plan import FileUse

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.plan import AssignedUse, Plan
    from anyvirt_qemu.run_dir import RunDir
    from anyvirt_qemu.site import Site

SYSTEM: Final = Path("/sys")
NODES: Final = Path("/dev")
MOUNTS: Final = Path("/proc/self/mountinfo")
VFIO: Final = "vfio-pci"
CLAIMS: Final = "qemu-assigned"
_log = logging.getLogger(__name__)


class Sysfs:
    """The kernel's view of PCI devices.

    :param root: where sysfs is mounted.
    :param mounts: what else is mounted, as ``/proc/self/mountinfo`` has it.
    """

    def __init__(self, root: Path = SYSTEM, mounts: Path = MOUNTS) -> None:
        self.root, self.mounts = root, mounts

    def pci(self, address: str) -> Path:
        """The folder of a device."""
        return self.root / "bus/pci/devices" / address

    def driver(self, address: str) -> str:
        """Name of the driver that has a device; empty where none has."""
        try:
            return os.path.basename(os.readlink(self.pci(address) / "driver"))
        except OSError:
            return ""

    def override(self, address: str) -> str:
        """Name of the driver that a device is kept for; empty for none."""
        try:
            found = (self.pci(address) / "driver_override").read_text("ascii").strip()
        except OSError:
            return ""
        return "" if found == "(null)" else found

    def group(self, address: str) -> list[str]:
        """Addresses of the devices that the IOMMU does not tell from this one, itself among them; none without one."""
        try:
            return sorted(os.listdir(self.pci(address) / "iommu_group/devices"))
        except OSError:
            return []

    def node(self, use: AssignedUse, nodes: Path) -> str:
        """The node through which VFIO gives a device away; empty for devices of other kinds."""
        folder = self.root / "bus/mdev/devices" / use.address if use.kind == "mdev" else self.pci(use.address)
        if use.kind not in {"pci", "mdev"}:
            return ""
        try:
            return str(nodes / "vfio" / os.path.basename(os.readlink(folder / "iommu_group")))
        except OSError:
            return ""

    def is_bridge(self, address: str) -> bool:
        """Whether a device leads to others, and need not be taken with them."""
        try:
            return (self.pci(address) / "class").read_text("ascii").startswith("0x06")
        except OSError:
            return False

    def mounted(self, address: str) -> list[str]:
        """Where the host has mounted disks that are on a device, or parts of them."""
        disks = [path for path in self.pci(address).glob("**/block/*") if path.is_dir()]
        numbers = {files.text(file) for disk in disks for file in (disk / "dev", *disk.glob("*/dev"))}
        lines = [line.split() for line in self.mounts.read_text("utf-8", "replace").splitlines()] if disks else []
        return sorted(words[4] for words in lines if words[2] in numbers)

    def parent(self, address: str) -> tuple[str, int] | None:
        """Name of the network card whose virtual function a device is, and its number there; None where it is none."""
        card = self.pci(address) / "physfn"
        try:
            names = sorted(os.listdir(card / "net"))
            for link in card.glob("virtfn*"):
                if names and os.path.basename(os.readlink(link)) == address:
                    return names[0], int(link.name.removeprefix("virtfn"))
        except (OSError, ValueError):
            return None
        return None

    def write(self, path: Path, text: str) -> None:
        """Tell the kernel something.

        :raises Denied, Failed: it does not listen.
        """
        try:
            with open(path, "w", encoding="ascii") as out:
                out.write(text)
        except OSError as error:
            native = {"errno": error.errno, "text": error.strerror, "path": str(path)}
            if isinstance(error, PermissionError):
                text = f"{path}: {error.strerror}"
                raise Denied(text, hint="use qemu:///system as root", details=native) from error
            raise Failed(f"{path}: {error.strerror}", native=native) from error


def claims(site: Site) -> Path:
    """The folder of claims."""
    return site.scope.folder(CLAIMS, run=True)


def holder(site: Site, use: AssignedUse) -> str:
    """UUID of the guest that has claimed a device, and may still run; empty where none has."""
    try:
        uuid = os.readlink(site.scope.run / CLAIMS / _name(use))
    except OSError:
        return ""
    return uuid if (site.runs / uuid).is_dir() else ""


def take(ready: Preparation, plan: Plan, sysfs: Sysfs | None = None, nodes: Path = NODES) -> Plan:
    """Claim every device that the plan gives away, and take from the host's drivers those that are managed.

    :return: the plan with the nodes that QEMU's user opens for them.
    :raises Busy: another guest has one of them.
    :raises Denied, Failed: the kernel does not give one away.
    """
    sysfs = sysfs or Sysfs()
    seen: dict[tuple[str, str], AssignedUse] = {}
    for use in plan.assigned:
        first = seen.setdefault((use.kind, use.address), use)
        if first is use:
            _claim(ready, use)
        if use.kind == "pci" and use.mac is not None:
            _address(ready, use, sysfs)
        if use.kind == "pci" and use.managed and sysfs.driver(use.address) != VFIO:
            _bind(ready, use, sysfs)
    if plan.account is None:
        return plan
    owner = (plan.account.uid, plan.account.gid) if plan.account.gives else None
    found = {node: use.place for use in plan.assigned if (node := sysfs.node(use, nodes)) and os.path.exists(node)}
    opened = (FileUse(node, place, write=True, owner=owner) for node, place in found.items())
    return replace(plan, files=(*plan.files, *opened))


def take_back(_place: RunDir, entry: Mapping[str, Any]) -> None:
    """Give a device back, or its claim; what was never taken is left alone."""
    give_back(entry, Sysfs(Path(str(entry.get("system", SYSTEM)))))


def give_back(entry: Mapping[str, Any], sysfs: Sysfs) -> None:
    """As ``take_back``, on this host."""
    match entry["kind"]:
        case "claim":
            path = str(entry["path"])
            with suppress(OSError):
                if os.readlink(path) == entry["uuid"]:
                    os.unlink(path)
        case "pci":
            _unbind(str(entry["address"]), str(entry["before"]), str(entry["override"]), sysfs)
        case "function":
            from anyvirt_host.local import netlink

            if netlink.device(entry["parent"]) is not None:
                netlink.set_function(entry["parent"], entry["number"], entry["mac"], entry["vlan"])


def _name(use: AssignedUse) -> str:
    return f"{use.kind}-{use.address}"


def _claim(ready: Preparation, use: AssignedUse) -> None:
    path = claims(ready.site) / _name(use)
    uuid = ready.record.uuid
    ready.leave("claim", path=str(path), uuid=uuid)
    with ready.site.scope.locks.hold(CLAIMS, "claiming a device"):
        other = holder(ready.site, use)
        if other and other != uuid:
            raise Busy(f"{use.kind} device {use.address}", holder=f"guest {other}", purpose="having it to itself")
        with suppress(FileNotFoundError):  # of a guest that has ended with the host
            os.unlink(path)
        os.symlink(uuid, path)


def _bind(ready: Preparation, use: AssignedUse, sysfs: Sysfs) -> None:
    """Keep the device for vfio-pci, take it from its driver, and have drivers looked for again."""
    address, folder = use.address, sysfs.pci(use.address)
    before = sysfs.driver(address)
    override = sysfs.override(address)
    ready.leave("pci", address=address, before=before, override=override, system=str(sysfs.root))
    sysfs.write(folder / "driver_override", VFIO)
    ready.site.step("unbind-pci")
    if before:
        sysfs.write(folder / "driver/unbind", address)
    ready.site.step("bind-pci")
    sysfs.write(sysfs.root / "bus/pci/drivers_probe", address)
    if sysfs.driver(address) != VFIO:
        text = f"PCI device {address} was taken from {before or 'no driver'}, and vfio-pci does not take it"
        raise Failed(text, native={"driver": sysfs.driver(address)}, hint="modprobe vfio-pci; dmesg may say why")


def _unbind(address: str, before: str, override: str, sysfs: Sysfs) -> None:
    folder = sysfs.pci(address)
    now = sysfs.driver(address)
    if not folder.is_dir() or (now not in {VFIO, ""} and sysfs.override(address) != VFIO):
        return
    sysfs.write(folder / "driver_override", f"{override}\n")
    if now == VFIO:
        sysfs.write(folder / "driver/unbind", address)
    if before and not sysfs.driver(address):
        sysfs.write(sysfs.root / "bus/pci/drivers_probe", address)
    if sysfs.driver(address) != before:
        now = sysfs.driver(address) or "no driver"
        _log.warning("PCI device %s was given back, and %s has it, not %s", address, now, before or "none")


def _address(ready: Preparation, use: AssignedUse, sysfs: Sysfs) -> None:
    """Give a virtual function the guest's MAC address and VLAN, which its card enforces."""
    found = sysfs.parent(use.address)
    if found is None:
        raise Failed(f"PCI device {use.address} is no virtual function of a network card", hint="use <hostdev> for it")
    from anyvirt_host.local import netlink

    parent, number = found
    mac, vlan = netlink.function(parent, number)
    ready.leave("function", parent=parent, number=number, mac=mac, vlan=vlan)
    netlink.set_function(parent, number, use.mac or mac, use.vlan or 0)
