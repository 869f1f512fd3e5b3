"""The host, or the hosts of a vCenter, and the connection itself."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Failed, HostInfo, VirtError, impl

from anyvirt_esx.connect import Line
from anyvirt_esx.inventory import Inventory, under

PATHS: Final = ("name", "summary.hardware", "hardware.numaInfo.numNodes")


class Node:
    """What the server says of itself and of its hosts."""

    line: Line
    inventory: Inventory

    @impl
    def connect_alive(self) -> bool:
        root = self.line.object("ServiceInstance", "ServiceInstance")
        try:
            self.line.run(lambda: self.line.ask("greeting", str(self.line.uri), root.CurrentTime))
        except VirtError:
            return False
        return True

    @impl
    def connect_close(self) -> None:
        self.line.close()

    @impl
    def host_info(self) -> HostInfo:
        found = self.line.run(lambda: list(under(self.line, self.inventory.root, "HostSystem", list(PATHS))))
        hosts = [told for _, told in found]
        if not hosts:
            raise Failed(f"{self.line.uri} has no host", hint="add a host to the vCenter")
        about = self.line.content.about
        hardware = [told["summary.hardware"] for told in hosts if "summary.hardware" in told]
        one: dict[str, Any] = _one(hosts[0]) if len(hosts) == 1 else {"hostname": self.line.uri.host or ""}
        return HostInfo(
            hypervisor="ESX" if self.line.address.scheme == "esx" or len(hosts) == 1 else "VPX",
            hypervisor_version=str(about.version),
            arch="x86_64",
            memory=sum(int(part.memorySize) for part in hardware) or None,
            cpus=sum(int(part.numCpuThreads) for part in hardware) or None,
            uri=str(self.line.uri),
            **one,
        )


def _one(told: dict[str, Any]) -> dict[str, Any]:
    """What makes sense of one host and not of many."""
    parts: dict[str, Any] = {"hostname": str(told["name"]), "nodes": told.get("hardware.numaInfo.numNodes")}
    hardware = told.get("summary.hardware")
    if hardware is None or not hardware.numCpuPkgs or not hardware.numCpuCores:
        return parts
    cores = int(hardware.numCpuCores)
    return {
        **parts,
        "mhz": int(hardware.cpuMhz) or None,
        "sockets": int(hardware.numCpuPkgs),
        "cores": cores // int(hardware.numCpuPkgs) or None,
        "threads": int(hardware.numCpuThreads) // cores or None,
    }
