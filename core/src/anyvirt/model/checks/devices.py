"""Devices that have few rules each."""

from __future__ import annotations

from collections.abc import Iterator

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, each, missing, outside
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of


def devices(domain: Domain) -> Iterator[Problem]:
    """Trusted platform modules, shared memory, IOMMU, character devices."""
    for path, tpm in each(domain, "tpms"):
        if tpm.type is None:
            hint = "such as <backend type='emulator' version='2.0'/>"
            yield missing(f"{path}/backend/@type", line_of(tpm), "nothing stands behind the TPM", hint)
    for path, shmem in each(domain, "shmems"):
        if not shmem.name:
            yield missing(f"{path}/@name", line_of(shmem), "the name is missing", "such as name='shared'")
        if shmem.msi and not shmem.server:
            yield missing(f"{path}/server", line_of(shmem), "interrupts need a server", "give its socket, or no msi")
    iommu = domain.iommu
    if iommu is not None and iommu.eim and iommu.intremap is False:
        text = "extended interrupt mode needs interrupt remapping"
        yield conflict("/devices/iommu/driver/@eim", line_of(iommu), text, "say intremap='on'")
    yield from _characters(domain)


def _characters(domain: Domain) -> Iterator[Problem]:
    for field in ("serials", "parallels", "consoles", "channels"):
        for path, char in each(domain, field):
            for source in char.sources:
                line = line_of(source) or line_of(char)
                if source.reconnect and source.reconnect_timeout == 0:
                    text = "connecting again after 0 seconds"
                    yield outside(f"{path}/source/reconnect/@timeout", line, text, "use at least 1")
                if source.reconnect and source.mode in ("bind", "server"):
                    text = "who listens does not connect again"
                    yield conflict(f"{path}/source/reconnect/@enabled", line, text, "use mode='connect'")
            if char.type == "nmdm":
                source = char.sources[0] if char.sources else None
                for name in ("master", "slave"):
                    if not getattr(source, name, None):
                        text = f"a null modem needs its {name}"
                        yield missing(f"{path}/source/@{name}", line_of(char), text, "such as /dev/nmdm0A and B")
