"""What a definition makes of a guest, as far as the test host counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from anyvirt.api import Document

if TYPE_CHECKING:
    from anyvirt.api import Domain


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes and devices of one guest.

    :param memory: bytes that it can have; ``current`` those that it has.
    :param disks: target name and path of each disk.
    :param nics: MAC address, host interface and virtual network of each interface; empty where there is none.
    """

    memory: int = 0
    current: int = 0
    vcpus: int = 1
    title: str | None = None
    disks: tuple[tuple[str, str], ...] = ()
    nics: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def read(cls, xml: str) -> Shape:
        """The shape that a definition describes."""
        document: Document[Domain] = Document.of(xml)
        return cls.of_model(document.model)

    @classmethod
    def of_model(cls, domain: Domain) -> Shape:
        """The shape of a model."""
        memory = domain.memory or domain.current_memory or 0
        disks = [
            (disk.target or "", (disk.source.file or disk.source.dev or "") if disk.source else "")
            for disk in domain.disks
        ]
        nics = [
            (nic.mac or "", nic.target or "", (nic.source.network or "") if nic.source else "")
            for nic in domain.interfaces
        ]
        return cls(memory, domain.current_memory or memory, domain.vcpu or 1, domain.title, tuple(disks), tuple(nics))

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Shape:
        """What ``data`` gave."""
        disks = tuple((str(target), str(path)) for target, path in data["disks"])
        nics = tuple((str(mac), str(device), str(network)) for mac, device, network in data["nics"])
        return cls(data["memory"], data["current"], data["vcpus"], data["title"], disks, nics)

    def data(self) -> dict[str, Any]:
        """The shape as plain data."""
        return asdict(self)
