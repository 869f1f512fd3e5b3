"""Devices whose work another process does: it is reached over a socket, and sees the guest's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyvirt.api import Disk, meaningless, plain

from anyvirt_qemu.devices.chardev import again
from anyvirt_qemu.planning.build import Build


def block(b: Build, x: Disk) -> dict[str, Any]:
    """The socket of a disk's process."""
    source = x.source
    shared(b, x, "type")
    if x.driver is not None:
        meaningless(x.driver, "name", "type")
    if source is None:
        return {}
    meaningless(source, "type", "index", "seclabels", "startup_policy")
    repeated = again(b, source.reconnect_timeout) if source.reconnect else {}
    meaningless(source, "reconnect_timeout")
    return {"chardev": socket(b, x.alias or "", b.path(source, "path", source.path), repeated)}


def socket(b: Build, alias: str, path: str, options: Mapping[str, Any] | None = None) -> str:
    """The connection to a process that listens already; its id."""
    name = f"chr-vu-{alias}"
    b.options("-chardev", "socket", {"id": name, "path": path, **(options or {})})
    return name


def shared(b: Build, x: object, field: str) -> None:
    """A problem where no other process could see the guest's memory."""
    domain = plain(b.domain)
    backing, cells = domain.memory_backing, domain.cpu.cells if domain.cpu else ()
    if backing is not None and backing.access == "shared":
        return
    if cells and all(cell.mem_access == "shared" for cell in cells):
        return
    hint = "write <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
    b.problem(x, field, "another process works for this device and has to see the guest's memory", hint)
