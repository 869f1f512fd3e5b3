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
class Trashed:
    """A deleted volume that is kept for a while.

    :param name: what the volume was called; ``volume_restore`` takes it.
    :param path: where it is kept now.
    :param size: bytes that it takes.
    :param deleted_at: when it was deleted (``time.time()``).
    :param until: when it may be removed for good (``time.time()``).
    """

    name: str
    path: str
    size: int
    deleted_at: float
    until: float


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One image of a volume's backing chain; the volume itself is the first.

    :param path: as the host knows it, or as the image above names it where it is not on this host.
    :param format: as it was declared; ``raw`` where nobody declared any.
    :param declared: whether the user said that it belongs there, and what format it has. What only the image above
        says is not trusted, and no guest is given it.
    :param capacity: bytes that a guest sees; with ``allocation`` and ``physical`` None where it cannot be told.
    :param note: what is wrong with it, such as that the file is gone; ``""`` where nothing is.
    """

    path: str
    format: str
    declared: bool
    capacity: int | None = None
    allocation: int | None = None
    physical: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that would go with a volume, or somebody who uses it.

    :param size: bytes that it takes; None where it cannot be told.
    :param why: what it is to the volume: ``the volume itself``, ``its data file``, ``it is the backing file`` ...
    :param user: who would lose by it, such as ``domain web`` or ``volume clone of pool images``; ``""`` where nobody
        would. Only ``force`` deletes what has a user.
    """

    path: str
    size: int | None
    why: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Bytes of an upload that was not brought to its end, kept for the rest.

    :param offset: first byte of the volume that was to be written.
    :param length: bytes that have come since then.
    :param since: when the upload began (``time.time()``).
    """

    offset: int
    length: int
    since: float


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """Whether a secret has a value, and who keeps it.

    :param keeper: ``file``, ``keyring``, ``credential``, ``memory`` (of an ephemeral one); ``""`` without a value.
    """

    has_value: bool
    keeper: str = ""


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
