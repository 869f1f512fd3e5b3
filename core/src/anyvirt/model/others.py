"""Documents of which only the identity is known so far; everything else in them is kept."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, at
from anyvirt.model.types import UUID, YesNo


class Network(Element, tag="network"):
    """A virtual network."""

    name: str | None = at("name", "Name, unique on the host", default=None, key=True)
    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None)
    title: str | None = at("title", "Short description", default=None)
    description: str | None = at("description", "Description", default=None)


class Secret(Element, tag="secret"):
    """A secret, without its value."""

    ephemeral: YesNo | None = at("@ephemeral", "Kept in memory only", default=None)
    private: YesNo | None = at("@private", "The value is never given out", default=None)
    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None, key=True)
    description: str | None = at("description", "Description", default=None)
    usage: Literal["volume", "ceph", "iscsi", "tls", "vtpm"] | None = at("usage/@type", "What it is for", default=None)


class NetworkFilter(Element, tag="filter"):
    """A network filter."""

    name: str | None = at("@name", "Name, unique on the host", default=None, key=True)
    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None)


class NodeDevice(Element, tag="device"):
    """A device of the host."""

    name: str | None = at("name", "Name, unique on the host", default=None, key=True)
    path: str | None = at("path", "Place in sysfs", default=None)
    parent: str | None = at("parent", "Device that it hangs from", default=None)


class Backup(Element, tag="domainbackup"):
    """A backup job."""

    mode: Literal["push", "pull"] | None = at("@mode", "Who moves the data", default=None)
    id: str | None = at("@id", "Number of the job", default=None)
    incremental: str | None = at("incremental", "Checkpoint that it starts from", default=None)


class DomainStatus(Element, tag="domstatus"):
    """The status file of a running domain, as libvirt's daemons write it."""

    state: str | None = at("@state", "State", default=None)
    reason: str | None = at("@reason", "Reason of the state", default=None)
    pid: str | None = at("@pid", "Process", default=None)


class EmulatorProbe(Element, tag="qemuCaps"):
    """A cached probe of an emulator, as libvirt's daemons write it."""

    version: str | None = at("version", "Version of the emulator", default=None)
