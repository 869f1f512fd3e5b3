"""How much of the host a guest may use: CPU time, I/O, memory, caches, resource groups."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Count, CpuSet, Integer, Size, Unsigned

Scheduler = Literal["batch", "idle", "fifo", "rr"]
Priority = Annotated[int, Integer(1, 99)]
Period = Annotated[int, Integer(1000, 1000000)]
Quota = Annotated[int, Integer(high=17592186044415)]
Percent = Annotated[int, Integer(0, 100)]


class VcpuPin(Element, tag="vcpupin"):
    """Where one virtual CPU runs."""

    vcpu: Count | None = at("@vcpu", "Number of the virtual CPU", default=None, key=True)
    cpuset: CpuSet | None = at("@cpuset", "Host CPUs that it may run on", default=None)


class IoThreadPin(Element, tag="iothreadpin"):
    """Where one I/O thread runs."""

    iothread: Count | None = at("@iothread", "Number of the thread", default=None, key=True)
    cpuset: CpuSet | None = at("@cpuset", "Host CPUs that it may run on", default=None)


class VcpuSchedule(Element, tag="vcpusched"):
    """How the host schedules some virtual CPUs."""

    vcpus: CpuSet | None = at("@vcpus", "Numbers of the virtual CPUs", default=None, key=True)
    scheduler: Scheduler | None = at("@scheduler", "Policy", default=None)
    priority: Priority | None = at("@priority", "Priority, for fifo and rr", default=None)


class IoThreadSchedule(Element, tag="iothreadsched"):
    """How the host schedules some I/O threads."""

    iothreads: CpuSet | None = at("@iothreads", "Numbers of the threads", default=None, key=True)
    scheduler: Scheduler | None = at("@scheduler", "Policy", default=None)
    priority: Priority | None = at("@priority", "Priority, for fifo and rr", default=None)


class CacheAllocation(Element, tag="cache"):
    """A part of a host cache that is set aside."""

    id: Count | None = at("@id", "Number of the cache on the host", default=None, key=True)
    level: Count | None = at("@level", "Level of the cache", default=None, key=True)
    type: Literal["both", "code", "data"] | None = at("@type", "What it caches", default=None, key=True)
    size: Size | None = at("@size", "Size of the part", default=None)


class CacheMonitor(Element, tag="monitor"):
    """Measures how much of a cache some virtual CPUs use."""

    level: Count | None = at("@level", "Level of the cache", default=None, key=True)
    vcpus: CpuSet | None = at("@vcpus", "Virtual CPUs that are measured", default=None, key=True)


class CacheTune(Element, tag="cachetune"):
    """Host cache for some virtual CPUs (resctrl)."""

    vcpus: CpuSet | None = at("@vcpus", "Virtual CPUs that share the parts", default=None, key=True)
    id: str | None = at("@id", "Name of the resource group, live only", default=None)
    caches: Many[CacheAllocation] = at("cache", "Parts of caches", default=())
    monitors: Many[CacheMonitor] = at("monitor", "What is measured", default=())


class NodeBandwidth(Element, tag="node"):
    """Share of the memory bandwidth of a host node."""

    id: Count | None = at("@id", "Number of the node", default=None, key=True)
    bandwidth: Percent | None = at("@bandwidth", "Percent of the bandwidth", default=None)


class BandwidthMonitor(Element, tag="monitor"):
    """Measures the memory bandwidth of some virtual CPUs."""

    vcpus: CpuSet | None = at("@vcpus", "Virtual CPUs that are measured", default=None, key=True)


class MemoryTune(Element, tag="memorytune"):
    """Memory bandwidth for some virtual CPUs (resctrl)."""

    vcpus: CpuSet | None = at("@vcpus", "Virtual CPUs that share it", default=None, key=True)
    id: str | None = at("@id", "Name of the resource group, live only", default=None)
    nodes: Many[NodeBandwidth] = at("node", "Shares by host node", default=())
    monitors: Many[BandwidthMonitor] = at("monitor", "What is measured", default=())


class CpuTune(Element, tag="cputune"):
    """CPU time and where it is spent; periods and quotas in microseconds, a negative quota has no bound."""

    shares: Count | None = at("shares", "Weight against other guests", default=None)
    period: Period | None = at("period", "Period of each virtual CPU", default=None)
    quota: Quota | None = at("quota", "CPU time of each virtual CPU in a period", default=None)
    global_period: Period | None = at("global_period", "Period of the whole guest", default=None)
    global_quota: Quota | None = at("global_quota", "CPU time of the whole guest in a period", default=None)
    emulator_period: Period | None = at("emulator_period", "Period of the emulator", default=None)
    emulator_quota: Quota | None = at("emulator_quota", "CPU time of the emulator in a period", default=None)
    iothread_period: Period | None = at("iothread_period", "Period of each I/O thread", default=None)
    iothread_quota: Quota | None = at("iothread_quota", "CPU time of each I/O thread in a period", default=None)
    vcpupins: Many[VcpuPin] = at("vcpupin", "Where virtual CPUs run", default=())
    emulatorpin: CpuSet | None = at("emulatorpin/@cpuset", "Host CPUs that the emulator may run on", default=None)
    iothreadpins: Many[IoThreadPin] = at("iothreadpin", "Where I/O threads run", default=())
    vcpuscheds: Many[VcpuSchedule] = at("vcpusched", "How virtual CPUs are scheduled", default=())
    iothreadscheds: Many[IoThreadSchedule] = at("iothreadsched", "How I/O threads are scheduled", default=())
    emulatorsched: Scheduler | None = at("emulatorsched/@scheduler", "Policy for the emulator", default=None)
    emulatorsched_priority: Priority | None = at(
        "emulatorsched/@priority", "Priority of the emulator, for fifo and rr", default=None
    )
    cachetunes: Many[CacheTune] = at("cachetune", "Host cache for virtual CPUs", default=())
    memorytunes: Many[MemoryTune] = at("memorytune", "Memory bandwidth for virtual CPUs", default=())


class BlkioDevice(Element, tag="device"):
    """Limits on one block device of the host."""

    path: str | None = at("path", "The device, such as /dev/sda", default=None, key=True)
    weight: Count | None = at("weight", "Weight against other guests", default=None)
    read_iops_sec: Count | None = at("read_iops_sec", "Reads a second at most", default=None)
    write_iops_sec: Count | None = at("write_iops_sec", "Writes a second at most", default=None)
    read_bytes_sec: Unsigned | None = at("read_bytes_sec", "Bytes read a second at most", default=None)
    write_bytes_sec: Unsigned | None = at("write_bytes_sec", "Bytes written a second at most", default=None)


class BlkioTune(Element, tag="blkiotune"):
    """Block I/O of the whole guest."""

    weight: Count | None = at("weight", "Weight against other guests", default=None)
    devices: Many[BlkioDevice] = at("device", "Limits by block device", default=())


class MemTune(Element, tag="memtune"):
    """Limits on the host's memory that the guest takes; 9007199254740991 KiB stands for no limit."""

    hard_limit: Size | None = at("hard_limit", "Memory at most", default=None)
    soft_limit: Size | None = at("soft_limit", "Memory that is left to it when the host is short", default=None)
    min_guarantee: Size | None = at("min_guarantee", "Memory that it is sure of", default=None)
    swap_hard_limit: Size | None = at("swap_hard_limit", "Memory and swap together at most", default=None)


class Resource(Element, tag="resource"):
    """Where the guest stands among the host's resource groups."""

    partition: str | None = at("partition", "Absolute path of the group, such as /machine", default=None)
    fibrechannel_appid: str | None = at(
        "fibrechannel/@appid", "Name of the guest in the fibre channel fabric, up to 128 characters", default=None
    )
