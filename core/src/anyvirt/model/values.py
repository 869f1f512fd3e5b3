"""Small values that cross hooks: what a host is, what its pools, volumes and networks are."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyvirt.ref import Ref


@dataclass(frozen=True, slots=True)
class HostInfo:
    """The machine and its hypervisor (libvirt's ``virNodeGetInfo`` and versions).

    :param memory: bytes.
    :param mhz: expected clock of a CPU.
    """

    hostname: str
    hypervisor: str
    hypervisor_version: str = ""
    driver_version: str = ""
    arch: str = ""
    memory: int | None = None
    cpus: int | None = None
    mhz: int | None = None
    nodes: int | None = None
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was found out about the host, and why it is so.

    ``Fact("accelerator", "tcg", "a boot sector did not run within 1 s under KVM")``
    """

    name: str
    value: str
    reason: str = ""


class CpuMatch(StrEnum):
    """How a host's CPU is to another one."""

    INCOMPATIBLE = "incompatible"
    IDENTICAL = "identical"
    SUPERSET = "superset"


@dataclass(frozen=True, slots=True)
class CpuComparison:
    """Whether a guest with some CPU can run on a host.

    :param missing: features that the CPU has and the host lacks.
    :param extra: features that the host has beside those.
    :param reason: why a guest with it cannot run here; ``""`` where it can.
    """

    match: CpuMatch
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PoolInfo:
    """State and sizes of a storage pool, in bytes."""

    active: bool
    capacity: int | None = None
    allocation: int | None = None
    available: int | None = None
    persistent: bool = True
    autostart: bool | None = None


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """Kind and sizes of a volume, in bytes.

    :param type: file, block, dir, network, netdir or ploop.
    """

    type: str
    capacity: int | None = None
    allocation: int | None = None
    physical: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """State of a virtual network or of a host interface."""

    active: bool
    persistent: bool = True
    autostart: bool | None = None
    bridge: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one definition that was brought in.

    :param outcome: ``defined``, ``would define``, ``there already``, ``foreign`` or ``refused``.
    """

    name: str
    uuid: str
    source: str
    outcome: str
    detail: str = ""
    ref: Ref | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it is written down before its first lasting effect.

    :param owner: identity of the process that runs it, as plain data.
    :param undo: what recovery needs to undo or finish it, as plain data.
    :param native: the hypervisor's own handle of it, where it has one.
    """

    id: str
    hook: str
    ref: Ref | None
    phase: str
    owner: dict[str, Any] = field(default_factory=dict)
    undo: dict[str, Any] = field(default_factory=dict)
    native: str = ""
    started: float = 0.0
