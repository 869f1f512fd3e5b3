"""What the host does for a guest beside running QEMU, as values: where threads run, what a guest takes at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ThreadKind = Literal["vcpu", "iothread", "emulator"]


@dataclass(frozen=True, slots=True)
class PinUse:
    """The host CPUs that a thread keeps to; all that its starter may use where there are none.

    :param number: of the virtual CPU or of the I/O thread.
    :param place: the element that asks for it, as a path.
    """

    kind: ThreadKind
    number: int
    cpus: frozenset[int]
    place: str


@dataclass(frozen=True, slots=True)
class ScheduleUse:
    """How the host schedules a thread, or with ``emulator`` all that are neither virtual CPU nor I/O thread.

    :param policy: ``batch``, ``idle``, ``fifo`` or ``rr``; the last two have a priority.
    """

    kind: ThreadKind
    number: int
    policy: str
    priority: int
    place: str


@dataclass(frozen=True, slots=True)
class LimitUse:
    """What a control group takes of the host at most, or its weight against others.

    :param name: controller and word: ``cpu.shares``, ``cpu.quota`` (with its period; microseconds, 0 for the usual
        one), ``cpuset.mems`` (nodes), ``memory.hard``, ``.soft`` and ``.total`` (bytes, the last with swap),
        ``io.weight``, ``io.rbps``, ``.wbps``, ``.riops`` and ``.wiops`` (a second).
    :param place: the element that asks for it, as a path.
    :param group: part of the guest: ``emulator``, ``vcpu0``, ``iothread1``; ``""`` for the whole.
    :param device: block device that it is about, absolute.
    """

    name: str
    numbers: tuple[int, ...]
    place: str
    group: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Parts of the host's caches and of its bandwidth to memory that some virtual CPUs share.

    :param caches: level, number, ``both``, ``code`` or ``data``, and bytes.
    :param bandwidths: number of a node, and percent.
    """

    vcpus: frozenset[int]
    caches: tuple[tuple[int, int, str, int], ...]
    bandwidths: tuple[tuple[int, int], ...]
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What the host does for a guest beside running QEMU.

    :param cpus: host CPUs that QEMU keeps to from its start; all of them where there are none.
    :param cpus_place: the element that asks for that, as a path.
    :param partition: the group below which the guest's own is made; ``""`` for the usual one.
    :param appid: name of the guest in the fibre channel fabric.
    """

    cpus: frozenset[int] = frozenset()
    cpus_place: str = ""
    pins: tuple[PinUse, ...] = ()
    schedules: tuple[ScheduleUse, ...] = ()
    partition: str = ""
    limits: tuple[LimitUse, ...] = ()
    caches: tuple[CacheUse, ...] = ()
    appid: str = ""

    @property
    def grouped(self) -> bool:
        """Whether the guest needs a control group of its own."""
        return bool(self.partition or self.limits or self.appid)
