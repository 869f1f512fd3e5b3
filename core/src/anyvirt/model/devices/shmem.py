"""Memory shared between guests."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import at
from anyvirt.model.types import ByteSize, Count, OnOff, Present


class Shmem(Device, tag="shmem"):
    """Memory shared with other guests."""

    name: str | None = at("@name", "Name of the region", default=None, key=True)
    role: Literal["master", "peer"] | None = at("@role", "What migration does with it", default=None)
    model: Literal["ivshmem", "ivshmem-plain", "ivshmem-doorbell"] | None = at("model/@type", "Model", default=None)
    size: ByteSize | None = at("size", "Size", default=None)
    server: Present = at("server", "A server hands out the region", default=False)
    server_path: str | None = at("server/@path", "Socket of the server", default=None)
    msi: Present = at("msi", "Interrupts between the guests", default=False)
    msi_vectors: Count | None = at("msi/@vectors", "Interrupt vectors", default=None)
    msi_ioeventfd: OnOff | None = at("msi/@ioeventfd", "Handle interrupts outside the vCPU's thread", default=None)
