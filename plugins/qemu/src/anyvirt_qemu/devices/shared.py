"""Memory that guests share."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Shmem, meaningless

from anyvirt_qemu.devices.chardev import connection, socket_path
from anyvirt_qemu.devices.common import pci
from anyvirt_qemu.planning.build import Build

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}", re.ASCII)
SIZE: Final = 4 << 20
FOLDER: Final = "/dev/shm"  # noqa: S108 - where guests look for what they share
SERVERS: Final = "/var/lib/libvirt"


def shmem(b: Build, x: Shmem) -> None:
    """A region of memory that other guests have, too, alone or with interrupts between them."""
    name = x.name or ""
    if not NAME.fullmatch(name):
        b.problem(x, "name", f"{name!r} is no name for a file", "use letters, digits, dot, dash and underscore")
    model = x.model or "ivshmem-plain"
    options: dict[str, Any] = {"driver": b.has(x, "model", model), "id": x.alias}
    if model == "ivshmem-doorbell":
        options |= _doorbell(b, x, name)
    else:
        options["memdev"] = _region(b, x, name)
    if x.role is not None:
        options["master"] = "on" if x.role == "master" else "off"
    b.device(options | pci(b, x))


def _region(b: Build, x: Shmem, name: str) -> str:
    if x.server:
        b.problem(x, "server", "plain memory has no server", "use model ivshmem-doorbell")
    if x.msi:
        b.problem(x, "msi", "plain memory has no interrupts", "use model ivshmem-doorbell")
    size = SIZE if x.size is None else x.size
    if size <= 0 or size & (size - 1):
        b.problem(x, "size", f"{size} is no power of two", "choose the next one")
    ident = f"shmmem-{x.alias}"
    kind = {"qom-type": "memory-backend-file", "id": ident, "mem-path": f"{FOLDER}/{name}", "size": size}
    b.qom({**kind, "share": True})
    return ident


def _doorbell(b: Build, x: Shmem, name: str) -> dict[str, Any]:
    meaningless(x, "msi")  # what it says is in its attributes
    if not x.server:
        b.problem(x, "server", "nobody hands out this memory", "write <server path='/sockets/one'/>")
    if x.size is not None:
        b.problem(x, "size", "the server knows the size", "leave it out")
    path = socket_path(b, x, "server_path", x.server_path or f"{SERVERS}/shmem-{name}-sock")
    back = connection(b, f"char{x.alias}", path)
    return {"chardev": back, "vectors": x.msi_vectors, "ioeventfd": x.msi_ioeventfd}
