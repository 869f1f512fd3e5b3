"""Statistics: what each figure is, its unit, and whether it only grows.

Field names on the wire (``block.0.rd.bytes``) are libvirt's, so that existing
tools read them. None means "not known" and is left out, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Literal, dataclass_transform


@dataclass(frozen=True, slots=True)
class Figure:
    """How one field of a group is declared."""

    wire: str
    unit: str
    help: str
    kind: Literal["counter", "gauge", "label"]


def counter(wire: str, unit: str, help: str, *, default: Any = None) -> Any:  # noqa: A002
    """A figure that only grows while the domain runs."""
    return field(default=default, metadata={"figure": Figure(wire, unit, help, "counter")})


def gauge(wire: str, unit: str, help: str, *, default: Any = None) -> Any:  # noqa: A002
    """A figure that goes up and down."""
    return field(default=default, metadata={"figure": Figure(wire, unit, help, "gauge")})


def label(wire: str, help: str, *, default: Any = None) -> Any:  # noqa: A002
    """A name that tells which member of a group this is."""
    return field(default=default, metadata={"figure": Figure(wire, "", help, "label")})


@dataclass_transform(frozen_default=True, field_specifiers=(counter, gauge, label))
class Stats:
    """One group of figures; subclasses are frozen dataclasses."""

    __slots__ = ()
    group: ClassVar[str]

    def __init_subclass__(cls, *, group: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.group = group
        if "__slots__" not in vars(cls):
            dataclass(frozen=True)(cls)

    @classmethod
    @cache
    def figures(cls) -> Mapping[str, Figure]:
        """Field name -> declaration, in order."""
        return {f.name: f.metadata["figure"] for f in fields(cls)}  # type: ignore[arg-type]

    def known(self) -> Iterator[tuple[Figure, Any]]:
        """The figures that are known, each with its value."""
        for name, figure in self.figures().items():
            value = getattr(self, name)
            if value is not None:
                yield figure, value

    def pairs(self) -> Iterator[tuple[str, Any]]:
        """``(wire name, value)`` of every figure that is known."""
        return ((figure.wire, value) for figure, value in self.known())


class Cpu(Stats, group="cpu"):
    """Processor time that the host spent on the domain since it started."""

    time: int | None = counter("time", "ns", "total time", default=None)
    user: int | None = counter("user", "ns", "time in user mode", default=None)
    system: int | None = counter("system", "ns", "time in the kernel", default=None)


class Vcpu(Stats, group="vcpu"):
    """One virtual processor."""

    number: int = label("number", "number of the vCPU, from 0", default=0)
    state: str | None = gauge("state", "", "offline, running or blocked", default=None)
    time: int | None = counter("time", "ns", "time that it ran", default=None)
    wait: int | None = counter("wait", "ns", "time that it wanted to run and could not", default=None)
    delay: int | None = counter("delay", "ns", "time on the host's run queue", default=None)


class Balloon(Stats, group="balloon"):
    """Memory of the domain, and what the guest says of it. All sizes in bytes."""

    current: int | None = gauge("current", "B", "memory that the guest has now", default=None)
    maximum: int | None = gauge("maximum", "B", "memory that it can have", default=None)
    rss: int | None = gauge("rss", "B", "resident memory of the hypervisor's process", default=None)
    unused: int | None = gauge("unused", "B", "memory that the guest does not use", default=None)
    available: int | None = gauge("available", "B", "memory that the guest sees", default=None)
    usable: int | None = gauge("usable", "B", "memory that the guest can free without swapping", default=None)
    swap_in: int | None = counter("swap_in", "B", "read from the guest's swap", default=None)
    swap_out: int | None = counter("swap_out", "B", "written to the guest's swap", default=None)
    major_fault: int | None = counter("major_fault", "", "page faults that needed the disk", default=None)
    minor_fault: int | None = counter("minor_fault", "", "page faults that did not", default=None)
    disk_caches: int | None = gauge("disk_caches", "B", "guest memory that caches disks", default=None)
    hugetlb_pgalloc: int | None = counter("hugetlb_pgalloc", "", "huge pages that the guest allocated", default=None)
    hugetlb_pgfail: int | None = counter("hugetlb_pgfail", "", "huge pages that it could not allocate", default=None)
    last_update: int | None = gauge("last-update", "s", "when the guest said so, seconds since 1970", default=None)


class Net(Stats, group="net"):
    """One network interface, as the guest sees it: rx is what the guest received."""

    name: str | None = label("name", "name of the interface on the host", default=None)
    mac: str | None = label("mac", "MAC address in the guest", default=None)
    rx_bytes: int | None = counter("rx.bytes", "B", "received", default=None)
    rx_packets: int | None = counter("rx.pkts", "", "packets received", default=None)
    rx_errors: int | None = counter("rx.errs", "", "errors on receive", default=None)
    rx_dropped: int | None = counter("rx.drop", "", "packets dropped on receive", default=None)
    tx_bytes: int | None = counter("tx.bytes", "B", "sent", default=None)
    tx_packets: int | None = counter("tx.pkts", "", "packets sent", default=None)
    tx_errors: int | None = counter("tx.errs", "", "errors on send", default=None)
    tx_dropped: int | None = counter("tx.drop", "", "packets dropped on send", default=None)


class Block(Stats, group="block"):
    """One disk: what the guest did with it, and the three sizes of ``BlockInfo``."""

    name: str | None = label("name", "target name in the guest", default=None)
    path: str | None = label("path", "file or device on the host", default=None)
    read_requests: int | None = counter("rd.reqs", "", "read requests", default=None)
    read_bytes: int | None = counter("rd.bytes", "B", "read", default=None)
    read_time: int | None = counter("rd.times", "ns", "time spent reading", default=None)
    write_requests: int | None = counter("wr.reqs", "", "write requests", default=None)
    write_bytes: int | None = counter("wr.bytes", "B", "written", default=None)
    write_time: int | None = counter("wr.times", "ns", "time spent writing", default=None)
    flush_requests: int | None = counter("fl.reqs", "", "flush requests", default=None)
    flush_time: int | None = counter("fl.times", "ns", "time spent flushing", default=None)
    allocation: int | None = gauge("allocation", "B", "what the image occupies", default=None)
    capacity: int | None = gauge("capacity", "B", "what the guest can see", default=None)
    physical: int | None = gauge("physical", "B", "the image's last offset", default=None)


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """Three sizes of a disk, in bytes (libvirt's ``virDomainGetBlockInfo`` contract).

    :param target: name in the guest, such as ``vda``.
    :param capacity: what the guest can see.
    :param allocation: what the image occupies on the host, as ``du``; for a non-raw image on a
        block device of a running domain the highest written extent that the hypervisor reports.
    :param physical: the image's last offset, as ``ls``; the device's size for a block device.
    """

    target: str
    capacity: int | None
    allocation: int | None
    physical: int | None


@dataclass(frozen=True, slots=True)
class DomainStats:
    """Every group of one domain; a group that was not asked for, or is not known, is None."""

    state: Any = None  # a Status; typed there to keep this module alone
    cpu: Cpu | None = None
    vcpu: tuple[Vcpu, ...] | None = None
    balloon: Balloon | None = None
    interface: tuple[Net, ...] | None = None
    block: tuple[Block, ...] | None = None

    def flat(self) -> dict[str, Any]:
        """Libvirt's flat form: ``{"cpu.time": 1, "block.count": 1, "block.0.name": "vda" ...}``.

        Sizes of the balloon group are KiB there, as libvirt has them; everything else is as declared.
        """
        out: dict[str, Any] = {}
        if self.state is not None:
            out["state.state"], out["state.reason"] = self.state.numbers
        if self.cpu is not None:
            out |= {f"cpu.{wire}": value for wire, value in self.cpu.pairs()}
        if self.balloon is not None:
            out |= {
                f"balloon.{figure.wire}": value // 1024 if figure.unit == "B" else value
                for figure, value in self.balloon.known()
            }
        if self.vcpu is not None:
            out["vcpu.current"] = len(self.vcpu)
            for one in self.vcpu:
                out |= {f"vcpu.{one.number}.{wire}": value for wire, value in one.pairs() if wire != "number"}
        many: dict[str, tuple[Stats, ...] | None] = {"net": self.interface, "block": self.block}
        for name, members in many.items():
            if members is not None:
                out[f"{name}.count"] = len(members)
                for index, member in enumerate(members):
                    out |= {f"{name}.{index}.{wire}": value for wire, value in member.pairs()}
        return out
